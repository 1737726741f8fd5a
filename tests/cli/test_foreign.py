"""Overrides of others: every group and node of hydra's, in records and in a server's words."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict
from wandb.sdk.lib.config_util import save_config_file_from_dict

from fokker.cli.main import main
from fokker.config.agents import check_agents_parameters
from fokker.config.compose import _load, composed, config_dir, meant_overrides, register_resolvers
from fokker.config.family import Family
from fokker.config.inheritance import JobMeanings, compose_meant
from fokker.config.nodes import plain_of
from fokker.config.recorded import ForeignRecord
from fokker.machine.yaml_files import read_yaml

pytestmark = pytest.mark.usefixtures("workdir")
GROUPS = sorted(folder.name for folder in config_dir().iterdir() if folder.is_dir())
HYDRAS = [field.name for field in fields(HydraConf)]
#: What no other's overrides may say, for every group.
BAD = (
    "{0}=../{0}/x", "{0}=..", "{0}=/tmp/x", "{0}=a/b", "{0}='../x'", "+{0}=../x", "{0}=[a,../x]",
    "{0}=a\\\\b", "+{0}@hydra.callbacks.x=a", "+{0}@hydra=a", "+{0}@_global_=a", "+{0}@=a",
    "+{0}@allow_targets=a", "+{0}@output_dir=a", "+{0}@_global_.hydra=a", "{0}=a,b",
    "+{0}@nowhere.x=a", "+{0}@data.x=../x",
)  # fmt: skip
#: What a model of the user's own may well have been trained with.
GOOD = (
    "network=mlp", "+sde@sampler.sde=edm", "~ema.half_lives", "++network.a.b=c", "seed=3",
    "+data.dataset._target_=my_package.Points", "data.path=/home/me/points.npy",
    "optimizer.lr=1e-4", "network={width: 3}", "trainer.max_steps=5",
    "data.value_range=[0,1]", "experiment=crossed", "grid=${oc.env:GRID,edm_rho}",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> DictConfig:
    """A configuration as hydra composes it, of which the sources and paths are asked for."""
    node = {"runtime": {"config_sources": [{"path": str(config_dir()), "schema": "file"}]}}
    return OmegaConf.create({"checkpoint": "m", "output_dir": "outputs", "hydra": node})


def model(*overrides: str) -> None:
    Path("m").mkdir(exist_ok=True)
    Path("m/last.ckpt").touch()
    Path("m/model.json").write_text(json.dumps({"format": 2, "overrides": overrides}))


def inherited(config: DictConfig) -> list[str]:
    return compose_meant(["checkpoint=m"], lambda _: config)[0]


@pytest.mark.parametrize("group", GROUPS)
def test_a_record_has_no_path_for_an_option_and_no_package_of_hydras(
    group: str, plain: DictConfig
) -> None:
    # Unless they have another place.
    is_left = group in ("hydra", "logger", "evaluation", "metrics")
    for text in BAD:
        bad = text.format(group)
        model(GOOD[0], bad)
        if is_left and "@" not in bad:
            assert inherited(plain) == [GOOD[0], "checkpoint=m"], bad
            continue
        with pytest.raises(ForeignRecord) as error:
            inherited(plain)
        assert str(error.value).startswith("m/model.json has the override "), bad
        assert bad in str(error.value)


@pytest.mark.parametrize("name", [*HYDRAS, "x", "sweeper._target_", "launcher.x._target_"])
def test_a_record_says_nothing_to_hydra(name: str, plain: DictConfig) -> None:
    said = [f"{plus}hydra.{name}=x" for plus in ("", "+", "++", "~")]
    model(*said, "hydra={x: y}", "hydra/launcher=../x", GOOD[0])
    assert inherited(plain) == [GOOD[0], "checkpoint=m"]


@pytest.mark.parametrize("text", ["nowhere.x=3", "_global_.x=1", "=x", "conf=3", "data/../x=a"])
def test_a_record_has_the_configurations_keys_alone(text: str, plain: DictConfig) -> None:
    model(text)
    with pytest.raises(ForeignRecord, match=r"^m/model\.json (has the|does not hold) override"):
        inherited(plain)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed=1\x1b[2J", "does not hold overrides: seed=1"),
        ("sampler.num_steps=abc", "has a wrong override: sampler.num_steps must be a whole number"),
        ("network.wdith=3", "has a wrong override: network.wdith is not a key"),
        ("sampler=nope", "has a wrong override: sampler=nope, "),
        ("trainer.max_steps=[1]", "has a wrong override: trainer.max_steps must be a whole"),
    ],
)
def test_a_mistake_in_a_record_names_the_record(
    text: str, says: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model(text)
    monkeypatch.setattr("sys.argv", ["fokker", "checkpoint=m"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    err = capfd.readouterr().err
    assert err.startswith(f"fokker: m/model.json {says}")
    assert all(line.isprintable() for line in err.splitlines())
    monkeypatch.setattr("sys.argv", ["fokker", "checkpoint=m", "optimizer.lr=abc"])
    model("seed=2")
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().err.startswith("fokker: optimizer.lr must be a number")


#: A text that hydra would make a node of when it is read once more.
AGAIN = "${oc.create:{_target_:torch.save,obj:1,f:written}}"


@pytest.mark.parametrize("text", [AGAIN, "${oc.decode:'{a: 1}'}", "${b}", "\\\\${oc.env:HOME}"])
@pytest.mark.parametrize("form", ["{}", "[1, {}]", "{{a: {{b: {}}}}}", "{{{}: 1}}"])
def test_a_text_is_read_once(form: str, text: str) -> None:
    """Hydra reads the plain values of a node once more when it makes an object of them."""
    node = OmegaConf.create({"_target_": "torch.nn.LSTM"})
    node.x = OmegaConf.create(yaml.safe_load(form.format('"A"')))
    plain = json.dumps(OmegaConf.to_container(node)).replace('"A"', json.dumps(f"\\{text}"))
    with pytest.raises(ValueError, match=r"^network must hold no text with \$\{ behind a back"):
        plain_of(OmegaConf.create(json.loads(plain)), "network", Family())


def test_no_words_make_an_object_unchecked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed, by a record, and by the description in a checkpoint."""
    words = ["network._target_=torch.nn.LSTM", f"+network.x='\\{AGAIN}'"]
    for bad in (words[1], "network.width=${oc.decode:x}", "data=${oc.create:x}"):
        model(words[0], bad)
        for typed in (["checkpoint=m"], words):
            monkeypatch.setattr("sys.argv", ["fokker", "task=plan", *typed])
            with pytest.raises(SystemExit):
                main()
            assert capfd.readouterr().err.startswith(
                "fokker: m/model.json has the override " if typed[0] == "checkpoint=m" else
                "fokker: network must hold no text with ${ behind a backslash"
            )  # fmt: skip
    assert not Path("written").exists()


