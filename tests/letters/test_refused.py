"""A formulation of one's own that breaks the contract is refused in one sentence, and nothing is
written."""

import copy
import functools
import importlib
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import fokker
from fokker.cli.main import main
from fokker.diffusion.grids import EDMRho
from fokker.formulation import Axis, Losses, Measure, Table, Validation

HERE = Path(__file__).parent
CONF = str(HERE / "conf")
OWN = (
    "formulation=letters", "data=letters", "network=table", "allow_targets=[own_letters]",
    "trainer.max_steps=4", "evaluation.num_samples=8", "evaluation.figures=false",
)  # fmt: skip
Sentence = Callable[..., str]


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The letters' module, importable from the working folder."""
    shutil.copy(HERE / "own_letters.py", workdir)
    monkeypatch.syspath_prepend(str(workdir))
    return importlib.import_module("own_letters")


@pytest.fixture
def refusal(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sentence:
    """What the command says as it refuses to run, with nothing written."""

    def ask(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code not in (0, None)
        assert not list(Path("outputs").rglob("*.*"))
        lines = said.err.strip().splitlines()
        assert lines[1:] in ([], ["fokker --help lists the groups, options and keys"])
        return lines[0]

    return ask


def raising(kind: type[Exception]) -> Callable[..., Any]:
    """A function that raises."""

    def function(*_: Any, **__: Any) -> Any:
        raise kind("planted")

    return function


def instead(value: Any) -> Callable[..., Any]:
    """A function that gives a value, whatever it is called with."""
    return lambda *_, **__: value


TABLE = Table(Axis("mask", "m", "share", "loss", "nats"), (0.5,), [True], {"loss": [1.0]})
ENTRY = {"network": {"shape": [1]}}
WRONG: dict[str, tuple[str, Any, str]] = {
    "a mean": (
        "losses", lambda self, draws: Losses(*2 * (self.table.logits.sum(),)),
        r"LetterDiffusion.losses must give .* of the shape \(2,\) both, got \(\) and \(\)",
    ),
    "no losses": ("losses", instead(torch.ones(2)), "LetterDiffusion.losses must .* got Tensor"),
    "constants": (
        "losses", instead(Losses(torch.ones(2), torch.ones(2))), "got one without a gradient",
    ),
    "a step fails": (
        "losses", raising(KeyError),
        r"formulation=letters cannot make a step .*KeyError: 'planted' \(test_refused, line \d+",
    ),
    "draws fail": ("draws", raising(TypeError), "cannot make a step of the training: TypeError"),
    "an own key": ("described", instead({**ENTRY, "key": 1}), "names of its own, got key"),
    "no JSON": ("described", instead({"network": torch.ones(1)}), "got what JSON has no word for"),
    "no names": ("described", instead([1]), "must give plain values by name, got list"),
    "no description": ("described", raising(KeyError), "described cannot be asked: KeyError"),
    "no way": ("way", instead(None), "must give a fokker.formulation.Way, got NoneType"),
    "a way fails": ("way", raising(AttributeError), "way cannot be asked: AttributeError"),
    "a list": ("earlier", instead([1]), r"must give changes of the configuration.* got \[1\]"),
    "earlier fails": ("earlier", raising(KeyError), "LetterDiffusion.earlier cannot be asked"),
    "itself": ("earlier", instead({"formulation.stage": 1}), "comes back to one that it"),
    "no end": (
        "earlier", lambda config: {"formulation.stage": config["formulation"]["stage"] + 1},
        "must lead to a first stage, .* has no end",
    ),
    "a name": ("earlier", instead({"formulation": "edm"}), "options have no names any more"),
    "a typo": (
        "earlier", lambda c: {"formulation.stag": 1} if "stag" not in c["formulation"] else None,
        "formulation.stag is not taken by LetterDiffusion; did you mean stage",
    ),
    "no place": ("earlier", instead({"output_dir": "there"}), "got output_dir; change keys of"),
    "no number": (
        "earlier", lambda c: {"seed": "abc"} if c["seed"] == 0 else None,
        "seed must be a whole number, got abc",
    ),
    "no step": (
        "earlier", lambda c: {"trainer.max_steps": -1} if c["trainer"]["max_steps"] > 0 else None,
        "max_steps must be .*got -1",
    ),
}  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", WRONG)
def test_what_a_formulation_gives_otherwise_than_asked(
    case: str, own: ModuleType, refusal: Sentence, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, planted, sentence = WRONG[case]
    if name == "earlier":
        given = planted
        planted = classmethod(lambda _, config: given(config))
    monkeypatch.setattr(own.LetterDiffusion, name, planted)
    said = refusal(*OWN)
    assert re.search(sentence, said), said


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("data=uniform",), "cannot make a step of the training: AssertionError (own_letters"),
        (("sampler=heun", "+sampler.sde={_target_:fokker.diffusion.sde.EDM}"),
         "sampler must be one_by_one, got Heun"),
        (("evaluation.grids=[edm_rho]",), "formulation=letters has chosen no grid; say grid=NAME"),
        (("sampler.num_steps=0",), "sampler.num_steps must be a whole number, at least 1, got 0"),
        (("weighting=edm",), "formulation=letters has no group weighting"),
        (("evaluation.noise=quantiles",), "must be random with formulation=letters"),
        (("evaluation=likelihood",), "formulation=letters"),
        (("+source.workers=-1",), "source.workers must be null, 0 or positive, got -1"),
        (("+source.workers=abc",), "source.workers must be a whole number or null, got abc"),
        (("+source.gaussianize=true",), "source.gaussianize=true needs standardised numbers"),
    ],
)
def test_options_of_others_are_refused(
    words: tuple[str, ...], sentence: str, refusal: Sentence
) -> None:
    assert sentence in refusal(*OWN, *words)


