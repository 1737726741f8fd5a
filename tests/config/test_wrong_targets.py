"""A target of the wrong kind, in every place that takes one: a sentence, and nothing is built."""

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

import tiny_runs
from fokker.cli.main import main
from fokker.config.arguments import signature
from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.compose import composed, config_dir
from fokker.config.early import PARTS, asked_of, check_early, check_part, parts_of
from fokker.config.family import Family, family_of
from fokker.config.instantiate import Builder
from fokker.config.keys import check_keys
from fokker.config.kinds import belongs
from fokker.config.parts import Inside, Parts
from fokker.config.signatures import Signatures
from fokker.diffusion.formulations import EDM
from fokker.diffusion.formulations.groups import Groups

pytestmark = pytest.mark.usefixtures("workdir")
LR = "torch.optim.lr_scheduler"
#: The class that stands for its kind, by the place where it belongs.
RIGHT = {
    "data": "fokker.data.ToyData",
    "data.distribution": "fokker.distributions.Ring",
    "formulation": "fokker.diffusion.formulations.VPSDE",
    "sde": "fokker.diffusion.sde.EDM",
    "preconditioning": "fokker.diffusion.preconditioning.VE",
    "weighting": "fokker.diffusion.weighting.X0",
    "weighting.base": "fokker.diffusion.weighting.X0",
    "noise_levels": "fokker.diffusion.noise_levels.LogUniform",
    "network": "fokker.networks.MLP",
    "optimizer": "fokker.training.optimizers.Schedule",
    "optimizer.optimizer": "torch.optim.SGD",
    "optimizer.schedule": f"{LR}.StepLR",
    "optimizer.schedule.schedulers[0]": f"{LR}.StepLR",
    "ema": "fokker.training.ema.EMA",
    "sampler": "fokker.diffusion.samplers.Heun",
    "grid": "fokker.diffusion.grids.Geometric",
    "trainer": "fokker.training.Engine",
    "logger.csv": "fokker.tracking.CSV",
    "callbacks": "fokker.training.Intervals",
    "evaluation.flow_field": "fokker.diffusion.evaluations.FlowField",
    "metrics.w1": "fokker.metrics.W1",
    "data.dataset": "torch.utils.data.Subset",
}
OF_NAMES = ("evaluation.", "logger.", "metrics.")
#: Classes that belong nowhere.
NOWHERE = (
    "fokker.metrics.EnergyDistance", "fokker.config.instantiate.Builder", "torch.nn.Linear",
    "torch.nn.ModuleList", "torch.nn.Parameter", "torch.optim.swa_utils.AveragedModel",
    "lightning.Trainer", "lightning.LightningModule", "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.csv_logs.ExperimentWriter", "lightning.fabric.loggers.CSVLogger",
    "lightning.pytorch.callbacks.ModelCheckpoint", "torchmetrics.MeanSquaredError",
    "torchmetrics.MetricCollection",
)  # fmt: skip
#: What is no class that may be named, wherever it stands.
NO_CLASS: tuple[Any, ...] = (
    None, "", " ", [], ["fokker.diffusion.sde.EDM"], {}, {"_target_": "fokker.diffusion.sde.EDM"},
    5, 1.5, True,
    "fokker", "fokker.", ".EDM", "fokker..sde", "fokker.diffusion.sde.EDM ",
    "fokker.diffusion.sde EDM",
    "fokker.diffusion.sde.EDM\nfokker.diffusion.sde.EDM", "fokker.diffusion.sde.EDM()", "os.system",
    "builtins.eval", "x" * 500,
    "fokker.diffusion.sde", "torch.nn", "fokker.store.places.SAFETENSORS",
    "fokker.diffusion.sde.Nope", "fokker.nope.Nope",
    "torch.nn.functional.relu", "fokker.run", "fokker.launch.job.os.system",
    # Of an allowed package, and defined in another.
    "fokker.launch.job.torch.nn.Linear", "fokker.training.module.L.Trainer",
    "lightning.pytorch.trainer.trainer.torch.nn.Linear",
    # Private ones, one of which deletes a file.
    "lightning.fabric.loggers.csv_logs._ExperimentWriter", "fokker.__main__.main",
    "fokker.config.signatures._Found", "torch.nn.modules.module._IncompatibleKeys",
    "torch._utils.X", "fokker.diffusion.sde.EDM.__init__", "__main__.X", "_pytest.config.Config",
)  # fmt: skip
#: Classes from which others are derived, of the right kind or not.
BASES = (
    "fokker.data.DataModule", "fokker.data.StandardizedData",
    "fokker.diffusion.formulations.Diffusion",
    "fokker.diffusion.sde.SDE",
    "fokker.diffusion.preconditioning.Preconditioning", "fokker.diffusion.weighting.Weighting",
    "fokker.diffusion.noise_levels.NoiseLevels", "fokker.diffusion.samplers.Sampler",
    "fokker.diffusion.grids.Grid",
    "fokker.tracking.loggers.Logger", "fokker.evaluations.Evaluation",
    "fokker.metrics.SampleMetric",
    "fokker.distributions.Distribution", "torch.nn.Module", "torch.optim.Optimizer",
    f"{LR}.LRScheduler",
)  # fmt: skip
NEVER = mock.patch("fokker.config.instantiate.instantiate", side_effect=AssertionError("built"))
READ: dict[type, str] = {
    Parts: PARTS, Inside: "fokker.config.parts.Inside",
    Groups: "fokker.diffusion.formulations.groups.Groups",
}  # fmt: skip
SUBSET = {"_target_": "torch.utils.data.Subset", "indices": [0], "dataset": None}


