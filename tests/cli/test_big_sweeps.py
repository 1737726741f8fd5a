"""A sweep of 1,000 jobs begins as soon as a small one; its jobs are written by hand."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.utils import JobReturn, JobStatus

from fokker.cli.main import main
from fokker.config import early
from fokker.config.compose import composed
from fokker.config.signatures import Signatures
from fokker.store.records import FORMAT
from fokker.sweeps import check as sweep_check
from fokker.sweeps import jobs as sweep_jobs
from fokker.sweeps.alike import Alike, single_key
from fokker.sweeps.grid import GridSweeper
from tiny_runs import TINY

pytestmark = pytest.mark.usefixtures("workdir")

TENS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0"
PRODUCT = ("optimizer.lr=" + TENS, "ema.rampup=" + TENS)


class Counts(SimpleNamespace):
    """What a sweep has done: compositions, objects built, when its first job began."""

    composed: int = 0
    built: int = 0
    begun: float | None = None


class BasicLauncher:
    """Writes the record of a job in place of running it."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        self._counts.begun = self._counts.begun or process_time()
        return [self._done(list(overrides)) for overrides in jobs]

    def _done(self, overrides: list[str]) -> JobReturn:
        *own, place, name = overrides
        path = Path(place.split("=")[1].strip("'"), name.split("=")[1].strip("'"))
        path.mkdir(parents=True)
        seed = int(next(o for o in own if o.startswith("seed=")).split("=")[1])
        record = {"format": FORMAT, "status": "completed", "training": "trained", "seconds": 1.0,
                  "metrics": ["w1"], "overrides": own}  # fmt: skip
        (path / "run.json").write_text(json.dumps(record))
        (path / "metrics.json").write_text(json.dumps({"w1": 0.1 + seed, "nfe": 9}))
        end = JobReturn()
        end.status, end.return_value = JobStatus.COMPLETED, True
        return end


@contextmanager
def mocked_jobs() -> Iterator[Counts]:
    counts = Counts()
    setup, load, names = (
        GridSweeper.setup, ConfigLoaderImpl.load_sweep_config, sweep_check._metric_names,
    )  # fmt: skip

    def with_launcher(self: GridSweeper, **given: Any) -> None:
        setup(self, **given)
        self._launcher: Any = BasicLauncher(counts)

    def counted(self: Any, *given: Any) -> Any:
        counts.composed += 1
        return load(self, *given)

    def built(*given: Any) -> Any:
        counts.built += 1
        return names(*given)

    with (
        mock.patch.object(GridSweeper, "setup", with_launcher),
        mock.patch.object(ConfigLoaderImpl, "load_sweep_config", counted),
        mock.patch.object(sweep_check, "_metric_names", built),
        mock.patch("fokker.sweeps.presentation.present"),
    ):
        yield counts


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> float:
    """The CPU seconds of a command."""
    monkeypatch.setattr("sys.argv", ["fokker", *arguments])
    started = process_time()
    main()
    return process_time() - started


@pytest.mark.long
@pytest.mark.parametrize("jobs", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_many_jobs_begin_within_some_plain_starts_and_are_found_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], jobs: int
) -> None:
    typed = ("-m", *TINY, *PRODUCT, f"seed=range(0,{jobs // 100})")
    import fokker.launch.job  # noqa: F401 (and so torch)

    plain = command(monkeypatch, "task=plan", *TINY)
    with mocked_jobs() as counts:
        started = process_time()
        command(monkeypatch, *typed)
    assert counts.begun is not None
    # All of them are of one kind.
    assert (counts.composed, counts.built) == (1, sweep_check.MOST_BUILT)
    assert counts.begun - started < 6 * plain
    said = capfd.readouterr().out
    assert f"{jobs} jobs: {jobs} completed (0 of them before), 0 failed" in said
    with mocked_jobs() as counts:
        again = command(monkeypatch, *typed)
    assert (counts.composed, counts.built, counts.begun) == (0, 0, None)
    assert again < 6 * plain
    said = capfd.readouterr().out
    assert f"{jobs} jobs: {jobs} completed ({jobs} of them before), 0 failed" in said


