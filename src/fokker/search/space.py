"""The space of a search: `key=interval(1e-4,1e-2)`, `key=a,b`, `key=range(1,4)`.

Nothing here needs torch or optuna, so that a finished search reports at once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from filelock import FileLock
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from fokker.config.inheritance import INHERITING, LAST, JobMeanings, last_model
from fokker.machine.locks import is_locked
from fokker.overrides import read_key
from fokker.store.job_names import short_hash
from fokker.sweeps.jobs import Job, short_columns
from fokker.sweeps.swept import OF_THE_SWEEP, Swept, short_title

Number = int | float
# Hydra makes both ends floats, so that only the typed text shows whether they were whole.
_WHOLE = re.compile(r"interval\(\s*(?:start\s*=\s*)?[+-]?\d+\s*,\s*(?:end\s*=\s*)?[+-]?\d+\s*\)")


@final
@dataclass(frozen=True)
class Parameter:
    """A key that is searched over `choices` if there are any, else from low to high, both included.

    Attributes:
        key: the key as in an override.
        choices: the choices as texts of overrides.
        low, high: the two ends, whole numbers if only such ones are meant.
        step: the step between two values, from low on; null means any value between.
        log: whether equal factors are equally likely.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: Number = 0
    high: Number = 0
    step: Number | None = None
    log: bool = False

    def suggest(self, trial: Any) -> Any:
        """Return Optuna's value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if isinstance(self.low, int):
            step = self.step or 1
            return trial.suggest_int(self.key, self.low, self.high, step=step, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def text(self, value: Any) -> str:
        """Return a value as the text of an override."""
        if self.step is not None and isinstance(self.low, float):
            value = _tidy(value)
        return str(value)

    @property
    def described(self) -> str:
        """Return the key with its possible values."""
        if self.choices:
            return f"{self.key}: {', '.join(self.choices)}"
        steps = f", in steps of {self.step}" if self.step else ", by factors" if self.log else ""
        return f"{self.key}: {self.low} to {self.high}{steps}"

    @property
    def samples(self) -> list[Any]:
        """Return every choice, or both ends."""
        return list(self.choices) or list(dict.fromkeys([self.low, self.high]))


def _tidy(value: Number) -> Number:
    """Round to twelve digits, so that 0.1 + 2 * 0.1 gives 0.3."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


@final
@dataclass(frozen=True)
class Search:
    """The definition of a search, by which it is known to be the same one.

    Attributes:
        name: the name of the folder and of Optuna's study.
        folder: the folder of the search, with its trials.
        fixed: the overrides that all trials have.
        columns: the column of each parameter, by key.
        parameters: the parameters, in the order in which they were typed.
        study: the name of the study in `sweeps/` that it comes from; empty without one.
        meant: the function that returns the overrides that a job's overrides mean.
    """

    name: str
    folder: Path
    fixed: tuple[str, ...]
    columns: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    study: str
    meant: Callable[[Sequence[str], Sequence[str]], Sequence[str]] = field(compare=False)

    def job(self, number: int, values: Mapping[str, object]) -> Job:
        """Return the job of a trial."""
        texts = {p.key: p.text(values[p.key]) for p in self.parameters}
        chosen = [f"{key}={text}" for key, text in texts.items()]
        overrides = tuple(self.meant([*self.fixed, *chosen], chosen))
        return Job(self.folder, f"t{number:04d}", overrides, self.shown(values))

    def shown(self, values: Mapping[str, object]) -> dict[str, str]:
        """Return values by column, as a user reads them."""
        return {
            self.columns[p.key]: f"{v:.4g}" if isinstance(v := values[p.key], float) else str(v)
            for p in self.parameters
        }

    def lock(self, number: int) -> FileLock:
        """Return the lock that a process holds from taking a trial until it is told."""
        return FileLock(self.folder / f".t{number:04d}.search.lock")

    def is_held(self, number: int) -> bool:
        """Tell whether a living process has taken a trial."""
        return is_locked(Path(self.lock(number).lock_file))

    @property
    def probes(self) -> list[Job]:
        """Return a job with the first values of all parameters, then each other choice or end.

        Each of the others has the first values of all other parameters.
        """
        first = {p.key: p.samples[0] for p in self.parameters}
        others = [{**first, p.key: v} for p in self.parameters for v in p.samples[1:]]
        return [self.job(0, values) for values in (first, *others)]


