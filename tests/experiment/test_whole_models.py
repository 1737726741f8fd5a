"""Models that are whole on their own: without their data, moved, as any of their files."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import safetensors.torch
import torch

import fokker
import tiny_runs
from fokker.diffusion.formulations import Diffusion
from fokker.diffusion.grids import EDMRho
from fokker.formulation import Asked
from fokker.randomness import Randomness
from fokker.store.description import read_description
from fokker.training.describing import description_of

TABLE = (
    "data=points", "data.path=table.npy", "formulation=smld", "formulation.num_levels=10",
    "sampler.num_steps=10",
)  # fmt: skip
OWN = '''
import torch

class Counting(torch.nn.Module):
    """A network with a buffer, which counts its calls in training."""

    def __init__(self, shape, c_noise_range):
        super().__init__()
        self.layer = torch.nn.Linear(shape[0], shape[0])
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, c_noise, condition=None):
        self.calls += self.training
        return self.layer(x)
'''


def write_table(scale: float = 1.0) -> None:
    """Write two columns of unlike size, so that each has a shift and a scale of its own."""
    normal = torch.randn(60, 2, generator=torch.Generator().manual_seed(3)).numpy()
    np.save("table.npy", scale * (normal * [0.01, 40.0] + [3.0, -7.0]))


def same_model(one: Diffusion, other: Diffusion, name: str = "ema") -> None:
    """Hold that two models have the same weights, units, moments, levels and samples."""
    x, sigma = torch.randn(5, *one.data.shape), torch.tensor(0.7)
    assert torch.equal(one.denoiser(x, sigma), other.denoiser(x, sigma)), name
    for key in ("shape", "shift", "scale", "sigma_data", "measured", "standardize", "levels"):
        assert getattr(one.data, key) == getattr(other.data, key), key
    for key in ("value_range", "fresh", "unit_label", "log_scale", "content", "batch_size"):
        assert getattr(one.data, key) == getattr(other.data, key), key
    for key in ("mean", "variance"):
        assert torch.equal(getattr(one.start_law, key), getattr(other.start_law, key))
    assert torch.equal(one.data.to_file(x), other.data.to_file(x))
    assert one.data.column_name(0) == other.data.column_name(0)
    assert (one.levels is None) == (other.levels is None)
    if one.levels is not None and other.levels is not None:
        assert torch.equal(one.levels, other.levels)


def test_a_model_needs_neither_its_data_nor_its_place(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table()
    result = tiny_runs.run(*TABLE)
    assert result.model.data.standardize == "elements"
    key = tiny_runs.only_model().path.name
    Path("table.npy").unlink()
    Path("outputs").rename("moved")
    shutil.copytree("moved", "copied")
    for weights in ("last.ckpt", "ema_50000.safetensors"):
        Path("alone").mkdir(exist_ok=True)
        shutil.copy(Path("moved/models", key, weights), "alone")
    run = Path("moved", *result.path.parts[-2:])
    # The copied run goes with the copied model, and not with the one that it was copied from.
    shutil.rmtree(Path("moved/models"))
    copied = Path("copied", *run.parts[1:])
    Path("far/away").mkdir(parents=True)
    monkeypatch.chdir("far/away")
    places = [copied, Path("copied/models", key), Path("copied/models", key, "last.ckpt")]
    places += [Path("alone/last.ckpt"), Path("alone/ema_50000.safetensors")]
    for place in places:
        model = fokker.load(Path("../..", place))
        same_model(result.model, model)
        assert not model.training
    own = tiny_runs.compose_experiment().plan.ways[0]
    parts = {"sampler": own.sampler, "grid": EDMRho(sigma_min=0.5, sigma_max=2.5)}
    ways = [m.way(Asked(parts, own.labels)) for m in (result.model, model)]
    drawn = [way.sample(Randomness(4), 0, 6, 6).x for way in ways]
    assert torch.equal(*drawn)
    with pytest.raises(ValueError, match=r"points of the data of .* asked for: .* is not there"):
        model.data.held_out(2)
    with pytest.raises(ValueError, match=f"no checkpoint at {Path('../..', run)}, whose run"):
        fokker.load(Path("../..", run))


def test_a_model_needs_not_what_it_has_begun_with(workdir: Path) -> None:
    _, first = tiny_runs.train()
    trained = tiny_runs.run("seed=3", f"init_from={first.path}")
    shutil.rmtree(first.path)
    again = tiny_runs.run(f"checkpoint={trained.path}", "seed=3")
    assert torch.equal(again.samples, trained.samples)
    with pytest.raises(ValueError, match="init_from must lead to a model, and there is no check"):
        tiny_runs.run(f"checkpoint={trained.path}", "seed=3", f"init_from={first.path}")
    with pytest.raises(ValueError, match="was trained with another configuration: other initial"):
        tiny_runs.run(f"checkpoint={trained.path}", "seed=3", f"init_from={trained.path}")


def test_a_checkpoint_of_another_network_is_refused_before_that_is_made(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record may ask for one that hardly fits into the memory."""
    _, folder = tiny_runs.train()
    never = mock.Mock(side_effect=AssertionError)
    monkeypatch.setattr("fokker.config.build_task.build_training", never)
    for changed in ("network.width=30000", "network.depth=1e3"):
        with pytest.raises(ValueError, match=r"another configuration: network\.\w+ \(\d+ there, "):
            tiny_runs.compose_experiment(f"checkpoint={folder.path}", changed)


