"""`fokker task=doctor`: what this machine and this launch have, and what would go wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fokker.cli.compose import (
    CONFIG_DIR,
    MULTIRUN,
    composed,
    meant_overrides,
    refuse,
    with_config_dirs,
)
from fokker.cli.start import Start

# In place of a run's folder, of which there is none.
NO_FOLDER = Path("fokker-doctor")


def is_asked(arguments: Sequence[str]) -> bool:
    """Whether a command line is for the doctor; with --help, --cfg and others it is hydra's."""
    tasks = [a.lstrip("+").partition("=")[2] for a in arguments if a.lstrip("+")[:5] == "task="]
    flags = [a.partition("=")[0] for a in arguments if a[:1] == "-"]
    return bool(tasks) and tasks[-1].strip("'\"") == "doctor" and {*flags} <= {
        *MULTIRUN, *CONFIG_DIR,
    }  # fmt: skip


def doctor(arguments: Sequence[str], is_sweep: bool) -> bool:
    """Examine, by as many ranks as a run would have, and print what was found.

    Args:
        arguments: of the command line.
        is_sweep: whether keys may have several values.
    Returns:
        whether nothing would go wrong.
    Raises:
        SystemExit: for what cannot be composed.
    """
    start = Start.here()
    try:
        with composed(with_config_dirs(arguments), is_sweep) as config:
            hydra, overrides = config.hydra, meant_overrides(config)
            options, sources = dict(hydra.runtime.choices), list(hydra.runtime.config_sources)
            jobs: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
            plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    except ValueError as error:
        refuse(error, start)
    from fokker.cli.choices import Choices
    from fokker.cli.doctor.examine import examine
    from fokker.cli.doctor.launched import Launch, to_start
    from fokker.cli.launch import RankDied, launch

    choices = Choices(options, sources, overrides)
    is_queued = is_sweep or options["hydra/launcher"] != "basic"
    way = Launch(start, str(options["hydra/launcher"]), jobs if is_queued else None)
    try:
        size = to_start(way, plain.trainer)
    except ValueError:  # It gets a row.
        size = 1
    if start.size > 1 or size == 1 or way.is_submitted:
        return examine(plain, choices, way)
    try:
        return launch(plain, choices, NO_FOLDER, size)
    except (ValueError, RankDied) as error:
        refuse(error)
