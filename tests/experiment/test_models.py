"""Trained models: found by any path, loaded with any weights, refused when they are not ours."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import fokker
import tiny_runs
from fokker.experiment import load_model
from fokker.store.checkpoints import load_checkpoint, read_checkpoint, weights_digest
from fokker.store.places import find_checkpoint

# Large steps, so that raw and averaged weights are well apart.
JOB = ("ema.half_lives=[300,9000]", "ema.rampup=null", "optimizer.lr=0.05")
NAMES = ("raw", "ema", "ema_300", "ema_9000")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sigma = torch.tensor([0.01, 0.2, 1.0, 5.0, 60.0])
    return torch.randn(5, 1, generator=generator) * (1 + sigma[:, None]), sigma


def test_a_result_s_model_is_a_denoiser(workdir: Path) -> None:
    for overrides in (("data=ring8",), ("data=digits", "data.batch_size=16")):
        model = tiny_runs.run(*overrides, "evaluation.num_samples=20").model
        assert not model.training
        x = torch.randn(7, *model.data.shape, generator=torch.Generator().manual_seed(1))
        sigma = torch.linspace(0.01, 30, 7)
        denoised = model.denoiser(x, sigma)
        assert denoised.shape == x.shape
        assert denoised.dtype == torch.float32
        assert torch.isfinite(denoised).all()
        for i in range(7):
            alone = model.denoiser(x[i : i + 1], sigma[i])
            torch.testing.assert_close(alone[0], denoised[i], atol=1e-5, rtol=1e-4)


def test_all_weights_can_be_loaded_by_any_path(workdir: Path) -> None:
    result = tiny_runs.run(*JOB)
    folder = tiny_runs.only_model()
    x, sigma = batch()
    outputs = {name: fokker.load(result.path, weights=name).denoiser(x, sigma) for name in NAMES}
    assert torch.equal(outputs["ema"], outputs["ema_300"])
    for one, other in [("raw", "ema"), ("raw", "ema_9000"), ("ema", "ema_9000")]:
        assert not torch.allclose(outputs[one], outputs[other], atol=1e-4)
    # The run evaluated the first average.
    assert torch.equal(result.model.denoiser(x, sigma), outputs["ema"])
    for path in (folder.path, folder.checkpoint, str(result.path), folder.path.resolve()):
        model = fokker.load(path)
        assert torch.equal(model.denoiser(x, sigma), outputs["ema"])
        assert not model.training
    for wrong in (None, 3):
        with pytest.raises(ValueError, match=f"path must be a text or a Path, got {wrong}"):
            fokker.load(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be one of raw, ema, ema_300.* got best"):
        fokker.load(result.path, weights="best")


def test_weights_can_be_changed_back_and_forth(workdir: Path) -> None:
    training, _ = tiny_runs.train(*JOB)
    network = training.formulation.network
    x, sigma = batch()
    outputs = {}
    for name in (*NAMES, *NAMES[::-1]):
        training.use(name)
        output = network(x, sigma)
        assert torch.equal(outputs.setdefault(name, output), output)
        assert weights_digest(training.weights(name)) == weights_digest(
            dict(network.named_parameters())
        )
    assert not torch.equal(outputs["raw"], outputs["ema"])


def test_the_exported_weights_are_those_of_the_checkpoint(workdir: Path) -> None:
    _, folder = tiny_runs.train(*JOB)
    content = tiny_runs.checkpoint(folder)
    raw = {
        name.removeprefix("denoiser."): weight
        for name, weight in content["state_dict"].items()
        if name.startswith("denoiser.")
    }
    states = {"raw": raw, **content["ema"]}
    assert {p.stem for p in folder.path.glob("*.safetensors")} == set(states)
    for name, state in states.items():
        exported = safetensors.torch.load_file(folder.path / f"{name}.safetensors")
        assert tiny_runs.differing(exported, state) == []
        assert len(exported) > 5


def test_others_may_read_every_file_of_a_model(workdir: Path) -> None:
    """As much as the user's umask lets them."""
    _, folder = tiny_runs.train()
    Path("plain").touch()
    modes = {path.name: path.stat().st_mode for path in folder.path.iterdir()}
    assert modes == dict.fromkeys(modes, Path("plain").stat().st_mode)


def test_a_run_of_a_checkpoint_can_be_loaded_too(workdir: Path) -> None:
    first = tiny_runs.run(*JOB)
    second = tiny_runs.run(f"checkpoint={first.path.relative_to(workdir)}", "sampler=ddim", *JOB)
    assert json.loads((second.path / "run.json").read_text())["training"] == "loaded"
    x, sigma = batch()
    expected = fokker.load(first.path).denoiser(x, sigma)
    assert torch.equal(fokker.load(second.path).denoiser(x, sigma), expected)
    third = tiny_runs.run(f"checkpoint={second.path}", *JOB)
    assert torch.equal(third.samples, first.samples)
    # Under another name it is a checkpoint too, when it is given itself.
    folder = tiny_runs.only_model()
    copy = folder.path / "kept.ckpt"
    shutil.copy(folder.checkpoint, copy)
    fourth = tiny_runs.run(f"checkpoint={copy}", *JOB)
    assert find_checkpoint(fourth.path) == copy.resolve()
    assert torch.equal(fokker.load(fourth.path).denoiser(x, sigma), expected)


