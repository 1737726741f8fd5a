"""W&B as a mirror: all of the local record is in it, and none of its faults is in the run."""

import csv
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import wandb
from matplotlib.figure import Figure

import fokker
from fokker.figures import save
from fokker.machine.files import read_json, write_json
from fokker.store.curves import read_json_lines
from fokker.store.records import FORMAT
from fokker.tracking import WandB, wandb_log, wandb_run
from fokker.tracking.wandb_log import EXIT_CODES, labels, name, tag, tags, typed_rows
from fokker.tracking.wandb_run import SafeRun, within
from fokker.training import DivergedError
from fokker.training.callbacks import Saving
from fokker.training.watching import Pruned
from tiny_runs import run, tiny
from wandb_files import read_wandb

pytestmark = pytest.mark.usefixtures("workdir", "home")
SECONDS = 0.3


@pytest.fixture
def home(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, in which W&B is to write nothing."""
    path = workdir.parent / f"{workdir.name}-home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("NETRC", str(path / "none"))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Equal row by row, a text of CSV to a number as its value."""
    texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in found]
    return texts == [{k: str(v) for k, v in row.items()} for row in expected]


# ---- the mirror ----------------------------------------------------------------------------


def test_all_of_a_run_is_mirrored(
    home: Path, workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*arguments: Any) -> None:
        save(Figure((1, 1)), arguments[-1] / "samples")
        save(Figure((1, 1)), arguments[-1] / "trajectory")

    monkeypatch.setenv("WANDB_TAGS", "from the environment")
    overrides = tiny(
        "logger=[csv,wandb]", "logger.wandb.tags=[mine]", "logger.wandb.log_model=true",
        "logger.wandb.project=other",
        "sampler.num_steps=7", "evaluation.num_steps=[7,3]", "evaluation.samplers=[heun,ddim]",
        "callbacks.validation_steps=10", "evaluation.num_samples=1200",
    )  # fmt: skip
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures", draw):
        result = fokker.run(overrides)
    file = read_wandb(result.path)
    run_json = read_json(result.path / "run.json")
    assert f"wandb    wandb sync {file.folder.relative_to(Path.cwd())}" in capsys.readouterr().out

    # What it was.
    assert file.run["run_id"] == read_json(result.path / "wandb.json")["id"]
    assert file.run["display_name"] == result.path.name
    assert file.run["project"] == "other"
    assert file.run["job_type"] == "run"
    assert "run_group" not in file.run
    assert file.config["data"]["distribution"]["_target_"] == "fokker.distributions.Uniform"
    assert file.config["evaluation"]["num_steps"] == [7, 3]
    assert file.config["optimizer"]["lr"] == 0.002
    assert file.config["fokker"]["formulation"] == "edm"
    expected = ["edm", "uniform", *overrides[1:], "mine", "from the environment"]
    assert file.run["tags"] == [t for t in expected if not t.startswith(("logger", "data"))]

    # The curves, against the images.
    curves = read_json_lines(result.path / "metrics.jsonl")
    numbers = [
        {k: v for k, v in row.items() if k != "step" and not isinstance(v, list)} for row in curves
    ]
    assert file.rows("images") == numbers
    assert [row["_step"] for row in file.history if "images" in row] == [5, 10, 15, 20]
    assert file.rows("loss")[-1]["loss"] == curves[-1]["loss"]
    assert {file.axes[k] for k in ("loss", "excess", "held_out_loss", "lr")} == {"images"}
    assert file.axes["images"] is None
    assert [r["loss"] for r in rows_of(result.path / "metrics.csv")] == [
        str(row["loss"]) for row in curves
    ]

    # The evaluations, against the NFE.
    evaluations = rows_of(result.path / "evaluations.csv")
    assert [(row["sampler"], row["num_steps"]) for row in evaluations] == [
        ("heun", "7"), ("heun", "3"), ("ddim", "7"), ("ddim", "3"),
    ]  # fmt: skip
    for sampler in ("heun", "ddim"):
        found = file.rows(f"{sampler}/w1")
        wanted = [row for row in evaluations if row["sampler"] == sampler][::-1]
        assert [row[f"{sampler}/nfe"] for row in found] == [float(row["nfe"]) for row in wanted]
        for row, expected_row in zip(found, wanted, strict=True):
            values = {k: v for k, v in expected_row.items() if f"{sampler}/{k}" in row}
            assert values.keys() >= {"w1", "sliced_w2", "num_steps", "w1_standard_error"}
            assert {k: row[f"{sampler}/{k}"] for k in values} == {
                k: float(v) for k, v in values.items()
            }
        assert file.axes[f"{sampler}/w1"] == f"{sampler}/nfe"

    # Tables, figures, the model.
    assert same_rows(file.table("evaluations"), evaluations)
    assert same_rows(file.table("error_budget"), rows_of(result.path / "error_budget.csv"))
    points = np.array([[row["x1"]] for row in file.table("samples")])
    np.testing.assert_array_equal(points, result.samples.numpy()[:1000])
    for row, sigma in zip(file.table("loss_per_level"), (0.002, 0.004054), strict=False):
        assert f"{row['level']:.4g}" == str(sigma)
    assert same_rows(file.table("loss_per_level"), rows_of(result.path / "loss_per_level.csv"))
    assert len(file.table("loss_per_level")) == 16
    for figure in ("samples", "trajectory"):
        picture = result.path / "figures" / f"{figure}.png"
        assert file.media(f"figures/{figure}") == picture.read_bytes()
    (artifact,) = file.artifacts("model")
    assert artifact["name"] == run_json["model"]["key"]
    assert {entry["path"] for entry in artifact["manifest"]["contents"]} == {
        "last.ckpt", "config.yaml", "model.json", "raw.safetensors", "ema_50000.safetensors",
    }  # fmt: skip

    # What it came to.
    assert {k: file.summary[k] for k in result.metrics} == result.metrics
    assert file.summary["status"] == "completed"
    assert file.summary["training"] == "trained"
    assert file.summary["model_key"] == run_json["model"]["key"]
    assert file.summary["model_path"] == run_json["model"]["path"]
    assert file.summary["folder"] == str(result.path)
    for fact in ("seconds", "images_per_second", "host_peak_bytes"):
        assert file.summary[fact] == run_json[fact] > 0
    assert file.exit_code == 0
    # W&B has written into the run's folder alone.
    assert not [p for p in home.rglob("*") if "wandb" in str(p.relative_to(home))]
    assert [path.name for path in workdir.iterdir()] == ["outputs"]


