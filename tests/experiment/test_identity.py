"""What a model is: what changes its key and what does not; found again, trained once."""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_runs
from fokker.diffusion.formulations import Diffusion
from fokker.machine.files import read_json
from fokker.store.identity import Groups, model_key, training_config
from fokker.store.models import ModelFolder


def name(*overrides: str) -> str:
    """The name of the model's folder."""
    return tiny_runs.compose_experiment(*overrides).task.folder.path.name


def key(*overrides: str) -> str:
    return name(*overrides).rpartition("-")[2]


# The key -------------------------------------------------------------------------------------


def test_what_the_weights_do_not_depend_on_is_not_in_the_key(workdir: Path) -> None:
    expected = name()
    assert expected.startswith("edm-uniform-")
    assert len(key()) == 10
    assert int(key(), 16) >= 0
    for overrides in [
        ("sampler=ddim", "grid=geometric"),
        ("grid=spectral", "evaluation.grids=[spectral]"),
        ("sampler.num_steps=7", "grid.sigma_max=20"),
        ("evaluation.num_samples=7", "evaluation.num_steps=[3,4]", "evaluation.samplers=[euler]"),
        ("evaluation.weights=raw",),
        ("trainer=cpu", "trainer.devices=auto"),
        ("logger=wandb", "logger.wandb.project=other"),
        ("output_dir=elsewhere",),
        ("callbacks.log_steps=3", "callbacks.save_steps=7", "callbacks.validation_steps=2"),
        ("hydra.run.dir=here", "retrain=true", "task=plan"),
        # EDM knows nothing of an SDE, nor of the time it is sampled along.
        ("sde=ve_geometric",),
        ("sde.sigma_max=70",),
    ]:
        assert name(*overrides) == expected, overrides


def test_what_the_weights_depend_on_is_in_the_key(workdir: Path) -> None:
    changes = [
        (),
        ("data=ring8",),
        ("data.high=2.0",),
        ("data.num_points=100",),
        ("data.batch_size=128",),
        ("data.sigma_data=1.0",),
        ("data.standardize=false",),
        ("network.width=24",),
        ("network.depth=2",),
        ("weighting=x0",),
        ("preconditioning=v",),
        ("noise_levels=log_uniform",),
        ("noise_levels.P_mean=-1.0",),
        ("noise_levels.stratified=false",),
        ("formulation=ddpm",),
        ("optimizer.lr=1e-3",),
        ("optimizer=adamw",),
        ("optimizer.max_grad_norm=null",),
        ("ema.half_lives=[1000]",),
        ("ema.rampup=null",),
        ("seed=1",),
        ("seed=1", "data.seed=0"),  # The data's order follows it, but is not all that it decides.
        ("trainer.max_steps=21",),
        ("trainer.precision=bf16-mixed",),
    ]
    keys = [key(*overrides) for overrides in changes]
    same = {one: [c for c, k in zip(changes, keys) if k == one] for one in keys}
    assert [group for group in same.values() if len(group) > 1] == []


@pytest.mark.long
@pytest.mark.parametrize("formulation", ["vp_sde", "ddpm"])
def test_the_sde_is_in_the_key_where_the_training_refers_to_it(
    workdir: Path, formulation: str
) -> None:
    keys = [
        key(f"formulation={formulation}", *changes)
        for changes in [(), ("sde=ve_geometric",), ("sde.beta_max=19",), ("sde.sigma_max=70",)]
    ]
    assert len(set(keys)) == 4


def test_the_sde_is_not_in_the_key_of_noise_that_is_independent_of_it(workdir: Path) -> None:
    plain = ("formulation=vp_sde", "noise_levels=lognormal", "grid.sigma_max=80")
    assert key(*plain) == key(*plain, "sde=ve_geometric")


@pytest.mark.long
def test_the_largest_distance_of_smld_is_given_by_the_data_alone(workdir: Path) -> None:
    smld = ("formulation=smld",)
    assert key(*smld) == key(*smld, "sampler=ddim")
    assert key(*smld) != key(*smld, "formulation.sigma_max=9")
    assert key(*smld) != key(*smld, "sde.sigma_max=9")


def test_the_content_of_a_file_counts_and_not_its_place(workdir: Path) -> None:
    points = np.random.default_rng(0).normal(size=(50, 2))
    np.save("points.npy", points)
    job = ("data=points", "data.batch_size=16")
    first = name(*job, "data.path=points.npy")
    assert first.startswith("edm-points-")
    Path("folder").mkdir()
    np.save("folder/copy.npy", points)
    assert name(*job, "data.path=folder/copy.npy") == first
    assert name(*job, f"data.path={workdir}/points.npy") == first
    assert name(*job, "data.path=points.npy", "data.held_out_share=0.3") != first
    points[7, 0] += 1e-6
    np.save("points.npy", points)
    assert name(*job, "data.path=points.npy") != first