class Case:
    """A composed configuration, whose parts are checked early and late, and never built."""

    def __init__(self, config: DictConfig, sources: Sequence[Any]) -> None:
        self.config, self.sources = config, sources
        self.read, self.build = Signatures(), Builder()
        self.family = self.build.know(config.formulation)
        self.early = cast(Family, self.read.family(config.formulation._target_))

    def said(self, key: str, value: Any) -> tuple[str, str]:
        """What is said early and late of a configuration with this value; nothing if it is good."""
        OmegaConf.update(self.config, key, value, merge=False)
        place = ".".join(key.split(".")[: 2 if key.startswith(OF_NAMES) else 1])
        node = OmegaConf.select(self.config, place)
        with NEVER:
            early = _why(lambda: check_part(node, place, self.read, (), self.early))
            return early, _why(lambda: self.build.check_all([(place, node)]))


def _check_late(case: Case, config: DictConfig) -> None:
    check_keys(config, case.family)
    case.build.check_all(parts_of(config, case.family))


def _why(check: Any) -> str:
    try:
        check()
    except ValueError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def whole() -> tuple[DictConfig, Sequence[Any]]:
    """A configuration with all places."""
    inner = f"{{_target_: {LR}.ConstantLR}}"
    typed = [
        "data=uniform", "formulation=ddpm", "weighting=learned", "evaluation=flow_field",
        f"optimizer.schedule={{_target_: {LR}.ChainedScheduler, schedulers: [{inner}]}}",
    ]  # fmt: skip
    with composed(typed) as config:
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        sources = config.hydra.runtime.config_sources
    OmegaConf.set_struct(plain, False)
    plain.sampler.sde = "${sde}"
    return plain, sources


@pytest.fixture
def case(whole: tuple[DictConfig, Sequence[Any]]) -> Case:
    config, sources = whole
    return Case(copy.deepcopy(config), sources)


def with_place(key: str, case: Case) -> None:
    """Let a place be there: a dataset stands in other data."""
    if key == "data.dataset":
        file = cast(DictConfig, OmegaConf.load(config_dir() / "data" / "dataset.yaml"))
        case.config.data = OmegaConf.merge(file, {"dataset": SUBSET})


def set_target(key: str, target: Any, case: Case) -> tuple[str, str]:
    """What is said early and late of a target in a place."""
    if key.endswith("]"):
        parent = key.partition("[")[0]
        return case.said(parent, [{"_target_": target}])
    return case.said(f"{key}._target_", target)


