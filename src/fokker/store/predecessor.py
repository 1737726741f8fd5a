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
        checkpoint: the file with its weights, averages and state of the optimizer.
        name: the key of the model.
        step: the number of optimizer steps that it was trained for.
        digest: its key and a hash of all its weights; the key covers what it continues itself.
    """

    checkpoint: Path
    name: str
    step: int
    digest: str

    @classmethod
    def of(cls, checkpoint: Path, content: Mapping[str, Any], key: str) -> "Predecessor":
        """Name the model of a checkpoint.

        Args:
            checkpoint: the path of the checkpoint.
            content: the entries of the checkpoint.
            key: the key of the model.
        Raises:
            ValueError: if the checkpoint is damaged.
        """
        check_undamaged(checkpoint)
        averages = {f"{n}/{k}": w for n, ws in content["ema"].items() for k, w in ws.items()}
        digest = weights_digest({**content["state_dict"], **averages})
        return cls(checkpoint, key, content["global_step"], f"{key}/{digest}")

    @property
    def facts(self) -> dict[str, Any]:
        """Return the entries about it in the records of its successor."""
        return {"continued_from": self.name, "continued_at": self.step}

    @property
    def curve(self) -> list[dict[str, Any]]:
        """Return its training curve up to `step`, as far as it is known."""
        rows = read_json_lines(self.checkpoint.with_name("metrics.jsonl"))
        return [row for row in rows if row["step"] <= self.step]

    @property
    def last_rate(self) -> float | None:
        """Return the last learning rate in its curve, if there is one."""
        rates: list[float] = [row["lr"] for row in self.curve if "lr" in row]
        return rates[-1] if rates else None