def test_where_there_is_no_checkpoint(workdir: Path) -> None:
    Path("empty").mkdir()
    for path in ("empty", "nowhere"):
        with pytest.raises(ValueError, match=f"no checkpoint at {path}; give a run's folder"):
            find_checkpoint(Path(path))
    result = tiny_runs.run()
    shutil.rmtree(tiny_runs.only_model().path)
    with pytest.raises(ValueError, match="no checkpoint at"):
        fokker.load(result.path)


def test_files_that_are_not_ours_or_are_damaged_are_refused(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    whole = folder.checkpoint.read_bytes()
    files = {
        "cut.ckpt": whole[: len(whole) // 2],
        "empty.ckpt": b"",
        "text.ckpt": b"not a checkpoint",
    }
    for name, content in files.items():
        Path(name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is not a checkpoint that can be read"):
            read_checkpoint(Path(name))
    for content in ({"state_dict": {}}, [1, 2], torch.zeros(3)):
        torch.save(content, "other.ckpt")
        with pytest.raises(ValueError, match=r"other\.ckpt is a checkpoint of another program"):
            read_checkpoint(Path("other.ckpt"))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (Path("caught.txt"), "caught"))  # type: ignore[return-value]


def test_a_checkpoint_cannot_run_code(workdir: Path) -> None:
    torch.save({"state_dict": {}, "ema": {}, "trap": Trap()}, "trap.ckpt")
    with pytest.raises(ValueError, match=r"trap\.ckpt is not a checkpoint that can be read safely"):
        read_checkpoint(Path("trap.ckpt"))
    assert not Path("caught.txt").exists()


def test_another_architecture_is_refused_in_one_sentence(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    for change in ("network.width=24", "network.depth=2", "data=ring8"):
        other = tiny_runs.compose_experiment(change).task.training
        with pytest.raises(ValueError, match="holds another network than") as caught:
            load_checkpoint(folder.checkpoint, other)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"ema\.half_lives"):
        load_checkpoint(folder.checkpoint, tiny_runs.compose_experiment(*JOB).task.training)


def test_a_training_may_begin_at_given_weights(workdir: Path) -> None:
    _, folder = tiny_runs.train(*JOB)
    start = tiny_runs.compose_experiment(*JOB, f"init_from={folder.path}").task.training
    raw = tiny_runs.compose_experiment(*JOB).task.training
    load_model(raw, folder.checkpoint, "raw")
    for name in NAMES:
        assert weights_digest(start.weights(name)) == weights_digest(raw.weights("raw"))
    job = (*JOB, f"init_from={folder.path}", "trainer.max_steps=1", "optimizer.lr=1e-9")
    training, trained = tiny_runs.train(*job)
    assert trained.path != folder.path
    for name, weight in training.weights("raw").items():
        torch.testing.assert_close(weight, raw.weights("raw")[name], atol=1e-7, rtol=0)
    assert tiny_runs.checkpoint(trained)["global_step"] == 1


def test_a_digest_is_of_names_shapes_and_numbers() -> None:
    weights = {"a": torch.arange(4.0), "b": torch.ones(2)}
    first = weights_digest(weights)
    assert weights_digest(dict(reversed(weights.items()))) == first
    assert weights_digest({"a": torch.arange(8.0)[:4], "b": torch.ones(4)[::2]}) == first
    for other in (
        {"a": torch.arange(4.0), "b": torch.ones(2) + 1e-6},
        {"a": torch.arange(4.0), "c": torch.ones(2)},
        {"b": torch.arange(4.0), "a": torch.ones(2)},
    ):
        assert weights_digest(other) != first


DAMAGES = {
    "a flipped bit": (r"last\.ckpt is damaged: its sha256 is not the one in model\.json", None),
    "cut": (r"last\.ckpt is not a checkpoint that can be read safely", None),
    "foreign": (r"last\.ckpt is a checkpoint of another program", None),
    "another network": (r"first\.weight has shape \[24, 1\] there and \[16, 1\] here", None),
    "no record": (r"has a checkpoint but no model\.json", None),
    "no JSON": (r"model\.json is damaged: it must hold JSON, and holds none", "{'status"),
    "a list": (r"model\.json is damaged: it must hold a JSON object, and holds \[1\]", "[1]"),
    "a later version": (
        r"was written by a newer version of fokker \(format 7; this one reads 2\); use the version",
        '{"format": 7, "status": "complete", "step": 20, "versions": {"fokker": "9.1"}}',
    ),
}


def flip_in_weights(path: Path) -> None:
    """Change a bit of the largest weight, which torch reads without complaint."""
    whole = torch.load(path, weights_only=True)
    weight = max(whole["state_dict"].values(), key=torch.numel)
    content = bytearray(path.read_bytes())
    content[content.index(weight.contiguous().numpy().tobytes()) + 5] ^= 4
    path.write_bytes(content)
    changed = torch.load(path, weights_only=True)["state_dict"].values()
    assert any(not torch.equal(a, b) for a, b in zip(changed, whole["state_dict"].values()))


def test_a_damaged_checkpoint_is_not_loaded_by_its_path_either(workdir: Path) -> None:
    result = tiny_runs.run()
    folder = tiny_runs.only_model()
    flip_in_weights(folder.checkpoint)
    for path in (result.path, folder.path, folder.checkpoint):
        with pytest.raises(ValueError, match=r"last\.ckpt is damaged: its sha256 is not"):
            fokker.load(path)
        with pytest.raises(ValueError, match=r"last\.ckpt is damaged: its sha256 is not"):
            tiny_runs.run(f"checkpoint={path}")


@pytest.mark.parametrize("order", ["model.json first", "model.json last"])
def test_a_model_is_whole_at_every_moment_of_its_replacement(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    training, folder = tiny_runs.train()
    for moved in range(5):
        _, other = tiny_runs.train("optimizer.lr=0.05", f"output_dir=other{moved}")
        files = sorted(
            other.path.iterdir(),
            key=lambda p: (p.name == "model.json") != (order == "model.json first"),
        )
        replace, count = Path.replace, itertools.count()

        def killed(
            self: Path, to: Path, at: int = moved, count: Any = count, replace: Any = replace
        ) -> Path:
            if not self.name.endswith(".tmp") and next(count) == at:
                raise KeyboardInterrupt
            return replace(self, to)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", lambda self, files=files: iter(files))
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                folder.take_over(other)
        folder.check(training)
        folder.load_into(training)


@pytest.mark.parametrize("status", ["complete", "training"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_is_not_a_model_of_ours_is_refused_and_left(
    workdir: Path, damage: str, status: str
) -> None:
    message, record = DAMAGES[damage]
    _, folder = tiny_runs.train()
    folder.write(status=status)
    if damage == "cut":
        folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:3000])
    elif damage == "a flipped bit":
        flip_in_weights(folder.checkpoint)
    elif damage == "foreign":
        torch.save({"weights": torch.zeros(3)}, folder.checkpoint)
    elif damage == "another network":
        _, other = tiny_runs.train("network.width=24", "output_dir=elsewhere")
        shutil.copy(other.checkpoint, folder.checkpoint)
    elif damage == "no record":
        (folder.path / "model.json").unlink()
    if record is not None:
        (folder.path / "model.json").write_text(record)
    before = {p.name: p.read_bytes() for p in folder.path.iterdir()}
    with pytest.raises(ValueError, match=message):
        tiny_runs.compose_experiment()
    with pytest.raises(ValueError, match=message) as caught:
        tiny_runs.run("retrain=true")
    if "JSON" not in str(caught.value):
        assert str(caught.value).endswith(f"fokker task=models 'delete=[{folder.path.name}]'")
    assert {p.name: p.read_bytes() for p in folder.path.iterdir()} == before
    assert not Path("outputs/runs").exists()


@pytest.mark.parametrize("what", ["the model", "its retraining", "the run", "the figures"])
def test_nothing_is_written_behind_a_link_inside_outputs(workdir: Path, what: str) -> None:
    made = tiny_runs.compose_experiment()
    name, asked = made.task.folder.path, ["hydra.run.dir=outputs/runs/mine"]
    link = {
        "the model": name, "its retraining": name.with_name(f"{name.name}.retrain"),
        "the run": Path("outputs/runs/mine"), "the figures": Path("outputs/runs/mine/figures"),
    }[what]  # fmt: skip
    if what == "its retraining":
        tiny_runs.train()
        asked.append("retrain=true")
    Path("theirs").mkdir()
    Path("theirs/thesis.txt").touch()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path("theirs").resolve())
    words = [*tiny_runs.tiny(*asked), "evaluation.figures=true"]
    if what == "the figures":  # A run does not end for them.
        fokker.run(words)
    else:
        with pytest.raises(ValueError, match=rf"{link.name} is a link, and fokker writes into no"):
            fokker.run(words)
    assert [p.name for p in Path("theirs").iterdir()] == ["thesis.txt"]


def test_a_users_own_links_are_followed(workdir: Path) -> None:
    Path("disk/models").mkdir(parents=True)
    Path("outputs").symlink_to("disk")
    _, folder = tiny_runs.train()
    assert Path("disk/models", folder.path.name, "last.ckpt").is_file()
