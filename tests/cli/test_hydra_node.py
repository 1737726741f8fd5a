"""Hydra's own node, each key of it: what would build, write, log or set something is refused."""

import copy
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf, flag_override

from fokker.config.compose import _load, config_dir, register_resolvers
from fokker.config.hydra_node import FIXED, PLUGINS, check_hydra
from fokker.config.option_names import check_options, check_typed_options

HYDRAS = [field.name for field in fields(HydraConf)]
LAUNCHERS = ("basic", "joblib", "submitit_local", "submitit_slurm")
SWEEPERS = ("fokker_grid", "fokker_search")
EVIL = {"_target_": "os.system", "command": "touch here"}
AGAIN = "\\${oc.create:{_target_:os.system}}"
#: Values of which none may stand where FIXED has another.
WRONG: tuple[Any, ...] = ("x", ["x"], EVIL)


@pytest.fixture(scope="module")
def composed() -> Iterator[dict[str, DictConfig]]:
    """The configuration with each launcher, and with each sweeper, by its name."""
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        found = {}
        for launcher, sweeper in zip(LAUNCHERS, [*SWEEPERS, *SWEEPERS]):
            config = _load([f"hydra/launcher={launcher}", f"hydra/sweeper={sweeper}"], False)
            keys = ("hydra", "network", "trainer", "output_dir", "allow_targets")
            found[launcher] = found[sweeper] = OmegaConf.masked_copy(config, keys)
        yield found


def changed(config: DictConfig, key: str, value: Any) -> DictConfig:
    """With one key's value, whatever hydra's own types would say of it."""
    plain: Any = OmegaConf.to_container(config)
    above = plain
    *parents, name = key.split(".")
    for parent in parents:
        if not isinstance(above.get(parent), dict):
            above[parent] = {}
        above = above[parent]
    above[name] = value
    return OmegaConf.create(plain)


def refused(config: DictConfig, key: str, value: Any) -> str:
    with pytest.raises(ValueError) as error:
        check_hydra(changed(config, key, value))
    said = str(error.value)
    assert said.startswith(key.split(".x")[0].removesuffix("._target_")), said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", [*LAUNCHERS, *SWEEPERS])
def test_fokkers_own_may_be(name: str, composed: dict[str, DictConfig]) -> None:
    check_hydra(composed[name])


@pytest.mark.parametrize("key", FIXED)
def test_a_key_that_would_write_log_or_set_has_one_value(
    key: str, composed: dict[str, DictConfig]
) -> None:
    for value in WRONG:
        refused(composed["basic"], key, value)
    config = copy.deepcopy(composed["basic"])
    above, _, name = key.rpartition(".")
    with flag_override(OmegaConf.select(config, above), ["struct", "readonly"], False):
        del OmegaConf.select(config, above)[name]
    with pytest.raises(ValueError, match=key):
        check_hydra(config)


