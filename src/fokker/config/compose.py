"""The composition of the configuration from its files and the overrides."""

import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.early import check_early
from fokker.config.hydra_node import check_hydra
from fokker.config.inheritance import compose_meant
from fokker.config.mistakes import UnknownKey, of_value, was_interrupted
from fokker.config.names import with_hint
from fokker.config.option_names import check_typed_options
from fokker.config.signatures import Signatures
from fokker.config.translations import sentence, unknown_key
from fokker.machine.disk import DiskError
from fokker.machine.named_files import one_line
from fokker.machine.signals import SIGNALS
from fokker.machine.start import Start
from fokker.machine.yaml_files import read_yaml, reading_yaml
from fokker.overrides import read
from fokker.store.whereabouts import config_dir as config_dir

SEARCHPATH = "hydra.searchpath="
HELP = "fokker --help lists the groups, options and keys"


def run_name() -> str:
    """Return the name of a new run's folder: the time and ten hexadecimal digits."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(5)}"


def register_resolvers(name: str | None = None) -> None:
    """Register `${run_name:}`, the name of a run's folder, and `${one_if_auto:VALUE}`.

    Args:
        name: the name of the run's folder; null: a new one.
    """
    OmegaConf.register_new_resolver(
        "run_name", lambda: name or run_name(), use_cache=True, replace=True
    )
    OmegaConf.register_new_resolver(
        "one_if_auto", lambda value: 1 if value == "auto" else value, replace=True
    )


@contextmanager
def composed(
    overrides: Sequence[str],
    is_sweep: bool = False,
    name: str | None = None,
    is_shown: bool = False,
) -> Iterator[DictConfig]:
    """Compose the configuration with its `hydra` section, as the command line would.

    Its `hydra.overrides` are the overrides that the given ones mean.

    Args:
        overrides: the overrides as typed.
        is_sweep: whether keys may have several values, as with `-m`; such keys are left out.
        name: the name of the run's folder; null: a new one.
        is_shown: whether it is only looked at, so that its values may be wrong.

    Raises:
        ValueError: if it cannot be composed, or has what must not be given to hydra.
    """
    register_resolvers(name)
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):

        def say(error: Exception) -> str:
            is_hydras = isinstance(error, HydraException)
            return why_not(error, overrides, is_sweep) if is_hydras else str(error)

        try:
            meant, config, meaning = compose_meant(
                overrides, lambda words: _load(words, is_sweep), say
            )
        except HydraException as error:
            if was_interrupted(error):  # Happens in a notebook, where fokker hears no signals.
                raise KeyboardInterrupt from error
            raise ValueError(f"{say(error)}\n{HELP}") from error
        check_typed_options(meant, config.hydra.runtime.config_sources)
        found: Any = OmegaConf.to_container(config.hydra.overrides)
        if sorted([*found["hydra"], *found["task"]]) != sorted(meant):
            raise ValueError("hydra.overrides is written by hydra alone; leave it out")
        try:
            check_hydra(config)
        except OmegaConfBaseException as error:  # A value refers to a missing key.
            raise ValueError(f"{of_value(error)}\n{HELP}") from error
        if not is_sweep and not is_shown:  # Each job of a sweep has its own values.
            with meaning.named():
                check_early(config, config.hydra.runtime.config_sources, Signatures())
        yield config


def _load(overrides: Sequence[str], is_sweep: bool) -> DictConfig:
    """Load the configuration as hydra.compose does, and for sweeps too."""
    mode = RunMode.MULTIRUN if is_sweep else RunMode.RUN
    loader = GlobalHydra.instance().config_loader()
    with reading_files(_folders(overrides), overrides):
        try:
            with SIGNALS.deferred():
                return loader.load_configuration("config", list(overrides), mode, from_shell=False)
        except UnicodeDecodeError:
            raise
        except (OmegaConfBaseException, ValueError) as error:  # From hydra or OmegaConf.
            raise ValueError(f"{why_not(error, overrides, is_sweep)}\n{HELP}") from error
        except KeyError as error:
            raise ValueError(
                f"hydra.job.env_copy must be empty, got the variable {error.args[0]}, which is not "
                "there; jobs have the variables of the command anyway"
            ) from error
        except (TypeError, AssertionError) as error:  # From hydra, for an option that is no name.
            folders = _folders(overrides)
            groups = {o: read(o).key for o in overrides}
            chosen = [o for o, g in groups.items() if any((f / g).is_dir() for f in folders if g)]
            wrong = [o for o in chosen if not re.fullmatch(r"[\w.+-]+", read(o).value_text or "")]
            said = f"{(wrong or ['an option'])[0]} must name an option by a text"
            raise ValueError(f"{said}\n{HELP}") from error
        except AttributeError as error:  # From OmegaConf, where null would have to take keys.
            key = re.search(r"full_key: (\S+)", str(error))
            raise ValueError(
                f"{key[1] if key else 'a key'} is null and takes no keys at once; set each: "
                "+KEY.NAME=VALUE"
            ) from error


def _folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders of the configuration's files, with those of the search path."""
    named = [re.findall(r"file://([^',\]]+)", o) for o in overrides if o.startswith(SEARCHPATH)]
    return [config_dir(), *(Path(folder) for folders in named for folder in folders)]


