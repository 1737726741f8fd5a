"""The jobs of a grid: every combination of the swept keys, none twice.

Nothing here needs torch, so that a finished sweep reports at once.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from fokker.config.inheritance import JobMeanings
from fokker.config.option_words import group_of
from fokker.overrides import parse, read, read_key
from fokker.store.job_names import short_hash, short_values
from fokker.sweeps.jobs import Job, same_key, short_columns
from fokker.sweeps.swept import NOT_OF_THE_JOB, OF_THE_SWEEP, Swept, in_one_form, short_title


def grid_jobs(
    arguments: Sequence[str],
    config: DictConfig,
    loader: ConfigLoader,
    settings: Mapping[str, Sequence[str]],
) -> list[Job]:
    """Return the jobs of a sweep in order, none twice.

    Args:
        arguments: the overrides, some of them with several values.
        config: the composed configuration of the sweep.
        loader: the loader that knows the options of groups, for `glob(*)`.
        settings: the overrides of each named setting, which is crossed with all that is swept; a
            key in `arguments` wins over the same key here.
    Raises:
        ValueError: if nothing is swept, or something that cannot be swept.
    """
    asked = Swept.read(arguments, config, loader)
    swept = {key: _values(key, override) for key, override in asked.several.items()}
    named = {name: _fixed(name, parse(texts, loader)) for name, texts in settings.items()}
    if not swept and not named:
        raise ValueError(
            "a sweep needs a key with several values, such as fokker -m formulation=ddpm,edm; for "
            "one run leave -m out"
        )
    columns = short_columns([*(["setting"] if named else []), *swept])
    title, body, unswept = asked.title(columns.values()), asked.body, asked.unswept
    folder = Path(config.hydra.sweep.dir)
    if folder == Path(config.output_dir, "sweeps"):  # The user gave no other folder.
        keys = sorted(read_key(key).name for key in swept)
        folder /= f"{short_title(title)}-{short_hash([title, body, *keys, *sorted(unswept)])}"
    jobs, made_of = dict[str, Job](), dict[str, list[str]]()
    meant = JobMeanings(config, loader)
    for name, *values in product(named or [""], *swept.values()):
        chosen = [f"{key}={value}" for key, value in zip(swept, values)]
        own = [text for key, text in named.get(name, {}).items() if key not in asked.keys]
        typed = [*own, *asked.fixed.values(), *chosen]
        words = meant(typed, [*own, *chosen])
        if words != typed:  # A model brings its own overrides.
            values = [_value_of(key, words, value) for key, value in zip(swept, values)]
        decisive = [*own, *chosen, *unswept] if words == typed else _of_the_job(words)
        key = short_hash([body, *filter(None, [name]), *sorted(decisive)])
        # Hydra escapes colons and the like; a user reads them without backslashes.
        read = [re.sub(r"\\(.)", r"\1", value) for value in values]
        labels = dict(zip(columns.values(), [name, *read] if named else read))
        # The name of a folder has one order, however the keys were typed.
        shown = [labels[column] for _, column in sorted(columns.items())]
        job = Job(folder, key, tuple(words), labels, short_values(shown))
        whole = [name, *sorted(decisive)]
        if made_of.setdefault(key, whole) != whole:
            raise ValueError(same_key(folder, key, jobs[key].overrides, words))
        jobs[key] = job
    return list(jobs.values())


def _of_the_job(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that change a job's results."""
    return [o for o in overrides if group_of(read(o).key) not in NOT_OF_THE_JOB]


def _value_of(key: str, overrides: Sequence[str], value: str) -> str:
    """Return the value that a job's overrides give to a swept key, as a user reads it."""
    found = [w for w in map(read, overrides) if w.name == read_key(key).name and w.is_set]
    return found[-1].plain_value if found else value


def _fixed(name: str, overrides: Sequence[Override]) -> dict[str, str]:
    """Return the overrides of a setting by key; refuse several values of one key."""
    for override in overrides:
        if override.is_sweep_override():
            raise ValueError(
                f"hydra.sweeper.settings.{name} must give each key one value, got "
                f"{override.input_line}; make settings of them, or sweep the key by "
                "hydra.sweeper.params"
            )
    return {o.get_key_element(): in_one_form(o) for o in overrides}


def _values(key: str, override: Override) -> list[str]:
    """Return the values of a swept key."""
    if read_key(key).name in OF_THE_SWEEP:
        raise ValueError(f"{key} must have one value for the whole sweep, got several")
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{override.input_line} is an interval, which a grid cannot run through; give a list "
            "such as 1,2,3 or a range such as range(1,4)"
        )
    values = list(override.sweep_string_iterator())
    if not values:
        raise ValueError(f"{override.input_line} gives no values to sweep over; list some: 1,2,3")
    return values
