"""The task `doctor`, which says what would go wrong on this machine and in this launch."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf

from fokker.config.compose import composed, meant_overrides, refuse
from fokker.machine.start import Start
from fokker.overrides import read


def is_asked(overrides: Sequence[str]) -> bool:
    """Tell whether overrides ask for the doctor."""
    tasks = [word for word in map(read, overrides) if word.name == "task" and word.is_set]
    with suppress(HydraException):  # It is raised again where all of them are composed.
        return bool(tasks) and tasks[-1].value == "doctor"
    return False


def doctor(overrides: Sequence[str], is_sweep: bool) -> bool:
    """Examine this launch by as many ranks as a run would have, and print what was found.

    Args:
        overrides: the overrides as typed, with the search path.
        is_sweep: whether keys may have several values.
    Returns:
        whether nothing would go wrong.
    Raises:
        SystemExit: if the overrides cannot be composed, or a rank has died.
    """
    start = Start.here()
    try:
        # Values may be wrong, as in a display: the table has rows for mistakes.
        with composed(overrides, is_sweep, is_shown=True) as config:
            hydra, meant = config.hydra, meant_overrides(config)
            options, sources = dict(hydra.runtime.choices), list(hydra.runtime.config_sources)
            jobs: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
            plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    except ValueError as error:
        refuse(error, start)
    from fokker.config.choices import Choices
    from fokker.doctor.examine import examine
    from fokker.doctor.launched import Launch, to_start
    from fokker.launch.launch import RankDied, launch

    choices = Choices(options, sources, meant)
    is_queued = is_sweep or options["hydra/launcher"] != "basic"
    way = Launch(start, str(options["hydra/launcher"]), jobs if is_queued else None)
    try:
        size = to_start(way, plain.trainer)
    except ValueError:  # The error gets a row.
        size = 1
    if start.size > 1 or size == 1 or way.is_submitted:
        return examine(plain, choices, way)
    try:
        return launch(plain, choices, None, size)
    except (ValueError, RankDied) as error:
        refuse(error)
