"""A W&B run that cannot harm the run which it mirrors."""

import netrc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, final
from urllib.parse import urlparse

from fokker.machine.disk import short
from fokker.machine.files import write_json
from fokker.machine.masking import masked, masked_values
from fokker.store.records import record_or_why

# A healthy start takes one to three seconds, and a server that is down answers at once or never.
INIT_SECONDS = 15.0
# What is asked of W&B's service, which runs on this machine, takes milliseconds.
CALL_SECONDS = 15.0
LEAVE_SECONDS = 5.0
#: What a W&B agent tells the one run that it starts.
AGENT = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")

T = TypeVar("T")


@final
class SafeRun:
    """A W&B run: offline without a key, never a prompt, and off after its first failure.

    Whatever W&B does, be it not installed, without its server, service or disk, raising or
    silent: the caller waits at most some seconds, once, and stderr gets one sentence. Everything
    that W&B writes lies in `<folder>/wandb`, and `<folder>/wandb.json` keeps the run's id.

    Args:
        folder: of what is mirrored; it exists.
        finish_seconds: how long the end may take; the rest stays on disk, for `wandb sync`.
        earlier: a folder whose id is taken over if this one has none yet.
        is_agents: whether it is the run that a W&B agent asks for, if there is one.
        init: for `wandb.init`.
    """

    def __init__(
        self,
        folder: Path,
        finish_seconds: float,
        earlier: Path | None = None,
        is_agents: bool = True,
        **init: Any,
    ) -> None:
        self._folder, self._seconds = folder.resolve(), finish_seconds
        self._is_agents = is_agents and not _is_stale()
        self._run: Any = None
        #: Where the run can be looked at, or how it gets to the server.
        self.address = ""
        #: With which the run will end: 0 for success, 255 for one that was stopped, else a failure.
        self.exit_code = 1
        if os.environ.get("WANDB_MODE") == "disabled":
            return
        try:
            # Two starts, the second offline, and W&B's service.
            self._run = self._within(3 * INIT_SECONDS, lambda: self._start(earlier, init))
            self._files = Path(self._run.dir).parent
            is_offline = self._run.offline
            self.address = f"wandb sync {short(self._files)}" if is_offline else str(self._run.url)
        except Exception as error:
            self._off(error)

    def do(self, work: Callable[[Any], object], is_long: bool = False) -> None:
        """Do something with W&B's own run, if it is on; if it is long in the seconds given."""
        run = self._run
        if run is None:
            return
        try:
            self._within(self._seconds if is_long else CALL_SECONDS, lambda: work(run))
        except Exception as error:
            self._off(error)

    def finish(self) -> None:
        """End the run."""
        run = self._run
        if run is None:
            return
        try:
            # W&B gives up by itself first, if it can.
            self._within(self._seconds + LEAVE_SECONDS, lambda: run.finish(self.exit_code))
        except TimeoutError:
            os.environ["WANDB_MODE"] = "offline"
            _warn(
                "W&B has not taken all of the run within logger.wandb.finish_seconds="
                f"{self._seconds:g}; `wandb sync {short(self._files)}` sends it, and later runs "
                "are kept offline"
            )
            self._leave()
        except Exception as error:
            self._off(error)
        self._run = None

    # ---- the start -----------------------------------------------------------------------

    def _start(self, earlier: Path | None, init: Mapping[str, Any]) -> Any:
        # Where W&B cannot write it takes the system's temporary folder.
        (self._folder / "wandb").mkdir(exist_ok=True)
        run_id = self._run_id(earlier)
        write_json(self._folder / "wandb.json", {"id": run_id})
        import wandb

        start: Any = wandb.init
        wanted: dict[str, Any] = {
            "silent": True, "init_timeout": INIT_SECONDS, "finish_timeout": self._seconds,
            "finish_timeout_raises": True,
        }  # fmt: skip
        known = {k: v for k, v in wanted.items() if k in wandb.Settings.model_fields}
        mode = _mode()
        given = {
            **masked_values(init), "dir": str(self._folder), "id": run_id, "reinit": "create_new",
            "settings": wandb.Settings(**known),
        }  # fmt: skip
        try:
            online = {} if mode == "offline" else {"resume": "allow"}
            return start(mode=mode, **online, **given)
        except Exception as error:
            if mode == "offline":
                raise
            # Nor are the later runs of this process kept waiting.
            os.environ["WANDB_MODE"] = "offline"
            self._leave()  # The service has the id in use.
            run = start(mode="offline", **given)
            _warn(f"W&B cannot be reached ({_sentence(error)}); this and later runs are offline")
            return run

    def _run_id(self, earlier: Path | None) -> str:
        """The agent's, this folder's, an earlier folder's, or a new one."""
        agents = os.environ.get("WANDB_RUN_ID") if self._is_agents else None
        places = [self._folder, *([earlier] if earlier else [])]
        kept = [record_or_why(place / "wandb.json")[0].get("id") for place in places]
        return next(filter(None, [agents, *kept]), None) or os.urandom(4).hex()

    # ---- what can go wrong ---------------------------------------------------------------

    def _within(self, seconds: float, work: Callable[[], T]) -> T:
        with _environment(self._folder, self._is_agents):
            return within(seconds, work)

    def _off(self, error: Exception) -> None:
        """Say once that there is no mirror, and let W&B go."""
        run, self._run, self.address = self._run, None, ""
        _warn(f"W&B is off for this run, whose local record is whole: {_sentence(error)}")
        if run is not None and not isinstance(error, TimeoutError):
            with suppress(Exception):
                self._within(LEAVE_SECONDS, lambda: run.finish(self.exit_code))
                return
        self._leave()

    def _leave(self) -> None:
        """Cut the connection to W&B's service, for which the process would wait at its end."""

        def teardown() -> None:
            with suppress(Exception, SystemExit):
                sys.modules["wandb"].teardown()

        if "wandb" in sys.modules:
            with suppress(TimeoutError):
                within(LEAVE_SECONDS, teardown)


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives; it has a thread of its own, which is left behind if it takes too long.

    Raises:
        TimeoutError: after so many seconds.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="W&B", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if errors:
        raise errors[0]
    return results[0]


