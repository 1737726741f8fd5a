"""Which figures a sweep has, from the rows of its jobs.

Nothing here needs torch or matplotlib before something is drawn.
"""

import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.cli.against_nfe import (
    ALONG,
    BLOCKS,
    MAX_LINES,
    SEEDS,
    TRIAL,
    Sketch,
    against_nfe,
)
from fokker.cli.collection import (
    ERROR,
    SEED,
    beside,
    evaluation_rows,
    excess_metric,
    in_order,
    main_metric,
    over_seeds,
    write_evaluations,
    write_over_seeds,
)
from fokker.cli.report import Picture, Report
from fokker.cli.sweep_jobs import Row, read_json
from fokker.disk import DiskError
from fokker.yaml_files import read_yaml

_MAX_BARS = 30
_MAX_JOINT = 6


def study_comment(config: DictConfig) -> str:
    """The `#` lines at the head of a study's file, from the sweep's configuration.

    An empty one ends a paragraph; hydra's `# @package` is left out.
    """
    runtime = config.hydra.runtime
    for source in runtime.config_sources:
        file = Path(source.path) / "sweeps" / f"{runtime.choices.get('sweeps')}.yaml"
        if source.schema == "file" and file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            head = list(takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
            kept = [line for line in head if not line.startswith("# @")]
            return "\n".join(line.lstrip("#").strip() for line in kept).strip()
    return ""


def draw_results(
    folder: Path,
    rows: Sequence[Row],
    swept: Sequence[str],
    objective: str | Sequence[str] | None = None,
    comment: str = "",
    command: str | None = None,
    also: Sequence[Path] = (),
) -> list[Path]:
    """Write evaluations.csv, over_seeds.csv, the figures of a sweep, and report.html.

    What is there of the same rows is left alone. What cannot be drawn is said in a printed line,
    and ends nothing.

    Args:
        folder: of the sweep.
        rows: of all jobs, as `Job.row` gives them; those of a search have the key `trial`.
        swept: their keys that are swept.
        objective: metrics that are asked for.
        comment: what the sweep is about, for the report.
        command: that makes it again; as typed by default.
        also: PNG files in `figures/` that the report is to show besides.
    Returns:
        PNG files, those in `also` left out, and at last the report.
    """
    objectives = [objective] if isinstance(objective, str) else list(objective or ())
    # The flag first, as one types it.
    typed = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    command = command or shlex.join(["fokker", *typed])
    report = Report(folder, rows, swept, objectives, comment, command)
    tables = [folder / "evaluations.csv", *([folder / "over_seeds.csv"] * (SEED in swept))]
    if report.is_whole(tables):
        return [report.path]
    pictures: list[Picture] = []
    notes: list[str] = []
    errors: list[Exception] = []
    try:
        evaluations = evaluation_rows(folder, rows, swept)
        write_evaluations(tables[0], evaluations)
        if SEED in swept:
            write_over_seeds(tables[1], rows, swept)
        sketches: dict[str, Callable[[], Iterator[Sketch]]] = {}
        if any(row["status"] == "completed" for row in rows):
            from fokker.experiment.joint import recorded_units

            metric = main_metric(rows)
            done = (row["folder"] for row in rows if row["status"] == "completed")
            units = recorded_units(folder / str(name) for name in done)
            sketches = {
                f"{metric} against NFE": lambda: against_nfe(evaluations, swept, metric, units),
                "single changes": lambda: single_changes(rows, swept, objectives, units),
                "loss per sigma": lambda: losses(folder, rows, swept),
                "runs side by side": lambda: joint(folder, rows, swept, objectives),
            }
        for what, draw in sketches.items():
            pictures += _saved(folder, what, draw, notes, errors)
        pictures += [Picture(path, path.stem.replace("_", " ")) for path in also]
        for note in notes:
            print(note)
        # What failed for no reason that is known is tried again at the next start.
        is_final = all(isinstance(error, ValueError) for error in errors)
        report.write(pictures, notes, is_final)
    except DiskError:
        raise
    except Exception as error:
        print(f"no report: {_sentence(error)}")
        return [picture.path for picture in pictures if picture.path not in also]
    return [*(picture.path for picture in pictures if picture.path not in also), report.path]


def _saved(
    folder: Path,
    what: str,
    draw: Callable[[], Iterator[Sketch]],
    notes: list[str],
    errors: list[Exception],
) -> Iterator[Picture]:
    """The figures of one kind, saved; why there are none is noted."""
    try:
        from fokker.figures import save

        for sketch in draw():
            path = save(sketch.figure, folder / "figures" / sketch.name)
            yield Picture(path, sketch.caption)
    except DiskError:
        raise
    except Exception as error:
        errors.append(error)
        notes.append(f"no figure of {what}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


# ---- single changes --------------------------------------------------------------------------


def single_changes(
    rows: Sequence[Row], swept: Sequence[str], objectives: Sequence[str], units: str
) -> Iterator[Sketch]:
    """The first value of every key, and each setting that differs from it in one key."""
    keys = beside(swept)
    if TRIAL in swept or all(ALONG.fullmatch(key) for key in keys):
        return
    from fokker.figures import Bar, factor_bars, metric_label

    baseline = {key: str(rows[0][key]) for key in keys}
    bars, seeded, costs = [], SEED in swept, set[float]()
    for row, metrics in over_seeds(rows, swept):
        changed = [key for key in keys if str(row[key]) != baseline[key]]
        if len(changed) > 1:
            continue
        group = changed[0] if changed else ""
        name = f"{group}={row[group]}" if changed else "baseline"
        if keys == ["setting"]:
            group, name = "", str(row["setting"])
        values = {metric: spread.mean for metric, spread in metrics.items()}
        errors = {metric: spread.std for metric, spread in metrics.items()}
        if not seeded:
            errors = {m: row[m + ERROR] for m in metrics if row.get(m + ERROR) is not None}
        bars.append(Bar(group, name, values, errors, str(row["status"])))
        costs |= {values["nfe"]} if "nfe" in values else set()
    # Keys in their order, however the rows come.
    bars.sort(key=lambda bar: ["", *keys].index(bar.group))
    if len(bars) < 2:
        return
    if len(bars) > _MAX_BARS:
        raise ValueError(f"{len(bars)} bars are too many, at most {_MAX_BARS}")
    excess = excess_metric(rows)
    wanted = dict.fromkeys([main_metric(rows), *objectives, excess, "denoising_error"])
    known = [m for m in wanted if any(math.isfinite(b.values.get(m, math.nan)) for b in bars)]
    if not known:
        raise ValueError("no result has a finite metric")
    what = " ".join(f"{key}={value}" for key, value in baseline.items())
    unlike = f"NFE from {min(costs):g} to {max(costs):g}" if len(costs) > 1 else ""
    title = f"baseline: {what}{f' ({unlike})' if unlike else ''}"
    figure = factor_bars(
        bars, {m: metric_label(m, units) for m in known[:4]}, SEEDS if seeded else BLOCKS, title
    )
    caption = f"Single changes: {what}, and every setting that differs from it in one key."
    if keys == ["setting"]:
        caption = "The settings; the first is the baseline."
    if unlike:
        caption += f" Not at equal cost: {unlike}."
    if "excess" in known[:4]:
        caption += " An excess is of a formulation's own loss and compares within it alone."
    yield Sketch("single_changes", figure, caption)


# ---- of the models ---------------------------------------------------------------------------


def losses(folder: Path, rows: Sequence[Row], swept: Sequence[str]) -> Iterator[Sketch]:
    """The losses of the models over sigma, where there are several on the same data."""
    from fokker.experiment.evaluate import SIGMAS, losses_of
    from fokker.figures import loss_per_sigma

    found: dict[str, list[tuple[Row, dict[str, Any]]]] = {}
    for row in rows:
        if row["status"] == "completed":
            lists = losses_of(folder / row["folder"])
            if lists:
                found.setdefault(_data(folder / row["folder"]), []).append((row, lists))
    for number, jobs in enumerate(found.values(), 1):
        # Of a law that is known the loss is floor + excess, in both of which the noise is gone.
        is_known = all("losses" in c and "excesses" in c and "floors" in c for _, c in jobs)
        kind = "losses" if is_known else "denoising_errors"
        labels = model_labels([(row, tuple(c[kind])) for row, c in jobs], swept)
        names = dict.fromkeys(labels)
        if len(names) < 2:
            continue
        if len(names) > MAX_LINES:
            raise ValueError(f"{len(names)} models are too many, at most {MAX_LINES}")
        same = {n: [c for (_, c), own in zip(jobs, labels) if own == n] for n in names}
        means = {
            part: {name: _mean([c[part] for c in curves]) for name, curves in same.items()}
            for part in ([kind, "excesses"] if is_known else [kind])
        }
        floor = _mean([c["floors"] for _, c in jobs]) if is_known else None
        figure = loss_per_sigma(means[kind], SIGMAS.numpy(), floor, means.get("excesses"))
        caption = "Denoising error of each model against sigma, where it was trained"
        caption += ", and its excess over the floor." if is_known else ", on held-out data."
        caption += " Means over the seeds." if SEED in swept else ""
        yield Sketch("loss_per_sigma" + (f"_{number}" if len(found) > 1 else ""), figure, caption)


def _data(job: Path) -> str:
    """What says whether two jobs have the same data."""
    from fokker.experiment.identity import comparable_data

    file = job / "config.yaml"
    config: Any = OmegaConf.to_container(read_yaml(file)) if file.is_file() else {}
    content = read_json(job / "run.json").get("made_of", {}).get("content", "")
    data = comparable_data(config.get("data") or {}, content)
    return repr({key: value for key, value in data.items() if key not in ("batch_size", SEED)})


def model_labels(jobs: Sequence[tuple[Row, Any]], swept: Sequence[str]) -> list[str]:
    """What the model of each job is called: by the swept keys that models differ in.

    Jobs with the same curve are of one model, and those that differ in the seed alone have one
    name.
    """
    groups: dict[Any, list[Row]] = {}
    for row, curve in jobs:
        groups.setdefault(repr(curve), []).append(row)
    keys = [k for k in beside(swept) if len({str(row[k]) for row, _ in jobs}) > 1]
    own = [k for k in keys if all(len({str(r[k]) for r in same}) == 1 for same in groups.values())]
    names = {curve: " ".join(f"{k}={same[0][k]}" for k in own) for curve, same in groups.items()}
    told = [(names[curve], str(same[0].get(SEED))) for curve, same in groups.items()]
    if len(set(told)) < len(told):
        # What two settings with one model are called lists both.
        names = {
            curve: " ".join(
                f"{k}={','.join(dict.fromkeys(str(row[k]) for row in same))}" for k in keys
            )
            for curve, same in groups.items()
        }
    return [names[repr(curve)] for _, curve in jobs]


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    """Of each level, over models that differ in the seed alone."""
    return [sum(values) / len(values) for values in zip(*curves)]


def joint(
    folder: Path, rows: Sequence[Row], swept: Sequence[str], objectives: Sequence[str]
) -> Iterator[Sketch]:
    """What several jobs have recorded alike, side by side: one of each setting, at most six."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if row["status"] == "completed":
            first.setdefault(tuple(str(row[key]) for key in beside(swept)), row)
    chosen = list(first.values())
    if len(chosen) > _MAX_JOINT and TRIAL in swept:
        chosen = in_order(chosen, objectives[0] if objectives else main_metric(rows))
    elif len(chosen) > _MAX_JOINT:
        steps = [key for key in beside(swept) if ALONG.fullmatch(key)]
        alike = [row for row in chosen if all(row[key] == chosen[0][key] for key in steps)]
        chosen = alike if len(alike) > 1 else chosen
    chosen = chosen[:_MAX_JOINT]
    if len(chosen) < 2:
        return
    from fokker.experiment.joint import joint_figures

    keys = [key for key in beside(swept) if len({str(row[key]) for row in chosen}) > 1]
    named = {
        " ".join(f"{key}={row[key]}" for key in keys): folder / row["folder"] for row in chosen
    }
    count = f" ({len(chosen)} of {len(first)} settings)" if len(chosen) < len(first) else ""
    for name, figure in joint_figures(named).items():
        yield Sketch(name, figure, f"{name.replace('_', ' ')}, side by side{count}.")
