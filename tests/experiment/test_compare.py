"""Two finished runs side by side."""

import math
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

import tiny_runs
from fokker.cli.main import main
from fokker.config.build_data import build_data
from fokker.config.instantiate import Builder
from fokker.config.metrics import stored_metrics
from fokker.data import DataModule
from fokker.diffusion.analysis.validation import AXIS, SIGMAS
from fokker.evaluations.evaluate import SampleMetrics
from fokker.experiment.compare import (
    INDEPENDENT,
    PAIRED,
    Comparison,
    Difference,
    compare,
    comparison_text,
)
from fokker.levels import Axis, Table
from fokker.machine.files import read_json, write_json
from fokker.metrics import SampleMetric
from fokker.store.records import FORMAT

pytestmark = pytest.mark.usefixtures("workdir")
A, B = Path("a"), Path("b")
FAR = 1000.0  # From the data, which lie in [-1, 1]: there W1 is the mean of the samples.


def build(config: DictConfig) -> tuple[DataModule, dict[str, SampleMetric]]:
    data = build_data(config, Builder())
    return data, stored_metrics(config, data, Builder())


@cache
def made(n: int, *overrides: str) -> tuple[str, SampleMetrics]:
    """The configuration of a run of n samples, and what is measured on them."""
    made = tiny_runs.compose_experiment("network=exact", f"evaluation.num_samples={n}", *overrides)
    return made.task.config_text, SampleMetrics.of(made.plan.metrics, made.model.data, n)


def record(path: Path, samples: Tensor, *overrides: str, **metrics: Any) -> None:
    """A finished run of these samples, with what is measured on them and these metrics."""
    text, measure = made(len(samples), *overrides)
    path.mkdir()
    (path / "config.yaml").write_text(text)
    np.savez(path / "samples.npz", samples=samples.numpy())
    found = measure(samples, is_random="evaluation.noise=quantiles" not in overrides)
    write_json(path / "metrics.json", {**found, **metrics})
    write_json(path / "run.json", {"format": FORMAT, "status": "completed", "trained": None})


def in_groups_of(path: Path, size: int) -> None:
    write_json(path / "run.json", {**read_json(path / "run.json"), "group": size})


def draws(seed: int, n: int = 100) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, generator=generator, dtype=torch.float64)


def row(comparison: Comparison, name: str) -> Difference:
    (found,) = (d for d in comparison.metrics if d.name == name)
    return found


def block_means(x: Tensor) -> Tensor:
    """Of 16 blocks of the first 96 of 100."""
    return x[:96].view(-1, 16).mean(dim=0)


# Standard errors -----------------------------------------------------------------------------


def test_what_rounding_leaves_of_equal_numbers_is_no_difference() -> None:
    assert Difference("w1", 0.1 + 0.2, 0.3).difference == 0
    assert Difference("w1", 0.3, 0.3 + 1e-11).difference != 0
    assert Difference("w1", math.inf, math.inf).difference == 0
    assert Difference("w1", 1.0, math.inf).difference == math.inf


def test_samples_that_depend_on_each_other_are_in_one_block() -> None:
    """In groups of 6 each group is a block, and the differences are of 16 independent numbers."""
    x, y = (draws(seed, 16) for seed in (1, 2))
    record(A, FAR + x.repeat_interleave(6, 0))
    record(B, FAR + (x + y).repeat_interleave(6, 0))
    in_groups_of(A, 6)
    assert "samples depend on each other" in str(compare(A, B, build).why_not_paired)
    in_groups_of(B, 6)
    found = row(compare(A, B, build), "w1")
    assert found.standard_error == pytest.approx(float(y.std()) / math.sqrt(16), rel=1e-6)


