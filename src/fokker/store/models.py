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
from fokker.machine.files import checksum, write_atomically, write_bytes, write_json
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

#: The system's errors for a folder of another user, or for something else in the file's place.
_ANOTHERS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENXIO, errno.EISDIR)
#: The status in model.json of a training that a limit of the run has ended.
EARLY = "stopped early"
#: The statuses of a training that has ended, so that its model may be used.
USABLE = ("complete", EARLY)


@final
class ModelFolder:
    """The folder of a model.

    It holds `last.ckpt`, `model.json`, `config.yaml`, `metrics.jsonl` and `*.safetensors`.

    Args:
        path: the path outputs/models/<formulation>-<data>-<10 hex>.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "last.ckpt"
        self.curves = path / "metrics.jsonl"
        self.config = path / "config.yaml"

    @property
    def record(self) -> dict[str, Any]:
        """Return the content of model.json."""
        return read_record(self.path / "model.json")

    @property
    def is_complete(self) -> bool:
        """Return whether the training came to its end, and the checkpoint is there."""
        return self.record.get("status") == "complete" and self.checkpoint.is_file()

    @property
    def is_usable(self) -> bool:
        """Return whether the training ended, fully or early as asked, and left a checkpoint."""
        return self.record.get("status") in USABLE and self.checkpoint.is_file()

    @property
    def seconds(self) -> float:
        """Return the seconds of training, without those of runs that were killed."""
        return float(self.record.get("seconds") or 0.0)

    @property
    def steps_done(self) -> int:
        """Return the optimizer steps of the checkpoint; 0 if there is none."""
        return self.record.get("step", 0) if self.checkpoint.is_file() else 0

    def write(self, **entries: object) -> None:
        """Change entries of model.json."""
        write_json(self.path / "model.json", {"format": FORMAT, **self.record, **entries})

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Replace the checkpoint by a new one.

        The record gets the new checksum before the new checkpoint is in its place, and keeps those
        of the last one until then.

        Args:
            step: the optimizer steps of the new checkpoint.
            write: a function that writes the checkpoint to a path.
        """
        known = self.record.get("checksums", [])

        def note(temporary: Path) -> None:
            write(temporary)
            self.write(checksums=[*known, checksum(temporary)])

        write_atomically(self.checkpoint, note)
        self.write(step=step, checksums=self.record["checksums"][-1:])

    def take_over(self, other: "ModelFolder") -> None:
        """Move the files of another folder to the place of these, and remove that folder.

        There is a whole model at every moment: in whatever order the files are moved, the record
        next to a checkpoint has its checksum.
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
        """Refuse a model that can be neither used nor continued, before anything is written.

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
        # A kill may come between the first save and the record of its step.
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
        """List a run that used the model, if the inventory of these outputs does not find it.

        The list is the file `USED_BY`. Nothing is listed where another user's folder cannot be
        written.

        Raises:
            DiskError: if the list cannot be written for another reason, such as a full disk.
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
                # In another user's folder a link may lead elsewhere, and a pipe waits for a reader.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
                handle = os.open(file, flags, 0o666)
                try:
                    # A new line is begun, since the one before may have been cut off.
                    os.write(handle, f"\n{line}\n".encode())
                finally:
                    os.close(handle)
            except OSError as error:
                if error.errno not in _ANOTHERS:
                    raise

    def lock(self) -> FileLock:
        """Return the lock that the process which trains this model holds."""
        make_folder(self.path.parent, may_be_link=True)
        return FileLock(self.path.parent / f".{self.path.name}.lock")

    def load_into(self, training: Trained) -> None:
        """Give a model the raw and averaged weights of the checkpoint."""
        load_checkpoint(self.checkpoint, training)

    def export(self, training: Trained, description: str) -> dict[str, str]:
        """Write the raw and averaged weights of the network as safetensors.

        Each file holds the network's state: weights of one kind, and buffers, which are not
        averaged. Its metadata are the description of the model, with the name of the kind as
        `weights` and without the overrides. They are one entry, since the order of several would
        vary.

        Returns:
            the sha256 of each file by its name.
        """
        from safetensors.torch import save  # save_file makes a file that others cannot read.

        state, about = training.formulation.network.state_dict(), json.loads(description)
        about["record"].pop("overrides", None)  # Different overrides may ask for the same model.
        written = {}
        for name in ("raw", *training.ema.names):
            whole = {**state, **training.weights(name)}
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in whole.items()}
            content = save(tensors, {DESCRIPTION: json.dumps({**about, "weights": name})})
            file = self.path / f"{name}{SAFETENSORS}"
            write_bytes(file, content)
            written[file.name] = hashlib.sha256(content).hexdigest()
        return written
