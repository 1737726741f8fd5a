"""Finding the configuration and composing it."""

import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fokker.cli.early import check_early
from fokker.cli.hydra_node import check_hydra
from fokker.cli.mistakes import UnknownKey, of_value, was_interrupted
from fokker.cli.names import with_hint
from fokker.cli.signatures import Signatures
from fokker.cli.start import Start
from fokker.cli.translations import sentence, unknown_key
from fokker.places import find_checkpoint

# What a run of a checkpoint does not take over from the run that trained it.
NOT_INHERITED = (
    "task", "checkpoint", "continue_from", "retrain", "output_dir", "logger", "evaluation", "hydra",
    "allow_targets",  # A folder from elsewhere must not choose what is imported.
)  # fmt: skip
MULTIRUN = ("-m", "--multirun")
CONFIG_DIR = ("--config-dir", "-cd")
SHOWN = ("-c", "--cfg")
PACKAGE = ("-p", "--package")
#: Hydra's flags besides these.
OTHER_FLAGS = (
    "-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run",
    "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name", "-i", "--info",
    "--experimental-rerun",
)  # fmt: skip
HELP = "fokker --help lists the groups, options and keys"


def config_dir() -> Path:
    """The folder of the configuration: inside the package in a wheel, else the repository's."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def run_name() -> str:
    """The name of a new run's folder: the time and six hexadecimal digits."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(3)}"


def register_resolvers(name: str | None = None) -> None:
    """`${run_name:}`, the name of a run's folder, and `${one_if_auto:VALUE}`.

    Args:
        name: that it has; null: a new one.
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
    """The configuration with hydra's own node, as the command line would compose it.

    Args:
        overrides: as typed.
        is_sweep: whether keys may have several values, as with `-m`; they are left out then.
        name: of the run's folder; null: a new one.
        is_shown: whether it is but looked at, so that its values may be wrong.

    Raises:
        ValueError: if it cannot be composed, or hydra must not have it.
    """
    register_resolvers(name)
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        try:
            config = _load(overrides, is_sweep)
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            raise ValueError(f"{why_not(error, overrides, is_sweep)}\n{HELP}") from error
        try:
            check_hydra(config)
        except OmegaConfBaseException as error:  # A value that refers to none.
            raise ValueError(f"{of_value(error)}\n{HELP}") from error
        if not is_sweep and not is_shown:  # Of which each job has its own values.
            check_early(config, config.hydra.runtime.config_sources, Signatures())
        yield config


def _load(overrides: Sequence[str], is_sweep: bool) -> DictConfig:
    """As hydra.compose does, which knows no sweeps."""
    mode = RunMode.MULTIRUN if is_sweep else RunMode.RUN
    loader = GlobalHydra.instance().config_loader()
    return loader.load_configuration("config", list(overrides), mode, from_shell=False)


def why_not(error: Exception, overrides: Sequence[str], is_sweep: bool = False) -> str:
    """Why hydra cannot compose overrides, in a sentence."""
    key = unknown_key(error)
    if not key:
        options = GlobalHydra.instance().config_loader().get_group_options
        return sentence(error, overrides, options)
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


def in_words(error: Exception, overrides: Sequence[str]) -> Exception:
    """The error, or of hydra's or OmegaConf's one with a sentence."""
    is_theirs = isinstance(error, (HydraException, OmegaConfBaseException))
    return ValueError(why_not(error, overrides)) if is_theirs else error


def _known(key: str, overrides: Sequence[str], is_sweep: bool) -> DictConfig | None:
    """The configuration without the overrides of unknown keys; null if it has other mistakes."""
    left = list(overrides)
    while any(_is_of(key, o) for o in left):
        left = [o for o in left if not _is_of(key, o)]
        try:
            return _load(left, is_sweep)
        except HydraException as error:
            key = unknown_key(error)
    return None


def _is_of(key: str, override: str) -> bool:
    """Whether an override sets a key, by itself or as `{KEY: VALUE}`."""
    return bool(key) and f"{key}.".startswith(f"{override_key(override)}.")


def _beside(key: str, config: DictConfig | None) -> list[str]:
    """The keys that are where a key was looked for."""
    parent = key.rpartition(".")[0]
    while config is not None and parent and not OmegaConf.is_dict(OmegaConf.select(config, parent)):
        parent = parent.rpartition(".")[0]
    node = OmegaConf.select(config, parent) if config is not None and parent else config
    return sorted(str(name) for name in node or () if not str(name).startswith("_"))


def refuse(error: Exception, start: Start | None = None) -> NoReturn:
    """End the process with a sentence in place of a traceback, of all ranks one a machine."""
    if start is None or start.local_rank == 0:
        print(f"fokker: {error}", file=sys.stderr)
    raise SystemExit(1)


def check_flags(flags: Sequence[str]) -> None:
    """Refuse the flags of other programs, whose overrides have dashes.

    Raises:
        ValueError: says what to type.
    """
    for flag in flags:
        name = flag.partition("=")[0]
        if flag[:1] != "-" or name in (*MULTIRUN, *CONFIG_DIR, *SHOWN, *PACKAGE, *OTHER_FLAGS):
            continue
        key = name.lstrip("-").replace("-", "_")
        try:
            with composed([f"{key}=null"], is_shown=True):
                pass
        except ValueError as error:
            if str(error).startswith(f"{key} is not a key"):
                raise ValueError(f"{name} is not a flag, and {error}") from error
        raise ValueError(f"{name} is not a flag; an override has no dashes: say {key}=VALUE")


def with_config_dirs(arguments: Sequence[str]) -> list[str]:
    """The overrides of a command line; `--config-dir FOLDER` is one of hydra's search path."""
    overrides, places = [], []
    words = iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if name in CONFIG_DIR:
            places.append(value or next(words, "."))
        elif name in (*SHOWN, *PACKAGE):
            _ = value or next(words, "")  # What is shown of it is no override.
        elif word[:1] != "-":
            overrides.append(word)
    quoted = [
        QuotedString(f"file://{Path(place).resolve()}", Quote.single).with_quotes()
        for place in places
    ]
    return [*overrides, *([f"hydra.searchpath=[{','.join(quoted)}]"] if quoted else [])]


