"""A check of W&B, as a run would find it."""

import io
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from importlib import metadata
from urllib.error import HTTPError
from urllib.request import urlopen

from fokker.doctor.table import Row, judged
from fokker.tracking.wandb_run import INIT_SECONDS, _has_key, _mode, within

SECONDS = 3.0


def wandb_row(
    is_used: bool,
    env: Mapping[str, str] = os.environ,
    version: Callable[[str], str] = metadata.version,
    has_key: Callable[[], bool] = _has_key,
    answers: "Callable[[str], bool] | None" = None,
) -> Row:
    """Make the row of W&B's version, key, mode and server.

    Args:
        is_used: whether the run has logger=wandb.
        answers: the function that tells whether a server answers; null: the server is asked.
    """
    use = "" if is_used else "; logger is not wandb"
    try:
        found = f"wandb {version('wandb')}"
    except metadata.PackageNotFoundError:
        return judged("W&B", f"not installed{use}", warning="" if not is_used else (
            "W&B is off for this run, whose local record is whole; pip install wandb"
        ))  # fmt: skip
    if env.get("WANDB_MODE") == "disabled":
        return judged("W&B", f"{found}, disabled by WANDB_MODE{use}")
    said = io.StringIO()
    with redirect_stderr(said):
        mode = _mode() or "online"
    warning = said.getvalue().strip().removeprefix("warning: ")
    is_keyed = has_key()
    found += f", {'a key' if is_keyed else 'no key'}: {mode}"
    if is_keyed and mode not in ("offline", "disabled"):
        server = env.get("WANDB_BASE_URL") or "https://api.wandb.ai"
        if (answers or server_answers)(server):
            found += f", {server} answers"
        else:
            warning = (
                f"{server} does not answer within {SECONDS:g} s, and a run waits {INIT_SECONDS:g} "
                "s for it and is kept offline; set WANDB_MODE=offline and use wandb sync later"
            )
    return judged("W&B", found + use, warning=warning if is_used else "")


def server_answers(server: str, seconds: float = SECONDS) -> bool:
    """Tell whether a server answers at all within some seconds."""

    def call() -> bool:
        try:
            with urlopen(server, timeout=seconds):
                return True
        except HTTPError:  # It has answered.
            return True

    try:
        return within(seconds, call)
    except (OSError, ValueError):
        return False
