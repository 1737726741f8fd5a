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
# A call to W&B's service, which runs on this machine, takes milliseconds.
CALL_SECONDS = 15.0
LEAVE_SECONDS = 5.0
#: The variables by which a W&B agent addresses the one run that it starts.
AGENT = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")

T = TypeVar("T")


@final
class SafeRun:
    """A W&B run, which is offline without a key, never prompts, and is off after a failure.

    W&B may not be installed, may lack its server, service or disk, may raise or never answer. In
    each case the caller waits at most some seconds, once, and stderr gets one sentence. Everything
    that W&B writes lies in `<folder>/wandb`, and `<folder>/wandb.json` keeps the run's id.

    Args:
        folder: the folder of what is mirrored, which exists.
        finish_seconds: the time that the end may take; the rest stays on disk, for `wandb sync`.
        earlier: a folder whose id is taken over if this one has none yet.
        is_agents: whether this is the run that a W&B agent asks for, if there is an agent.
        init: the arguments of `wandb.init`.
    """

    def __init__(
        self,
        folder: Path,
        finish_seconds: float,
        earlier: Path | None = None,
        is_agents: bool = True,
        **init: object,
    ) -> None:
        self._folder, self._seconds = folder.resolve(), finish_seconds
        self._is_agents = is_agents and not _is_stale()
        self._run: Any = None
        #: The URL of the run, or the command that sends it to the server.
        self.address = ""
        #: The code that the run will end with: 0 for success, 255 if stopped, else a failure.
        self.exit_code = 1
        if os.environ.get("WANDB_MODE") == "disabled":
            return
        try:
            # This is time for two starts, the second one offline, and for W&B's service.
            self._run = self._within(3 * INIT_SECONDS, lambda: self._start(earlier, init))
            self._files = Path(self._run.dir).parent
            is_offline = self._run.offline
            self.address = f"wandb sync {short(self._files)}" if is_offline else str(self._run.url)
        except Exception as error:
            self._off(error)

    def do(self, work: Callable[[Any], object], is_long: bool = False) -> None:
        """Do some work with W&B's own run, if it is on; long work may take `finish_seconds`."""
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

    def _start(self, earlier: Path | None, init: Mapping[str, object]) -> Any:
        # W&B would take the system's temporary folder if it could not write here.
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
            # Later runs of this process do not wait for the server again.
            os.environ["WANDB_MODE"] = "offline"
            self._leave()  # The service still uses the id.
            run = start(mode="offline", **given)
            _warn(f"W&B cannot be reached ({_sentence(error)}); this and later runs are offline")
            return run

    def _run_id(self, earlier: Path | None) -> str:
        """Return the agent's id, this folder's, an earlier folder's, or a new one."""
        agents = os.environ.get("WANDB_RUN_ID") if self._is_agents else None
        places = [self._folder, *([earlier] if earlier else [])]
        kept = [record_or_why(place / "wandb.json")[0].get("id") for place in places]
        return next(filter(None, [agents, *kept]), None) or os.urandom(4).hex()

    # ---- what can go wrong ---------------------------------------------------------------

    def _within(self, seconds: float, work: Callable[[], T]) -> T:
        with _environment(self._folder, self._is_agents):
            return within(seconds, work)

    def _off(self, error: Exception) -> None:
        """Warn once that there is no mirror, and end the connection to W&B."""
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
    """Return what `work` gives in a thread, which is left behind if it takes too long.

    Raises:
        TimeoutError: if there is no answer after so many seconds.
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
    """Set W&B's environment for the block: folders inside the run's, and no reports of its errors.

    Variables that are empty are hidden from W&B, which would refuse them. So are an agent's, for a
    run that the agent has not asked for.
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
    """Tell whether a W&B agent's variables are left from an agent whose files are gone."""
    parameters = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    return bool(parameters) and not Path(str(parameters)).is_file()


def _mode() -> str | None:
    """Return the user's mode, but offline where W&B would ask for a key; None: W&B's default."""
    mode = os.environ.get("WANDB_MODE")
    if mode in ("offline", "dryrun"):
        return "offline"
    if _has_key():
        return mode
    if mode:
        _warn(f"WANDB_MODE={mode} needs a key, by `wandb login`; without one this run is offline")
    return "offline"


def _has_key() -> bool:
    """Tell whether a key or token is in the environment or in .netrc, so that W&B does not ask."""
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
