"""The folder of one trained model."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from filelock import FileLock

from fokker.machine.disk import DamagedError, short, writing
from fokker.machine.files import checksum, write_atomically, write_json
from fokker.machine.folders import make_folder
from fokker.store.checkpoints import (
    DESCRIPTION,
    check_network,
    check_undamaged,
    load_checkpoint,
    read_checkpoint,
)
from fokker.store.model_uses import USED_BY
from fokker.store.places import SAFETENSORS
from fokker.store.records import FORMAT, FormatError, check_has, read_record
from fokker.store.trained import Trained

#: What the system says of a folder that is another's, or no place for a file.
_ANOTHERS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENXIO, errno.EISDIR)
#: What model.json calls a training that a limit of the run has ended.
EARLY = "stopped early"
#: What it calls one that has come to an end, so that its model may be used.
USABLE = ("complete", EARLY)


@final
class ModelFolder:
    """`last.ckpt`, `model.json`, `config.yaml`, `metrics.jsonl` and `*.safetensors` of a model.

    Args:
        path: outputs/models/<formulation>-<data>-<10 hex>.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "last.ckpt"
        self.curves = path / "metrics.jsonl"
        self.config = path / "config.yaml"

    @property
    def record(self) -> dict[str, Any]:
        """What model.json says."""
        return read_record(self.path / "model.json")

    @property
    def is_complete(self) -> bool:
        """Whether the training came to its end."""
        return self.record.get("status") == "complete" and self.checkpoint.is_file()

    @property
    def is_usable(self) -> bool:
        """Whether it came to an end that was asked for, be it an early one."""
        return self.record.get("status") in USABLE and self.checkpoint.is_file()

    @property
    def seconds(self) -> float:
        """How long it was trained, by runs that were not killed."""
        return float(self.record.get("seconds") or 0.0)

    @property
    def steps_done(self) -> int:
        """Steps in the checkpoint; 0 if there is none."""
        return self.record.get("step", 0) if self.checkpoint.is_file() else 0

    def write(self, **entries: Any) -> None:
        """Change entries of model.json."""
        write_json(self.path / "model.json", {"format": FORMAT, **self.record, **entries})

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Put a checkpoint in the place of the last one.

        The record has its checksum before it is there, and those of the last one until it is.
        """
        known = self.record.get("checksums", [])

        def note(temporary: Path) -> None:
            write(temporary)
            self.write(checksums=[*known, checksum(temporary)])

        write_atomically(self.checkpoint, note)
        self.write(step=step, checksums=self.record["checksums"][-1:])

    def take_over(self, other: "ModelFolder") -> None:
        """Put the files of another folder, which ends, in the place of these.

        There is a whole model at every moment: whichever of its files come first, the record beside
        the checkpoint knows it.
        """
        folders = (self, other)
        both = [known for folder in folders for known in folder.record.get("checksums", [])]
        for folder in folders:
            folder.write(checksums=both)
        with writing(self.path):
            for file in other.path.iterdir():
                file.replace(self.path / file.name)
            other.path.rmdir()

    def check(self, training: Trained) -> None:
        """Refuse what could neither be used nor be continued, before anything is written.

        Raises:
            ValueError: if the folder is damaged, another program's or another version's.
        """
        remedy = f"move it away, or say fokker task=models 'delete=[{self.path.name}]'"
        try:
            record = self.record
        except FormatError as error:
            said = f"{short(error.path)} was {error.why}; use the version that wrote it"
            raise ValueError(f"{said}, or {remedy}") from error
        if not self.checkpoint.is_file():
            return
        if not record:
            raise ValueError(f"{self.path} has a checkpoint but no model.json; {remedy}")
        # A kill may come between the first save and its step.
        needed = ("status", "step") if record.get("status") in USABLE else ("status",)
        check_has(self.path / "model.json", record, *needed)
        try:
            check_network(self.checkpoint, read_checkpoint(self.checkpoint), training)
            check_undamaged(self.checkpoint)
        except DamagedError as error:
            raise ValueError(f"{error.path} is damaged: {error.why}; {remedy}") from error
        except ValueError as error:
            raise ValueError(f"{error}; {remedy}") from error

    def note_use(self, run: Path) -> None:
        """Let the model know of a run that lies where its inventory does not look.

        It is a line of a file of its own. Where another's model cannot be written, there is none.

        Raises:
            DiskError: if there is no space for it.
        """
        run, outputs = run.resolve(), self.path.resolve().parent.parent
        known = [(outputs / place).resolve() for place in ("runs", "sweeps")]
        if not (self.path / "model.json").is_file() or {*known} & {*run.parents}:
            return
        file, line = self.path / USED_BY, json.dumps(str(run))
        with writing(file):
            try:
                if file.is_file() and line.encode() in file.read_bytes().splitlines():
                    return
                # Of another's folder: a link leads elsewhere, and a pipe waits for its reader.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
                handle = os.open(file, flags, 0o666)
                try:
                    # What stands before may have been cut off.
                    os.write(handle, f"\n{line}\n".encode())
                finally:
                    os.close(handle)
            except OSError as error:
                if error.errno not in _ANOTHERS:
                    raise

    def lock(self) -> FileLock:
        """Held by the one process that trains this model."""
        make_folder(self.path.parent, may_be_link=True)
        return FileLock(self.path.parent / f".{self.path.name}.lock")

    def load_into(self, training: Trained) -> None:
        """Give a model the raw and averaged weights of the checkpoint."""
        load_checkpoint(self.checkpoint, training)

    def export(self, training: Trained, description: str) -> dict[str, str]:
        """Write the raw and averaged weights of the network as safetensors.

        Each file holds what is in the network's state: weights of one kind, and buffers, which are
        not averaged. Its metadata describe the model, with the name of the kind as `weights` and
        without the overrides; in one entry, as several would stand in any order.

        Returns:
            the sha256 of each file by its name.
        """
        from safetensors.torch import save  # save_file hides the file from other users.

        state, about = training.formulation.network.state_dict(), json.loads(description)
        about["record"].pop("overrides", None)  # The same model may be asked for in many words.
        written = {}
        for name in ("raw", *training.ema.names):
            whole = {**state, **training.weights(name)}
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in whole.items()}
            content = save(tensors, {DESCRIPTION: json.dumps({**about, "weights": name})})
            file = self.path / f"{name}{SAFETENSORS}"
            write_atomically(
                file,
                lambda temporary, content=content: temporary.write_bytes(content),  # type: ignore[misc]
            )
            written[file.name] = hashlib.sha256(content).hexdigest()
        return written