@pytest.mark.parametrize("name", [n for n in HYDRAS if n not in ("overrides", "runtime")])
def test_nothing_is_built_below_any_key(name: str, composed: dict[str, DictConfig]) -> None:
    for key, value in (
        (f"hydra.{name}.x", [{"y": EVIL}]), (f"hydra.{name}.x", {"_partial_": True}),
        (f"hydra.{name}", EVIL),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            check_hydra(changed(composed["basic"], key, value))


@pytest.mark.parametrize("name", ["x", "foo"])
def test_keys_that_hydra_has_not_are_refused(name: str, composed: dict[str, DictConfig]) -> None:
    assert "is not a key of hydra's" in refused(composed["basic"], f"hydra.{name}", 3)


@pytest.mark.parametrize(
    ("part", "name"), [("launcher", n) for n in LAUNCHERS] + [("sweeper", n) for n in SWEEPERS]
)
def test_a_launcher_and_a_sweeper_are_as_in_their_files(
    part: str, name: str, composed: dict[str, DictConfig]
) -> None:
    config = composed[name]
    node: Any = OmegaConf.to_container(config.hydra[part])
    for key in ("x", "_partial_", "_recursive_", "_convert_", "_args_"):
        said = refused(config, f"hydra.{part}.{key}", 3)
        assert f"is not a key of hydra/{part}={name}" in said
    others = {"os.system", "torch.nn.Linear", None, 3, config_of_another(part, node, composed)}
    for target in others:
        assert PLUGINS[part] in refused(config, f"hydra.{part}._target_", target)
    for number, key in enumerate(key for key in node if key != "_target_"):
        value = ([{"a": EVIL}], "${network}")[number % 2]
        assert "nothing may be built in" in refused(config, f"hydra.{part}.{key}", value)


@pytest.mark.parametrize("part", ["launcher", "sweeper", "callbacks"])
@pytest.mark.parametrize("value", [AGAIN, [{"a": AGAIN}], {"a": AGAIN}])
def test_no_text_is_read_once_more(part: str, value: Any, composed: dict[str, DictConfig]) -> None:
    """Hydra resolves what it makes an object of, and a text behind a backslash then too."""
    key = {"launcher": "n_jobs", "sweeper": "params", "callbacks": "x"}[part]
    config = changed(composed["joblib"], f"hydra.{part}.{key}", value)
    with pytest.raises(ValueError, match=rf"^hydra\.{part} must hold no text with \$\{{ behind"):
        check_hydra(config)


def config_of_another(part: str, node: Any, composed: dict[str, DictConfig]) -> str:
    """The target of another option of the same kind."""
    names = LAUNCHERS if part == "launcher" else SWEEPERS
    targets = [str(composed[name].hydra[part]._target_) for name in names]
    return next(target for target in targets if target != node["_target_"])


def test_a_sweeper_is_one_that_checks_its_jobs(composed: dict[str, DictConfig]) -> None:
    config = changed(composed["basic"], "hydra.runtime.choices", {"hydra/sweeper": "basic"})
    config.hydra.sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
    with pytest.raises(ValueError, match="hydra/sweeper must be one of fokker's, got basic"):
        check_hydra(config)


def test_callbacks_are_classes_of_hydras(composed: dict[str, DictConfig]) -> None:
    config, key = composed["basic"], "hydra.callbacks"
    good = {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}
    check_hydra(changed(config, key, {"x": good}))
    for bad in (
        {"_target_": "hydra.utils.call"}, {"_target_": "hydra.core.utils.JobRuntime"},
        {"_target_": "fokker.diffusion.sde.EDM"}, {"_target_": "os.system"}, {**good,
         "_partial_": True},
        {**good, "x": EVIL}, 3, None, {}, "${network}",
    ):  # fmt: skip
        refused(config, key, {"x": bad})


@pytest.mark.parametrize("group", sorted(p.name for p in config_dir().iterdir() if p.is_dir()))
def test_an_option_has_a_plain_name_in_every_group(
    group: str, composed: dict[str, DictConfig]
) -> None:
    config = composed["basic"]
    for name in (f"../{group}/x", "/x", "a/b", "..", "a\\b", ["a", "../x"], "x/../../y"):
        with pytest.raises(ValueError, match=f"^{group} must be the plain name of an option"):
            check_options({"other": "good", group: name})
    check_options({group: "good", f"{group}@other": None, "more": ["a", "b-1.2+c"]})
    other = changed(config, "hydra.runtime.choices", {group: "../x"})
    with pytest.raises(ValueError, match=f"^{group} must be the plain name of an option"):
        check_hydra(other)
    sources = config.hydra.runtime.config_sources
    for word in ("{0}=../x", "{0}=a,../x", "+{0}@y=[a,b/c]", "{0}='../x'", "{0}=choice(a,/b)"):
        with pytest.raises(ValueError, match=f"^{group}(@y)? must be the plain name"):
            check_typed_options([word.format(group)], sources)
    check_typed_options([f"{group}=a", f"{group}=a,b", f"{group}={{path: /x}}"], sources)
    check_typed_options(["data.path=../x", "output_dir=/x", "checkpoint=../a/b"], sources)
