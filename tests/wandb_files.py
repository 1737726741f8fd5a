"""Offline runs of W&B, read back by W&B's own command."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any


@dataclass(frozen=True)
class WandBFile:
    """The records of one offline run.

    Attributes:
        folder: `<run>/wandb/offline-run-...`.
        records: in their order.
    """

    folder: Path
    records: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in self.records if record["type"] == kind]

    @property
    def run(self) -> dict[str, Any]:
        return self.of("run")[0]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.run["config"]["update"]
        return config

    @property
    def history(self) -> list[dict[str, Any]]:
        return [record["item"] for record in self.of("history")]

    @property
    def summary(self) -> dict[str, Any]:
        return {k: v for record in self.of("summary") for k, v in record["update"].items()}

    @property
    def exit_code(self) -> int:
        (record,) = self.of("exit")
        return int(record["exit_code"])

    @property
    def axes(self) -> dict[str, str | None]:
        """The x axis of each metric that was defined."""
        return {record["name"]: record.get("step_metric") for record in self.of("metric")}

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The history rows with a key, without W&B's own."""
        return [{k: v for k, v in r.items() if k[0] != "_"} for r in self.history if key in r]

    def media(self, key: str) -> bytes:
        name = f"{key}.path"
        path: str
        (path,) = (row[name] for row in self.history if name in row)
        return (self.folder / "files" / path).read_bytes()

    def table(self, name: str) -> list[dict[str, Any]]:
        content = json.loads(self.media(f"tables/{name}"))
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    def artifacts(self, kind: str) -> list[dict[str, Any]]:
        return [artifact for artifact in self.of("artifact") if artifact["type"] == kind]


def read_wandb(run: Path, index: int = 0, pattern: str = "*run-*") -> WandBFile:
    """The offline run with this index, in order of time, in a folder.

    W&B's service may close the file a moment after the run's end.
    """
    folders = sorted((run.resolve() / "wandb").glob(pattern), key=lambda p: p.stat().st_mtime_ns)
    folder = [path for path in folders if not path.is_symlink()][index]
    (file,) = folder.glob("*.wandb")
    program = Path(sys.executable).with_name("wandb")
    command: list[str | Path] = [program, "leet", "inspect", "--json", file]
    until = monotonic() + 3
    while True:
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = WandBFile(folder, [json.loads(line) for line in said.splitlines()])
        if found.of("exit") or monotonic() > until:
            return found
        sleep(0.1)
