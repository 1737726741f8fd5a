"""Letters by a table of logits: a formulation of another kind, known to no file of the platform.

A letter x has a law for each label and each letter of a second data set. A share `level` of the
letters is masked, and the table is trained by cross-entropy to tell them. A second stage learns the
first one's table in place of the letters.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from fokker.data import Conditions, DataModule
from fokker.formulation import (
    Asked,
    Axis,
    Batch,
    Drawn,
    Draws,
    Formulation,
    Losses,
    Measure,
    Report,
    Table,
    Truth,
    Validation,
    Way,
)  # fmt: skip
from fokker.machine.ranks import ALONE, Ranks
from fokker.randomness import Randomness

LETTERS, LABELS, GROUP = 3, 2, 4
LAW = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], dtype=torch.float64)  # Of each label.
LEVELS = (0.25, 0.5, 1.0)


@final
class Letters(DataModule):
    """int64 letters with the number of a label, of a law that is tilted by `shift` places."""

    fresh = True
    dtype = torch.int64
    conditions = Conditions("classes", LABELS)

    def __init__(self, batch_size: int = 24, seed: int = 0, shift: int = 0) -> None:
        super().__init__(batch_size, seed)
        self.law = LAW.roll(shift, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    @property
    def content(self) -> str:
        return ""

    def batch(self, start: int, stop: int) -> Batch:
        label = torch.arange(start, stop) % LABELS
        u = self.randomness.uniform("data", start, stop)
        return Batch(drawn(self.law[label], u)[:, None], label)

    def held_out(self, count: int) -> Batch:
        return self.batch(10**6, 10**6 + count)

    def reference(self, count: int) -> Tensor:
        return self.held_out(count).x


def drawn(p: Tensor, u: Tensor) -> Tensor:
    """A letter of each law, (n, letters), by a uniform number, (n,)."""
    return (u[:, None] > p.cumsum(-1)).sum(-1).clamp(max=p.shape[-1] - 1)


class TableOfLogits(nn.Module):
    """Logits of a letter for each label and letter of the source."""

    def __init__(self, shape: tuple[int, ...], spread: float = 0.0) -> None:
        super().__init__()
        self.logits = nn.Parameter(spread * torch.randn(LABELS, LETTERS, LETTERS))

    def forward(self, label: Tensor, source: Tensor) -> Tensor:
        return self.logits[label, source]


@final
class OneByOne:
    """Draws each letter at its step; `num_steps` is how many are drawn for one that is kept."""

    def __init__(self, num_steps: int = 1) -> None:
        self.num_steps = num_steps


@final
@dataclass(frozen=True, kw_only=True)
class LetterWay(Way):
    """Samples in groups of four, whose uniform numbers are spread evenly."""

    formulation: "LetterDiffusion"
    steps: int
    group: int = GROUP

    @property
    def num_steps(self) -> int:
        return self.steps

    @property
    def places(self) -> Sequence[float]:
        return torch.linspace(1, 0, self.steps + 1).tolist()

    def with_steps(self, num_steps: int) -> "LetterWay":
        return replace(self, steps=num_steps)

    @torch.no_grad()
    def sample(
        self, randomness: Randomness, start: int, stop: int, count: int,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Drawn:  # fmt: skip
        whole = range(start // GROUP, -(-stop // GROUP))
        offset = randomness.uniform("prior", whole.start, whole.stop)[:, None]
        u = ((offset + torch.arange(GROUP) / GROUP) % 1).flatten()[: stop - start]
        label = torch.arange(start, stop) // GROUP % LABELS
        source = self.formulation.source.batch(start, stop).x[:, 0]
        for step in range(self.steps + 1):
            p = self.formulation.network(label, source).double().softmax(-1).cpu()
            x = torch.full_like(label, LETTERS) if step == 0 else drawn(p, u)
            if watch is not None:
                watch(step, x[:, None])
        return Drawn(x[:, None], self.steps * (stop - start))

    def exact(self) -> Mapping[str, float]:
        return {"tv": self.formulation.total_variation()}


@final
class LetterDiffusion(Formulation):
    """Cross-entropy of masked letters; its floor is their entropy."""

    axis: ClassVar[Axis] = Axis("mask", "m", "share that is masked", "cross-entropy", "nats")
    parts: ClassVar[Sequence[str]] = ("formulation", "network")
    data_groups: ClassVar[Sequence[str]] = ("data", "source")
    data: Letters

    def __init__(
        self, data: Letters, source: Letters, network: Callable[..., nn.Module], seed: int,
        stage: int = 1, earlier: "LetterDiffusion | None" = None,
    ) -> None:  # fmt: skip
        super().__init__(data, seed, earlier)
        self.source, self.stage = source, stage
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.table = network(shape=data.shape)

    @classmethod
    def earlier(cls, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return {"formulation.stage": 1} if config["formulation"]["stage"] == 2 else None

    @property
    def network(self) -> nn.Module:
        return self.table

    def fetch(self, start: int, stop: int) -> Batch:
        own = self.data.training_batch(start, stop)
        return Batch(own.x, own.condition, self.source.training_batch(start, stop).x)

    def draws(self, step: int, rows: range, batch: Batch) -> Draws:
        size = self.data.batch_size
        u = self.randomness.uniform("sigma", step, step + 1) + torch.arange(size) / size
        return Draws(batch.to(self.device), (u % 1)[rows.start : rows.stop].double())

    def losses(self, draws: Draws) -> Losses:
        label, source = draws.batch.condition, draws.batch.source
        assert label is not None
        assert source is not None
        value = self._cross_entropy(draws.batch)
        objective = value
        if self.made_from:
            with torch.no_grad():
                target = self.made_from[0].network(label, source[:, 0]).softmax(-1)
            objective = -(target * self.table(label, source[:, 0]).log_softmax(-1)).sum(-1)
        level = draws.level.to(value)
        return Losses(level * value, level * objective)

    def _cross_entropy(self, batch: Batch) -> Tensor:
        assert batch.source is not None
        logits = self.table(batch.condition, batch.source[:, 0])
        return nn.functional.cross_entropy(logits, batch.x[:, 0], reduction="none")

    def total_variation(self) -> float:
        p = self.table.logits.detach().double().softmax(-1).cpu()
        return float((p - self.data.law[:, None]).abs().sum(-1).mean() / 2)

    @torch.no_grad()
    def validation(self, ranks: Ranks = ALONE) -> Validation:
        batch = self.data.held_out(512)
        own = Batch(batch.x, batch.condition, self.source.held_out(512).x).to(self.device)
        share = ranks.share(512)
        losses = self._cross_entropy(own[share.start : share.stop])
        loss = float(ranks.total(losses.double().sum())) / 512
        columns = {
            "loss": [level * loss for level in LEVELS],
            "floor": [level * self._entropy for level in LEVELS],
            "excess": [level * (loss - self._entropy) for level in LEVELS],
        }
        table = Table(self.axis, LEVELS, [True] * len(LEVELS), columns)
        return Validation({"nelbo": loss, "bits": loss / math.log(2)}, table)

    @property
    def _entropy(self) -> float:
        return -float((self.data.law * self.data.law.log()).sum(-1).mean())

    def truth(self, ranks: Ranks = ALONE) -> Truth:
        return Truth(self._entropy / 2)  # Half of the letters are masked.

    def way(self, asked: Asked) -> LetterWay:
        sampler = asked.parts["sampler"]
        if not isinstance(sampler, OneByOne):
            raise ValueError(f"sampler must be one_by_one, got {type(sampler).__name__}")
        return LetterWay(
            labels=asked.labels, target=self.data, formulation=self, steps=sampler.num_steps
        )

    def measures(self, way: Way, points: int | None) -> Mapping[str, Measure]:
        return {
            "nelbo": Measure("NELBO", "nats", is_of_model=True),
            "bits": Measure("NELBO", "bits", is_of_model=True),
            "tv": Measure("total variation"),
        }

    def reports(
        self, way: Way, points: int | None, num_samples: int, seed: int
    ) -> Iterator[Report | str]:
        off = (self.table.logits.detach().double().softmax(-1).cpu() - self.data.law[:, None]).abs()
        rows = [{"label": str(k), "tv": float(off[k].sum(-1).mean() / 2)} for k in range(LABELS)]
        yield Report("letters", "total variation by label", rows)