def test_the_places_are_those_of_the_configuration() -> None:
    groups = {*family_of(EDM).groups}
    assert {*signature(Parts).types, *signature(Groups).types} == groups
    files = [(file.parent.name, OmegaConf.load(file)) for file in config_dir().glob("*/*.yaml")]
    with_target = {group for group, node in files if "_target_" in str(node)}
    assert {key.split(".")[0] for key in RIGHT} == with_target == groups
    for key in ("data.distribution", "optimizer.optimizer", "weighting.base", "data.dataset"):
        assert key in RIGHT


@pytest.mark.parametrize("name", [f.stem for f in config_dir().glob("formulation/*.yaml")])
def test_what_is_read_of_a_formulation_is_what_python_has(name: str) -> None:
    target = OmegaConf.load(config_dir() / "formulation" / f"{name}.yaml").formulation._target_
    early, late = Signatures().family(target), family_of(_imported(target))
    assert early is not None
    assert replace(early, kinds={}) == replace(late, kinds={})
    assert list(early.kinds) == list(late.kinds) != []
    # Of another's class nothing is known before it is imported.
    assert Signatures().family("my_package.Letters") is None


def test_kinds_that_are_read_are_those_that_python_has() -> None:
    read = Signatures()
    pairs = [(signature(kind), read(name)) for kind, name in READ.items()]
    for late, early in pairs:
        assert list(late.types) == list(early.types)
        targets = [name for name in (*RIGHT.values(), *BASES) if name.startswith("fokker.")]
        for target in (*targets, "fokker.diffusion.exact.Exact", "fokker.tracking.CSV"):
            found = read(target)
            real = signature(_imported(target))
            assert found.is_class
            for name, kind in late.types.items():
                for is_partial in (False, True):
                    expected = belongs(real, is_partial, kind, ())
                    assert belongs(found, is_partial, early.types[name], ()) == expected, name
            if target not in BASES:
                names = ("required", "positional", "takes_more")
                assert [getattr(found, n) for n in names] == [getattr(real, n) for n in names]