@contextmanager
def reading_files(folders: Sequence[Path], overrides: Sequence[str]) -> Iterator[None]:
    """Turn an error in a file of the configuration into a sentence that names the file.

    Args:
        folders: the folders of the configuration.
        overrides: the overrides that choose files in them.
    Raises:
        ValueError: in place of errors of YAML and hydra that do not name the file.
    """
    with reading_yaml():
        try:
            yield
        except (UnicodeDecodeError, HydraException) as error:
            text = str(error)
            if isinstance(error, UnicodeDecodeError) or not text or "while composing" in text:
                for file in sorted(
                    (file for folder in folders for file in folder.glob("*/**/*.yaml")),
                    key=lambda file: file.stem not in f"{text} {' '.join(overrides)}",
                ):
                    read_yaml(file)
            raise


def why_not(error: Exception, overrides: Sequence[str], is_sweep: bool = False) -> str:
    """Explain in a sentence why hydra cannot compose overrides."""
    key = unknown_key(error)
    if not key:
        return sentence(error, overrides, lambda group: _options(group, overrides))
    way = "\na key of an option that is swept takes two: ++KEY=VALUE" if is_sweep else ""
    known = _known(key, overrides, is_sweep)
    parent = key.rpartition(".")[0]
    above = None if known is None or not parent else OmegaConf.select(known, parent)
    if above is not None and not OmegaConf.is_config(above):
        return f"{key} is not a key, for {parent} is a value; say {parent}=VALUE"
    plus = f"; what else {parent} may take has a plus: +{key}=..." if parent else ""
    unknown = UnknownKey(key, "is not a key", _beside(key, known), plus)
    sources = [] if known is None else known.hydra.runtime.config_sources
    return f"{with_hint(unknown, known, sources)}{way}"


def _options(group: str, overrides: Sequence[str]) -> list[str]:
    """Return the options of a group, with those in the folders that overrides name."""
    places = [override for override in overrides if override.startswith(SEARCHPATH)]
    loader = GlobalHydra.instance().config_loader()
    return loader.get_group_options(group, config_name="config", overrides=places)


def in_words(error: Exception, overrides: Sequence[str]) -> Exception:
    """Return the error, or for one of hydra's or OmegaConf's a ValueError with a sentence."""
    # For an option that is null hydra raises an error of Python's own.
    is_null = str(error).startswith("Config group override")
    if not is_null and not isinstance(error, (HydraException, OmegaConfBaseException)):
        return error
    said = ValueError(why_not(error, overrides))
    said.__cause__ = error
    return said


def _known(key: str, overrides: Sequence[str], is_sweep: bool) -> DictConfig | None:
    """Compose without the overrides of unknown keys; return None if there are other mistakes."""
    left = list(overrides)
    while any(_is_of(key, o) for o in left):
        left = [o for o in left if not _is_of(key, o)]
        try:
            return _load(left, is_sweep)
        except HydraException as error:
            key = unknown_key(error)
    return None


def _is_of(key: str, override: str) -> bool:
    """Tell whether an override sets a key, by itself or as `{KEY: VALUE}`."""
    return bool(key) and f"{key}.".startswith(f"{read(override).name}.")


def _beside(key: str, config: DictConfig | None) -> list[str]:
    """Return the keys that exist in the place where an unknown key was looked for."""
    parent = key.rpartition(".")[0]
    while config is not None and parent and not OmegaConf.is_dict(OmegaConf.select(config, parent)):
        parent = parent.rpartition(".")[0]
    node = OmegaConf.select(config, parent) if config is not None and parent else config
    return sorted(str(name) for name in node or () if not str(name).startswith("_"))


def refuse(error: Exception, start: Start | None = None) -> NoReturn:
    """End the process with a sentence in place of a traceback, printed once on each machine.

    Raises:
        SystemExit: with status 1; after a signal, what the signal raises, for `error` may only be
            what a library made of that.
    """
    SIGNALS.ask()
    said = str(error)
    if isinstance(error, OSError) and not isinstance(error, DiskError):
        said = f"{error.filename} cannot be used: {error.strerror}"
    if start is None or start.local_rank == 0:
        lines = map(one_line, said.splitlines())  # It may hold text from another person's file.
        print("fokker: " + "\n".join(lines), file=sys.stderr)
    raise SystemExit(1)


def meant_overrides(config: DictConfig) -> list[str]:
    """Return the overrides of a composed configuration, without the folders of its files.

    `fokker checkpoint=PATH sampler=ddim` means the command that trained PATH, with another
    sampler.
    """
    # As they were typed: reading an entry of the list would replace variables by their values.
    found: Any = OmegaConf.to_container(config.hydra.overrides)
    return [*found["task"], *(o for o in found["hydra"] if not o.startswith(SEARCHPATH))]