def test_data_that_fail_are_named_by_their_group(
    own: ModuleType, refusal: Sentence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own.Letters, "content", property(raising(KeyError)))
    assert "content of the data cannot be asked: KeyError" in refusal(*OWN)
    monkeypatch.setattr(own.Letters, "batch", raising(KeyError))
    assert "data cannot give a batch: KeyError" in refusal(*OWN)
    missing = "source._target_=fokker.data.PointsFile", "~source.shift", "+source.path=none.npy"
    assert "source.path must be a file of points, and none.npy is not there" in refusal(
        *OWN, *missing
    )


WRONG_ANSWERS: dict[str, tuple[str, Any, str]] = {
    "no validation": ("validation", instead({"ce": 1.0}), "must give a .*Validation, got dict"),
    "a tensor": (
        "validation", instead(Validation({"nelbo": torch.ones(())}, TABLE)),
        "LetterDiffusion.validation must give numbers, got nelbo of the type Tensor",
    ),
    "the run's own": (
        "validation", instead(Validation({"nfe": 3.0}, TABLE)),
        "numbers of LetterDiffusion.validation must have names of their own, got nfe",
    ),
    "no truth": ("truth", instead(0.5), "truth must give a .*Truth or None, got float"),
}  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_what_a_formulation_measures_otherwise_than_asked(
    case: str, own: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, planted, sentence = WRONG_ANSWERS[case]
    monkeypatch.setattr(own.LetterDiffusion, name, planted)
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *OWN])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert re.search(sentence, said), said
    assert "Traceback" not in said


def test_methods_that_a_class_lacks_are_named(own: ModuleType, refusal: Sentence) -> None:
    Path("half_letters.py").write_text(
        "from fokker.formulation import Formulation\n\n\n"
        "class Half(Formulation):\n    def losses(self, draws): ...\n"
    )
    allowed = "allow_targets=[own_letters,half_letters]"
    said = refusal(*OWN[:3], allowed, "formulation._target_=half_letters.Half")
    assert "half_letters.Half, which lacks draws, measures, network, truth, validation, way" in said


def test_numbers_that_are_not_said_are_warned_of(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"nelbo": Measure("NELBO"), "tv": Measure("TV"), "sharpness": Measure("sharpness")}
    monkeypatch.setattr(own.LetterDiffusion, "measures", instead(said))
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *OWN])
    main()
    said_then = capsys.readouterr().err
    assert "got sharpness, which the run has not" in said_then
    assert "got bits, which it does not say" in said_then


