"""What the processes of test_together.py do, as ranks.

Each check gives what one rank found, which is kept in <check>.<rank>.pt of the current folder.
"""

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

import fokker.machine.ranks
import tiny_runs
from fokker.diffusion.formulations import SamplerWay
from fokker.evaluations.evaluate import SampleMetrics
from fokker.evaluations.sample import draw_samples
from fokker.experiment import Experiment, run
from fokker.formulation import Drawn, Draws
from fokker.machine.ranks import LostRank, Ranks
from fokker.machine.signals import Signals
from fokker.store.curves import read_json_lines
from fokker.training import InterruptedTraining, Training
from fokker.training.descent import Descent
from fokker.training.ema import EMA
from fokker.training.fit import obtain
from fokker.training.validation import validate
from processes import listened

# A training that learns from its first step, with a curve that says much.
JOB = ("optimizer.warmup_steps=0", "callbacks.validation_steps=10")
CASES: dict[str, tuple[str, ...]] = {
    "fresh": (),
    "digits": ("data=digits", "data.held_out_share=0.95"),  # 90 points, so many epochs
    "learned": ("weighting=learned",),
    "independent": ("noise_levels.stratified=false",),
    "bf16": ("trainer.precision=bf16-mixed",),
}
#: What draws 10,000 samples.
MANY = "edm_stochastic"
#: What is sampled, in two dimensions.
SAMPLED = ("data=ring8", "sampler.num_steps=100")
SAMPLERS: dict[str, tuple[str, ...]] = {
    "heun": ("sampler=heun",),
    "ancestral": ("sampler=ancestral",),
    "edm_stochastic": ("sampler=edm_stochastic",),
    "annealed_langevin": (
        "formulation=smld", "sampler=annealed_langevin", "sampler.steps_per_level=2",
    ),
    "predictor_corrector": ("sampler=predictor_corrector",),
    "ode_adaptive": (
        "sampler=ode_adaptive", "sampler.num_steps=null", "sampler.rtol=1e-4", "sampler.atol=1e-4",
    ),
}  # fmt: skip


def unlearned(*overrides: str) -> Experiment:
    """An experiment whose network is one by chance, but the same for all, and not 0."""
    made = tiny_runs.compose_experiment(*overrides)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in made.model.denoiser.parameters():
            parameter.copy_(torch.randn(parameter.shape) / 3)
    return made


def drawn(name: str, count: int, ranks: Ranks, batch_size: int | None = None) -> dict[str, Any]:
    """Samples in the model's units, and how many evaluations each took."""
    made = unlearned(*SAMPLED, *SAMPLERS[name])
    samples = draw_samples(made.plan.ways[0], count, made.plan.seed, batch_size, ranks)
    points = (samples.points - made.model.data.shift) / made.model.data.scale
    return {"points": points, "nfe": samples.nfe}


def curve(
    ranks: Ranks, *overrides: str, stop_at: int = 0, validation: Ranks | None = None
) -> dict[str, Any]:
    """The training curve of the tiny job, and all weights at its end.

    Args:
        ranks: that train together.
        overrides: of the job.
        stop_at: a step at which the first rank, and it alone, is told to end.
        validation: the ranks that measure, if not all do.
    """
    made = tiny_runs.compose_experiment(*JOB, *overrides)
    signals = Signals()

    def listener(row: dict[str, Any], step: int) -> None:
        if step == stop_at:
            signals.asked = signal.SIGTERM

    how = "interrupted"
    with suppress(InterruptedTraining):
        how = obtain(replace(made.task, ranks=ranks), listener, lambda text: None, signals)
    weights = {
        f"{name}/{key}": weight.detach().clone()
        for name in made.task.training.weight_names
        for key, weight in made.task.training.weights(name).items()
    }
    rows = read_json_lines(made.task.folder.curves) if ranks.is_first else []
    return {"how": how, "rows": rows, "weights": weights, "folder": made.task.folder.path.name}


# The checks --------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Ranks], Any]] = {}


def check(work: Callable[[Ranks], Any]) -> Callable[[Ranks], Any]:
    CHECKS[work.__name__] = work
    return work


@check
def words(ranks: Ranks) -> dict[str, Any]:
    """All that ranks say to each other."""
    asked: list[int] = []

    def decide() -> str:
        asked.append(ranks.rank)
        return f"said by {ranks.rank}"

    def fail() -> None:
        raise KeyError("planted")

    error = ""
    try:
        ranks.first_says(fail)
    except KeyError as raised:
        error = str(raised)
    mine = torch.tensor([1.0, float(ranks.rank), -float(ranks.rank)], dtype=torch.float64)
    kept = mine.clone()
    found: dict[str, Any] = {
        "first_says": ranks.first_says(decide),
        "asked": asked,
        "nothing": ranks.first_says(lambda: None),
        "error": error,
        "total": ranks.total(mine),
        "largest": ranks.largest(mine),
        "collected": ranks.collected({"rank": ranks.rank}),
        "place": (ranks.rank, ranks.size, ranks.local_rank, ranks.local_size, ranks.is_first),
        "is_kept": torch.equal(mine, kept),
        "listens": listened([os.getpid()]),
    }
    for count, unit in ((10, 4), (3, 1024), (2049, 1024), (7, 1), (0, 5)):
        rows = torch.arange(count * 6.0).reshape(count, 2, 3)
        share = ranks.share(count, unit)
        part = rows[share.start : share.stop]
        found[f"joined {count} {unit}"] = ranks.joined(part, count, unit)
        found[f"share {count} {unit}"] = part
    return found