def test_an_interrupted_run_goes_on_as_the_same_run_with_the_whole_curve_once() -> None:
    typed = ("logger=wandb", "hydra.run.dir=here", "callbacks.save_steps=5")
    saved = Saving.on_train_batch_end

    def stop(self: Saving, trainer: Any, *arguments: Any) -> None:
        saved(self, trainer, *arguments)
        if trainer.global_step == 10:
            raise KeyboardInterrupt

    with mock.patch.object(Saving, "on_train_batch_end", stop), pytest.raises(SystemExit):
        run(*typed)
    first = read_wandb(Path("here"))
    assert first.exit_code == 255
    assert first.summary["status"] == "interrupted"
    assert first.summary["error"].startswith("InterruptedTraining: stopped, saved at step 10")
    assert [row["_step"] for row in first.history] == [5, 10]
    result = run(*typed)
    second = read_wandb(result.path, index=1)
    assert read_json(result.path / "run.json")["training"] == "continued"
    assert second.run["run_id"] == first.run["run_id"]
    assert second.exit_code == 0
    curve = [row for row in second.history if "loss" in row]
    assert [row["_step"] for row in curve] == [5, 10, 15, 20]
    assert [row["loss"] for row in curve] == [
        row["loss"] for row in read_json_lines(result.path / "metrics.jsonl")
    ]
    # Another run of the same model, which is found, has the curve and an id of its own.
    other = read_wandb(run("logger=wandb", "sampler.num_steps=2").path)
    assert [row["loss"] for row in other.history if "loss" in row] == [r["loss"] for r in curve]
    assert other.run["run_id"] != first.run["run_id"]
    assert other.summary["training"] == "found"
    assert other.rows("evaluation/w1")[0]["evaluation/nfe"] == 3


# ---- faults, of W&B itself -----------------------------------------------------------------


def test_a_service_that_dies_costs_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    def die(*_: Any) -> None:
        process = wandb.setup().ensure_service()._proc._process  # type: ignore[union-attr]
        process.kill()
        process.wait()

    plain = run("hydra.run.dir=plain")
    with mock.patch.object(sys.modules["fokker.experiment.run"], "rows_table", die):
        result = run("logger=wandb", "evaluation.num_steps=[18,3]", "hydra.run.dir=dies")
    said = capfd.readouterr()
    assert result.metrics == plain.metrics
    assert read_json(Path("dies/run.json"))["status"] == "completed"
    (line,) = said.err.splitlines()
    assert line.startswith("warning: W&B is off for this run, whose local record is whole: ")
    assert "wandb    " not in said.out
    # The next run of the process has a service again.
    assert read_wandb(run("logger=wandb").path).exit_code == 0


