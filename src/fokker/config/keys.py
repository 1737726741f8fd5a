"""The keys that are not arguments of a part, and the rules for their values."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, final, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from fokker.config.arguments import check_count, fits, shown, whole
from fokker.config.family import OF_NAMES, Family
from fokker.config.mistakes import UnknownKey, of_value
from fokker.machine.memory import DOUBLE, check_fits

# The least memory of a process that makes batches; it shares most memory with the training.
WORKER_BYTES = 5_000_000
#: Keys that any data may have, and that the classes of data do not take.
OF_ANY_DATA = ("gaussianize", "workers")


def _counted(number: int) -> int:
    check_count("", number, int)
    return number


def _at_least(least: int, rule: str) -> AfterValidator:
    """Return a validator that refuses smaller numbers and says the rule."""

    def check(number: int) -> int:
        if number < least:
            raise ValueError(f" must be {rule}, got {number}")
        return number

    return AfterValidator(check)


def _path(text: str) -> str:
    if not text:
        raise ValueError(" must be a path or null, got nothing")
    return text


File = Annotated[str, AfterValidator(_path)]
Whole = Annotated[int, BeforeValidator(lambda value: whole(value, int))]
Count = Annotated[Whole, AfterValidator(_counted)]
Positive = Annotated[Count, _at_least(1, "at least 1")]
#: Options by their names, or with values: `heun`, `{ddim: {eta: 0.5}}`.
Options = list[str | dict[str, dict[str, Any]]]
LISTED = "a list of options, such as [NAME,{NAME: {KEY: VALUE}}]"


class _Checked(BaseModel):
    """A set of keys with their types; the description of a key is its type in words."""

    model_config = ConfigDict(strict=True)


@final
class OfData(_Checked):
    """The keys that any data may have, and that the classes of data do not take."""

    gaussianize: bool | None = Field(description="true or false")
    workers: Annotated[Count, _at_least(0, "null, 0 or positive")] | None = Field(
        description="a whole number or null"
    )


@final
class OfTrainer(_Checked):
    """The keys of `trainer` that are checked before it is built."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field(description="auto, cpu or gpu")
    max_steps: Positive = Field(description="a whole number")


@final
class OfEvaluation(_Checked):
    """The keys that all evaluations share."""

    num_samples: Positive = Field(description="a whole number")
    batch_size: Positive | None = Field(description="a whole number or null")
    num_steps: list[Positive] = Field(description="a list of whole numbers, such as [5,10]")
    weights: str = Field(description="text")
    noise: Literal["random", "quantiles"] = Field(description="random or quantiles")
    budget_points: (
        Annotated[Count, _at_least(0, "null, 0 for no error budget, or positive")] | None
    ) = Field(description="a whole number or null")
    beside: list[str] = Field(description="a list of the folders of finished runs")
    figures: bool = Field(description="true or false")


@final
class Root(_Checked):
    """The keys at the root, and those below it that are not arguments of a part."""

    task: Literal["run", "plan"] = Field(
        description="run or plan, or in a shell doctor, models, runs or compare"
    )
    checkpoint: File | None = Field(description="a path or null")
    init_from: File | None = Field(description="a path or null")
    continue_from: File | None = Field(description="a path or null")
    retrain: bool = Field(description="true or false")
    fail_fast: bool = Field(description="true or false")
    objective: str | list[str] | None = Field(
        description="the name of a metric, a list of them or null"
    )
    allow_targets: list[str] = Field(description="a list of packages, such as [my_package]")
    output_dir: str = Field(description="a path")
    seed: Whole = Field(description="a whole number")
    data: OfData
    trainer: OfTrainer
    evaluation: OfEvaluation

    @model_validator(mode="after")
    def _come_from_one_place(self) -> "Root":
        """Refuse weights from two places."""
        for key, other in (("checkpoint", self.checkpoint), ("init_from", self.init_from)):
            if self.continue_from is not None and other is not None:
                raise ValueError(
                    f"{key} must be null with continue_from, which says where the weights come "
                    f"from, got {other}; remove one of the two"
                )
        return self