def test_a_model_does_not_take_the_units_of_other_points(workdir: Path) -> None:
    write_table()
    result = tiny_runs.run(*TABLE)
    assert torch.equal(fokker.load(result.path).data.held_out(5).x, result.model.data.held_out(5).x)
    write_table(scale=2.0)
    message = r"was trained on other points than data\.path=table\.npy holds now; bring those back"
    loaded = fokker.load(result.path)
    same_model(result.model, loaded)
    for key in ("checkpoint", "continue_from"):
        with pytest.raises(ValueError, match=message):
            tiny_runs.compose_experiment(f"{key}={result.path}", "trainer.max_steps=40", *TABLE)
    for ask in (lambda: loaded.data.law, lambda: loaded.data.batch(0, 2).x):
        with pytest.raises(ValueError, match=message):
            ask()


def test_the_ideal_denoiser_does_not_take_other_points_either(workdir: Path) -> None:
    write_table()
    result = tiny_runs.run("data=points", "data.path=table.npy", "network=exact")
    same_model(result.model, fokker.load(result.path))
    write_table(scale=2.0)
    with pytest.raises(ValueError, match="was trained on other points than"):
        fokker.load(result.path)


@pytest.mark.parametrize(
    "overrides",
    [
        ("data=digits", "data.batch_size=8", "data.sigma_data=0.9"),
        ("data=ring8", "data.gaussianize=true", "weighting=learned", "data.standardize=false"),
        ("data=ring8", "data.num_points=40", "formulation=ddpm", "grid=spectral"),
    ],
)
def test_every_kind_of_data_is_remembered(workdir: Path, overrides: tuple[str, ...]) -> None:
    made = tiny_runs.compose_experiment(*overrides)
    training, folder = tiny_runs.train_it(made)
    training.use("ema")
    model = made.model
    loaded = fokker.load(folder.path)
    same_model(model.eval(), loaded)
    assert "found" not in vars(loaded.data)
    torch.testing.assert_close(loaded.eigenvalues, model.eigenvalues, rtol=1e-12, atol=0)
    assert ("found" in vars(loaded.data)) == ("grid=spectral" not in overrides)
    assert torch.equal(loaded.data.batch(0, 9).x, model.data.batch(0, 9).x)


def test_exported_files_say_what_they_are(workdir: Path) -> None:
    Path("own_nets.py").write_text(OWN)
    Path("conf/network").mkdir(parents=True)
    Path("conf/network/counting.yaml").write_text("_target_: own_nets.Counting\n_partial_: true\n")
    own = ("hydra.searchpath=[file://conf]", "network=counting", "allow_targets=[own_nets]")
    job = [o for o in tiny_runs.tiny(*own, "data=gaussian") if not o.startswith("network.")]
    result = fokker.run([*job, "evaluation.figures=false"])
    folder = tiny_runs.only_model().path
    for name in ("raw", "ema_50000"):
        file = folder / f"{name}.safetensors"
        with safetensors.safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        about = json.loads(metadata["fokker"])
        assert {*metadata} == {"fokker"}  # Of several the order, and the file, would be by chance.
        whole = read_description(folder / "last.ckpt")
        assert whole["record"].pop("overrides")  # Which do not make another model.
        assert about == {**whole, "weights": name} == read_description(file)
        tensors = safetensors.torch.load_file(file)
        assert {"network.layer.weight", "network.layer.bias", "network.calls"} == set(tensors)
        assert tensors["network.calls"] == result.model.denoiser.network.calls >= 20
    assert about["config"]["preconditioning"] == {
        "_target_": "fokker.diffusion.preconditioning.EDM", "sigma_data": 0.5,
    }  # fmt: skip
    assert about["network"]["condition"] == "none"
    assert about["network"]["c_noise_range"] == list(
        result.model.denoiser.preconditioning.c_noise_range
    )
    loaded = fokker.load(folder / "ema_50000.safetensors", allow_targets=["own_nets"])
    same_model(result.model, loaded)


