"""A trained model that another training goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from fokker.store.checkpoints import check_undamaged, weights_digest
from fokker.store.curves import read_json_lines


@final
@dataclass(frozen=True)
class Predecessor:
    """A trained model that another training goes on from; its folder is read and never written.

    Attributes:
        checkpoint: its weights, averages and state of the optimiser.
        name: of the model.
        step: the steps that it was trained for.
        digest: of its name and of all its weights; by its name it knows what it continues itself.
    """

    checkpoint: Path
    name: str
    step: int
    digest: str

    @classmethod
    def of(cls, checkpoint: Path, content: Mapping[str, Any], key: str) -> "Predecessor":
        """Name the model of a checkpoint.

        Args:
            checkpoint: where it lies.
            content: what it holds.
            key: of the model.
        Raises:
            ValueError: if it is damaged.
        """
        check_undamaged(checkpoint)
        averages = {f"{n}/{k}": w for n, ws in content["ema"].items() for k, w in ws.items()}
        digest = weights_digest({**content["state_dict"], **averages})
        return cls(checkpoint, key, content["global_step"], f"{key}/{digest}")

    @property
    def facts(self) -> dict[str, Any]:
        """What the records of its successor say."""
        return {"continued_from": self.name, "continued_at": self.step}

    @property
    def curve(self) -> list[dict[str, Any]]:
        """Its training curve, as far as it is known."""
        rows = read_json_lines(self.checkpoint.with_name("metrics.jsonl"))
        return [row for row in rows if row["step"] <= self.step]

    @property
    def last_rate(self) -> float | None:
        """The learning rate of its last step, if its curve says so."""
        rates: list[float] = [row["lr"] for row in self.curve if "lr" in row]
        return rates[-1] if rates else None