@contextmanager
def slow_files() -> Iterator[None]:
    """A checkpoint comes late to its place: who does not wait finds none, or an old one."""
    replace = Path.replace

    def late(self: Path, target: Path) -> Path:
        if Path(target).name == "last.ckpt":
            sleep(0.3)
        return replace(self, target)

    with mock.patch.object(Path, "replace", late):
        yield


def sharing(name: str, strategy: str, *overrides: str, output: str = "", **options: Any) -> None:
    """A check that trains one of the cases by all ranks."""

    def work(ranks: Ranks) -> dict[str, Any]:
        place = (
            "trainer.accelerator=cpu", f"trainer.devices={ranks.size}",
            f"output_dir={output or name}",
        )  # fmt: skip
        with slow_files():
            return curve(ranks, *CASES[case], f"trainer={strategy}", *place, *overrides, **options)

    case = name.split("-")[0]
    CHECKS[name] = work


for _case in CASES:
    sharing(f"{_case}-ddp", "ddp")
sharing("fresh-found", "ddp", output="fresh-ddp")
sharing("fresh-parts", "ddp", "trainer.device_batch_size=64")
sharing("learned-parts", "ddp", "trainer.device_batch_size=64")
sharing("fresh-fsdp", "fsdp")
sharing("learned-fsdp", "fsdp")
# Ended in the middle, to be continued by one process; and begun by one process.
sharing("fresh-ended_ddp", "ddp", stop_at=10)
sharing("fresh-ended_fsdp", "fsdp", stop_at=10)
sharing("fresh-begun_ddp", "ddp")
sharing("fresh-begun_fsdp", "fsdp")
BEGUN = ("fresh-begun_ddp", "fresh-begun_fsdp")


@check
def gone_on(ranks: Ranks) -> dict[str, Any]:
    """Ranks train a model, and then another that goes on from it."""
    job = (
        "trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={ranks.size}",
        "optimizer.schedule=constant", "output_dir=gone_on",
    )  # fmt: skip
    first = curve(ranks, *job)["folder"]
    return curve(ranks, *job, f"continue_from=gone_on/models/{first}", "trainer.max_steps=40")


@check
def buffers(ranks: Ranks) -> Tensor:
    """Each rank has other buffers, as of batch norm, until they are shared."""
    training = tiny_runs.compose_experiment().task.training
    training.descent = Descent(ranks)
    network = training.formulation.network
    network.register_buffer("mine", torch.full((2,), float(ranks.rank + 1)))
    training.share_buffers()
    return network.get_buffer("mine")


def planted(name: str, patch: Callable[[Ranks], Any]) -> None:
    """A check that trains with a mistake in it, which has to be seen."""

    def work(ranks: Ranks) -> dict[str, Any]:
        with patch(ranks):
            return curve(
                ranks, "trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={ranks.size}",
                f"output_dir={name}",
            )  # fmt: skip

    CHECKS[name] = work


def _draws_of_the_first(which: str) -> Callable[[Ranks], Any]:
    """Every rank has the first one's rows of one of batch, level and random."""
    draws = Training.training_draws

    def wrong(self: Training, step: int) -> Draws:
        mine, ranks = draws(self, step), self.descent.ranks
        rank, ranks.rank = ranks.rank, 0
        first = draws(self, step)
        ranks.rank = rank
        return replace(mine, **{which: getattr(first, which)})

    return lambda ranks: mock.patch.object(Training, "training_draws", wrong)


def _alone(self: Training, objective: Tensor) -> None:
    torch.autograd.backward(objective)


planted("mistake-data", _draws_of_the_first("batch"))
planted("mistake-levels", _draws_of_the_first("level"))
planted("mistake-noise", _draws_of_the_first("random"))
planted("mistake-gradients", lambda ranks: mock.patch.object(Training, "_backward", _alone))


def groups_of(ranks: Ranks, sizes: Sequence[int]) -> list[Ranks | None]:
    """The first ranks as groups of their own; none where this one is not in it."""
    # Every rank has to take part in making every group.
    made = [dist.new_group(list(range(size)), backend="gloo") for size in sizes]
    return [
        Ranks(group) if ranks.rank < size else None for group, size in zip(made, sizes, strict=True)
    ]