def _imported(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("key", RIGHT)
def test_a_class_of_another_kind_is_refused(key: str, case: Case) -> None:
    with_place(key, case)
    for target in {*RIGHT.values(), *NOWHERE} - {RIGHT[key]}:
        early, late = set_target(key, target, case)
        assert late.startswith(f"{key}._"), (key, target, late)
        assert target in late, late
        assert "\n" not in late
        assert ";" in late
        # Known without torch is what fokker's own classes are, and which names are not allowed;
        # others may be anything until then.
        is_read = target.startswith("fokker.") and not key.endswith("]")
        is_unknown = target.startswith(("lightning.", "torchmetrics."))
        assert early == (late if is_read or is_unknown else ""), target


@pytest.mark.one_in(3)
@pytest.mark.parametrize("key", RIGHT)
def test_what_is_no_class_is_refused(key: str, case: Case) -> None:
    with_place(key, case)
    for target in NO_CLASS:
        early, late = set_target(key, target, case)
        assert late.startswith(f"{key}._target_"), (target, late)
        assert "\n" not in late
        assert len(late) < 500
        assert early in ("", late), target
        if not isinstance(target, str) or "_" in target or " " in target:
            assert early == late, target
    for target in BASES:
        early, late = set_target(key, target, case)
        assert late.startswith(f"{key}._target_ must name "), (target, late)
        assert target in late
        assert early in ("", late), target


@pytest.mark.one_in(3)
@pytest.mark.parametrize("key", [key for key in RIGHT if not key.endswith("]")])
def test_hydras_keys_are_refused_where_they_make_no_sense(key: str, case: Case) -> None:
    with_place(key, case)
    node: Any = OmegaConf.to_container(OmegaConf.select(case.config, key))
    for name in ("_partial_", "_recursive_"):
        for wrong in (None, "yes", "", 1, 0.5, [], {}):
            early, late = case.said(key, {**node, name: wrong})
            assert late.startswith(f"{key}.{name} must be true or false, got "), late
            assert early == late
    for wrong in (None, "none", "partial", "object", "x", 1, [], {}):
        early, late = case.said(key, {**node, "_convert_": wrong})
        assert late.startswith(f"{key}._convert_ must be all, "), late
        assert early == late
    for wrong in (None, "x", 1, {}, {"_target_": "torch.nn.Linear"}):
        early, late = case.said(key, {**node, "_args_": wrong})
        assert late.startswith(f"{key}._args_"), late
    if key not in ("formulation", "optimizer.schedule"):  # Which fokker makes later anyway.
        is_partial = node.get("_partial_", False)
        early, late = case.said(key, {**node, "_partial_": not is_partial})
        assert late.startswith(f"{key}._partial_ must be {str(is_partial).lower()}, "), late
        assert early in ("", late)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("optimizer.lr", {"_target_": "torch.nn.Linear"}, "optimizer.lr must be a number, got a"),
        ("network.x", {"_target_": "torch.nn.Linear"}, "network.x is not taken by MLP; choose one"),
        ("seed", {"_target_": "torch.nn.Linear"}, "seed must be a whole number, got "),
        ("x", {"_target_": "torch.nn.Linear"}, "x is not a key of fokker; "),
        ("sde._x_", 1, "sde._x_ is not taken by "),
        ("network.shape", [3], "network.shape must not be given, for fokker gives it to MLP; "),
        ("formulation.seed", 3, "formulation.seed must not be given, for fokker gives it to DDPM"),
        ("optimizer.optimizer.lr", 3, "optimizer.optimizer.lr must not be given, for fokker "),
        ("optimizer.optimizer._args_", [1], "optimizer.optimizer._args_[0] must not be gi"),
        ("sampler._recursive_", False,
         "sampler._recursive_ must be true, for fokker.diffusion.sde."),
        ("grid._args_", [1, 2, 3, 4], "grid._args_ must have at most 2 entries, which UniformTime"),
        ("grid._args_", ["x"], "grid._args_[0] must be a number or null, got x"),
        ("ema._args_", [[5]], "ema.half_lives must be given once, and is ema._args_[0] too; "),
        ("weighting", {"_target_": "fokker.diffusion.weighting.Learned"},
         "weighting.base must be given, "),
        ("weighting", "x", "weighting must be a node with a _target_, got x"),
        ("sde", [1], "sde must be a node with a _target_, got [1]"),
        ("data", None, "data must be an option, and was removed; say data=NAME"),
        ("evaluation", "x", "evaluation must have keys below it, such as evaluation.num_samples"),
        ("evaluation.x", {"a": 1}, "evaluation.x must be a node with a _target_, got {'a': 1}"),
    ],
)
def test_what_stands_in_a_wrong_place_or_is_missing_is_refused(
    key: str, value: Any, says: str, case: Case
) -> None:
    config = case.config
    config.grid = {"_target_": "fokker.diffusion.grids.UniformTime"}
    OmegaConf.update(config, key, value, merge=False)
    early = _why(lambda: check_early(config, case.sources, case.read))
    late = _why(lambda: _check_late(case, config))
    assert (early or late).startswith(says)
    assert late in ("", early) or not early


def test_what_an_evaluation_lists_is_checked_too(case: Case) -> None:
    for group, name in (("sampler", "heun"), ("grid", "geometric")):
        config = case.config
        config.evaluation[f"{group}s"] = [{name: {"_target_": "fokker.diffusion.sde.EDM"}}]
        early = _why(lambda: check_early(case.config, case.sources, case.read))
        late = _why(lambda: case.build.check_all(asked_of(case.config, case.family, case.sources)))
        assert early == late
        kind = f"fokker.diffusion.{group}s."
        assert late.startswith(f"{group}._target_ must name a class of the kind {kind}")
        case.config.evaluation[f"{group}s"] = []


def test_all_is_checked_before_anything_is_built(case: Case) -> None:
    config = case.config
    config.evaluation.flow_field._target_ = "torch.nn.Linear"
    choices = Choices({"sampler": "heun", "grid": "levels"}, case.sources, [])
    with NEVER, pytest.raises(ValueError, match=r"^evaluation\.flow_field\._target_ must name "):
        build_experiment(config, choices)


