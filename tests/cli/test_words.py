"""Names that were meant, numbers that are whole, and all of it before torch is waited for."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pytest
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

import fokker
from fokker.cli.main import main
from fokker.config.arguments import fits, signature, whole, words
from fokker.config.compose import composed, config_dir
from fokker.config.family import family_of
from fokker.config.instantiate import Builder
from fokker.config.mistakes import UnknownKey
from fokker.config.names import KEYS_FOR, SAID_OF, WORDS, with_hint
from fokker.config.signatures import Signatures
from fokker.config.whole_numbers import in_whole_numbers
from fokker.diffusion.formulations import EDM
from tiny_runs import TINY, compose_experiment

FOKKER = str(Path(sys.executable).with_name("fokker"))
pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(scope="module")
def config() -> DictConfig:
    """The default configuration, with hydra's own node."""
    with composed([]) as made:
        return made


@pytest.fixture(scope="module")
def hint(config: DictConfig) -> Callable[[str], str]:
    def said(key: str) -> str:
        node = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
        beside = sorted(str(name) for name in node or ())
        unknown = UnknownKey(key, "is not a key", beside)
        return with_hint(unknown, config, config.hydra.runtime.config_sources)

    return said


# ---- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("lr", "did you mean optimizer.lr?"),
        ("batch_size", "did you mean data.batch_size or evaluation.batch_size?"),
        ("num_steps", "did you mean sampler.num_steps or evaluation.num_steps?"),
        ("betas", "did you mean optimizer.optimizer.betas?"),
        ("Lr", "did you mean optimizer.lr?"),
        ("widht", "did you mean network.width?"),
        ("trainer.batch_size", "did you mean data.batch_size or evaluation.batch_size?"),
        ("model.width", "did you mean network.width?"),
        ("network.lr", "did you mean optimizer.lr?"),
        # Of options that are not chosen.
        ("project", "did you mean logger.wandb.project, of logger=wandb?"),
        ("eta", "did you mean sampler.eta, of sampler=ddim or dpmpp_2m_sde?"),
        ("sampler.eta", "it is one of sampler=ddim or dpmpp_2m_sde"),
        ("formulation.num_levels", "it is one of formulation=ddpm or smld"),
        ("path", "did you mean data.path, of data=points?"),
        # Words of other programs.
        ("learning_rate", "did you mean optimizer.lr?"),
        ("learning-rate", "did you mean optimizer.lr?"),
        ("learnign_rate", "did you mean optimizer.lr?"),
        ("epochs", "did you mean trainer.max_steps? fokker counts optimizer steps"),
        ("trainer.max_epochs", "use trainer.max_steps"),
        ("iterations", "did you mean trainer.max_steps?"),
        ("steps", "did you mean sampler.num_steps, or for the training trainer.max_steps?"),
        ("sampler.steps", "did you mean sampler.num_steps, or"),
        ("bs", "did you mean data.batch_size?"),
        ("n_samples", "did you mean evaluation.num_samples?"),
        ("model", "did you mean network=NAME, or checkpoint=PATH"),
        ("resume", "the same command goes on by itself where a training was stopped"),
        ("gpus", "did you mean trainer=gpu? Several are trainer=ddp trainer.devices=2"),
        ("device", "did you mean trainer=gpu?"),
        ("cfg", "fokker has no classes to guide by"),
        ("wandb", "did you mean logger=wandb?"),
        ("name", "did you mean hydra.run.dir=outputs/runs/NAME?"),
        ("random_seed", "did you mean seed?"),
        ("seeds", "did you mean fokker -m seed=0,1,2?"),
        ("output", "did you mean output_dir?"),
        ("num_workers", "did you mean data.workers?"),
        # Beside it.
        ("network.wdith", "did you mean width? There are"),
        ("samplr", "did you mean sampler? There are"),
        ("zzz", "choose one of allow_targets,"),
    ],
)
def test_what_a_key_may_have_meant(hint: Callable[[str], str], key: str, says: str) -> None:
    said = hint(key)
    assert said.startswith(f"{key} is not a key; ")
    assert says in said


def _has(node: Any, key: str) -> bool:
    """Whether a dotted key is there, also if it is null."""
    parent, _, name = key.rpartition(".")
    above = OmegaConf.select(node, parent) if parent else node
    return above is not None and name in above