def test_what_a_model_was_trained_with_is_taken(plain: DictConfig) -> None:
    model(*GOOD)
    assert inherited(plain) == [*GOOD, "checkpoint=m"]


def test_a_recorded_word_is_no_more_than_a_word(plain: DictConfig) -> None:
    model(GOOD[0])
    for word in ("a b", "${oc.env:HOME}", "1,2"):
        text = f"data: {{path: x, standardize: '{word}'}}\n"
        Path("m/config.yaml").write_text(text)
        with pytest.raises(ForeignRecord, match="which is not a value that fokker knows"):
            inherited(plain)


# ---- what files of the user's say, that a record names ---------------------------------------

#: What a file may say, and which key of the configuration is then another one.
FILES = {
    "allow_targets: [os]": "allow_targets", "output_dir: elsewhere": "output_dir",
    "defaults: [override /hydra/launcher: joblib]": "hydra",
}  # fmt: skip


def write(group: str, text: str) -> str:
    """An option of the user's, and the search path to it."""
    folder = Path("mine", group)
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"# @package _global_\n{text}\nseed: 7\n")
    return f"hydra.searchpath=['file://{Path('mine').resolve()}']"


@pytest.fixture
def hydra_is_there() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield


@pytest.mark.parametrize("text", FILES)
def test_an_option_that_a_record_names_changes_nothing_that_is_run(
    text: str, hydra_is_there: None
) -> None:
    search = write("data", text)
    model("data=evil")
    typed = ["checkpoint=m", search]
    with pytest.raises(ValueError, match=r"^m/model\.json must not change ") as error:
        compose_meant(typed, lambda words: _load(words, False))
    assert f"must not change {FILES[text]}" in str(error.value)
    if text == "allow_targets: [os]":  # A sweep over models goes by the same.
        config = _load([search], True)
        meant = JobMeanings(config, GlobalHydra.instance().config_loader())
        with pytest.raises(ValueError, match=r"^m/model\.json must not change allow_targets"):
            meant(["checkpoint=m"], ["checkpoint=m"])
        with pytest.raises(ValueError, match="is for hydra, which has one value for all jobs"):
            meant(["hydra.output_subdir=a"], [])