def test_the_command_says_it_and_deletes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("metrics.csv").write_text("mine\n")
    for target in (
        "lightning.pytorch.loggers.csv_logs.ExperimentWriter",
        "lightning.fabric.loggers.csv_logs._ExperimentWriter",
    ):
        node = f"network={{_target_: {target}, log_dir: .}}"
        typed = ["fokker", "task=plan", f"+{node}".replace("+network", "++network")]
        monkeypatch.setattr("sys.argv", typed)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capfd.readouterr().err
        assert said.startswith("fokker: network._target_ must name ")
        assert f"a class in fokker, torch.nn, torch.optim, got {target}; " in said
        assert said.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["metrics.csv"]


# ---- what is right ---------------------------------------------------------------------------

OWN = '''
import fokker.evaluations
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from fokker.diffusion.sde import EDM
from fokker.networks import MLP

class Net(nn.Module):
    def __init__(self, shape, c_noise_range, inner=None):
        super().__init__()
        self.layer = nn.Linear(1, 1)
    def forward(self, x, c_noise, condition=None):
        return self.layer(x)

class Narrow(Net):
    def forward(self, x):
        return x

class Factory:
    def __call__(self, shape, c_noise_range):
        return Net(shape, c_noise_range)

class Log:
    address = ""
    def log(self, metrics, step): ...
    def finish(self): ...

class Logger:
    def open(self, folder, config):
        return Log()

class Unlike:
    pass

class Rows:
    def __getitem__(self, index):
        return [0.0, 1.0, 3.0][index]
    def __len__(self):
        return 3

class Report(fokker.evaluations.Evaluation):
    def check(self, model, sampling): ...
    def __call__(self, model, sampling, randomness): ...

def said(shape, c_noise_range) -> Net: return Net(shape, c_noise_range)
def unsaid(shape, c_noise_range): return Net(shape, c_noise_range)
def other(shape, c_noise_range) -> EDM: return EDM()
def none(shape, c_noise_range): return 5
def sde(): return EDM()
def no_sde(): return 5
def optimizer(parameters, lr, **numbers) -> Optimizer: return SGD(parameters, lr)
def no_optimizer(parameters, lr, **numbers): return 5
def schedule(optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1)
def raising(shape, c_noise_range): raise KeyError("x")
'''
BARE = ("~network.width", "~network.depth", "~network.num_frequencies", "allow_targets=[own_kinds]")

