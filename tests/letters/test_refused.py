"""A formulation of one's own that breaks the contract is refused in one sentence, and nothing is
written."""

import copy
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
from fokker.formulation import Losses, Measure

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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("data=uniform",), "cannot make a step of the training: AssertionError (own_letters"),
        (("sampler=heun", "+sampler.sde={_target_:fokker.diffusion.sde.EDM}"),
         "sampler must be one_by_one, got Heun"),
        (("evaluation.grids=[edm_rho]",), "formulation=letters has no group grid"),
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
    # The first stage is the model that a command of its own trains.
    (earlier,) = (line.split()[-1] for line in said.splitlines() if line.startswith("earlier"))
    assert f"model    found: {earlier}" in run()
    model = fokker.load(max(Path("outputs/models").glob("[!.]*")), allow_targets=["own_letters"])
    again: Any = copy.deepcopy(model)
    assert again.data is model.data
    assert again.source is model.source  # type: ignore[attr-defined]


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
    fokker.load(models[-1], allow_targets=["own_letters"])


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