def test_the_first_weights_count_where_they_are_given(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    assert key(f"init_from={folder.path}") != key()
    assert key(f"init_from={folder.path}") == key(f"init_from={folder.checkpoint}")
    _, other = tiny_runs.train("seed=1")
    assert key(f"init_from={folder.path}") != key(f"init_from={other.path}")


OWN = """
import torch
from fokker.networks import MLP

class Own(torch.nn.Module):
    def __init__(self, shape, c_noise_range):
        super().__init__()
        self.inner = MLP(shape, c_noise_range, width=8)

    def forward(self, x, c_noise, condition=None):
        return {factor} * self.inner(x, c_noise)
"""


def test_the_source_of_one_s_own_class_counts(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(workdir))

    def own_key(factor: int) -> str:
        Path("own_network.py").write_text(OWN.format(factor=factor))
        monkeypatch.delitem(sys.modules, "own_network", raising=False)
        importlib.invalidate_caches()
        return key(
            "~network.width", "~network.depth", "~network.num_frequencies",
            "network._target_=own_network.Own", "allow_targets=[own_network]",
        )  # fmt: skip

    # Sources of different length: the time of a file alone may not show that it is another.
    assert own_key(1) == own_key(1)
    assert own_key(1) != own_key(10)


def test_the_key_is_one_of_the_whole_content_and_of_its_order_not() -> None:
    config: dict[str, Any] = {"data": {"b": 1, "a": [1, 2]}, "seed": 0}
    turned = {"seed": 0, "data": {"a": [1, 2], "b": 1}}
    hashes = ("content", "source", "init", "continued")
    first = model_key(config, *hashes)
    assert model_key(turned, *hashes) == first
    others = [
        model_key({**config, "seed": 1}, *hashes),
        model_key({**config, "data": {"b": 1, "a": [2, 1]}}, *hashes),
        *(model_key(config, *[h * (1 + (h == longer)) for h in hashes]) for longer in hashes),
        model_key(config, *reversed(hashes)),
    ]
    assert len({first, *others}) == 8


def test_the_key_changes_with_the_version_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"data": 1}
    before = model_key(config, "", "", "", "")
    monkeypatch.setattr("fokker.store.identity.TRAINING_VERSION", 10**6)
    assert model_key(config, "", "", "", "") != before


def test_keys_of_one_s_own_data_count_whatever_they_are_called(workdir: Path) -> None:
    config = dict(tiny_runs.compose_experiment().task.config)
    groups = Groups.of(Diffusion)
    own = {"_target_": "my_package.Faces", "path": "x", "key": "y", "dataset": "z", "layout": "w"}
    assert training_config({**config, "data": own}, groups)["data"] == own
    of_fokker = {**own, "_target_": "fokker.elsewhere.TorchDataset"}
    kept = {"_target_": "fokker.elsewhere.TorchDataset"}
    assert training_config({**config, "data": of_fokker}, groups)["data"] == kept


def test_the_training_s_part_of_a_configuration(workdir: Path) -> None:
    config = tiny_runs.compose_experiment("formulation=vp_sde").task.config
    kept = training_config(config, Groups.of(Diffusion))
    assert set(kept) == {
        "data", "formulation", "preconditioning", "weighting", "noise_levels", "network",
        "optimizer", "ema", "trainer", "seed",
    }  # fmt: skip
    assert set(kept["trainer"]) == {"max_steps", "precision"}
    # Resolved: nothing in it points to anything outside.
    assert "${" not in json.dumps(kept)
    assert kept["noise_levels"]["sde"]["_target_"] == "fokker.diffusion.sde.VPLinear"


# Found again ---------------------------------------------------------------------------------


def training(path: Path) -> str:
    how: str = read_json(path / "run.json")["training"]
    return how


def test_a_model_is_trained_once(workdir: Path) -> None:
    first = tiny_runs.run()
    folder = tiny_runs.only_model()
    time_of_checkpoint = folder.checkpoint.stat().st_mtime_ns
    second = tiny_runs.run("sampler=euler", "evaluation.num_samples=50")
    assert [training(r.path) for r in (first, second)] == ["trained", "found"]
    assert tiny_runs.only_model().checkpoint.stat().st_mtime_ns == time_of_checkpoint
    assert first.path != second.path
    assert second.samples.shape == (50, 1)
    # What was trained and what was found are the same model.
    third = tiny_runs.run()
    assert training(third.path) == "found"
    assert third.samples.equal(first.samples)
    assert third.metrics == first.metrics
    for file in ("metrics.jsonl", "metrics.csv"):
        assert (third.path / file).read_text() == (first.path / file).read_text()
    others = [tiny_runs.run("seed=1"), tiny_runs.run("output_dir=elsewhere")]
    assert [training(r.path) for r in others] == ["trained", "trained"]