NUMBERS = ("fused", "weight_decay", "betas")
BARE_OPTIMIZER = tuple(f"~optimizer.optimizer.{name}" for name in NUMBERS)


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (workdir / "own_kinds.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(workdir))
    yield
    sys.modules.pop("own_kinds", None)


def built(key: str, node: dict[str, Any], *allow: str) -> Any:
    build = Builder(["own_kinds", *allow])
    build.know(OmegaConf.create({"_target_": "fokker.diffusion.formulations.EDM"}))
    return build(OmegaConf.create(node), key)


@pytest.mark.usefixtures("own")
def test_one_s_own_of_the_right_kind_is_taken() -> None:
    for name in ("Net", "said", "unsaid"):
        made = built("network", {"_target_": f"own_kinds.{name}", "_partial_": True})
        assert isinstance(made((1,), (0.0, 1.0)), nn.Module)
    assert callable(built("network", {"_target_": "own_kinds.Factory"}))
    # Protocols are kept by what a class has, not by what it is derived from.
    assert built("logger.mine", {"_target_": "own_kinds.Logger"}).open(Path(), {})
    assert callable(built("evaluation.mine", {"_target_": "own_kinds.Report"}))
    assert len(built("data.dataset", {"_target_": "own_kinds.Rows"})) == 3
    assert built("sde", {"_target_": "own_kinds.sde"}).sigma_max == 80
    # Where its class says no kind, a part of a model may stand, and anything of one's own.
    inner = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.SiLU"}]}
    for part in (inner, {"_target_": "own_kinds.Unlike"}, {"_target_": "fokker.diffusion.sde.EDM"}):
        node = {"_target_": "own_kinds.Net", "_partial_": True, "inner": part}
        assert built("network", node).keywords["inner"] is not None
    wrong = {"_target_": "torch.nn.Parameter"}
    with pytest.raises(ValueError, match=r"^network\.inner\._target_ must name a class of the ki"):
        built("network", {"_target_": "own_kinds.Net", "_partial_": True, "inner": wrong})


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("key", "name", "says"),
    [
        ("network", "Unlike", r"network\._target_ must name a class of the kind torch\.nn\.Module"),
        ("network", "other", r"network\._target_ must name a class of the kind torch\.nn\.Module"),
        ("sde", "said",
         r"sde\._target_ must name a class of the kind fokker\.diffusion\.sde\.SDE, got own_"),
        ("sde", "Unlike",
         r"sde\._target_ must name a class of the kind fokker\.diffusion\.sde\.SDE, got own"),
        ("sde", "no_sde",
         r"sde\._target_ must name what gives fokker\.diffusion\.sde\.SDE, .* gives int; "),
        ("logger.mine", "Log",
         r"logger\.mine\._target_ must name a class of the kind fokker\.tracking\.Logger"),
        ("evaluation.x", "Rows", r"evaluation\.x\._target_ must name a class of the kind fokker\."),
        ("network", "_Private", r"network\._target_ must name .*, a part of which begins with _"),
    ],
)
def test_one_s_own_of_another_kind_is_refused(key: str, name: str, says: str) -> None:
    later = {"_partial_": True} if key == "network" else {}
    with pytest.raises(ValueError, match=f"^{says}"):
        built(key, {"_target_": f"own_kinds.{name}", **later})


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ((*BARE, "network._target_=own_kinds.none"), r"network must be a torch\.nn\.Module .*int;"),
        ((*BARE, "network._target_=own_kinds.Narrow"), r"network must be called as network\(x, c_"),
        ((*BARE, "network._target_=own_kinds.raising"), r"network cannot be built: KeyError: 'x'"),
        (
            (BARE[-1], "optimizer.optimizer={_target_: own_kinds.no_optimizer, _partial_: true}"),
            r"optimizer\.optimizer must make a torch\.optim\.Optimizer, got int; let .*",
        ),
        (
            (*BARE_OPTIMIZER, "optimizer.optimizer._target_=torch.optim.LBFGS"),
            r"optimizer\.optimizer cannot be: LBFGS must step by dense gradients alone.*clos",
        ),
        (
            (*BARE_OPTIMIZER, "optimizer.optimizer._target_=torch.optim.SparseAdam"),
            r"optimizer\.optimizer cannot be: SparseAdam must step by .* needs sparse ones; ",
        ),
        (("~weighting",), r"weighting must be an option, and was removed; say weighting=NAME$"),
    ],
)
def test_what_is_known_only_when_it_is_made_is_said_then(typed: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        tiny_runs.compose_experiment(*typed)


@pytest.mark.usefixtures("own")
def test_functions_of_one_s_own_make_an_optimiser_and_its_schedule() -> None:
    made = tiny_runs.compose_experiment(
        "optimizer.optimizer={_target_: own_kinds.optimizer, _partial_: true}",
        "optimizer.schedule={_target_: own_kinds.schedule}", BARE[-1],
    )  # fmt: skip
    assert isinstance(made.task.training.configure_optimizers(), torch.optim.SGD)


def test_a_class_of_a_notebook_s_cell_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(nn.Module):
        def __init__(self, shape: Any, c_noise_range: Any) -> None:
            super().__init__()

    monkeypatch.setattr(Net, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Net", Net, raising=False)
    node = {"_target_": "__main__.Net", "_partial_": True}
    assert isinstance(built("network", node, "__main__")((1,), (0, 1)), Net)
    for target in ("__main__._Net", "__main__.__dict__"):
        with pytest.raises(ValueError, match="a part of which begins with _"):
            built("network", {**node, "_target_": target}, "__main__")
    for name in ("_private", "my_package._inner", "my_package.__main__"):
        with pytest.raises(ValueError, match="no part of which begins with _, got"):
            Builder([name])