def test_a_paired_error_is_of_the_differences_sample_by_sample() -> None:
    x = draws(1)
    record(A, FAR + 5 * x)
    record(B, FAR + 5.5 * x + 0.3)
    found = compare(A, B, build)
    assert found.why_not_paired == ""
    w1 = row(found, "w1")
    assert w1.difference == pytest.approx(0.5 * float(x.mean()) + 0.3)
    # The textbook's of a mean, of 16 blocks: not of 5 x, but of the 0.5 x in which they differ.
    expected = 0.5 * float(block_means(x).std(correction=1)) / math.sqrt(16 * 100 / 96)
    assert w1.standard_error == pytest.approx(expected, rel=1e-6)
    assert w1.how == PAIRED
    assert {d.how for d in found.metrics} == {PAIRED}
    alone = read_json(A / "metrics.json")["w1_standard_error"]
    assert alone > 9 * expected


def test_of_other_seeds_it_is_from_both_errors() -> None:
    x, y = draws(1), draws(2)
    record(A, FAR + 5 * x)
    record(B, FAR + 2 * y, "seed=1")
    found = compare(A, B, build)
    assert found.why_not_paired == "seed is 0 in one and 1 in the other"
    spreads = [5 * block_means(x).std(correction=1), 2 * block_means(y).std(correction=1)]
    expected = math.sqrt(sum(float(s) ** 2 for s in spreads) / 16 * 0.96)
    w1 = row(found, "w1")
    assert w1.standard_error == pytest.approx(expected, rel=1e-6)
    assert w1.how == INDEPENDENT
    assert "not paired: seed is 0 in one and 1 in the other" in comparison_text(found)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("n", "changes", "reason"),
    [
        (100, ("data.high=1.5",), "they have other data"),
        (100, ("data=gaussian",), "they have other data"),
        (90, (), "evaluation.num_samples is 100 in one and 90 in the other"),
        (
            100,
            ("evaluation.noise=quantiles",),
            "evaluation.noise is random in one and quantiles in the other",
        ),
    ],
)
def test_without_common_random_numbers_nothing_is_paired(
    n: int, changes: tuple[str, ...], reason: str
) -> None:
    record(A, draws(1))
    record(B, draws(1, n), *changes)
    found = compare(A, B, build)
    assert found.why_not_paired == reason
    has_error = "quantiles" not in reason
    assert row(found, "w1").how == (INDEPENDENT if has_error else "")
    assert (row(found, "w1").standard_error is not None) == has_error


def test_samples_without_chance_and_few_samples_have_no_errors() -> None:
    for path in (A, B):
        record(path, draws(1), "evaluation.noise=quantiles")
    found = compare(A, B, build)
    assert found.why_not_paired == "samples that start at quantiles have no sampling noise"
    assert row(found, "w1").standard_error is None
    few = [Path("few"), Path("others")]
    for path in few:
        record(path, draws(1, 19))
    found = compare(few[0], few[1], build)
    assert found.why_not_paired == "fewer than 20 samples have no standard error"
    assert row(found, "w1").standard_error is None


def test_runs_whose_samples_were_deleted_are_compared_unpaired() -> None:
    record(A, draws(1))
    record(B, draws(1))
    (B / "samples.npz").unlink()
    found = compare(A, B, build)
    assert found.why_not_paired == f"{B} has no samples.npz any more"
    assert row(found, "w1").how == INDEPENDENT


def test_the_batches_of_the_training_are_no_other_data() -> None:
    record(A, draws(1))
    record(B, draws(1) * 2, "data.batch_size=7")
    found = compare(A, B, build)
    assert found.why_not_paired == ""
    assert found.configuration == {"data.batch_size": ("256", "7")}


def test_data_in_a_file_that_has_changed_since_is_not_paired() -> None:
    np.save("points.npy", draws(5, 300).numpy())
    file = ("data=points", f"data.path={Path('points.npy').resolve()}")
    for path in (A, B):
        record(path, draws(1), *file)
    assert compare(A, B, build).why_not_paired == ""
    np.save("points.npy", draws(6, 300).numpy())
    found = compare(A, B, build)
    assert found.why_not_paired == "the data are not those that a was evaluated on"
    assert row(found, "w1").how == INDEPENDENT
    Path("points.npy").unlink()
    found = compare(A, B, build)
    assert found.why_not_paired.startswith("they cannot be measured again: ")
    assert "points.npy" in found.why_not_paired
    assert row(found, "w1").how == INDEPENDENT