def test_a_server_that_cannot_be_reached_leaves_an_offline_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wandb.teardown()  # What was read from the environment.
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 1.0)
    result = run("logger=wandb")
    said = capfd.readouterr()
    file = read_wandb(result.path, pattern="offline-run-*")
    assert file.exit_code == 0
    assert file.summary["w1"] == result.metrics["w1"]
    assert file.run["run_id"] == read_json(result.path / "wandb.json")["id"]
    warnings = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: W&B cannot be reached (CommError: ")
    assert warnings[0].endswith("; this and later runs are offline")
    assert f"wandb    wandb sync {file.folder.relative_to(Path.cwd())}" in said.out
    assert os.environ["WANDB_MODE"] == "offline"
    wandb.teardown()


# ---- faults, played ------------------------------------------------------------------------


class FakeSettings(SimpleNamespace):
    """Of a version that knows no time limit at the end."""

    model_fields = ("silent", "init_timeout")


class FakeWandB:
    """Stands for the module and for its run, and notes what is asked of both."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.given: list[dict[str, Any]] = []
        self.faults: dict[str, Callable[[], object]] = {}
        self.exit_codes: list[int] = []
        self.offline, self.url = True, "https://wandb.ai/x"
        self.Settings = FakeSettings
        self.summary = SimpleNamespace(update=lambda values: self.ask("summary"))
        self.Table, self.Image = self.make("Table"), self.make("Image")
        self.define_metric, self.log = self.make("define_metric"), self.make("log")
        self.teardown = self.make("teardown")

    def ask(self, what: str) -> None:
        self.calls.append(what)
        if what in self.faults:
            self.faults[what]()

    def make(self, what: str) -> Callable[..., None]:
        return lambda *_, **__: self.ask(what)

    def init(self, **given: Any) -> "FakeWandB":
        self.given.append(given)
        self.environments.append({k: v for k, v in os.environ.items() if k.startswith("WANDB_")})
        self.ask("init")
        self.dir = f"{given['dir']}/wandb/run-1/files"
        return self

    def finish(self, exit_code: int) -> None:
        self.exit_codes.append(exit_code)
        self.ask("finish")


def fault(error: BaseException) -> Callable[[], object]:
    def throw() -> None:
        raise error

    return throw


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandB]:
    made = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", made)
    monkeypatch.setattr(wandb_run, "CALL_SECONDS", SECONDS)
    monkeypatch.setattr(wandb_run, "LEAVE_SECONDS", SECONDS)
    released = threading.Event()
    made.hang = released.wait  # type: ignore[attr-defined]
    yield made
    released.set()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("init", ConnectionError("no service\nat all"), "whole: ConnectionError: no service"),
        ("init", FULL, "OSError: [Errno 28] No space left on device"),
        ("define_metric", ValueError(), "record is whole: ValueError"),
        ("log", BrokenPipeError("service"), "BrokenPipeError: service"),
        ("summary", RuntimeError("no"), "RuntimeError: no"),
        ("Table", FULL, "OSError: [Errno 28]"),
        ("log", None, "TimeoutError: no answer within 0.3 s"),
        ("finish", RuntimeError("no"), "RuntimeError: no"),
        ("finish", TimeoutError("of W&B's own"), "W&B has not taken all of the run within logger."),
        ("finish", None, "finish_seconds=0.3; `wandb sync here/wandb/run-1` sends it, and later"),
    ],
)
def test_no_fault_of_wandb_harms_a_run(
    fake: FakeWandB,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    where: str,
    error: Exception | None,
    says: str,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    fake.faults[where] = fault(error) if error else fake.hang  # type: ignore[attr-defined]
    typed = ("logger=[csv,wandb]", f"logger.wandb.finish_seconds={SECONDS}", "hydra.run.dir=here")
    result = run(*typed)
    assert result.metrics["num_steps"] == 18
    record = read_json(Path("here/run.json"))
    assert record["status"] == "completed"
    assert record["training"] == "trained"
    files = {"metrics.json", "metrics.jsonl", "metrics.csv", "evaluations.csv", "samples.npz"}
    assert files <= {path.name for path in Path("here").iterdir()}
    said = capfd.readouterr().err
    (line,) = said.splitlines()
    assert line.startswith("warning: W&B ")
    assert says in line
    # After its first fault it is asked nothing more, but to end.
    after = fake.calls[fake.calls.index(where) + 1 :]
    assert set(after) <= {"finish", "teardown"}


def test_without_wandb_installed_a_run_is_as_ever(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = run("logger=wandb")
    assert read_json(result.path / "run.json")["status"] == "completed"
    (line,) = capfd.readouterr().err.splitlines()
    assert "ImportError" in line or "ModuleNotFoundError" in line


def test_a_folder_that_wandb_cannot_write_is_not_left_for_another(
    fake: FakeWandB, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("here").mkdir()
    Path("here/wandb").touch()
    run("logger=wandb", "hydra.run.dir=here")
    assert "warning: W&B is off" in capfd.readouterr().err
    assert fake.given == []


def test_an_interrupt_in_wandb_is_the_users(fake: FakeWandB) -> None:
    fake.faults["summary"] = fault(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run("logger=wandb")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("no memory"), "failed", 1),
        (DivergedError("nan"), "diverged", 1),
        (KeyboardInterrupt("SIGTERM"), "interrupted", 255),
        (Pruned(3, 9), "pruned", 0),
    ],
)
def test_every_run_is_ended_as_it_ended(
    fake: FakeWandB, error: BaseException, status: str, code: int
) -> None:
    noted: dict[str, Any] = {}
    fake.summary.update = noted.update
    broken = mock.patch.object(
        sys.modules["fokker.experiment.samplings"], "draw_samples", side_effect=error
    )
    with broken, pytest.raises(type(error)):
        run("logger=wandb")
    assert fake.exit_codes == [code]
    assert noted["status"] == status
    assert str(error) in noted["error"]
    assert noted["training"] == "trained"
    assert set(EXIT_CODES) == {"completed", "pruned", "interrupted"}


# ---- how it is started ---------------------------------------------------------------------


def start(**given: Any) -> SafeRun:
    Path("folder").mkdir(exist_ok=True)
    return SafeRun(Path("folder"), 5.0, **given)


def test_a_disabled_wandb_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setitem(sys.modules, "wandb", None)
    made = start()
    made.do(lambda _: pytest.fail("there is no run"))
    made.finish()
    assert made.address == ""
    assert list(Path("folder").iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "key", "modes", "warned"),
    [
        ("", "", ["offline"], False),
        ("online", "", ["offline"], True),
        ("", "a" * 40, [None], False),
        ("online", "a" * 40, ["online"], False),
        ("offline", "a" * 40, ["offline"], False),
    ],
)
def test_it_is_online_with_a_key_alone(
    fake: FakeWandB,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    mode: str,
    key: str,
    modes: list[str | None],
    warned: bool,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.delenv("WANDB_MODE")
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    fake.offline = modes == ["offline"]
    made = start()
    assert [given["mode"] for given in fake.given] == modes
    assert [given.get("resume") for given in fake.given] == [None if fake.offline else "allow"]
    assert ("needs a key" in capfd.readouterr().err) == warned
    assert made.address == ("wandb sync folder/wandb/run-1" if fake.offline else fake.url)


def test_a_netrc_is_a_key(fake: FakeWandB, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.delenv("WANDB_MODE")
    (home / "none").write_text("machine api.wandb.ai login user password abc\n")
    start()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.elsewhere.org")
    start()
    assert [given["mode"] for given in fake.given] == [None, "offline"]


def test_what_an_agent_asks_for_wins_but_not_over_the_jobs_of_a_sweep(
    fake: FakeWandB, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = Path("parameters.yaml")
    parameters.touch()
    told = {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "theirs"}
    told["WANDB_SWEEP_PARAM_PATH"] = str(parameters)
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    start()
    assert read_json(Path("folder/wandb.json")) == {"id": "theirs"}
    assert told.items() <= fake.environments[-1].items()
    write_json(Path("folder/wandb.json"), {"id": "ours"})
    start(is_agents=False)
    # What is left from an agent that is gone.
    parameters.unlink()
    start()
    assert [given["id"] for given in fake.given] == ["theirs", "ours", "ours"]
    for environment in fake.environments[1:]:
        assert not told.keys() & environment.keys()
    assert told.items() <= dict(os.environ).items()


def test_places_are_inside_the_folder_unless_the_user_has_others(
    fake: FakeWandB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", "/elsewhere")
    start()
    (environment,) = fake.environments
    assert environment["WANDB_DATA_DIR"] == str(Path("folder/wandb/data").resolve())
    assert environment["WANDB_CACHE_DIR"] == "/elsewhere"
    assert "WANDB_DATA_DIR" not in os.environ
    assert fake.given[0]["dir"] == str(Path("folder").resolve())


def test_an_earlier_attempt_gives_its_id(fake: FakeWandB) -> None:
    for job in ("ab", "ab.2", "ab.3", "ab.4", "cd"):
        path = Path("sweep", job)
        path.mkdir(parents=True)
        facts = {"sweep": "sweep", "swept": {}, "formulation": "1", "data": "2"}
        write_json(path / "run.json", {"format": FORMAT, "status": "running", **facts})
    for job in ("ab", "ab.2", "ab.4", "cd"):  # The third was run without W&B.
        WandB().open(Path("sweep", job), {})
    ids = [given["id"] for given in fake.given]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert {given["group"] for given in fake.given} == {"sweep"}
    WandB(group="mine").open(Path("sweep", "cd"), {})
    assert fake.given[-1]["group"] == "mine"
    assert fake.given[-1]["id"] == ids[3]


# ---- names ---------------------------------------------------------------------------------


def test_tags_are_what_was_changed_and_not_too_long() -> None:
    swept = {"formulation": "edm", "num_steps": "20", "sampler.eta": "0.5"}
    facts = {"formulation": "edm", "data": "ring8", "overrides": ["seed=3"]}
    job = {**facts, "sweep": "s", "swept": swept}
    assert tags(job, ["a"]) == ["edm", "ring8", "num_steps=20", "sampler.eta=0.5", "a"]
    assert name(job, Path("x")) == "edm-ring8 num_steps=20 sampler.eta=0.5"
    assert name(facts, Path("runs/x")) == "x"
    typed = ["seed=3", "data=ring8", "logger.wandb.tags=[b]", "hydra.run.dir=x", "~ema", "+a/b@c=d"]
    assert tags({**facts, "overrides": typed}, ["a", "seed=3"]) == [
        "edm", "ring8", "seed=3", "~ema", "+a/b@c=d", "a",
    ]  # fmt: skip
    assert tag("x" * 64) == "x" * 64
    long = tag(f"evaluation.likelihood.num_points={'1' * 51}")
    assert long == f"num_points={'1' * 51}"
    assert tag(f"{'a' * 60}={'b' * 60}") == f"{'a' * 32}…{'b' * 31}"
    assert len(tag("a." * 100)) == 64


def test_charts_are_filed_under_what_tells_the_samplings_apart() -> None:
    heun = {"sampler": "heun", "grid": "edm_rho", "weights": "ema"}
    assert labels([heun, heun]) == ["evaluation"] * 2
    assert labels([heun, {**heun, "sampler": "heun(alpha=0.5)"}]) == ["heun", "heun(alpha=0_5)"]
    assert labels([heun, {**heun, "grid": None}]) == ["heun edm_rho", "heun"]
    assert labels([]) == []


def test_a_table_is_read_with_its_types() -> None:
    path = Path("t.csv")
    path.write_text('a,b,c\n1,"x, y",\n0.5,nan,1e-30\n')
    one, two = typed_rows(path)
    assert one == {"a": 1, "b": "x, y", "c": None}
    assert (two["a"], two["c"]) == (0.5, 1e-30)
    assert np.isnan(two["b"])
    assert list(typed_rows(Path("none.csv"))) == []


def test_samples_of_many_dimensions_are_left_to_their_figure() -> None:
    np.savez("two.npz", samples=np.arange(4000.0).reshape(2000, 2))
    np.savez("image.npz", samples=np.zeros((5, 8, 8)))
    found = wandb_log.samples(Path("two.npz"))
    assert len(found) == 1000
    assert found[1] == {"x1": 2.0, "x2": 3.0}
    assert wandb_log.samples(Path("image.npz")) == []


def test_work_is_left_behind_after_its_time() -> None:
    assert within(5.0, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 / 0)
    forever, started = threading.Event(), perf_counter()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, forever.wait)
    assert perf_counter() - started < 2
    forever.set()


def test_the_wait_for_wandb_must_be_positive() -> None:
    with pytest.raises(ValueError, match="finish_seconds must be positive, got 0"):
        WandB(finish_seconds=0)
