"""The meaning of a command: its paths, and the overrides that a trained model brings along."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.hydra_node import PLACES, check_as_typed
from fokker.config.mistakes import of_value
from fokker.config.option_names import check_typed_options
from fokker.config.option_words import as_typed, group_of, is_group, option_words
from fokker.config.recorded import ForeignRecord, recorded_overrides
from fokker.machine.start import Start
from fokker.machine.yaml_files import reading_yaml
from fokker.overrides import read
from fokker.store.places import last_run

#: Keys that name a trained model, and take over the overrides that it was trained with.
INHERITING = ("checkpoint", "continue_from")
#: Those, and the key of the model whose weights a training begins with.
MODELS = (*INHERITING, "init_from")
#: The word that means, in place of a path, the last run that has a model.
LAST = "last"
#: Keys that hold paths, in which `~` is the user's home.
PATHS = (*INHERITING, "init_from", "data.path", "evaluation.beside", *PLACES)
# Hydra's grammar has no `~` in a value, so the home folder is written out before.
_HOME = re.compile(r"(?<=[=,(\[\s])~[\w.-]*(?=[/,)\]\s]|$)")
_SPECIAL = re.compile(r"([\\()\[\]{}:=,\s])")

Compose = Callable[[Sequence[str]], DictConfig]
Say = Callable[[Exception], str]


@final
@dataclass(frozen=True)
class Meaning:
    """The step from a command's overrides to those that are meant.

    Attributes:
        inherited: the overrides of the run that trained a model; the command's own follow and win.
        places: the overrides of paths by key, in place of the command's own.
        record: the file that the inherited overrides come from.
    """

    inherited: Sequence[str] = ()
    places: dict[str, str] = field(default_factory=dict)
    record: Path = Path()

    def of(self, overrides: Sequence[str]) -> list[str]:
        """Return the overrides that these mean."""
        own = [o for o in overrides if read(o).name not in self.places]
        return [*self.inherited, *own, *self.places.values()]

    @contextmanager
    def named(self, say: Say = str) -> Iterator[None]:
        """Name the record's file in a mistake that is in one of its overrides.

        Args:
            say: a function that explains an error in a sentence that begins with the key.
        """
        try:
            yield
        except (ValueError, HydraException) as error:
            said = say(error)
            key = re.split(r"[\s=]", said, maxsplit=1)[0]
            if key in {read(o).name for o in self.inherited}:
                raise ForeignRecord(f"{self.record} has a wrong override: {said}") from error
            raise


def compose_meant(
    overrides: Sequence[str], compose: Compose, say: Say = str
) -> tuple[list[str], DictConfig, Meaning]:
    """Compose the overrides that are meant; return them, their configuration and the meaning.

    `fokker checkpoint=PATH sampler=ddim` means the command that trained PATH, with another sampler;
    PATH may be `last`, and may stand in a file, in quotes, or in a variable.

    Raises:
        HydraException: if they cannot be composed.
        ValueError: if there is no such model, or its record cannot be used or would change what
            is imported, what hydra does or where files are written.
    """
    typed = [_with_home(override) for override in overrides]
    try:
        config = compose(typed)
    except HydraException as error:  # A key may come from the model's overrides.
        try:
            config = compose(_of_places(typed))
            meaning = meaning_of(typed, config)
        except HydraException:
            meaning = Meaning()
        if not meaning.inherited:
            raise error from error.__cause__
    else:
        meaning = meaning_of(typed, config)
    meant = meaning.of(typed)
    if meant == typed:
        return meant, config, meaning
    with meaning.named(say):
        whole = compose(meant)
    if meaning.inherited:
        check_as_typed(config, whole, meaning.record)
    return meant, whole, meaning


def meaning_of(overrides: Sequence[str], config: DictConfig) -> Meaning:
    """Find the meaning of overrides, by the configuration that they compose to.

    Raises:
        ValueError: for the same reasons as `compose_meant`.
    """
    places, given = {}, _given(overrides, config)
    inherited: list[str] = []
    record = Path()
    for key in PATHS:
        value = _value(config, key)
        is_model = key in MODELS and isinstance(value, str) and value != ""
        meant: Any = _at_home(value)
        if is_model and meant == LAST:
            meant = last_model(config, key)
        # The path is written out, for a variable in it may have another value next time.
        if meant != value or (is_model and OmegaConf.is_interpolation(config, key)):
            places[key] = f"{key}={as_typed(meant)}"
        if is_model and key in INHERITING and not inherited:
            record, inherited = recorded_overrides(Path(meant), given, config)
    return Meaning(inherited, places, record)


@final
class JobMeanings:
    """The meanings of a sweep's jobs, found anew only for overrides that can change a meaning.

    Args:
        config: the composed configuration of the sweep.
        loader: the loader that composes its jobs.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config, self._loader = config, loader
        self._known: dict[tuple[Any, ...], Meaning] = {}
        self._checked: set[tuple[str, ...]] = set()
        self._decisive: dict[str, bool] = {}

    def __call__(self, overrides: Sequence[str], varied: Sequence[str]) -> list[str]:
        """Return the overrides that a job's overrides mean.

        A missing model is left for the job to report.

        Args:
            overrides: all overrides of the job.
            varied: those of them in which jobs differ.
        Raises:
            ValueError: for a key of hydra's, which a job must not set, or a model's record with an
                override that no record may have.
        """
        for override in overrides:
            word = read(override)
            if "hydra" in (group_of(word.key), group_of(word.package or "")):
                raise ValueError(
                    f"{override} is for hydra, which has one value for all jobs of a sweep; say it "
                    "on the command line, with one value, and not in a study's params or settings"
                )
        check_typed_options(overrides, self._config.hydra.runtime.config_sources)
        # A thousand jobs share few different overrides, and looking into files takes long.
        for override in {*varied}.difference(self._decisive):
            self._decisive[override] = self._matters(override)
        decisive = tuple(override for override in varied if self._decisive[override])
        if not decisive:
            return list(overrides)
        key = (decisive, frozenset(read(o).name for o in overrides))
        if key not in self._known:
            self._known[key] = self._meaning(overrides)
        return self._known[key].of(overrides)

    def _meaning(self, overrides: Sequence[str]) -> Meaning:
        def compose(words: Sequence[str]) -> DictConfig:
            with reading_yaml():
                return self._loader.load_sweep_config(self._config, list(words))

        try:
            try:
                config = compose(overrides)
            except HydraException:
                config = compose(_of_places(overrides))
            meaning = meaning_of(overrides, config)
        except ForeignRecord:
            raise
        except (ValueError, HydraException):
            return Meaning()
        # Keys below groups change only these, so models with the same options need one check.
        sources = config.hydra.runtime.config_sources
        options = tuple(o for o in meaning.inherited if is_group(sources, read(o).key))
        if options and options not in self._checked:
            with suppress(HydraException):  # The job reports it.
                check_as_typed(config, compose(meaning.of(overrides)), meaning.record)
            self._checked.add(options)
        return meaning

    def _matters(self, override: str) -> bool:
        """Tell whether an override inherits from a model, names `~`, or names a file that may."""
        word = read(override)
        key = word.name
        if key in PATHS:
            return key in INHERITING or "~" in (word.value_text or "")
        sources = OmegaConf.select(self._config, "hydra.runtime.config_sources", default=())
        if "." in key:
            return False
        try:
            said = [w for name in word.options for w in option_words(sources, key, name) or ()]
        except ValueError:  # The job reports a wrong file.
            return False
        return any(map(self._matters, said))