# What is shown -------------------------------------------------------------------------------


def test_only_keys_whose_values_differ_are_shown() -> None:
    record(A, draws(1), "sampler=heun", "sampler.alpha=0.5", "sampler.num_steps=7")
    record(
        B, draws(1), "sampler=ddim", "sampler.num_steps=7", "seed=3", "output_dir=there",
        "evaluation.samplers=[heun,{ddim: {eta: 0.5}}]", "evaluation.budget_points=0",
    )  # fmt: skip
    assert compare(A, B, build).configuration == {
        "seed": ("0", "3"),
        "data.seed": ("0", "3"),
        "output_dir": ("outputs", "there"),
        "evaluation.samplers": ("[]", "['heun', {'ddim': {'eta': 0.5}}]"),
        "evaluation.budget_points": ("null", "0"),
        "sampler._target_": ("fokker.diffusion.samplers.Heun", "fokker.diffusion.samplers.DDIM"),
        "sampler.alpha": ("0.5", "-"),
        "sampler.eta": ("-", "0.0"),
    }


def test_metrics_of_one_side_have_a_dash() -> None:
    record(A, draws(1), nfe=35.0, num_steps=18, loss=0.5)
    record(B, draws(1), nfe=9.0, num_steps=None, nll=1.25, nll_standard_error=0.5)
    found = compare(A, B, build)
    assert row(found, "nfe") == Difference("nfe", 35.0, 9.0)
    assert row(found, "loss") == Difference("loss", 0.5, None)
    assert row(found, "nll") == Difference("nll", None, 1.25)
    assert row(found, "num_steps") == Difference("num_steps", 18, None)
    assert [d.name for d in found.metrics if "standard_error" in d.name] == []
    lines = [line.split() for line in comparison_text(found).splitlines()]
    for expected in (
        ["nfe", "35", "9", "-26", "-"], ["loss", "0.5", "-", "-", "-"],
        ["nll", "-", "1.25", "-", "-"], ["num_steps", "18", "-", "-", "-"],
    ):  # fmt: skip
        assert expected in lines


def test_what_both_have_an_error_of_without_samples_is_from_both_errors() -> None:
    record(A, draws(1), nll=1.0, nll_standard_error=0.3)
    record(B, draws(1), nll=3.5, nll_standard_error=0.4)
    found = compare(A, B, build)
    assert row(found, "nll").standard_error == pytest.approx(0.5)
    assert row(found, "nll").how == INDEPENDENT
    assert row(found, "w1").how == PAIRED


def add_levels(run: Path, trained: list[bool], axis: Axis = AXIS, **columns: list[float]) -> None:
    """Give a run losses over its levels."""
    table = Table(axis, SIGMAS.tolist(), trained, columns)
    table.write(run)
    write_json(run / "run.json", {**read_json(run / "run.json"), "axis": table.facts()})


def test_curves_are_summarised_by_their_largest_ratio() -> None:
    a, b = [2.0] * 16, [2.0] * 16
    b[3], b[9] = 5.0, 0.5  # Four times less is more than 2.5 times more.
    x, y = [0.1] * 16, [0.2] * 16
    x[5], y[6], y[7] = -1e-9, 0.0, 0.3  # Below the floor by rounding is no ratio.
    b[0], y[0] = 1e6, 1e6  # Where one of them was not trained.
    record(A, draws(1))
    record(B, draws(1))
    add_levels(A, [False, *[True] * 15], loss=a, excess=x, floor=[1.0] * 16)
    add_levels(B, [True] * 16, loss=b, excess=y, floor=[3.0] * 16)
    found = compare(A, B, build)
    sigmas = SIGMAS.tolist()
    assert [(r.name, r.level) for r in found.ratios] == [
        ("loss", sigmas[9]), ("excess", sigmas[7]),
    ]  # fmt: skip
    assert [r.ratio for r in found.ratios] == pytest.approx([0.25, 3])
    said = comparison_text(found).splitlines()
    assert f"loss: B / A is farthest from 1 at sigma={sigmas[9]:.4g}, where it is 0.25" in said
    # Levels of another kind do not compare.
    add_levels(B, [True] * 16, replace(AXIS, name="t"), loss=b)
    assert compare(A, B, build).ratios == []