def test_an_exported_file_may_be_sampled_and_trained_from(workdir: Path) -> None:
    first = tiny_runs.run()
    folder = tiny_runs.only_model().path
    shutil.copytree(folder, "alone", ignore=shutil.ignore_patterns("*.json*", "*.yaml"))
    shutil.rmtree("outputs")
    for file, weights in (("last.ckpt", "ema"), ("ema_50000.safetensors", "ema"),
                          ("raw.safetensors", "raw")):  # fmt: skip
        again = tiny_runs.run(f"checkpoint=alone/{file}", f"evaluation.weights={weights}")
        assert torch.equal(again.samples, first.samples) == (weights == "ema"), file
        with pytest.raises(ValueError, match=r"another configuration: optimizer\.lr \(0\.002 the"):
            tiny_runs.compose_experiment(f"checkpoint=alone/{file}", "optimizer.lr=0.1")
    with pytest.raises(ValueError, match=r"evaluation\.weights must be raw, the weights in .* ema"):
        tiny_runs.compose_experiment("checkpoint=alone/raw.safetensors")
    with pytest.raises(ValueError, match=r"must be ema_50000, the weights in .* got raw"):
        fokker.load("alone/ema_50000.safetensors", "raw")
    start = tiny_runs.compose_experiment("init_from=alone/raw.safetensors").task.training
    raw = safetensors.torch.load_file("alone/raw.safetensors")
    for name in ("raw", "ema"):
        assert all(torch.equal(w, raw[key]) for key, w in start.weights(name).items())


def damaged(description: str) -> dict[str, str]:
    """Return descriptions that cannot be used, by what is said of them."""
    plain: dict[str, Any] = json.loads(description)
    return {
        r"its description cannot be read: Expecting value": "no json",
        r"its description cannot be read: 'config'": json.dumps(
            {k: v for k, v in plain.items() if k != "config"}
        ),
        r"its description cannot be read: 'data'": json.dumps({**plain, "config": {}}),
        r"its description cannot be read: config.optimizer is no dict": json.dumps(
            {**plain, "config": {**plain["config"], "optimizer": None}}
        ),
        r"is damaged \(IndexError": json.dumps(
            {**plain, "data": {**plain["data"], "measured": []}}
        ),
        r"its description cannot be read: data is no dict": json.dumps({**plain, "data": [1]}),
        r"is damaged \(KeyError: 'shift'\)": json.dumps({**plain, "data": {"shape": [1],
            "fresh": True, "levels": None, "value_range": None, "file": plain["data"]["file"]}}),
        r"is damaged \(TypeError: a number is not finite\)": description.replace(
            '"mean": [', '"mean": [NaN, '
        ),
        r"its description cannot be read: 'parts'": json.dumps({**plain, "record": {}}),
    }  # fmt: skip


def test_damaged_and_foreign_files_are_refused(workdir: Path) -> None:
    made = tiny_runs.compose_experiment()
    tiny_runs.train_it(made)
    weights = safetensors.torch.load_file(made.task.folder.path / "raw.safetensors")
    for message, text in damaged(description_of(made.task)).items():
        safetensors.torch.save_file(weights, "x.safetensors", {"fokker": text})
        with pytest.raises(ValueError, match=message) as caught:
            fokker.load("x.safetensors")
        assert "\n" not in str(caught.value)
    Path("x.safetensors").write_bytes((made.task.folder.path / "raw.safetensors").read_bytes()[:99])
    with pytest.raises(ValueError, match=r"x\.safetensors is not a safetensors file, or damaged"):
        fokker.load("x.safetensors")
    safetensors.torch.save_file(weights, "x.safetensors")
    with pytest.raises(ValueError, match=r"nothing in x\.safetensors says what model it is, for"):
        fokker.load("x.safetensors")
    about = {"fokker": description_of(made.task)}
    safetensors.torch.save_file({"network.w": torch.ones(2)}, "x.safetensors", about)
    with pytest.raises(ValueError, match="holds another network than the configuration asks for"):
        fokker.load("x.safetensors")


DOCS = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_recipe_in_plain_torch_draws_fokker_s_samples(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands in the docs; the same start gives fokker's own samples."""
    _, plain = DOCS.read_text().split("## Without fokker")
    blocks = re.findall(r"```python\n(.*?)```", plain, re.DOTALL)
    assert blocks[0].count("\n") <= 14
    job = ("data=ring8", "sampler.num_steps=18", "grid=edm_rho")
    result = tiny_runs.run(*job)
    # What the page takes from elsewhere: the exported file, and a copy of the network's.
    (file,) = tiny_runs.only_model().path.glob("ema_*.safetensors")
    shutil.copy(file, "ema_50000.safetensors")
    shutil.copy(DOCS.parents[1] / "src/fokker/networks/mlp.py", ".")
    monkeypatch.syspath_prepend(str(workdir))
    code = "".join(blocks)
    start = 'torch.randn(1000, *data["shape"])'
    assert code.count(start) == 1
    given = {"noise": Randomness(0).normal("prior", 0, 100, (2,))}
    exec(code.replace(start, "noise"), given)
    torch.testing.assert_close(
        given["samples"].double(), result.samples, rtol=1e-4, atol=1e-4
    )