def test_an_experiment_that_a_record_names_brings_its_other_words() -> None:
    search = write("experiment", "\n".join([*list(FILES)[:2], "hydra: {output_subdir: x}"]))
    model("experiment=evil", "network.width=8")
    with composed(["checkpoint=m", search], is_shown=True) as config:
        assert meant_overrides(config) == ["++seed=7", "network.width=8", "checkpoint=m"]
        assert (config.seed, list(config.allow_targets), config.output_dir) == (7, [], "outputs")


# ---- a server's parameters -------------------------------------------------------------------


def agents(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    file = Path("parameters.yaml").resolve()
    file.unlink(missing_ok=True)
    save_config_file_from_dict(str(file), {name: {"value": value}})
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(file))
    check_agents_parameters()


@pytest.mark.parametrize("group", GROUPS)
def test_a_parameter_has_no_path_for_an_option_and_no_package_of_hydras(
    group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in BAD[::3]:
        name, _, value = bad.format(group).partition("=")
        with pytest.raises(ValueError, match=r"parameter of a W&B sweep.* in /.*parameters\.yaml"):
            agents(monkeypatch, name, value.strip("'"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"{plus}hydra.{key}", "x") for key in HYDRAS for plus in ("", "++")),
        ("hydra", {"output_subdir": "x"}), ("hydra/launcher", "joblib"), (" hydra.mode", "x"),
        ("'hydra.mode'", "x"), ("~hydra.mode", "x"), ("--multirun", True), ("-m", 1), ("a b", 1),
        ("--config-dir", "/x"), ("hydra.searchpath", ["file:///x"]), ("output_dir", "x"),
        ("task", "models"), ("delete", "unused"), ("sweeps", "lecture"), ("+sweeps", "lecture"),
        ("checkpoint", "/x"), ("checkpoint", "~/x"), ("checkpoint", "a/../../x"),
        ("init_from", "http://x/y"), ("data.path", "/etc/passwd"), ("data.path", "${oc.env:HOME}"),
        ("data", {"path": "/etc/passwd"}), ("data", "{path: /etc/passwd}"), ("seed", "1,2"),
        ("evaluation.beside", ["../x"]), ("logger.wandb.tags", ["${oc.env:HOME}"]), ("nowhere", 3),
        ("data.path", "C:\\x"), ("network", {"a": {"b": ["/x"]}}), ("~ema", None),
    ],
)  # fmt: skip
def test_a_parameter_is_the_configurations_own(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="parameter of a W&B sweep"):
        agents(monkeypatch, name, value)


@pytest.mark.parametrize("file", sorted(Path(config_dir(), "sweeps/wandb").glob("*.yaml")), ids=str)
def test_fokkers_own_sweeps_in_wandb_may_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in read_yaml(file).parameters.items():
        for value in given.get("values", [given.get("min")]):
            agents(monkeypatch, name, value)
    for name, value in (
        ("checkpoint", "outputs/runs/a"), ("experiment", "crossed"), ("+network.x", "a"),
        ("evaluation.samplers", ["heun", {"ddim": {"eta": 0.5}}]), ("checkpoint", "last"),
        ("+sde@sampler.sde", "edm"), ("network", {"width": 3}), ("objective", None),
    ):  # fmt: skip
        agents(monkeypatch, name, value)


def test_the_node_of_hydra_is_compared_as_a_whole(plain: DictConfig) -> None:
    """Whatever key of it another's overrides came to change."""
    from fokker.config.hydra_node import check_as_typed

    for key in ("a", "sweep.x", "launcher._target_", "runtime.choices.hydra/launcher", "mode"):
        other = plain.copy()
        with open_dict(other):
            OmegaConf.update(other, f"hydra.{key}", 3, force_add=True)
        with pytest.raises(ValueError, match=r"^m must not change hydra"):
            check_as_typed(plain, other, Path("m"))
    check_as_typed(plain, plain.copy(), Path("m"))