def test_what_words_of_others_lead_to_are_keys_and_options(config: DictConfig) -> None:
    options = {
        (file.parent.name, file.stem): OmegaConf.load(file)
        for file in config_dir().glob("*/*.yaml")
    }
    for said in (*KEYS_FOR.values(), *SAID_OF.values()):
        for group, option in re.findall(r"(?<![\w.])(\w+)=([a-z]\w*)", said):
            groups = family_of(EDM).groups
            known = (group, option) in options or (group in config and group not in groups)
            assert known, f"{group}={option} of {said!r}"
        for key in re.findall(r"(?<![\w/])[a-z_]+(?:\.[a-z_]+)+(?![\w/.])", said):
            group, _, name = key.partition(".")
            if key in ("hydra.run.dir", "metrics.csv"):
                continue
            found = OmegaConf.select(config, key, throw_on_missing=False)
            others = [node.get(g, node) for (g, _), node in options.items() if g == group]
            is_there = any(_has(node, name) for node in others)
            assert found is not None or is_there, f"{key} of {said!r}"
    listed = " ".join([*KEYS_FOR, *SAID_OF]).split()
    assert len(listed) == len(set(listed)) == len(WORDS)
    assert not {*listed} & {str(key) for key in config}


@pytest.mark.long
def test_a_name_is_found_with_a_plus_in_a_file_and_in_a_sweep(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for typed in ("lr=1", "+lr=1", "++lr=1", "~lr", "+data.lr=1"):
        with pytest.raises(ValueError, match=r"^(data\.)?lr is not .*did you mean optimizer\.lr\?"):
            fokker.run([typed])
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/own.yaml").write_text("# @package _global_\nlr: 1\n")
    for typed in (["-m", "lr=1,2"], ["--lr", "1"], ["--config-dir=mine", "experiment=own"]):
        monkeypatch.setattr("sys.argv", ["fokker", *typed])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capfd.readouterr().err
        assert "did you mean optimizer.lr?" in said
        assert "Traceback" not in said
    assert [path.name for path in Path().iterdir()] == ["mine"]


# ---- early -----------------------------------------------------------------------------------


VALUES: list[Any] = [
    None, 1, 1.5, 1e4, True, "abc", "", [], [1], [1.5], [1, 2], ["a"], {"a": 1}, {"_target_": "x"},
    float("nan"),
]  # fmt: skip


def test_signatures_that_are_read_are_those_that_python_has() -> None:
    texts = [file.read_text() for file in config_dir().rglob("*.yaml")]
    targets = {name for text in texts for name in re.findall(r"_target_: *(fokker[\w.]+)", text)}
    read = Signatures()
    assert len(targets) > 70
    for target in targets:
        late, early = signature(get_object(target)), read(target)
        assert (early.name, early.takes_all) == (late.name, late.takes_all), target
        assert list(early.types) == list(late.types), target
        for name, kind in late.types.items():
            assert words(early.types[name]) == words(kind), f"{target} {name}"
            for value in VALUES:
                fit = fits(value, kind)
                assert fits(value, early.types[name]) == fit, f"{target} {name} {value}"
    for other in ("torch.nn.Linear", "my_nets.Net", "fokker.networks.Nope", "fokker", ""):
        assert read(other).takes_all
        assert read(other).types == {}


@pytest.mark.parametrize(
    "typed",
    [
        "optimizer.lr=abc", "+network.wdith=3", "evaluation.samplers=[{ddim: {etta: 1}}]",
        "data.path=nowhere.npy", "init_from=nowhere", "evaluation.beside=[nowhere]",
    ],
)  # fmt: skip
def test_it_is_the_same_sentence_early_and_late(typed: str) -> None:
    first = ["data=points"] if typed.startswith("data.path") else []
    said = []
    for name in ("fokker.config.build.build_experiment", "fokker.config.compose.check_early"):
        with mock.patch(name), pytest.raises(ValueError) as error:
            compose_experiment(*first, typed)
        said.append(str(error.value))
    assert said[0] == said[1]


LINES = """
import sys
from fokker.cli.main import main
for mistake in sys.argv[1:]:
    sys.argv = ["fokker", *mistake.split()]
    try:
        main()
    except SystemExit as end:
        print(mistake, end.code, "torch" in sys.modules)
"""


def test_mistakes_are_said_before_torch_is_waited_for() -> None:
    mistakes = (
        "lr=1", "sampler=heunn", "optimizer.lr=abc", "+optimizer.lrr=1", "checkpoint=nowhere",
        "data=points data.path=nowhere.npy", "evaluation.beside=[nowhere]",
        "task=compare nowhere there", "-m network.width=abc,def",
    )  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-c", LINES, *mistakes], capture_output=True, text=True, check=True
    )
    first, *lines = reversed(said.stdout.splitlines())
    assert [first, *lines[1:]] == [f"{mistake} 1 False" for mistake in reversed(mistakes)]
    assert lines[0].startswith("sweep    outputs/sweeps/width-")  # Before all else.
    assert said.stderr.count("fokker: ") == len(mistakes)