def _keys_of(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the keys of a model and of those below it, each with its type, also in words."""
    kinds = get_type_hints(model)
    for name, known in model.model_fields.items():
        if known.description is None:
            yield from _keys_of(kinds[name], f"{name}.")
        else:
            yield f"{above}{name}", (kinds[name], known.description)


#: The keys that are not arguments of a part, each with its type, also in words.
KEYS: Mapping[str, tuple[Any, str]] = dict(_keys_of(Root))


def check_keys(config: DictConfig, family: Family) -> None:
    """Refuse unknown keys, and values of another type or range; 1e4 becomes a whole number.

    Args:
        config: the composed configuration; it is changed.
        family: the family, which says which groups there are.
    Raises:
        ValueError: with the key, the rule and the value.
    """
    _check_names(config, family)
    given = {key: value_of(config, key) for key in KEYS}
    try:
        checked = Root.model_validate(_nested(given)).model_dump()
    except ValidationError as error:
        raise ValueError(_sentence(error, given)) from error
    for group in family.data:
        _check_data(config, group)
    for key, value in given.items():
        above, _, name = key.rpartition(".")
        plain = (checked[above] if above else checked)[name]
        if repr(plain) != repr(value):
            OmegaConf.update(config, key, plain)
    for key in family.lists:
        listed = value_of(config, key)
        if key.split(".")[1] in config.evaluation and not fits(listed, Options):
            raise ValueError(f"{key} must be {LISTED}, got {shown(listed)}")
    points = config.evaluation.budget_points or 0
    key = "evaluation.budget_points"
    # The memory of the starts, of the ends that three solvers give, and of the law's points.
    check_fits(key, points, 5 * DOUBLE * points, "the error budget")


def _check_data(config: DictConfig, group: str) -> None:
    """Check the keys that any data may have, in one group of data."""
    given = {name: value_of(config, f"{group}.{name}") for name in OF_ANY_DATA}
    try:
        workers = OfData.model_validate(given).workers or 0
    except ValidationError as error:
        said = {f"data.{name}": value for name, value in given.items()}
        raise ValueError(_sentence(error, said, "data").replace("data", group, 1)) from error
    check_fits(f"{group}.workers", workers, WORKER_BYTES * workers, "the processes")


def _nested(given: Mapping[str, object]) -> dict[str, Any]:
    """Nest values by dotted keys into a dict, with one dict for each part before a dot."""
    tree: dict[str, Any] = {}
    for key, value in given.items():
        above, _, name = key.rpartition(".")
        (tree.setdefault(above, {}) if above else tree)[name] = value
    return tree


def _sentence(error: ValidationError, given: Mapping[str, object], *above: str) -> str:
    """Return a sentence about the first mistake: the key, the rule and the value.

    The validators of this file give the sentence themselves, without the key.
    """
    first = error.errors(include_url=False)[0]
    names = [*above, *map(str, first["loc"])]
    key = next((k for k in (".".join(names[:2]), *names[:1]) if k in KEYS), "")
    if first["type"] == "value_error":
        return f"{key}{first['ctx']['error']}"
    return f"{key} must be {KEYS[key][1]}, got {shown(given[key])}"


def value_of(config: DictConfig, key: str) -> Any:
    """Return a value of the configuration, resolved."""
    try:
        value = OmegaConf.select(config, key, throw_on_missing=True)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error, key)) from error


def _check_names(config: DictConfig, family: Family) -> None:
    """Refuse unknown keys at the root and of `evaluation`, and groups without their parts."""
    for group in family.needed:
        if config.get(group) is None:
            raise ValueError(f"{group} must be an option, and was removed; say {group}=NAME")
    for group in family.groups:
        node = config.get(group)
        if node is not None and group not in OF_NAMES and not _is_node(node):
            raise ValueError(f"{group} must be a node with a _target_, got {shown(node)}")
    _check_root(config, family)
    _check_several(config.logger, "logger", "logger.wandb.project", "logger=[csv,wandb]")
    _check_several(config.metrics, "metrics", "metrics.w1.optional", "metrics=[default,mine]")
    _check_evaluation(config.evaluation, family)


def _check_root(config: DictConfig, family: Family) -> None:
    """Refuse unknown keys at the root."""
    known = sorted({*family.groups, "hydra", *(key for key in KEYS if "." not in key)})
    for key in map(str, config):
        if key in known:
            continue
        if key in ("experiment", "sweeps"):
            raise ValueError(
                f"{key}=NAME must name a file of overrides, whose first line is "
                f"# @package _global_, and this one gives the key {key}; add the line"
            )
        more = ", or a key below one, such as sampler.num_steps"
        raise UnknownKey(key, "is not a key of fokker", known, more)


def _check_evaluation(evaluation: object, family: Family) -> None:
    """Refuse an `evaluation` with unknown keys, or that is no node."""
    if not isinstance(evaluation, DictConfig):
        raise ValueError(
            "evaluation must have keys below it, such as evaluation.num_samples, got "
            f"{shown(evaluation)}; set these, or choose an option such as evaluation=likelihood"
        )
    names = (key for key in (*KEYS, *family.lists) if key.startswith("evaluation."))
    below = sorted(key.split(".")[1] for key in names)
    for key, node in ((str(key), node) for key, node in evaluation.items()):
        if not OmegaConf.is_dict(node) and key not in below:
            more = ", or an option such as evaluation=likelihood"
            raise UnknownKey(f"evaluation.{key}", "is not a key of fokker", below, more)
        if OmegaConf.is_dict(node) and not _is_node(node):
            raise ValueError(f"evaluation.{key} must be a node with a _target_, got {node}")


def _check_several(parts: Any, group: str, one: str, choose: str) -> None:
    """Refuse a group that does not consist of parts by name.

    Args:
        parts: the value of the group.
        group: its name.
        one: a key of a part, for messages.
        choose: the words that choose several, for messages.
    """
    if not OmegaConf.is_dict(parts):
        raise ValueError(
            f"{group} must have parts below it, such as {one.rpartition('.')[0]}, got "
            f"{shown(parts)}; choose options by {choose}"
        )
    for name, node in parts.items():
        if not _is_node(node):
            raise ValueError(
                f"{group}.{name} must be a node with a _target_, got {shown(node)}; the keys of a "
                f"part stand below its name, such as {one}"
            )


def _is_node(value: object) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value