def test_training_again_keeps_a_model_at_every_moment(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = tiny_runs.train()
    before = tiny_runs.trained_state(folder)
    time_of_checkpoint = folder.checkpoint.stat().st_mtime_ns
    moments: list[int] = []

    def look() -> None:
        assert folder.is_complete
        assert tiny_runs.trained_state(folder).keys() == before.keys()
        assert folder.config.is_file()
        assert len(list(folder.path.glob("*.safetensors"))) == 2
        moments.append(folder.checkpoint.stat().st_mtime_ns)

    for change in ("replace", "rename", "unlink", "rmdir"):
        done = getattr(Path, change)

        def looking(self: Path, *args: Any, done: Any = done, **kwargs: Any) -> Any:
            look()
            result = done(self, *args, **kwargs)
            look()
            return result

        monkeypatch.setattr(Path, change, looking)
    tiny_runs.train("retrain=true", listener=lambda metrics, step: look())
    assert len(moments) > 10
    assert moments[0] == time_of_checkpoint < moments[-1]
    assert tiny_runs.differing(tiny_runs.trained_state(folder), before) == []
    assert [p.name for p in folder.path.parent.iterdir() if p.is_dir()] == [folder.path.name]


def test_training_again_after_a_retraining_that_was_cut_short(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = tiny_runs.train("callbacks.save_steps=5")
    before = tiny_runs.trained_state(folder)

    def stop(metrics: dict[str, Any], step: int) -> None:
        if step == 15:
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        tiny_runs.train("retrain=true", "callbacks.save_steps=5", listener=stop)
    assert folder.is_complete
    # A run that does not ask for another training uses the model that is there.
    assert training(tiny_runs.run().path) == "found"
    replace, count = Path.replace, iter(range(1_000))

    def killed(self: Path, target: Path) -> Path:
        # In the middle of the move from one folder to the other.
        if self.parent != target.parent and next(count) == 2:
            raise RuntimeError("planted")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(RuntimeError, match="planted"):
            tiny_runs.train("retrain=true")
    assert folder.is_complete
    assert tiny_runs.differing(tiny_runs.trained_state(folder), before) == []
    for _ in range(2):
        tiny_runs.train("retrain=true")
        assert folder.is_complete
        assert tiny_runs.differing(tiny_runs.trained_state(folder), before) == []
    assert [p.name for p in folder.path.parent.iterdir() if p.is_dir()] == [folder.path.name]


def test_a_run_that_is_asked_to_train_again_does(workdir: Path) -> None:
    tiny_runs.run()
    folder = tiny_runs.only_model()
    before = folder.checkpoint.stat().st_mtime_ns
    assert training(tiny_runs.run("retrain=true").path) == "trained"
    assert folder.checkpoint.stat().st_mtime_ns > before


# A process that does not begin its second step before it is told to.
WAITING = """
import os, time
from fokker.training.ema import EMA
update = EMA.update
def waiting(self, images, batch_size):
    update(self, images, batch_size)
    if images == batch_size:
        open(f"training_{os.getpid()}", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.02)
EMA.update = waiting
"""


def test_two_processes_that_need_one_model_train_it_once(workdir: Path) -> None:
    children = [tiny_runs.process(workdir, before=WAITING) for _ in range(2)]
    try:
        deadline = time.monotonic() + 240
        # Both have come as far as they can: one trains, the other says that it waits.
        while not (list(workdir.glob("training_*")) and list(workdir.glob("outputs/runs/*/*"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        trainer = int(next(workdir.glob("training_*")).name.split("_")[1])
        (waiting,) = (child for child in children if child.pid != trainer)
        assert waiting.stdout is not None
        line = waiting.stdout.readline()
        assert line.startswith("another process trains edm-uniform-")
        assert "waiting for it" in line
        Path("go").touch()
        outputs = [child.communicate(timeout=240) for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], outputs
    assert len(list(workdir.glob("training_*"))) == 1
    hows = sorted(training(path) for path in Path("outputs/runs").iterdir())
    assert hows == ["found", "trained"]
    assert isinstance(tiny_runs.only_model(), ModelFolder)
    metrics = [(p / "metrics.json").read_text() for p in Path("outputs/runs").iterdir()]
    assert metrics[0] == metrics[1]