def override_key(override: str) -> str:
    """The key that an override such as `+sde@sampler.sde=edm` or `~ema` names."""
    return override.lstrip("+~").split("=", 1)[0]


def with_inherited(overrides: Sequence[str]) -> list[str]:
    """The overrides, behind those of the run that trained `checkpoint=PATH`, if one is given.

    `fokker checkpoint=PATH sampler=ddim` so means the command that trained PATH, with another
    sampler; and so does `continue_from=PATH`.

    Raises:
        ValueError: if there is no checkpoint at PATH.
    """
    given = {override_key(o): o.split("=", 1)[1] for o in overrides if "=" in o}
    way = "checkpoint" if given.get("continue_from", "null") == "null" else "continue_from"
    # What a model started from that is continued is in its own name.
    left = {*NOT_INHERITED, *(["init_from"] if way == "continue_from" else [])}
    path = given.get(way, "null").strip("'\"")
    if path in ("null", ""):
        return list(overrides)
    # Kept out of the command's start: what finds checkpoints needs torch.
    from fokker.experiment.files import read_json
    from fokker.experiment.identity import recorded_standardize
    from fokker.experiment.models import find_checkpoint

    file = find_checkpoint(Path(path)).parent / "model.json"
    try:
        # By hydra's parser, which takes no flag for an override and sees through spaces.
        trained = OverridesParser.create().parse_overrides(read_json(file).get("overrides", []))
    except HydraException as error:
        raise ValueError(f"{file} does not hold overrides: {error}") from error
    inherited = []
    for override in trained:
        key = override.get_key_element().lstrip("+~")
        # Who gives sampler=ddim does not want another sampler's sampler.alpha.
        is_replaced = key in given or _group(key) in given
        if not is_replaced and _group(override.key_or_group) not in left:
            inherited.append(str(override.input_line))
    # What `true` means depends on the data, and on the version of fokker that trained.
    word = None if "data" in given else recorded_standardize(file.with_name("config.yaml"))
    if word is not None and "data.standardize" not in given:
        inherited.append(f"data.standardize={word}")
    return [*inherited, *overrides]


def check_checkpoint(overrides: Sequence[str]) -> None:
    """Refuse `checkpoint=PATH` with nothing there, without torch, which its overrides wait for.

    Raises:
        ValueError: if there is no checkpoint at PATH.
    """
    for override in overrides:
        key, _, path = override.partition("=")
        if override_key(key) == "checkpoint" and path.strip("'\"") not in ("null", ""):
            find_checkpoint(Path(path.strip("'\"")))


def check_agents_parameters() -> None:
    """That a W&B sweep, whose values come from a server, does not choose what is imported.

    Raises:
        ValueError: if one of its parameters is allow_targets.
    """
    path = Path(os.environ.get("WANDB_SWEEP_PARAM_PATH", ""))
    if not path.is_file():
        return
    for key in OmegaConf.to_container(OmegaConf.load(path)) or ():
        if _group(str(key).strip(" +~")) == "allow_targets":
            raise ValueError(
                "allow_targets must not be a parameter of a W&B sweep, for it says whose code may "
                f"run, got it in {path}; write it into the sweep's command"
            )


def _group(key: str) -> str:
    """The first part of a key or group."""
    return re.split(r"[./]", key)[0]
