"""The step from a composed configuration to the metrics of samples."""

from collections.abc import Collection
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from fokker.config.instantiate import Builder
from fokker.data import DataModule
from fokker.evaluations.evaluate import PreparedMetric
from fokker.machine.own_code import own_code
from fokker.measures import ERROR, OF_DATA, Best
from fokker.metrics import RepeatedPointsError, SampleMetric

#: The number of points on which a metric of the user's own is tried before anything is trained.
_TRIED = 64


def build_metrics(
    config: DictConfig, data: DataModule, option: str, taken: Collection[str], build: Builder
) -> tuple[dict[str, SampleMetric], dict[str, str]]:
    """Build and check the metrics of samples.

    Args:
        config: the composed configuration.
        data: the data that samples are compared with.
        option: the name of the data's option, for messages.
        taken: the names of the other columns of a run.
        build: the builder of the nodes.

    Returns:
        the metrics by name, and the reasons why optional ones are left out, where they say more
        than that the data are of another kind.

    Raises:
        ValueError: for a metric that does not fit the data, cannot be computed, or whose name
            belongs to another number.
    """
    metrics: dict[str, SampleMetric] = {}
    left_out: dict[str, str] = {}
    for name, node in config.metrics.items():
        key = f"metrics.{name}"
        if name in taken or str(name).endswith((ERROR, OF_DATA)):
            raise ValueError(
                f"{key} must have a name of its own, got the name of another number of the run; "
                "choose another one"
            )
        metric: SampleMetric = build(node, key)
        try:
            with own_code(f"{key} cannot be checked", "fix it, or leave it out"):
                metric.check(data)
        except RepeatedPointsError as error:
            _refuse_asked(name, metric, option, error)
            left_out[str(name)] = str(error)
        except ValueError as error:
            _refuse_asked(name, metric, option, error)
        else:
            _try(str(name), metric, data)
            metrics[str(name)] = metric
    return metrics, left_out


def _refuse_asked(name: object, metric: SampleMetric, option: str, why: ValueError) -> None:
    """Refuse a metric that does not fit the data, unless it is optional.

    Raises:
        ValueError: if it is not optional.
    """
    if not metric.optional:
        raise ValueError(
            f"metrics={name} does not fit data={option}: {why}; leave it out, or say "
            "metrics=default for those that fit"
        ) from why


def _try(name: str, metric: SampleMetric, data: DataModule) -> None:
    """Compute a metric of the user's own for a few points of the data, and for parts of these.

    Raises:
        ValueError: if it fails, or gives no number.
    """
    if type(metric).__module__.startswith("fokker."):
        return
    kind = type(metric).__name__
    if not isinstance(getattr(metric, "label", None), str):
        raise ValueError(
            f"{kind}.label of metrics.{name} must be the words for it in figures and tables, got "
            "none; define it"
        )
    if metric.best not in get_args(Best):
        raise ValueError(
            f"{kind}.best of metrics.{name} must be one of {', '.join(get_args(Best))}, got "
            f"{metric.best}; change it"
        )
    prepared = PreparedMetric.of(name, metric, data, _TRIED)
    points = prepared.given(data.reference(_TRIED)[:_TRIED])
    prepared(points)
    if metric.has_error and len(points) == _TRIED:
        prepared.on_parts(points)


def stored_metrics(config: DictConfig, data: DataModule, build: Builder) -> dict[str, SampleMetric]:
    """Build the metrics of a stored configuration that fit the data.

    Raises:
        ValueError: if one cannot be built.
    """
    nodes: Any = config.get("metrics")
    if not OmegaConf.is_dict(nodes):
        return {}
    built: dict[str, SampleMetric] = {n: build(node, f"metrics.{n}") for n, node in nodes.items()}
    found = {}
    for name, metric in built.items():
        try:
            metric.check(data)
        except ValueError:
            continue
        found[name] = metric
    return found
