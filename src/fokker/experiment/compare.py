"""A comparison of two finished runs: their configurations, metrics and curves."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from fokker.data import DataModule
from fokker.evaluations.evaluate import SampleMetrics
from fokker.levels import COLUMNS, Table
from fokker.machine.named_files import one_line
from fokker.machine.nested import flat
from fokker.machine.text_tables import aligned
from fokker.measures import ERROR, OF_DATA, units_of
from fokker.metrics import SampleMetric
from fokker.metrics.blocks import MIN_SAMPLES, OnParts
from fokker.store.identity import Groups
from fokker.store.levels import read_levels
from fokker.store.places import finished_run
from fokker.store.records import read_record
from fokker.store.run_files import check_unchanged, read_arrays, read_config
from fokker.store.same_data import differing, what_data

PAIRED = "paired blocks"
INDEPENDENT = "both errors"
#: The share of a number below which a difference, or its standard error, is rounding.
ROUNDING = 1e-12
#: The text for a value that one of the two runs does not have.
NONE = "-"


@final
@dataclass(frozen=True)
class Difference:
    """A metric of two runs.

    Attributes:
        name: the name in metrics.json.
        a, b: the values; None where a run has none.
        standard_error: the standard error of b - a, if it is known.
        how: the source of the standard error: PAIRED, INDEPENDENT or empty.
    """

    name: str
    a: float | None
    b: float | None
    standard_error: float | None = None
    how: str = ""

    @property
    def difference(self) -> float | None:
        """Return `b - a`, or 0 if only rounding tells the two apart; None if one is missing."""
        if self.a is None or self.b is None:
            return None
        return 0.0 if math.isclose(self.a, self.b, rel_tol=ROUNDING) else self.b - self.a


@final
@dataclass(frozen=True)
class LargestRatio:
    """The largest ratio of a curve in two runs: b / a is farthest from 1 at `level`.

    Attributes:
        name: the name of the curve.
        ratio: the ratio b / a at `level`.
        axis, level: the name of a level, and its value.
    """

    name: str
    ratio: float
    axis: str
    level: float


@final
@dataclass(frozen=True)
class Comparison:
    """The differences of two runs.

    Attributes:
        a, b: the folders of the runs.
        configuration: the dotted keys whose values differ, with both values.
        metrics: the differences of the metrics of samples and model.
        ratios: the largest ratios of the curves over the levels.
        why_not_paired: the reason why samples cannot be compared one by one; empty if they can.
    """

    a: Path
    b: Path
    configuration: Mapping[str, tuple[str, str]]
    metrics: list[Difference]
    ratios: list[LargestRatio]
    why_not_paired: str


#: A function that builds the data and the metrics of samples of a stored configuration.
Build = Callable[[DictConfig], tuple[DataModule, Mapping[str, SampleMetric]]]


def compare(a: Path, b: Path, build: Build) -> Comparison:
    """Compare two finished runs.

    Sample i of a run is a function of (seed, i), so that runs of one seed on the same data have
    common random numbers. The difference of a metric is then known far better than the metric: its
    standard error comes from the differences on halves and quarters of the samples, the same ones
    in both runs.

    Args:
        a, b: the folders of two finished runs.
        build: the function that builds the data and the metrics of a stored configuration.
    Raises:
        ValueError: if one of them is not the folder of a finished run.
    """
    configs = [_config(path) for path in (a, b)]
    metrics = [read_record(path / "metrics.json") for path in (a, b)]
    flat_a, flat_b = map(_written, configs)
    # A key that is null equals one that is not there.
    keys = [k for k in {**flat_a, **flat_b} if flat_a.get(k, "null") != flat_b.get(k, "null")]
    paired, why_not = _paired_errors((a, b), configs, metrics, build)
    return Comparison(
        a,
        b,
        {key: (flat_a.get(key, NONE), flat_b.get(key, NONE)) for key in keys},
        _differences(metrics[0], metrics[1], paired),
        _ratios(read_levels(a), read_levels(b)),
        why_not,
    )


def _config(path: Path) -> DictConfig:
    """Return the stored configuration of a finished run."""
    finished_run(path, "task=compare needs")
    return read_config(path / "config.yaml")


def _written(config: DictConfig) -> dict[str, str]:
    """Return the values of a configuration by dotted keys, as text."""
    found = flat(OmegaConf.to_container(config), with_empty=True)
    return {key: "null" if value is None else str(value) for key, value in found.items()}


def _paired_errors(
    paths: tuple[Path, Path],
    configs: list[DictConfig],
    metrics: list[dict[str, Any]],
    build: Build,
) -> tuple[dict[str, float], str]:
    """Return standard errors of differences from paired blocks by metric, or why there are none."""
    one = configs[0]
    records = [read_record(path / "run.json") for path in paths]
    if why_not := _why_not_paired(paths, configs, records):
        return {}, why_not
    samples = [_samples(path, record) for path, record in zip(paths, records)]
    if len(samples[0]) < MIN_SAMPLES:
        return {}, f"fewer than {MIN_SAMPLES} samples have no standard error"
    try:
        data, asked = build(one)
        common = {name: metric for name, metric in asked.items() if name in metrics[1]}
        measure = SampleMetrics.of(common, data, len(samples[0]))
    except ValueError as error:
        return {}, f"they cannot be measured again: {error}"
    if any(points[0].numel() != math.prod(data.shape) for points in samples):
        return {}, "the data have another shape now than the samples"
    samples = [data.from_file(points) for points in samples]
    found: list[dict[str, OnParts]] = []
    for path, points, stored in zip(paths, samples, metrics, strict=True):
        # A data file may have changed since the run.
        for name, value in measure(points, is_random=False).items():
            known = stored.get(name)
            if known is None or not math.isclose(value, known, rel_tol=1e-6, abs_tol=1e-9):
                return {}, f"the data are not those that {path} was evaluated on"
        found.append(measure.on_parts(points, records[0].get("group", 1)))
    first, second = found
    return {name: (second[name] - first[name]).standard_error() for name in first}, ""


def _why_not_paired(
    paths: tuple[Path, Path], configs: list[DictConfig], records: list[dict[str, Any]]
) -> str:
    """Return the reason why samples of two runs do not belong together; empty if they do."""
    for key in ("seed", "evaluation.num_samples", "evaluation.noise"):
        values = [OmegaConf.select(config, key) for config in configs]
        if values[0] != values[1]:
            return f"{key} is {values[0]} in one and {values[1]} in the other"
    units = list(map(units_of, records))
    if units[0] != units[1]:
        return f"they count in {units[0]} and in {units[1]}, so that distances do not compare"
    groups = [record.get("group", 1) for record in records]
    if groups[0] != groups[1]:
        return f"{groups[0]} samples depend on each other in one and {groups[1]} in the other"
    contents = [record.get("made_of", {}).get("content", "") for record in records]
    if not all(contents):
        contents = ["", ""]
    plain: list[Any] = [OmegaConf.to_container(config, resolve=True) for config in configs]
    here, there = (
        what_data(whole, Groups.of_data(record), content)
        for whole, record, content in zip(plain, records, contents, strict=True)
    )
    if differing(here, there):
        return "they have other data"
    if configs[0].evaluation.get("noise") == "quantiles":
        return "samples that start at quantiles have no sampling noise"
    gone = [path for path in paths if not (path / "samples.npz").is_file()]
    if gone:
        return f"{gone[0]} has no samples.npz any more"
    return ""


def _samples(path: Path, record: Mapping[str, object]) -> Tensor:
    check_unchanged(path, record, "samples.npz")
    return torch.from_numpy(read_arrays(path / "samples.npz", "samples")["samples"])


def _differences(
    a: Mapping[str, Any], b: Mapping[str, Any], paired: Mapping[str, float]
) -> list[Difference]:
    """Compare all single numbers, except standard errors and distances of the data."""
    names = [n for n in {**a, **b} if not n.endswith((ERROR, OF_DATA))]
    rows = []
    for name in names:
        error, how = paired.get(name), PAIRED
        own = f"{name}{ERROR}"
        if error is None and own in a and own in b:
            error, how = math.hypot(a[own], b[own]), INDEPENDENT
        if error is not None and error <= ROUNDING * abs(a.get(name) or 0.0):
            error = 0.0
        how = "" if error is None else how
        rows.append(Difference(name, a.get(name), b.get(name), error, how))
    return rows


def _ratios(a: Table | None, b: Table | None) -> list[LargestRatio]:
    """Return the largest ratio of each curve that both runs have, where both were trained."""
    if a is None or b is None or (a.axis, a.level) != (b.axis, b.level):
        return []
    first, second, found = a.where_trained, b.where_trained, []
    for name in COLUMNS:
        if name == "floor":  # The floor depends only on the data.
            continue
        levels = zip(first.get(name, ()), second.get(name, ()), a.level, strict=False)
        ratios = [(y / x, level) for x, y, level in levels if x > 0 and y > 0]  # Not NaN.
        if ratios:
            ratios = [(1.0 if math.isclose(r, 1, rel_tol=ROUNDING) else r, at) for r, at in ratios]
            ratio, level = max(ratios, key=lambda pair: abs(math.log(pair[0])))
            found.append(LargestRatio(COLUMNS[name], ratio, a.axis.name, level))
    return found


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as text for a terminal."""
    lines = [f"A  {one_line(str(comparison.a))}", f"B  {one_line(str(comparison.b))}", ""]
    different = [(key, a, b) for key, (a, b) in comparison.configuration.items()]
    if different:
        lines += _table([("configuration", "A", "B"), *different])
    else:
        lines.append("configuration: no difference")
    rows: list[tuple[str, ...]] = [("metric", "A", "B", "B - A", "standard error", "from")]
    for d in comparison.metrics:
        numbers = map(_number, (d.a, d.b, d.difference, d.standard_error))
        rows.append((d.name, *numbers, d.how))
    lines += ["", *_table(rows), "", _how(comparison)]
    for r in comparison.ratios:
        place = f"{r.axis}={r.level:.4g}"
        where = f"B / A is farthest from 1 at {place}, where it is {r.ratio:.4g}"
        lines.append(f"{r.name}: {'equal at every level' if r.ratio == 1 else where}")
    return "\n".join(lines)


def _how(comparison: Comparison) -> str:
    if comparison.why_not_paired:
        return (
            f"not paired: {comparison.why_not_paired}; standard errors from both errors are the "
            "root of the sum of their squares"
        )
    return (
        "paired: the same data, seed and number of samples, so that blocks of samples belong "
        "together; other standard errors are the root of the sum of both errors' squares"
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    cells = [[one_line(cell) for cell in row] for row in rows]
    return [line.rstrip() for line in aligned(cells)]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"