def test_a_mistake_is_said_soon() -> None:
    def seconds(code: int, *command: str) -> float:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == code
        return usage.ru_utime + usage.ru_stime

    # In one run, since machines differ: lightning alone takes thirty times as long as hydra.
    light = (0, sys.executable, "-c", "import hydra")
    assert any(seconds(1, FOKKER, "lr=1") < 8 * seconds(*light) for _ in range(3))


# ---- whole numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        (1e4, int, 10000),
        (1e4, int | None, 10000),
        (1e1, int | Literal["auto"], 10),
        (1e4, float, 1e4),
        (1e4, float | int, 1e4),
        (1.5, int, 1.5),
        (1e4, bool, 1e4),
        (1e4, str, 1e4),
        (float("inf"), int, float("inf")),
        ([1e1, 20], list[int], [10, 20]),
        ([1e1, 1.5], list[int], [1e1, 1.5]),
        ([1e1, 1.5], list[float], [1e1, 1.5]),
        (10000, int, 10000),
        (True, int, True),
    ],
)
def test_a_number_is_whole_where_nothing_else_fits(value: Any, kind: Any, number: Any) -> None:
    found = whole(value, kind)
    assert (found, type(found)) == (number, type(number))


def test_whole_numbers_with_an_exponent_make_the_same_model_and_record() -> None:
    typed = {
        "trainer.max_steps": ("10", "1e1"),
        "data.batch_size": ("100", "1e2"),
        "evaluation.num_samples": ("1000", "1.0e3"),
        "evaluation.num_steps": ("[10,20]", "[1e1,20]"),
        "sampler.num_steps": ("30", "3e1"),
        "seed": ("1000", "1E3"),
    }
    one, other = (
        compose_experiment(*(f"{key}={values[way]}" for key, values in typed.items()))
        for way in (0, 1)
    )
    assert other.task.config_text == one.task.config_text
    assert other.task.folder.path == one.task.folder.path
    assert [s.num_steps for s in other.plan.ways] == [30, 10, 20]
    with pytest.raises(ValueError, match=r"max_steps must be a whole number, got 1\.5$"):
        compose_experiment("trainer.max_steps=1.5e0")


def test_whole_numbers_of_a_file_and_of_a_class_of_one_s_own(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own_sizes.py").write_text(
        "from fokker.networks import MLP\n"
        "class Sized(MLP):\n"
        "    def __init__(self, shape, c_noise_range, size: int, share: float = 1.0) -> None:\n"
        "        super().__init__(shape, c_noise_range, width=size, depth=1)\n"
    )
    monkeypatch.syspath_prepend(str(workdir))
    node = {"_target_": "own_sizes.Sized", "_partial_": True, "size": 1e1, "share": 1e1}
    build = Builder(["own_sizes"])
    made = build(OmegaConf.create(node), "network")
    assert build.whole == {"network.size": 10}
    assert isinstance(made.keywords["size"], int)
    Path("mine/network").mkdir(parents=True)
    for name, size in (("plain", "10"), ("exponent", "1e1")):
        lines = ["_target_: own_sizes.Sized", "_partial_: true", f"size: {size}", "share: 1e1"]
        Path(f"mine/network/{name}.yaml").write_text("\n".join(lines))
    own = [o for o in TINY if not o.startswith("network.")]
    paths = []
    for name in ("plain", "exponent"):
        with mock.patch("fokker.launch.job.run_experiment") as run:
            place = f"hydra.searchpath=['file://{workdir}/mine']"
            fokker.run([*own, place, f"network={name}", "allow_targets=[own_sizes]"])
        paths.append(run.call_args[0][0].task.folder.path)
        assert "size: 10\n  share: 10.0" in run.call_args[0][0].task.config_text
    assert paths[0] == paths[1]


def test_a_sweep_over_whole_numbers_has_each_once(config: DictConfig) -> None:
    typed = {
        "trainer.max_steps=1e1,10,2.0e1": "trainer.max_steps=10,10,20",
        "sampler.num_steps=range(1e1,3e1,1e1)": "sampler.num_steps=range(10,30,10)",
        "evaluation.num_steps=[1e1,5],[2e1]": "evaluation.num_steps=[10,5],[20]",
        "formulation.num_levels=1e2,2e2": "formulation.num_levels=100,200",
        "data.modes=8e0,4": "data.modes=8,4",
        "network.width=1.5e0,1e1": "network.width=1.5e0,10",
        "++sampler.num_steps=1e1": "++sampler.num_steps=10",
        "optimizer.lr=1e0,1e-3": "optimizer.lr=1e0,1e-3",
        "ema.rampup=1e0": "ema.rampup=1e0",
        "nope.nope=1e0": "nope.nope=1e0",
        "output_dir=v1.0": "output_dir=v1.0",
    }
    sources = config.hydra.runtime.config_sources
    found = in_whole_numbers(list(typed), config, sources, Signatures())
    assert found == list(typed.values())
