"""NaN from anywhere: the run says where and at which step, and what was good before is kept."""

from pathlib import Path

import pytest
from planted import (
    JOB,
    NO_FIGURES,
    Said,
    child,
    command,
    ended,
    last_run,
    litter,
    model,
    refused,
    status,
)

from fokker.machine.files import read_json
from tiny_runs import TINY, all_finite, checkpoint, flat

# Options of a user's own: data with NaN in one row of step 9, and networks that go wrong when they
# are trained the 10th time.
OWN = '''
import math
import torch
from torch import nn
from fokker.data import Batch, StandardizedData


class Broken(StandardizedData):
    shape, content = (1,), ""

    def moments(self):
        return torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)

    def batch(self, start, stop):
        points = self.randomness.normal("data", start, stop, (1,))
        if start <= 9 * self.batch_size + 3 < stop:
            points[9 * self.batch_size + 3 - start] = self.value
        return Batch(points)

    def held_out(self, count):
        return Batch(self.reference(count))

    def reference(self, count):
        return self.randomness.normal("held out", 0, min(count, 500), (1,)).double()

    value = math.nan


class Endless(Broken):
    value = math.inf


class Hidden(torch.autograd.Function):
    """The identity, whose gradient is NaN."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * math.nan


class Net(nn.Module):
    def __init__(self, shape, c_noise_range):
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 1), 0

    def forward(self, x, c_noise, condition=None):
        self.calls += torch.is_grad_enabled()
        y = self.layer(torch.cat([x, c_noise[:, None]], 1))
        return self.broken(y) if self.calls == 10 and torch.is_grad_enabled() else y

    def broken(self, y):
        return y * math.nan


class Backward(Net):
    def broken(self, y):
        return Hidden.apply(y)


class Sampled(Net):
    """NaN for the 100 samples of a run, and nowhere else."""

    def forward(self, x, c_noise, condition=None):
        y = self.layer(torch.cat([x, c_noise[:, None]], 1))
        return y if torch.is_grad_enabled() or len(x) != 100 else y * math.nan
'''
TYPED = (*JOB, "--config-dir=mine", "allow_targets=[my_faults]")


@pytest.fixture(autouse=True)
def own(workdir: Path) -> None:
    Path("my_faults.py").write_text(OWN)
    for name, group, text in (
        ("broken", "data", "batch_size: 256\nstandardize: true\nsigma_data: null\nseed: ${seed}\n"),
        ("endless", "data", "batch_size: 256\nstandardize: true\nsigma_data: null\nseed: 0\n"),
        ("net", "network", "_partial_: true\n"),
        ("backward", "network", "_partial_: true\n"),
        ("sampled", "network", "_partial_: true\n"),
    ):
        file = Path("mine", group, f"{name}.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"_target_: my_faults.{name.capitalize()}\n{text}")


def with_net(name: str, *typed: str) -> Said:
    """The command with a network that has no width and no depth."""
    words = [word for word in (*TINY, *TYPED) if not word.startswith("network.")]
    return ended(child(*words, f"network={name}", *typed, before=NO_FIGURES))


def diverged(said: Said, saved: int, *parts: str) -> bool:
    """Whether it is said and recorded, and the last save is as good as it was."""
    assert refused(said, *parts, "the last good checkpoint is kept; ")
    (run,) = Path("outputs/runs").iterdir()
    assert status(run) == model().record["status"] == "diverged"
    assert read_json(run / "run.json")["error"].startswith("DivergedError: the ")
    content = checkpoint(model())
    assert content["global_step"] == model().record["step"] == saved
    assert all_finite(flat(content))
    assert litter() == []
    return True


@pytest.mark.parametrize("data", ["broken", pytest.param("endless", marks=pytest.mark.long)])
def test_data_that_are_not_finite_are_the_reason_that_is_given(data: str) -> None:
    said = command(*TYPED, f"data={data}")
    assert diverged(said, 7, "the data are not finite at step 9 (1 of 256 samples)", "mend what")
    # Mended, under another name since its source is another one, it is whole.
    Path("my_faults.py").write_text(OWN.replace("value = math", "value = 1.0 or math"))
    said = command(*TYPED, f"data={data}")
    assert (said.code, said.err) == (0, "")
    assert status(last_run()) == "completed"


@pytest.mark.parametrize(
    ("net", "what"),
    [("net", "the loss is not finite at step 9"), ("backward", "is not finite at step ")],
)
def test_a_network_that_gives_nan_ends_as_diverged(net: str, what: str) -> None:
    assert diverged(with_net(net), 7, what, "try a smaller optimizer.lr or other parts")


@pytest.mark.long
def test_a_learning_rate_that_is_far_too_large_ends_as_diverged() -> None:
    said = command(*JOB, "optimizer.lr=1e30", "optimizer.warmup_steps=10")
    assert refused(said, "is not finite at step", "the last good checkpoint is kept; try a smaller")
    (run,) = Path("outputs/runs").iterdir()
    assert status(run) == "diverged"


def test_samples_that_are_not_finite_leave_the_model_as_it_is() -> None:
    said = with_net("sampled")
    assert refused(said, "100 of 100 samples are not finite with sampler=heun", "use more steps")
    (run,) = Path("outputs/runs").iterdir()
    assert status(run) == "failed"
    assert model().is_complete
    before = checkpoint(model())
    # Another number of samples is one that this network gives.
    assert with_net("sampled", "evaluation.num_samples=90").code == 0
    assert read_json(last_run() / "run.json")["training"] == "found"
    assert all_finite(flat(before))


@pytest.mark.long
def test_a_sweep_goes_on_after_what_has_diverged() -> None:
    said = command(*JOB, "-m", "optimizer.lr=1e30,0.001")
    assert said.code == 1
    assert "[1/2] lr=1e+30: diverged in " in said.out
    assert "1 completed (0 of them before), 1 failed" in said.out