def test_a_wrong_value_of_a_big_sweep_is_said_before_its_first_job(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with mocked_jobs() as counts:
        command(monkeypatch, "-m", *TINY, "optimizer.lr=0.1,many", "seed=range(0,30)")
    assert counts.composed == 1
    err = capfd.readouterr().err.splitlines()
    assert len(err) == 1
    assert err[0].startswith("warning: lr=many seed=0 will fail: optimizer.lr must be ")


def test_a_big_sweep_of_which_no_job_can_be_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for typed, why in (
        ("sampler.nope=1", "sampler.nope is not a key"),
        ("sampler.num_steps=0", "sampler.num_steps must be at least 1, got 0"),
    ):
        with mocked_jobs() as counts, pytest.raises(SystemExit):
            command(monkeypatch, "-m", *TINY, "seed=range(0,100)", typed)
        assert counts.begun is None
        assert counts.composed <= 1
        assert f"fokker: {why}" in capfd.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optimizer.lr=0.1", "optimizer.lr"), ("+a.b.c=[1,2]", "a.b.c"), ("++seed=1", "seed"),
        ("formulation=edm", ""), ("sde@sampler.sde=edm", ""), ("hydra/launcher=basic", ""),
        ("hydra.sweep.dir=a", ""), ("~ema.rampup", ""), ("mine=1", ""),
    ],
)  # fmt: skip
def test_single_values_are_told_from_groups(override: str, key: str) -> None:
    assert single_key(override) == key


def test_a_value_that_is_set_is_what_would_be_composed() -> None:
    """Also where other values refer to it, and where another value was set before."""
    swept = [("seed=3", "optimizer.lr=0.1"), ("seed=4", "optimizer.lr=${ema.rampup}"),
             ("seed=5", "optimizer.lr=0.1"), ("seed=3", "optimizer.lr=1e-3")]  # fmt: skip
    jobs = [sweep_jobs.Job(Path("s"), str(i), (*TINY, *own), {}) for i, own in enumerate(swept)]

    def compose(job: sweep_jobs.Job) -> Any:
        with composed(job.overrides) as config:
            return config

    read = Signatures()
    alike = Alike(compose, lambda c, key: early.check_early(c, (), read, key), 1)
    for job in jobs:
        found, whole = alike(job), compose(job)
        assert found is not None
        assert {k: found[k] for k in found if k != "hydra"} == {
            k: whole[k] for k in whole if k != "hydra"
        }
    other = sweep_jobs.Job(Path("s"), "9", (*TINY, "formulation=ddpm"), {})
    assert alike(other) is None


# ---- keys that are the same by chance ------------------------------------------------------


def test_two_jobs_of_one_key_are_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fokker.sweeps.grid_jobs.short_hash", lambda parts: "0" * 10)
    with mocked_jobs(), pytest.raises(SystemExit):
        command(monkeypatch, "-m", *TINY, "seed=1,2")
    assert "have the same key, 0000000000: seed=1 and seed=2; run" in capfd.readouterr().err


def test_a_folder_of_another_job_of_the_same_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with mocked_jobs():
        command(monkeypatch, "-m", *TINY, "seed=1,2")
        (one, _) = sorted(Path("outputs/sweeps").glob("*/*/run.json"))
        record = json.loads(one.read_text())
        # In another order, and of another objective, it is the same job.
        record["overrides"] = [*reversed(record["overrides"]), "objective=w1", "logger=csv"]
        one.write_text(json.dumps(record))
        command(monkeypatch, "-m", *TINY, "seed=1,2")
        record["overrides"] = [*record["overrides"], "optimizer.lr=0.3"]
        one.write_text(json.dumps(record))
        with pytest.raises(SystemExit):
            command(monkeypatch, "-m", *TINY, "seed=1,2")
    assert "optimizer.lr=0.3 and " in capfd.readouterr().err
