"""The record of a run: which files, what they hold, and that nothing is ever half there."""

import csv
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fokker
import tiny_runs
from fokker.cli.main import main
from fokker.diffusion.analysis import validation
from fokker.diffusion.analysis.validation import SIGMAS
from fokker.diffusion.formulations import SamplerWay
from fokker.evaluations import evaluate, sample
from fokker.experiment.record import Record
from fokker.formulation import Drawn, Report
from fokker.machine.files import read_json, write_atomically
from fokker.store.curves import read_json_lines
from fokker.training.validation import validate_average

# Standardisation shows in these: mean 300, standard deviation 7.
FAR = ("data=gaussian", "data.mean=300", "data.std=7")


def evaluations(path: Path) -> list[dict[str, str]]:
    with (path / "evaluations.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def stored_samples(path: Path) -> np.ndarray:
    with np.load(path / "samples.npz") as content:
        assert list(content) == ["samples"]
        samples: np.ndarray = content["samples"]
        return samples


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its time."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


# What a run leaves ---------------------------------------------------------------------------


def test_a_report_has_a_name_of_its_own(workdir: Path) -> None:
    rows = [{"a": 1.0}]
    record = Record(Path("run"), {})
    record.report(Report("mine", "a table", rows))
    for name in ("mine", "samples", "evaluations"):
        with pytest.raises(ValueError, match=f"another than those .*, got {name}$"):
            record.report(Report(name, "a table", rows))
    for name in ("../mine", "", "a.b", "a/b"):
        with pytest.raises(ValueError, match="letters, digits and _"):
            Report(name, "a table", rows)
    with pytest.raises(ValueError, match="at least one"):
        Report("mine", "a table", [])
    assert {path.name for path in Path("run").iterdir()} == {"run.json", "mine.csv"}


def test_the_files_of_a_run(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one run here that draws its figures."""
    result = fokker.run([*tiny_runs.TINY, "evaluation.num_samples=40"])
    assert set(contents(result.path)) == {
        "config.yaml", "metrics.json", "metrics.jsonl", "metrics.csv", "evaluations.csv",
        "samples.npz", "run.json", "loss_per_level.csv", "figures/loss_per_level.png",
        "figures/loss_per_level.pdf", "figures/samples.png", "figures/samples.pdf",
        "figures/trajectory.png", "figures/trajectory.pdf", "figures/training_curve.png",
        "figures/training_curve.pdf", "error_budget.csv", "error_budget.npz",
        "figures/error_budget.png", "figures/error_budget.pdf",
    }  # fmt: skip
    for figure in (result.path / "figures").iterdir():
        begin = figure.read_bytes()[:4]
        assert begin == (b"\x89PNG" if figure.suffix == ".png" else b"%PDF")
    folder = tiny_runs.only_model()
    assert set(contents(folder.path)) == {
        "last.ckpt", "model.json", "config.yaml", "metrics.jsonl", "raw.safetensors",
        "ema_50000.safetensors",
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "record   outputs/runs/" in printed
    assert printed.count("figure   outputs/runs/") == 5
    assert {p.name for p in workdir.iterdir()} == {"outputs"}


def test_what_the_files_of_a_run_hold(workdir: Path) -> None:
    result = tiny_runs.run(*FAR, "evaluation.num_samples=130", "data.batch_size=64")
    path, folder = result.path, tiny_runs.only_model()
    # samples.npz: in the data's units.
    samples = stored_samples(path)
    assert samples.shape == (130, 1)
    assert samples.dtype == np.float64
    assert torch.equal(torch.from_numpy(samples), result.samples)
    assert samples.mean() == pytest.approx(300, abs=5)
    assert samples.std() == pytest.approx(7, rel=0.5)
    # metrics.json: flat, of these samples.
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics == result.metrics
    assert (metrics["num_steps"], metrics["nfe"]) == (18, 35.0)
    quantiles = 300 + 7 * torch.special.ndtri((torch.arange(130).double() + 0.5) / 130)
    distance = (torch.from_numpy(np.sort(samples[:, 0])) - quantiles).abs().mean()
    assert metrics["w1"] == pytest.approx(float(distance), rel=1e-6)
    assert {"sliced_w2", "energy_distance", "denoising_error"} <= metrics.keys()
    # loss_per_level.csv: over the formulation's axis, which run.json names.
    table = tiny_runs.levels(path)
    errors = list(table.columns["held_out"])
    assert table.level == SIGMAS.tolist()
    assert (path / "loss_per_level.csv").read_text().splitlines()[0] == (
        "level,loss,held_out,floor,excess,trained"
    )
    assert json.loads((path / "run.json").read_text())["axis"]["name"] == "sigma"
    assert metrics["denoising_error"] == pytest.approx(sum(errors) / 16)
    # evaluations.csv: the same in one row.
    (row,) = evaluations(path)
    assert row["sampler"] == "heun"
    assert row["grid"] == "edm_rho"
    assert row["weights"] == "ema"
    for name in ("num_steps", "nfe", "w1", "sliced_w2", "energy_distance"):
        assert float(row[name]) == metrics[name]
    # metrics.jsonl: the curves of the training, which end at what was evaluated.
    assert (path / "metrics.jsonl").read_text() == folder.curves.read_text()
    curves = read_json_lines(path / "metrics.jsonl")
    assert [row["step"] for row in curves] == [5, 10, 15, 20]
    assert curves[-1]["images"] == 20 * 64
    assert curves[-1]["held_out_per_level"] == pytest.approx(errors, rel=1e-5)
    assert curves[-1]["denoising_error"] == pytest.approx(metrics["denoising_error"], rel=1e-5)
    assert "held_out_loss" in curves[-1]
    # metrics.csv: the same for spreadsheets.
    with (path / "metrics.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [int(row["step"]) for row in table] == [5, 10, 15, 20]
    assert [float(row["loss"]) for row in table] == [row["loss"] for row in curves]
    assert table[0]["held_out_loss"] == ""
    # config.yaml: resolved, and it is the one that the model is kept with.
    text = (path / "config.yaml").read_text()
    assert text == folder.config.read_text()
    assert "${" not in text
    # run.json
    facts = read_json(path / "run.json")
    assert facts["status"] == "completed"
    assert facts["training"] == "trained"
    assert facts["model"] == {"key": folder.path.name, "path": str(folder.path.resolve())}
    assert facts["nfe"] == 35.0
    assert facts["images"] == 20 * 64
    assert facts["parameters"] == sum(w.numel() for w in result.model.denoiser.parameters())
    assert facts["seconds"] > 0
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["versions"]["fokker"] == fokker.__version__
    assert facts["overrides"] == [
        *tiny_runs.TINY, *FAR, "evaluation.num_samples=130", "data.batch_size=64",
    ]  # fmt: skip
    assert (facts["formulation"], facts["data"]) == ("edm", "gaussian")


def test_images_have_their_shape(workdir: Path) -> None:
    result = tiny_runs.run("data=digits", "data.batch_size=32", "evaluation.num_samples=20")
    assert stored_samples(result.path).shape == (20, 1, 8, 8)
    assert "nearest_neighbour_ratio" in result.metrics
    assert "w1" not in result.metrics


# Evaluations ---------------------------------------------------------------------------------


def test_every_sampler_and_number_of_steps_has_a_row(workdir: Path) -> None:
    result = tiny_runs.run(
        "sampler.num_steps=4", "evaluation.num_steps=[2,5]",
        "evaluation.samplers=[heun,{ddim: {eta: 0.5}},{heun: {alpha: 0.5, prior: matched}}]",
    )  # fmt: skip
    rows = evaluations(result.path)
    heun, ddim = "heun", "ddim(eta=0.5)"
    both = "heun(alpha=0.5, prior=matched)"
    assert [(r["sampler"], int(r["num_steps"]), float(r["nfe"])) for r in rows] == [
        (heun, 4, 7), (heun, 2, 3), (heun, 5, 9), (ddim, 2, 2), (ddim, 5, 5), (both, 2, 3),
        (both, 5, 9),
    ]  # fmt: skip
    assert len({r["w1"] for r in rows}) == 7
    # The run's own sampler and number of steps are what the other files tell of.
    assert result.metrics["num_steps"] == 4
    assert result.metrics["w1"] == float(rows[0]["w1"])
    alone = tiny_runs.run("sampler.num_steps=4")
    assert torch.equal(alone.samples, result.samples)
    assert np.array_equal(stored_samples(result.path), result.samples)


@pytest.mark.parametrize("steps", [1, 2, 18])
def test_heun_s_evaluations(workdir: Path, steps: int) -> None:
    result = tiny_runs.run(f"sampler.num_steps={steps}")
    assert result.metrics["nfe"] == 2 * steps - 1
    assert read_json(result.path / "run.json")["nfe"] == 2 * steps - 1


def test_no_evaluation_is_made_twice(workdir: Path) -> None:
    result = tiny_runs.run(
        "sampler.num_steps=4", "evaluation.num_steps=[4,2,2,4]",
        "evaluation.samplers=[heun,heun,{heun: {alpha: 0.5}},{heun: {alpha: 0.5}}]",
    )  # fmt: skip
    rows = [(row["sampler"], row["num_steps"]) for row in evaluations(result.path)]
    other = "heun(alpha=0.5)"
    assert rows == [("heun", "4"), ("heun", "2"), (other, "4"), (other, "2")]


@pytest.mark.parametrize("sampler", ["ancestral", "predictor_corrector"])
def test_how_the_samples_are_cut_into_batches_does_not_matter(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """Up to float32, in which a product of matrices depends on the rows of the batch."""
    job = (*FAR, f"sampler={sampler}", "sampler.num_steps=6", "evaluation.num_samples=1500")
    whole = tiny_runs.run(*job)
    few = tiny_runs.run(*job, "evaluation.num_samples=77")
    for rows in (1024, 211):
        monkeypatch.setattr(sample, "batch_rows", lambda *_, rows=rows: rows)
        cut = tiny_runs.run(*job)
        torch.testing.assert_close(cut.samples, whole.samples, atol=7e-4, rtol=0)
        assert cut.metrics["nfe"] == whole.metrics["nfe"]
    # A sample is a function of (seed, i), however many there are.
    torch.testing.assert_close(few.samples, whole.samples[:77], atol=7e-4, rtol=0)


@pytest.mark.parametrize("kind", ["cuda", "cpu", "python"])
def test_samples_that_do_not_fit_into_memory_are_drawn_in_halves(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = tiny_runs.compose_experiment(*FAR, "sampler=ancestral")
    whole = sample.draw_samples(made.plan.ways[0], 1500, 0, batch_size=1500)
    original = SamplerWay.sample

    def narrow(
        self: SamplerWay, randomness: Any, start: int, stop: int, count: int, watch: Any
    ) -> Drawn:
        def fail_midway(i: int, y: torch.Tensor) -> None:
            watch(i, y)
            if i == 5 and stop - start > (400 if start < 700 else 200):
                if kind == "cpu":
                    torch.empty(10**15)
                raise {"cuda": torch.OutOfMemoryError, "python": MemoryError}[kind]

        return original(self, randomness, start, stop, count, fail_midway)

    monkeypatch.setattr(SamplerWay, "sample", narrow)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cut = sample.draw_samples(made.plan.ways[0], 1500, 0, batch_size=1500)
    assert [str(w.message).partition("; set")[0] for w in said] == [
        f"{rows} samples at once do not fit into memory; going on with {rows // 2}"
        for rows in (1500, 750, 375)
    ]
    assert str(said[-1].message).endswith("set evaluation.batch_size=187 to begin with them")
    torch.testing.assert_close(cut.points, whole.points, atol=7e-4, rtol=0)
    assert cut.nfe == whole.nfe
    # What is shown on its way are the first samples that were drawn.
    assert cut.states.shape[1] == 375
    torch.testing.assert_close(cut.states, whole.states[:, :375], atol=7e-4, rtol=0)


def test_what_is_no_lack_of_memory_is_an_error(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.run()

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(SamplerWay, "sample", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_runs.run()


def test_the_weights_that_are_evaluated_are_chosen(workdir: Path) -> None:
    names = ("ema", "raw", "ema_300", "ema_9000")
    job = ("ema.half_lives=[300,9000]", "ema.rampup=null", "optimizer.lr=0.05")
    results = {name: tiny_runs.run(*job, f"evaluation.weights={name}") for name in names}
    assert torch.equal(results["ema"].samples, results["ema_300"].samples)
    for one, other in [("ema", "raw"), ("ema", "ema_9000"), ("raw", "ema_9000")]:
        assert not torch.equal(results[one].samples, results[other].samples)
    assert [evaluations(r.path)[0]["weights"] for r in results.values()] == list(names)
    with pytest.raises(ValueError, match=r"evaluation\.weights must be one of .*got ema_7"):
        tiny_runs.run(*job, "evaluation.weights=ema_7")


def test_every_model_is_validated_on_the_same_points(workdir: Path) -> None:
    """An untrained EDM model is c_skip x: its denoising error is known, whatever the seed."""
    training, first = (made := tiny_runs.compose_experiment("seed=0")).task.training, made.model
    other = tiny_runs.compose_experiment("seed=1").model
    errors = validation.denoising_errors(first)
    assert torch.equal(errors, validation.denoising_errors(other))
    variance = 0.25
    c_skip = variance / (SIGMAS**2 + variance)
    expected = c_skip**2 * SIGMAS**2 + (1 - c_skip) ** 2 * variance
    torch.testing.assert_close(errors.double(), expected, rtol=0.2, atol=0)
    # Its own loss is 1 at every level; the rule over quantiles has little noise.
    assert validation.held_out_loss(first) == pytest.approx(1, rel=0.1)
    before = [w.detach().clone() for w in first.denoiser.parameters()]
    validate_average(training)
    assert all(torch.equal(a, b) for a, b in zip(before, first.denoiser.parameters()))


# What is refused -----------------------------------------------------------------------------


def test_a_finished_folder_is_never_written_again(workdir: Path) -> None:
    first = tiny_runs.run("hydra.run.dir=mine")
    assert first.path == Path("mine").resolve()
    before = contents(workdir)
    for changes in [(), ("sampler=ddim",), ("seed=1",)]:
        with pytest.raises(ValueError, match=r"hydra\.run\.dir=mine already holds a finished run"):
            tiny_runs.run("hydra.run.dir=mine", *changes)
    assert contents(workdir) == before


def test_the_folder_of_a_run_that_failed_may_be_used_again(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluate.SampleMetrics, "of", raise_planted)
        with pytest.raises(RuntimeError, match="planted"):
            tiny_runs.run("hydra.run.dir=mine")
    failed = read_json(Path("mine/run.json"))
    assert failed["status"] == "failed"
    assert failed["error"] == "RuntimeError: planted"
    assert "raise_planted" in Path("mine/traceback.txt").read_text()
    assert not Path("mine/metrics.json").exists()
    result = tiny_runs.run("hydra.run.dir=mine")
    facts = read_json(result.path / "run.json")
    assert (facts["status"], facts["training"]) == ("completed", "found")
    assert "error" not in facts


def raise_planted(*_: Any) -> None:
    raise RuntimeError("planted")


REFUSED = [
    (("formulation=ddpm", "formulation.num_levels=20"), "formulation.num_levels must be above 20"),
    (("data=points",), "data.path must name a .npy or .npz file"),
    (("data=points", "data.path=nowhere.npy"), "nowhere.npy is not there"),
    (("sampler=annealed_langevin",), "sampler=annealed_langevin walks the levels"),
    (("noise_levels=levels",), "noise_levels=levels needs a formulation with levels"),
    (("evaluation.weights=best",), "evaluation.weights must be one of"),
    (("evaluation.num_samples=0",), "evaluation.num_samples must be at least 1, got 0"),
    (("trainer.max_steps=0",), "trainer.max_steps must be at least 1, got 0"),
    (("evaluation.samplers=[nothing]",), "sampler=nothing is not an option"),
    (("callbacks.log_steps=0",), "callbacks.log_steps must be positive, got 0"),
    (("callbacks.save_seconds=-1",), "callbacks.save_seconds must be positive, got -1"),
    (("network.width=0",), "network.width must be at least 1, got 0"),
    (("optimizer.lr=-1",), "optimizer.lr must be positive, got -1"),
    (("ema.half_lives=[]",), "ema.half_lives must be one or more positive numbers"),
    (("checkpoint=nowhere",), "no checkpoint at nowhere"),
    (("task=dance",), "task must be "),
]


@pytest.mark.parametrize(("overrides", "sentence"), REFUSED)
def test_nothing_is_written_by_what_is_refused(
    workdir: Path, overrides: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        tiny_runs.run(*overrides)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(workdir.iterdir()) == []


def test_the_command_line_leaves_no_folder_behind_either(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    overrides, sentence = REFUSED[0]
    monkeypatch.setattr(sys, "argv", ["fokker", *tiny_runs.TINY, *overrides])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"fokker: {sentence}")
    assert len(printed.err.splitlines()) == 1
    assert list(workdir.iterdir()) == []


def test_a_file_is_whole_or_not_there(workdir: Path) -> None:
    target = workdir / "file.txt"
    target.write_text("before")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise_planted()

    with pytest.raises(RuntimeError, match="planted"):
        write_atomically(target, half)
    assert {p.name: p.read_text() for p in workdir.iterdir()} == {"file.txt": "before"}
    write_atomically(target, lambda temporary: temporary.write_text("after"))  # type: ignore
    assert {p.name: p.read_text() for p in workdir.iterdir()} == {"file.txt": "after"}
