"""Figures of a sweep's models and of what its jobs recorded alike."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fokker.levels import Table
from fokker.store.levels import read_levels
from fokker.store.records import read_record
from fokker.store.run_files import read_config
from fokker.sweeps.against_nfe import ALONG, MAX_LINES, Sketch
from fokker.sweeps.collection import SEED, beside
from fokker.sweeps.jobs import Row
from fokker.sweeps.outcome import Outcome

_MAX_JOINT = 6


def losses(outcome: Outcome) -> Iterator[Sketch]:
    """Draw the losses of the models over their levels, for models on the same data.

    Data with a single model have no figure.
    """
    from fokker.figures import loss_per_level

    found: dict[Any, list[tuple[Row, Table]]] = {}
    for row in outcome.done:
        job = outcome.folder / row["folder"]
        table = read_levels(job)
        if table is not None:
            same = (_data(job), table.axis, tuple(table.level))
            found.setdefault(same, []).append((row, table))
    for number, jobs in enumerate(found.values(), 1):
        curves = [table.where_trained for _, table in jobs]
        # For a known law the loss is floor + excess, both of which are free of sampling noise.
        is_known = all({"loss", "excess", "floor"} <= c.keys() for c in curves)
        kind = "loss" if is_known or not all("held_out" in c for c in curves) else "held_out"
        labels = model_labels([(row, tuple(c[kind])) for (row, _), c in zip(jobs, curves)],
                              outcome.swept)  # fmt: skip
        names = dict.fromkeys(labels)
        if len(names) < 2:
            continue
        if len(names) > MAX_LINES:
            raise ValueError(f"{len(names)} models are too many, at most {MAX_LINES}")
        same_name = {n: [c for c, own in zip(curves, labels) if own == n] for n in names}
        means = {
            part: {name: _mean([c[part] for c in own]) for name, own in same_name.items()}
            for part in ([kind, "excess"] if is_known else [kind])
        }
        floor = _mean([c["floor"] for c in curves]) if is_known else None
        axis, level = jobs[0][1].axis, jobs[0][1].level
        figure = loss_per_level(axis, means[kind], level, floor, means.get("excess"))
        heading = f"Loss against {axis.name}, {_data_name(outcome, jobs[0][0])}"
        caption = f"{heading}: each model where it was trained"
        caption += ", and its excess over the floor." if is_known else ", on held-out data."
        caption += " Means over the seeds." if outcome.has_seeds else ""
        name = "loss_per_level" + (f"_{number}" if len(found) > 1 else "")
        yield Sketch(name, figure, caption, heading)


def trainings(outcome: Outcome) -> Iterator[Sketch]:
    """Draw the training curves of all models, those on the same data in one figure."""
    from fokker.figures import training_curves
    from fokker.store.curves import read_json_lines

    found: dict[str, dict[str, tuple[Row, list[dict[str, Any]]]]] = {}
    for row in outcome.done:
        job = outcome.folder / row["folder"]
        if row["model"] and (rows := read_json_lines(job / "metrics.jsonl")):
            found.setdefault(_data(job), {}).setdefault(str(row["model"]), (row, rows))
    for number, models in enumerate(found.values(), 1):
        jobs = list(models.values())
        labels = model_labels([(row, row["model"]) for row, _ in jobs], outcome.swept)
        named: dict[str, list[list[dict[str, Any]]]] = {}
        for label, (_, rows) in zip(labels, jobs):
            named.setdefault(label or "the model", []).append(rows)
        heading = f"Training curves, {_data_name(outcome, jobs[0][0])}"
        several = " A line a seed." if outcome.has_seeds else ""
        caption = (
            f"{heading}: the loss of each model against optimizer steps. It is each formulation's "
            f"own, and the denoising error on held-out data compares them, if it is shown.{several}"
        )
        name = "training_curves" + (f"_{number}" if len(found) > 1 else "")
        yield Sketch(name, training_curves(named), caption, heading)


def _data_name(outcome: Outcome, row: Row) -> str:
    return outcome.data_of[str(row["folder"])]


def _data(job: Path) -> str:
    """Return a text that two jobs share if they have the same data."""
    from fokker.store.identity import Groups, by_name
    from fokker.store.same_data import what_data

    file = job / "config.yaml"
    record = read_record(job / "run.json")
    groups, content = Groups.of_data(record), record.get("made_of", {}).get("content", "")
    config: Any = OmegaConf.to_container(read_config(file, *groups)) if file.is_file() else {}
    data = what_data(by_name(config), groups, content)
    # The models of several seeds share a figure, even if each seed has its own set of points.
    return repr({key: v for key, v in data.items() if key.rpartition(".")[2] != SEED})


def model_labels(jobs: Sequence[tuple[Row, object]], swept: Sequence[str]) -> list[str]:
    """Return the name of each job's model, made of the swept keys in which models differ.

    Jobs with the same curve share a model. Models that differ only in the seed share a name.
    """
    groups: dict[Any, list[Row]] = {}
    for row, curve in jobs:
        groups.setdefault(repr(curve), []).append(row)
    keys = [k for k in beside(swept) if len({str(row[k]) for row, _ in jobs}) > 1]
    own = [k for k in keys if all(len({str(r[k]) for r in same}) == 1 for same in groups.values())]
    names = {curve: " ".join(f"{k}={same[0][k]}" for k in own) for curve, same in groups.items()}
    told = [(names[curve], str(same[0].get(SEED))) for curve, same in groups.items()]
    if len(set(told)) < len(told):
        # The name of a model that several settings share lists all of them.
        names = {
            curve: " ".join(
                f"{k}={','.join(dict.fromkeys(str(row[k]) for row in same))}" for k in keys
            )
            for curve, same in groups.items()
        }
    return [names[repr(curve)] for _, curve in jobs]


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean at each level, over models that differ only in the seed."""
    return [sum(values) / len(values) for values in zip(*curves)]


def joint(outcome: Outcome) -> Iterator[Sketch]:
    """Draw what several jobs have all recorded, side by side: one of each setting, at most six."""
    swept, folder = outcome.swept, outcome.folder
    first: dict[tuple[str, ...], Row] = {}
    for row in outcome.done:
        first.setdefault(tuple(str(row[key]) for key in beside(swept)), row)
    chosen = list(first.values())
    if len(chosen) > _MAX_JOINT and outcome.is_search:
        chosen = outcome.in_order(outcome.metric, chosen)
    elif len(chosen) > _MAX_JOINT:
        steps = [key for key in beside(swept) if ALONG.fullmatch(key)]
        alike = [row for row in chosen if all(row[key] == chosen[0][key] for key in steps)]
        chosen = alike if len(alike) > 1 else chosen
    chosen = chosen[:_MAX_JOINT]
    if len(chosen) < 2:
        return
    from fokker.sweeps.joint import joint_figures

    keys = [key for key in beside(swept) if len({str(row[key]) for row in chosen}) > 1]
    named = {
        " ".join(f"{key}={row[key]}" for key in keys): folder / row["folder"] for row in chosen
    }
    count = f" ({len(chosen)} of {len(first)} settings)" if len(chosen) < len(first) else ""
    for name, figure in joint_figures(named).items():
        words = name.replace("_", " ")
        heading = f"{words[:1].upper() + words[1:]}, {outcome.data}"
        yield Sketch(name, figure, f"{heading}, side by side{count}.", heading)