def read_search(
    arguments: Sequence[str], config: DictConfig, loader: ConfigLoader, identity: Sequence[str]
) -> Search:
    """Read a search from its overrides.

    Args:
        arguments: the overrides, some of them with several values or an interval.
        config: the composed configuration of the search.
        loader: the loader that knows the options of groups, for `glob(*)`.
        identity: the texts that, besides parameters and overrides, make it another search.
    Raises:
        ValueError: if there is nothing to search, or something that cannot be searched.
    """
    asked = Swept.read(arguments, config, loader)
    several = map(parameter, asked.several.values())
    parameters = tuple(_of_models(p, config) for p in several)
    if not parameters:
        raise ValueError(
            "a search needs a key with several values or an interval, such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or network.width=32,64"
        )
    columns = short_columns([p.key for p in parameters])
    title = asked.title(columns.values())
    space = sorted(map(repr, parameters))
    made_of = [title, asked.body, *sorted(asked.unswept), *space, *identity]
    name = f"{short_title(title)}-{short_hash(made_of)}"
    folder = Path(config.hydra.sweep.dir)
    if folder == Path(config.output_dir, "sweeps"):  # The user gave no other folder.
        folder /= name
    kept = tuple(t for key, t in asked.fixed.items() if read_key(key).name not in OF_THE_SWEEP)
    meant = JobMeanings(config, loader)
    return Search(name, folder, kept, columns, parameters, asked.study, meant)


def _of_models(parameter: Parameter, config: DictConfig) -> Parameter:
    """Put the path of the last model in place of `last`, so that the search stays the same."""
    if read_key(parameter.key).name not in INHERITING or LAST not in parameter.choices:
        return parameter
    last = last_model(config, parameter.key)
    return replace(parameter, choices=tuple(last if c == LAST else c for c in parameter.choices))


def parameter(override: Override) -> Parameter:
    """Return the parameter that an override with several values makes.

    `interval(a,b)` includes both ends, and gives whole numbers between two whole ends. As
    `tag(log,interval(a,b))` it is searched by factors. `range(a,b,step)` excludes b, as everywhere
    in hydra. `a,b` and `choice(a,b)` are values without an order.

    Raises:
        ValueError: if it cannot be searched.
    """
    key, typed = override.get_key_element(), override.input_line
    value: Any = override.value()
    if read_key(key).name in OF_THE_SWEEP:
        raise ValueError(
            f"{key} must be the same in the whole search, got {typed}; several objectives are a "
            "list: objective=[w1,nfe]"
        )
    unknown = value.tags - ({"log"} if isinstance(value, IntervalSweep) else set())
    if unknown:
        raise ValueError(
            f"{typed} has the tag {sorted(unknown)[0]}; the one tag of a search is log, of an "
            "interval: tag(log,interval(1e-4,1e-2))"
        )
    if isinstance(value, IntervalSweep):
        return _between(key, str(typed), value)
    if override.is_range_sweep():
        values = [_tidy(v) for v in override.sweep_iterator()]  # type: ignore[arg-type]
        if values and not value.shuffle:
            step = _tidy(abs(value.step))
            return Parameter(key, (), min(values), max(values), step)
    choices = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise ValueError(f"{typed} gives no values to search; list some: 1,2,3")
    return Parameter(key, choices)


def _between(key: str, typed: str, interval: Any) -> Parameter:
    low, high, log = interval.start, interval.end, "log" in interval.tags
    if _WHOLE.search(typed) and "float(" not in typed:
        low, high = int(low), int(high)
    if not abs(low) + abs(high) < float("inf") or low > high:
        raise ValueError(f"{typed} must have two finite ends, the lower one first")
    if log and low <= 0:
        raise ValueError(f"{typed} must have positive ends for the tag log, got {low}")
    return Parameter(key, (), low, high, None, log)