def test_data_are_made_once_for_all_stages_and_never_copied(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    begin = own.Letters.__init__

    @functools.wraps(begin)
    def counted(self: Any, *given: Any, **named: Any) -> None:
        made.append(str(named.get("shift")))
        begin(self, *given, **named)

    monkeypatch.setattr(own.Letters, "__init__", counted)

    def run(*words: str) -> str:
        made.clear()
        monkeypatch.setattr(
            "sys.argv", ["fokker", "--config-dir", CONF, *OWN, *words]
        )
        main()
        return capsys.readouterr().out

    said = run("formulation.stage=2")
    assert sorted(made) == ["0", "1"]
    # Numbers such as 2.4e1 are whole in all stages.
    assert "model    found" in run("formulation.stage=2", "data.batch_size=2.4e1")
    # The first stage is the model that a command of its own trains.
    (earlier,) = (line.split()[-1] for line in said.splitlines() if line.startswith("earlier"))
    assert f"model    found: {earlier}" in run()
    model = fokker.load(max(Path("outputs/models").glob("[!.]*")), allow_targets=["own_letters"])
    again: Any = copy.deepcopy(model)
    assert again.data is model.data
    assert again.source is model.source  # type: ignore[attr-defined]


@pytest.mark.long
def test_three_stages_are_trained_found_and_loaded(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def earlier(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        stage = config["formulation"]["stage"]
        return {"formulation.stage": stage - 1} if stage > 1 else None

    monkeypatch.setattr(own.LetterDiffusion, "earlier", staticmethod(earlier))

    def run(stage: int) -> str:
        typed = ["fokker", "--config-dir", CONF, *OWN, f"formulation.stage={stage}"]
        monkeypatch.setattr("sys.argv", typed)
        main()
        return capsys.readouterr().out

    assert "earlier  trained" in run(3)
    models = sorted(Path("outputs/models").glob("[!.]*"), key=lambda path: path.stat().st_ctime)
    assert len(models) == 3
    for stage, model in enumerate(models, start=1):
        assert f"model    found: {model}" in run(stage)
    loaded = fokker.load(models[-1], allow_targets=["own_letters"])
    assert loaded.made_from == ()


NORMED = """
import torch
from torch import nn

from own_letters import LABELS, LETTERS


class Normed(nn.Module):
    def __init__(self, shape) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(LABELS, LETTERS, LETTERS))
        self.norm = nn.BatchNorm1d(LETTERS)

    def forward(self, label, source):
        return self.norm(self.logits[label, source])
"""


def test_a_first_stage_is_the_same_model_alone_and_before_a_second(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying a step of the second must leave the first as it is, its running statistics too."""
    Path("normed.py").write_text(NORMED)
    words = ["fokker", "--config-dir", CONF, *OWN, "network._target_=normed.Normed",
             "~network.spread", "allow_targets=[own_letters,normed]"]  # fmt: skip
    states = []
    for folder, more in (("alone", []), ("chain", ["formulation.stage=2"])):
        monkeypatch.setattr("sys.argv", [*words, *more, f"output_dir={folder}"])
        main()
        model = min(Path(folder, "models").glob("[!.]*"), key=lambda path: path.stat().st_ctime)
        states.append((model.name, torch.load(model / "last.ckpt", weights_only=True)))
    (name, alone), (other, chain) = states
    assert name == other
    assert all(
        torch.equal(value, chain["state_dict"][key]) for key, value in alone["state_dict"].items()
    )


def test_a_loaded_model_s_stages_have_their_own_data(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def earlier(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        is_second = config["formulation"]["stage"] == 2
        return {"formulation.stage": 1, "data.shift": 1} if is_second else None

    laws: dict[int, torch.Tensor] = {}
    begin = own.LetterDiffusion.__init__

    @functools.wraps(begin)
    def noted(self: Any, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        laws[self.stage] = self.data.law

    monkeypatch.setattr(own.LetterDiffusion, "earlier", staticmethod(earlier))
    monkeypatch.setattr(own.LetterDiffusion, "__init__", noted)
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *OWN, "formulation.stage=2"])
    main()
    trained = dict(laws)
    laws.clear()
    models = Path("outputs/models").glob("[!.]*")
    fokker.load(max(models, key=lambda path: path.stat().st_ctime), allow_targets=["own_letters"])
    assert not torch.equal(trained[1], trained[2])
    assert all(torch.equal(laws[stage], law) for stage, law in trained.items())


def test_a_stage_may_need_what_the_one_before_has_learned(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = own.LetterDiffusion.losses

    def needs(self: Any, draws: Any) -> Losses:
        assert not self.made_from or self.made_from[0].table.logits.abs().sum() > 0
        found: Losses = losses(self, draws)
        return found

    monkeypatch.setattr(own.LetterDiffusion, "losses", needs)
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *OWN, "formulation.stage=2"])
    main()


def test_options_of_fokkers_own_stand_where_a_formulation_says_no_kinds(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own.LetterDiffusion, "asked", ("sampler", "grid"))
    given: list[Any] = []
    way = own.LetterDiffusion.way

    def noted(self: Any, asked: Any) -> Any:
        given.append(asked.parts["grid"])
        return way(self, asked)

    monkeypatch.setattr(own.LetterDiffusion, "way", noted)
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", CONF, *OWN, "+grid=edm_rho"])
    main()
    (grid,) = given
    assert isinstance(grid, EDMRho)


PAIRS = """
from typing import Any

from fokker.data import DataModule
from fokker.diffusion.formulations import EDM


class Paired(EDM):
    data_groups = ("data", "source")

    def __init__(self, source: DataModule, **rest: Any) -> None:
        super().__init__(**rest)
        self.source = source
"""


def test_a_model_of_two_data_groups_is_loaded_where_one_has_moments(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own_pairs.py").write_text(PAIRS)
    monkeypatch.setattr(
        "sys.argv",
        ["fokker", "--config-dir", CONF, "formulation._target_=own_pairs.Paired",
         "+source=letters", "allow_targets=[own_letters,own_pairs]", "data=uniform",
         "trainer.max_steps=2", "evaluation.num_samples=8", "evaluation.figures=false",
         "network.width=8", "network.depth=1", "evaluation.budget_points=0"],
    )  # fmt: skip
    main()
    (model,) = Path("outputs/models").glob("[!.]*")
    loaded: Any = fokker.load(model, allow_targets=["own_letters", "own_pairs"])
    assert loaded.data.sigma_data == pytest.approx(0.5)
    assert loaded.source.law.shape == (2, 3)
