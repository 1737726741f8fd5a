"""Low precision is the network's alone, and a compiled network is the same network."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

import tiny_runs
from fokker.diffusion.formulations import Diffusion
from fokker.formulation import Draws
from fokker.store.curves import read_json_lines
from fokker.store.models import ModelFolder
from fokker.training import Engine, InterruptedTraining, Training
from fokker.training import data as training_data
from fokker.training.descent import Descent
from fokker.training.ema import EMA

LOW = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# It learns much in few steps.
JOB = (
    "data.num_points=3", "trainer.max_steps=40", "optimizer.warmup_steps=0", "optimizer.lr=1e-2",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("workdir")


def train(*overrides: str) -> tuple[Diffusion, ModelFolder]:
    return tiny_runs.train(*JOB, *overrides)


def curve(folder: ModelFolder, name: str = "loss") -> list[float]:
    return [row[name] for row in read_json_lines(folder.curves) if name in row]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The training in float32; not to be changed."""
    return train(f"output_dir={tmp_path_factory.mktemp('full')}")[1]


def low(precision: str, *overrides: str) -> tuple[Diffusion, ModelFolder]:
    return train(f"trainer.precision={precision}", *overrides)


# What is in which precision ----------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("precision", LOW)
def test_the_network_s_products_alone_are_in_low_precision(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    products: set[tuple[bool, torch.dtype]] = set()
    denoised: set[torch.dtype] = set()
    inputs: set[torch.dtype] = set()
    losses: set[torch.dtype] = set()
    gradients: set[torch.dtype] = set()
    is_stepping = [False]

    def look(model: Diffusion) -> None:
        for module in model.denoiser.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(
                    lambda _, args, output: products.add((is_stepping[0], output.dtype))
                )

        def at_denoiser(module: nn.Module, args: Any, output: Tensor) -> None:
            inputs.update(a.dtype for a in args)
            denoised.add(output.dtype)

        model.denoiser.register_forward_hook(at_denoiser)

    differentiate, step = Training.differentiate, Descent.step

    def watched(self: Training, draws: Draws) -> Tensor:
        is_stepping[0] = True
        loss = differentiate(self, draws)
        is_stepping[0] = False
        losses.add(loss.dtype)
        return loss

    def noted(self: Descent, optimizer: torch.optim.Optimizer) -> None:
        parameters = optimizer.param_groups[0]["params"]
        gradients.update(p.grad.dtype for p in parameters if p.grad is not None)
        step(self, optimizer)

    monkeypatch.setattr(Training, "differentiate", watched)
    monkeypatch.setattr(Descent, "step", noted)
    made = tiny_runs.compose_experiment(*JOB, f"trainer.precision={precision}")
    model = made.model
    look(model)
    _, folder = tiny_runs.train_it(made)
    # Validation in the middle of the training is in the precision of the training too.
    assert (True, LOW[precision]) in products
    assert (True, torch.float32) not in products
    assert denoised == {torch.float32}
    assert inputs == {torch.float32, torch.float64}  # x and sigma
    assert losses == gradients == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    content = tiny_runs.checkpoint(folder)
    kept = {name: content[name] for name in ("state_dict", "ema", "optimizer_states")}
    tensors = [value for value in tiny_runs.flat(kept).values() if isinstance(value, Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    # Outside of the training all is in the weights' precision.
    products.clear()
    model.denoiser(torch.zeros(3, 1), torch.ones(3))
    assert products == {(False, torch.float32)}


@pytest.mark.parametrize("precision", LOW)
def test_what_is_added_to_the_network_is_not_rounded(precision: str) -> None:
    """With a network that gives 0, D is c_skip x, to the last bit of a float32."""
    model = tiny_runs.compose_experiment("preconditioning=edm").model
    x = torch.linspace(-3, 3, 1001)[:, None]
    sigma = torch.full((1001,), 0.3)
    plain = model.denoiser(x, sigma)
    assert not torch.equal(plain, plain.to(LOW[precision]).float())
    assert not isinstance(model.denoiser, type(None))
    with model.denoiser.prepared(LOW[precision], False):  # type: ignore[union-attr,operator]
        assert torch.equal(model.denoiser(x, sigma), plain)


@pytest.mark.long
@pytest.mark.parametrize("precision", LOW)
def test_the_loss_is_that_of_float32_up_to_rounding(full: ModelFolder, precision: str) -> None:
    _, folder = low(precision)
    expected = curve(full)
    assert expected[-1] < 0.9 * expected[0]
    # A scale of 65,536 is too large for the first steps in float16, which are left out.
    assert curve(folder) == pytest.approx(expected, rel=0.05)
    assert curve(folder) != expected
    for name in ("held_out_loss", "denoising_error"):
        assert curve(folder, name) == pytest.approx(curve(full, name), rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("precision", LOW)
def test_no_rounded_weights_outlive_a_step(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Blocks of one step and of many are the same training, to the bit."""
    states = []
    for length in (1, 64):
        with monkeypatch.context() as patch:
            patch.setattr(training_data, "MAX_BLOCK_STEPS", length)
            patch.setattr(training_data, "BLOCK_SECONDS", 1e9)
            states.append(tiny_runs.trained_state(low(precision, f"output_dir=by_{length}")[1]))
    assert tiny_runs.differing(*states) == []


@pytest.mark.parametrize("precision", LOW)
def test_every_forward_pass_rounds_the_weights_of_its_step(precision: str) -> None:
    """What the network gives in a step is what its weights of that step give, rounded anew."""
    made = tiny_runs.compose_experiment(*JOB, f"trainer.precision={precision}")
    network = made.model.denoiser.network
    seen: list[tuple[Tensor, Tensor]] = []

    def compare(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        weight, bias = (w.detach().to(LOW[precision]) for w in (module.weight, module.bias))
        again = nn.functional.linear(args[0].detach().to(LOW[precision]), weight, bias)
        seen.append((output.detach(), again))

    network.last.register_forward_hook(compare)  # type: ignore[union-attr,operator]
    tiny_runs.train_it(made)
    low_ones = [(one, other) for one, other in seen if one.dtype == LOW[precision]]
    assert len(low_ones) >= 40
    assert all(torch.equal(one, other) for one, other in low_ones)
    assert any(one.abs().sum() > 0 for one, _ in low_ones)


# Scaled losses -----------------------------------------------------------------------------------


def scaler_of(folder: ModelFolder) -> dict[str, Any]:
    found: dict[str, Any] = tiny_runs.checkpoint(folder)["scaler"]
    return found


@pytest.mark.long
def test_only_float16_has_a_scaler(full: ModelFolder) -> None:
    assert "scaler" not in tiny_runs.checkpoint(full)
    assert "scaler" not in tiny_runs.checkpoint(low("bf16-mixed")[1])
    state = scaler_of(low("16-mixed")[1])
    assert state["scale"] > 1
    assert state["_growth_tracker"] > 0


def _scaler(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Let losses be scaled otherwise."""
    make = Engine.descent

    def other(self: Engine, *args: Any) -> Descent:
        made = make(self, *args)
        assert made.scaler is not None
        return replace(made, scaler=GradScaler("cpu", **options))

    monkeypatch.setattr(Engine, "descent", other)


@pytest.mark.long
def test_a_training_with_a_scaler_is_continued_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    # The scale grows every third step, so that going on without its state would show at once.
    _scaler(monkeypatch, init_scale=4.0, growth_interval=3)
    monkeypatch.setattr(training_data, "BLOCK_SECONDS", 1e9)
    monkeypatch.setattr(training_data, "MAX_BLOCK_STEPS", 4)
    _, whole = low("16-mixed", "callbacks.save_steps=7", "output_dir=whole")
    update, calls = EMA.update, itertools.count(1)

    def planted(self: EMA, *args: Any) -> None:
        update(self, *args)
        if next(calls) == 18:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EMA, "update", planted)
        with pytest.raises(InterruptedTraining):
            low("16-mixed", "callbacks.save_steps=7")
    folder = tiny_runs.only_model()
    assert 0 < folder.record["step"] < 18
    assert 4 < scaler_of(folder)["scale"] < scaler_of(whole)["scale"]
    assert scaler_of(folder)["_growth_tracker"] > 0
    _, folder = low("16-mixed", "callbacks.save_steps=7")
    states = [{**tiny_runs.trained_state(f), **scaler_of(f)} for f in (folder, whole)]
    assert tiny_runs.differing(*states) == []
    # It is scaled up and down by powers of two, which round nothing.
    assert scaler_of(folder)["scale"] == 4.0 * 2 ** (40 // 3)


def test_a_gradient_that_overflows_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # So large that the first steps overflow in float16, which ends at 65,504.
    _scaler(monkeypatch, init_scale=2.0**40, growth_interval=1000)
    weights: list[Tensor] = []
    step = Descent.step

    def noted(self: Descent, optimizer: torch.optim.Optimizer) -> None:
        step(self, optimizer)
        (parameters,) = (group["params"] for group in optimizer.param_groups)
        weights.append(torch.cat([p.detach().flatten() for p in parameters]).clone())

    monkeypatch.setattr(Descent, "step", noted)
    _, folder = low("16-mixed")
    # Of the first step it is not known; it is one of several that change nothing.
    still = [True, *itertools.starmap(torch.equal, itertools.pairwise(weights))]
    skipped = sum(still)
    assert 3 < skipped < 30
    assert all(still[:3])
    assert math.log2(2.0**40 / scaler_of(folder)["scale"]) == skipped
    assert all(torch.isfinite(w).all() for w in weights)
    state = tiny_runs.trained_state(folder)
    assert tiny_runs.all_finite(state)
    assert state["step"] == 40
    assert all(map(math.isfinite, curve(folder)))
    # A skipped step is not a step of the optimizer.
    steps = {float(v) for k, v in state.items() if k.endswith("/step") and isinstance(v, Tensor)}
    assert steps == {40 - skipped}
    assert curve(folder)[-1] < curve(folder)[0]


# What a model is ---------------------------------------------------------------------------------


def name(*overrides: str) -> str:
    return tiny_runs.compose_experiment(*overrides).task.folder.path.name


@pytest.mark.long
def test_precision_makes_another_model_and_where_it_is_trained_does_not() -> None:
    plain = name()
    assert (
        len({plain, name("trainer.precision=bf16-mixed"), name("trainer.precision=16-mixed")}) == 3
    )
    for same in (
        ("trainer=ddp_cpu",), ("trainer=ddp_cpu", "trainer.devices=4"),
        ("trainer=fsdp", "trainer.accelerator=cpu"), ("trainer.compile=true",),
        ("trainer.device_batch_size=64",), ("trainer=cpu",),
        ("trainer=ddp", "trainer.device_batch_size=32", "trainer.compile=true"),
    ):  # fmt: skip
        assert name(*same) == plain


def test_a_model_is_found_by_who_trains_otherwise() -> None:
    _, folder = train()
    before = folder.checkpoint.stat().st_mtime_ns
    train("trainer.device_batch_size=64", "trainer=cpu")
    assert tiny_runs.only_model().checkpoint.stat().st_mtime_ns == before


# Compiled ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_compiled_network_is_the_same_network(
    full: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    compiler = torch.compile

    def noted(function: Any, **options: Any) -> Any:
        compiled.append(function)
        return compiler(function, **options)

    monkeypatch.setattr(torch, "compile", noted)
    training, folder = train("trainer.compile=true")
    network = training.formulation.network
    assert len(compiled) == 1
    for key in ("loss", "held_out_loss", "denoising_error"):
        assert curve(folder, key) == pytest.approx(curve(full, key), rel=1e-5)
    state, expected = (tiny_runs.checkpoint(f)["state_dict"] for f in (folder, full))
    assert list(state) == list(expected)
    # After the training nothing is compiled any more.
    assert not [key for key in vars(network) if key == "_run"]
    fresh = tiny_runs.compose_experiment(*JOB).task.training
    ModelFolder(Path(folder.path)).load_into(fresh)
    x, sigma = torch.linspace(-2, 2, 64)[:, None], torch.full((64,), 0.5)
    assert torch.equal(network(x, sigma), fresh.formulation.network(x, sigma))