@contextmanager
def _environment(folder: Path, is_agents: bool) -> Iterator[None]:
    """W&B's own places inside the run's folder, no reports of its errors, and no other's sweep.

    What is set to nothing is hidden from W&B, which would refuse it.
    """
    places = {"WANDB_DATA_DIR": "data", "WANDB_CACHE_DIR": "cache"}
    ours = {name: str(folder / "wandb" / place) for name, place in places.items()}
    ours["WANDB_ERROR_REPORTING"] = "false"
    added = {name: value for name, value in ours.items() if name not in os.environ}
    others = () if is_agents else AGENT
    named = {key: value for key, value in os.environ.items() if key.startswith("WANDB_")}
    hidden = {key: value for key, value in named.items() if not value or key in others}
    os.environ.update(added)
    for name in hidden:
        del os.environ[name]
    words = sys.argv[:]
    sys.argv[:] = map(masked, words)  # W&B sends the command too.
    try:
        yield
    finally:
        sys.argv[:] = words
        for name, value in hidden.items():
            os.environ.setdefault(name, value)
        for name in added:
            os.environ.pop(name, None)


def _is_stale() -> bool:
    """Whether what a W&B agent told is left from an agent whose files are gone."""
    parameters = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    return bool(parameters) and not Path(str(parameters)).is_file()


def _mode() -> str | None:
    """As the user has it, but offline where W&B would ask for a key; null: as W&B has it."""
    mode = os.environ.get("WANDB_MODE")
    if mode in ("offline", "dryrun"):
        return "offline"
    if _has_key():
        return mode
    if mode:
        _warn(f"WANDB_MODE={mode} needs a key, by `wandb login`; without one this run is offline")
    return "offline"


def _has_key() -> bool:
    """Whether W&B can go online without asking: a key or token in the environment or in .netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    address = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    host = urlparse(address).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC") or None).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _warn(sentence: str) -> None:
    # Not by `warnings`, which a user may have turned into errors.
    print(f"warning: {sentence}", file=sys.stderr, flush=True)