# The command ---------------------------------------------------------------------------------


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["fokker", *words])
    main()
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.mark.long
def test_two_real_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    exact = ("network=exact", "evaluation.budget_points=0")
    first = tiny_runs.run(*exact, "sampler.num_steps=8")
    other = tiny_runs.run(*exact, "sampler.num_steps=9")
    capsys.readouterr()
    one, two = str(first.path), str(other.path)
    said = command(monkeypatch, capsys, "task=compare", one, two)
    assert command(monkeypatch, capsys, "task=compare", f"runs=[{one},{two}]") == said
    assert command(monkeypatch, capsys, one, "task=compare", two, "allow_targets=[]") == said
    lines = [line.split() for line in said.splitlines()]
    assert ["sampler.num_steps", "8", "9"] in lines
    (w1,) = (line for line in lines if line[:1] == ["w1"])
    a, b = first.metrics["w1"], other.metrics["w1"]
    assert w1[1:4] == [f"{a:.4g}", f"{b:.4g}", f"{b - a:.4g}"]
    # The same start: the difference is known better than each of the two.
    assert (
        0
        < float(w1[4])
        < min(first.metrics["w1_standard_error"], other.metrics["w1_standard_error"])
    )
    assert w1[5:] == ["paired", "blocks"]
    assert "paired: the same data, seed and number of samples" in said
    assert "loss: equal at every level" in said
    alone = command(monkeypatch, capsys, "task=compare", one, one)
    assert "configuration: no difference" in alone


def test_memorisation_and_more_dimensions_are_paired_too() -> None:
    generator = torch.Generator().manual_seed(7)
    points = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    np.save("points.npy", points.numpy())
    file = ("data=points", f"data.path={Path('points.npy').resolve()}")
    record(A, points[:200] * 1.3, *file)
    record(B, points[:200] * 1.4, *file)
    found = compare(A, B, build)
    assert {d.name for d in found.metrics} == {
        "sliced_w2", "energy_distance", "nearest_neighbour_ratio",
    }  # fmt: skip
    for d in found.metrics:
        alone = read_json(B / "metrics.json")[f"{d.name}_standard_error"]
        assert d.how == PAIRED
        assert d.standard_error is not None
        assert 0 < d.standard_error < alone


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a"], "task=compare needs the folders of two runs, got a; say fokker task=compare"),
        ([], "task=compare needs the folders of two runs, got none;"),
        (["a", "a", "a"], "task=compare needs the folders of two runs, got a a a;"),
        (["a", "-m"], "task=compare needs the folders of two runs, got a -m;"),
        (["a", "b", "seed=1"], "task=compare does not know seed=1;"),
        (["a", "nowhere"], "task=compare needs finished runs, and nowhere is not one: there is"),
        (["a", "allow_targets=[p]", "nowhere"], "task=compare needs finished runs, and nowhere is"),
        (["b", "a"], "task=compare needs finished runs, and b is not one: interrupted"),
        (["a", "empty"], "task=compare needs finished runs, and empty/config.yaml is no config"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    record(A, draws(1))
    record(B, draws(1))
    write_json(B / "run.json", {"format": FORMAT, "status": "interrupted"})
    Path("empty").mkdir()
    write_json(Path("empty/run.json"), {"format": FORMAT, "status": "completed"})
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, capsys, "task=compare", *words)
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"fokker: {sentence}")
    assert len(said.err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before
