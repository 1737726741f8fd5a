"""The tasks that need no configuration: `task=models`, `task=runs` and `task=compare`.

Their words are read here and not by argparse, which knows no `key=value`. With dashes put before
the keys it would also take `--delete NAME` and `--`, and lose what follows `RUN key=value`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fokker.store.places import finished_run

USAGE = {
    "models": "fokker task=models [delete=unused or 'delete=[NAME,...]'] [output_dir=outputs]",
    "runs": "fokker task=runs [delete=failed or 'delete=[NAME,...]' or prune=samples] "
    "[output_dir=outputs]",
    "compare": "fokker task=compare RUN RUN [allow_targets=[my_package]]",
}


def task_of(arguments: Sequence[str]) -> str | None:
    """Return the one of these tasks that a command line asks for, if any."""
    asked = [a.removeprefix("task=").strip("'\"") for a in arguments if a.startswith("task=")]
    return asked[-1] if asked and asked[-1] in USAGE else None


def carry_out(task: str, arguments: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Carry out one of these tasks.

    Raises:
        ValueError: for a word that the task does not know, or something that it cannot do.
    """
    words = [a for a in arguments if not a.startswith("task=")]
    if task == "models":
        _models(_keys(task, words, ("delete", "output_dir")), say)
    elif task == "runs":
        _runs(_keys(task, words, ("delete", "prune", "output_dir")), say)
    else:
        places = [word for word in words if re.match(r"\w+=", word) is None]
        keys = _keys(task, [w for w in words if w not in places], ("runs", "allow_targets"))
        places += _list(keys.get("runs", ""))
        if len(places) != 2 or any(place.startswith("-") for place in places):
            raise ValueError(
                f"task=compare needs the folders of two runs, got {' '.join(places) or 'none'}; "
                f"say {USAGE[task]}"
            )
        a, b = (Path(place).expanduser() for place in places)
        _compare(a, b, _list(keys.get("allow_targets", "")), say)


def _models(keys: dict[str, str], say: Callable[[str], None]) -> None:
    from fokker.store.inventory import delete, deleted_text, models, models_text

    output_dir = Path(keys.get("output_dir", "outputs")).expanduser()
    if "delete" not in keys:
        say(models_text(models(output_dir), output_dir))
        return
    names = _list(keys["delete"])
    if not names:
        usage = USAGE["models"]
        raise ValueError(f"delete must be unused or a list of names, got none; say {usage}")
    say(deleted_text(delete(output_dir, None if names == ["unused"] else names)))


def _runs(keys: dict[str, str], say: Callable[[str], None]) -> None:
    from fokker.store.listing import MEGABYTE
    from fokker.store.run_inventory import (
        delete_runs,
        deleted_runs_text,
        prune_samples,
        runs,
        runs_text,
    )

    output_dir = Path(keys.get("output_dir", "outputs")).expanduser()
    usage = USAGE["runs"]
    if "delete" in keys and "prune" in keys:
        raise ValueError(f"task=runs takes one of delete and prune, got both; say {usage}")
    if keys.get("prune", "samples") != "samples":
        raise ValueError(f"prune must be samples, got {keys['prune'] or 'nothing'}; say {usage}")
    if "prune" in keys:
        count, size = prune_samples(output_dir)
        say(
            f"samples of {count} completed run{'' if count == 1 else 's'} deleted, "
            f"{size / MEGABYTE:.1f} MB freed; metrics, tables and figures are kept"
        )
    elif "delete" in keys:
        names = _list(keys["delete"])
        if not names:
            raise ValueError(f"delete must be failed or a list of names, got none; say {usage}")
        say(deleted_runs_text(delete_runs(output_dir, None if names == ["failed"] else names)))
    else:
        say(runs_text(runs(output_dir), output_dir))


def _compare(a: Path, b: Path, allow_targets: Sequence[str], say: Callable[[str], None]) -> None:
    for path in (a, b):  # Before torch is imported.
        finished_run(path, "task=compare needs")
    from omegaconf import DictConfig

    from fokker.config.build_data import build_data
    from fokker.config.instantiate import Builder
    from fokker.config.metrics import stored_metrics
    from fokker.config.targets import find_own
    from fokker.data import DataModule
    from fokker.experiment.compare import compare, comparison_text
    from fokker.metrics import SampleMetric

    def build(config: DictConfig) -> tuple[DataModule, dict[str, SampleMetric]]:
        data = build_data(config, Builder(allow_targets))
        return data, stored_metrics(config, data, Builder(allow_targets))

    find_own(allow_targets)
    say(comparison_text(compare(a, b, build)))


def _keys(task: str, words: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return the values by key, and refuse unknown keys."""
    keys: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in known or not equals:
            raise ValueError(f"task={task} does not know {word}; say {USAGE[task]}")
        keys[key] = value.strip("'\"")
    return keys


def _list(text: str) -> list[str]:
    """Return the entries of `[a,b]`, or of `a`."""
    inner = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    return [entry for entry in (part.strip(" '\"") for part in inner.split(",")) if entry]