# ---- paths -----------------------------------------------------------------------------------


def _with_home(override: str) -> str:
    """Put the user's home in the place of `~` in a typed override of a path."""
    word = read(override)
    if word.name not in PATHS or not word.is_set:
        return override

    def home(found: re.Match[str]) -> str:
        return _SPECIAL.sub(r"\\\1", os.path.expanduser(found[0]))

    return word.typed_key + _HOME.sub(home, f"={word.value_text}")


def _at_home(value: Any) -> Any:
    """Put the user's home in the place of `~` in a path or a list of paths."""
    if isinstance(value, list):
        return [_at_home(entry) for entry in value]
    is_home = isinstance(value, str) and value.startswith("~")
    return os.path.expanduser(value) if is_home else value


def _value(config: DictConfig, key: str) -> Any:
    """Return a resolved value as plain Python; None where there is no such key.

    Raises:
        ValueError: if it refers to something that is not there.
    """
    try:
        value = OmegaConf.select(config, key)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error, key)) from error


def last_model(config: DictConfig, key: str) -> str:
    """Return the folder of the last completed run with a model; the first rank prints it.

    Raises:
        ValueError: if there is none.
    """
    output_dir = Path(_at_home(_value(config, "output_dir")))
    run = last_run(output_dir)
    if run is None:
        raise ValueError(
            f"{key}={LAST} means the last completed run in {output_dir / 'runs'} that has a model, "
            f"and there is none; give a path (./{LAST} for a folder of that name)"
        )
    if Start.here().rank == 0:
        print(f"{LAST}     {run}", flush=True)
    return str(run)


def _of_places(overrides: Sequence[str]) -> list[str]:
    """Select the overrides that choose options and places, without single keys of options."""
    kept = []
    for override in overrides:
        key = read(override).name
        if "." not in key or "@" in key or key in PATHS or group_of(key) == "hydra":
            kept.append(override)
    return kept


# ---- what is given anew -----------------------------------------------------------------------


def _given(overrides: Sequence[str], config: DictConfig) -> set[str]:
    """Return the keys that a command sets itself, or by a file for the whole configuration."""
    keys = set()
    for word in map(read, overrides):
        keys.add(word.name)
        if "." not in word.name:
            for name in word.options:
                said = option_words(config.hydra.runtime.config_sources, word.name, name)
                keys |= {read(text).name for text in said or ()}
    return keys