def measured(ranks: Ranks) -> dict[str, Any]:
    """What a model that has learned nothing gives on held-out points, and how many it was given."""
    model = unlearned().model
    given: list[int] = []
    model.denoiser.register_forward_pre_hook(lambda _, args: given.append(len(args[0])))
    found = validate(model, ranks)
    losses = {**found.numbers, **found.table.columns}
    return {"losses": tiny_runs.flat(losses), "given": sum(given)}


@check
def validated(ranks: Ranks) -> list[dict[str, Any]]:
    """Two and three ranks validate one model."""
    return [measured(group) for group in groups_of(ranks, (2, 3)) if group is not None]


@check
def sampled(ranks: Ranks) -> dict[str, Any]:
    """Two and three ranks draw samples together; by (sampler, count, size)."""
    found: dict[str, Any] = {}
    for size, group in zip((2, 3), groups_of(ranks, (2, 3)), strict=True):
        if group is None:
            continue
        for name in SAMPLERS:
            found[f"{name} 3000 {size}"] = drawn(name, 3000, group, 700 if size == 3 else None)
        if size == 3:
            found["many"] = drawn(MANY, 10_000, group, 1000)
    return found


@check
def lost_in_words(ranks: Ranks) -> str:
    """The last rank goes, without a word."""
    ranks.total(torch.ones(1))
    if ranks.rank == ranks.size - 1:
        keep("gone", f"lost_in_words.{ranks.rank}.pt")
        sleep(1)  # The others are to come out of the sum before.
        os._exit(0)
    try:
        ranks.total(torch.ones(1))
    except LostRank as lost:
        return str(lost)
    return "nothing was noticed"


@check
def lost_in_training(ranks: Ranks) -> str:
    """The last rank goes in its 13th step, after a save at the 7th."""
    update = EMA.update

    def noted(self: EMA, images: int, batch_size: int) -> None:
        update(self, images, batch_size)
        if images == 13 * batch_size and ranks.rank == ranks.size - 1:
            keep("gone", f"lost_in_training.{ranks.rank}.pt")
            os._exit(0)

    try:
        with mock.patch.object(EMA, "update", noted):
            curve(
                ranks, "trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={ranks.size}",
                "output_dir=lost_in_training", "callbacks.save_steps=7",
                "callbacks.save_seconds=1e6",
            )  # fmt: skip
    except LostRank as lost:
        return str(lost)
    return "nothing was noticed"


def ended(ranks: Ranks, name: str, patch: Any) -> str:
    """What is raised by a run, in which both ranks draw samples, with a fault in it."""
    made = tiny_runs.compose_experiment(
        "network=exact", "evaluation.num_samples=2000", "evaluation.num_steps=[2,4]",
        "sampler.num_steps=3", "evaluation.figures=false",
    )  # fmt: skip
    try:
        with patch:
            run(made.with_task(ranks=ranks), Path(name), lambda text: None)
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


@check
def failed_metric(ranks: Ranks) -> str:
    """A metric of the second sampling fails, in the first rank, which alone measures."""
    of = SampleMetrics.__call__
    calls: list[int] = []

    def fails(self: SampleMetrics, *arguments: Any, **options: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("planted")
        return of(self, *arguments, **options)

    return ended(ranks, "failed_metric", mock.patch.object(SampleMetrics, "__call__", fails))


@check
def not_finite(ranks: Ranks) -> str:
    """Samples of the last rank alone are not finite."""
    sample = SamplerWay.sample

    def broken(self: SamplerWay, *arguments: Any) -> Drawn:
        drawn = sample(self, *arguments)
        is_last = ranks.rank == ranks.size - 1
        return replace(drawn, x=drawn.x * torch.nan) if is_last else drawn

    return ended(ranks, "not_finite", mock.patch.object(SamplerWay, "sample", broken))


def main(*checks: str) -> None:
    """Do the checks, as the rank that the environment says."""
    # A disagreement would hang for as long as this.
    fokker.machine.ranks.PATIENCE = timedelta(seconds=120)
    ranks = Ranks.join()
    for name in checks:
        print(f"{monotonic():.1f} {name}", flush=True)
        try:
            result = CHECKS[name](ranks)
        except BaseException:
            text = traceback.format_exc()
            keep(text, f"{name}.{ranks.rank}.failed")
            if not all_are_through(name, ranks.size):
                os._exit(1)  # The others may be in the middle of it, and are to see it at once.
        else:
            keep(result, f"{name}.{ranks.rank}.pt")
    os._exit(0)  # Some may be gone, and the rest need not wait for them.


def keep(result: Any, name: str) -> None:
    """Write a file in one go."""
    torch.save(result, f"{name}.new")
    Path(f"{name}.new").replace(name)


def all_are_through(name: str, size: int) -> bool:
    """Whether every rank has ended a check, one way or the other, so that all may go on."""
    for _ in range(50):
        ended = [
            Path(f"{name}.{rank}.pt").exists() or Path(f"{name}.{rank}.failed").exists()
            for rank in range(size)
        ]
        if all(ended):
            return True
        sleep(0.1)
    return False
