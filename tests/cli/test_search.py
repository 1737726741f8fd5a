"""`fokker -m hydra/sweeper=fokker_search`: values asked, told, asked again, and the best."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fokker.cli.main import main
from fokker.machine.files import read_json
from fokker.machine.signals import Interrupted
from fokker.metrics import Memorisation
from fokker.search.method import read_method, with_steps
from fokker.search.objectives import Objectives
from fokker.search.pruning import watcher
from fokker.search.results import Results
from fokker.search.space import Search, parameter
from fokker.search.storage import open_storage
from fokker.search.trials import Trials
from fokker.store.job_folders import write_json
from fokker.sweeps.jobs import Job
from fokker.training.watching import Pruned
from tiny_runs import TINY, compose_experiment, differing, only_model, run, trained_state
from tiny_searches import Ends, Values, bowl, process, search
from written import only_sweep, sweep_rows

pytestmark = pytest.mark.usefixtures("workdir")

SEARCH = ("-m", "hydra/sweeper=fokker_search", *TINY)
LR = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
SPACE = (LR, "network.depth=range(1,4)")
W1 = "objective=w1"
JOURNAL = "hydra.sweeper.storage=journal"
# After this many random ones, TPE uses what it has been told.
TPE = "hydra.sweeper.sampler={tpe: {n_startup_trials: 2}}"


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def tiny(capfd: pytest.CaptureFixture[str]) -> Any:
    """A search of a function, as typed; where nothing is said, in a journal, which is faster."""
    return lambda what, *typed: Said(search(what, JOURNAL, *typed), *capfd.readouterr())


@pytest.fixture
def fokker(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command in this process, without figures."""

    def call(*arguments: str, start: tuple[str, ...] = SEARCH) -> Said:
        monkeypatch.setattr("sys.argv", ["fokker", *start, *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Said(code, *capfd.readouterr())

    with (
        mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"),
        mock.patch("fokker.search.results.Results.draw", return_value=[]),
        mock.patch("fokker.search.sweeper.present"),
    ):
        yield call


def ends(*given: Any) -> Ends:
    """A function that comes to these one after the other, whatever it is asked."""
    left = iter(given)

    def what(values: Values) -> dict[str, float]:
        end = next(left)
        if isinstance(end, BaseException):
            raise end
        return {"nfe": 3, **({} if end is None else {"w1": end})}

    return what


@contextmanager
def elsewhere(name: str = "elsewhere") -> Iterator[None]:
    """In another folder."""
    here = Path.cwd()
    Path(name).mkdir()
    os.chdir(name)
    try:
        yield
    finally:
        os.chdir(here)


def column(name: str) -> list[str]:
    return [row[name] for row in sweep_rows()]


def asked() -> list[tuple[str, ...]]:
    return [(row["lr"], row["depth"]) for row in sweep_rows()]


def stored() -> optuna.Study:
    """What Optuna knows."""
    log = only_sweep() / "search.log"
    storage = f"journal:{log}" if log.is_file() else f"sqlite:///{only_sweep()}/search.db"
    return optuna.load_study(study_name=only_sweep().name, storage=open_storage(storage))


# ---- the space -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "distribution", "samples"),
    [
        ("a.b=interval(1e-4,1e-2)", FloatDistribution(1e-4, 1e-2), [1e-4, 1e-2]),
        ("a.b=interval(-1,2.0)", FloatDistribution(-1, 2), [-1, 2]),
        ("a.b=tag(log,interval(1e-4,1))", FloatDistribution(1e-4, 1, log=True), [1e-4, 1]),
        ("a.b=interval(2,9)", IntDistribution(2, 9), [2, 9]),
        ("a.b=tag(log,interval(1, 64))", IntDistribution(1, 64, log=True), [1, 64]),
        ("a.b=interval(start=-3,end=4)", IntDistribution(-3, 4), [-3, 4]),
        ("a.b=float(interval(2,9))", FloatDistribution(2, 9), [2, 9]),
        ("a.b=range(1,4)", IntDistribution(1, 3), [1, 3]),
        ("a.b=range(8,33,8)", IntDistribution(8, 32, step=8), [8, 32]),
        ("a.b=range(9,2,-3)", IntDistribution(3, 9, step=3), [3, 9]),
        ("a.b=range(0.1,0.6,0.2)", FloatDistribution(0.1, 0.5, step=0.2), [0.1, 0.5]),
        ("a.b=32,64,64", CategoricalDistribution(["32", "64"]), ["32", "64"]),
        ("a.b=choice(0.5,1e-3)", CategoricalDistribution(["0.5", "0.001"]), ["0.5", "0.001"]),
        ("a.b='c d',e", CategoricalDistribution(["'c d'", "e"]), ["'c d'", "e"]),
        ("a.b=null,[1,2]", CategoricalDistribution(["null", "[1,2]"]), ["null", "[1,2]"]),
    ],
)
def test_what_is_typed_is_what_optuna_searches(
    typed: str, distribution: Any, samples: list[Any]
) -> None:
    (override,) = OverridesParser.create().parse_overrides([typed])
    found = parameter(override)
    assert found.key == "a.b"
    assert found.samples == samples
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(1)).ask()
    value = found.suggest(trial)
    assert trial.distributions == {"a.b": distribution}
    assert type(found.low) is type(found.high)
    # Its text is an override that means the value.
    (again,) = OverridesParser.create().parse_overrides([f"a.b={found.text(value)}"])
    whole = OmegaConf.create({"is": again.value()})["is"]
    if not isinstance(distribution, CategoricalDistribution):
        assert whole == pytest.approx(value, rel=1e-14)
    elif value == "'c d'":
        assert str(whole) == "c d"


def test_a_step_of_floats_has_no_tail() -> None:
    (override,) = OverridesParser.create().parse_overrides(["a=range(0.1,0.6,0.1)"])
    assert parameter(override).text(0.1 + 2 * 0.1) == "0.3"


def test_the_probes_are_each_choice_and_end_beside_the_first_values() -> None:
    typed = ["a=x,y,z", "b=interval(1,5)", "c=range(2,3)"]
    parameters = tuple(map(parameter, OverridesParser.create().parse_overrides(typed)))
    columns = {key: key for key in "abc"}
    space = Search("s", Path(), ("d=1",), columns, parameters, "", lambda typed, varied: typed)
    assert [job.label for job in space.probes] == [
        "a=x b=1 c=2", "a=y b=1 c=2", "a=z b=1 c=2", "a=x b=5 c=2"
    ]  # fmt: skip
    assert space.probes[0].overrides == ("d=1", "a=x", "b=1", "c=2")


def test_what_is_in_a_study_is_searched_and_what_is_typed_wins(fokker: Any) -> None:
    study = Path("mine/sweeps/rates.yaml")
    study.parent.mkdir(parents=True)
    study.write_text(
        "# @package _global_\nobjective: [nfe, w1]\nevaluation: {budget_points: 0}\n"
        "hydra: {mode: MULTIRUN, sweeper: {n_trials: 9, params: "
        "{optimizer.lr: 'interval(1,2)', data.batch_size: '32,64', network.width: '8,16'}}}\n"
    )
    typed = ("+sweeps=rates", "--config-dir=mine", LR, "network.width=32")
    said = fokker("hydra.sweeper.n_trials=1", *typed)
    assert said.code == 0, said.err
    assert only_sweep().name.startswith("rates-")
    (row,) = sweep_rows()
    assert 1e-4 <= float(row["lr"]) <= 1e-2
    assert row["batch_size"] in ("32", "64")
    assert "width" not in row
    assert row["status"] == "completed"
    # A run of the best is no search again.
    (best,) = yaml("best.yaml").best
    alone = ["hydra/sweeper=fokker_search", "hydra.mode=RUN"]
    command = shlex.join(["fokker", *best.overrides, *alone])
    assert f"         {command}\n" in said.out
    said = fokker("--config-dir=mine", start=tuple(shlex.split(command)[1:]))
    assert said.code == 0, said.err
    assert f"model    found: outputs/models/{row['model']}" in said.out


def yaml(name: str) -> Any:
    """A file of the search."""
    return OmegaConf.load(only_sweep() / name)


# ---- asking and telling --------------------------------------------------------------------


@pytest.mark.parametrize(("storage", "file"), [("sqlite", "search.db"), ("journal", "search.log")])
def test_the_best_is_found_and_written(tiny: Any, storage: str, file: str) -> None:
    typed = (*SPACE, W1, f"hydra.sweeper.storage={storage}")
    said = tiny(bowl, "hydra.sweeper.n_trials=15", *typed)
    assert said[::2] == (0, "")
    assert (only_sweep() / file).is_file()
    rows = sweep_rows()
    assert [row["trial"] for row in rows] == [str(i) for i in range(15)]
    assert column("folder") == [f"t{i:04d}" for i in range(15)]
    for row in rows:
        values = {"optimizer.lr": row["lr"], "network.depth": row["depth"]}
        assert float(row["w1"]) == bowl(values)["w1"]
    # The mean over the space is 0.53.
    first, least = rows[0], min(rows, key=lambda row: float(row["w1"]))
    assert float(least["w1"]) < 0.15
    table = [line.split() for line in said.out.splitlines() if line.endswith((" 0.5", " seconds"))]
    assert table[0] == ["trial", "lr", "depth", "status", "w1", "nfe", "seconds"]
    assert [float(row[4]) for row in table[1:]] == sorted(float(row[4]) for row in table[1:])
    (best,) = yaml("best.yaml").best
    assert best.trial == int(least["trial"])
    assert best.overrides == [f"optimizer.lr={least['lr']}", f"network.depth={least['depth']}"]
    assert f"best     trial {best.trial}: w1 {best.w1:.4g}\n" in said.out
    assert f"         {shlex.join(['fokker', *best.overrides])}\n" in said.out
    assert f"         w1 {float(first['w1']):.4g}, the best so far" in said.out
    assert "15 trials (0 of them before): 15 completed, 0 failed; 0 models trained" in said.out


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_longer_search_asks_what_a_longer_one_had_asked(tiny: Any, storage: str) -> None:
    typed = (*SPACE, W1, f"hydra.sweeper.storage={storage}", TPE)
    tiny(bowl, *typed, "hydra.sweeper.n_trials=3")
    # The order of what is typed is another order of columns and no other search.
    said = tiny(bowl, *typed[::-1], "hydra.sweeper.n_trials=7")
    assert "[4/7]" in said.out
    assert "7 trials (3 of them before): 7 completed" in said.out
    broken = asked()
    assert len(set(broken)) == 7
    with elsewhere():
        tiny(bowl, *typed, "hydra.sweeper.n_trials=7")
        assert asked() == broken
    # Another seed asks something else, elsewhere.
    tiny(bowl, *typed, "hydra.sweeper.n_trials=1", "hydra.sweeper.seed=1")
    assert len(list(Path("outputs/sweeps").iterdir())) == 2


def test_what_is_done_is_neither_asked_nor_imported() -> None:
    typed = (*SPACE, W1, "hydra.sweeper.n_trials=2")
    search(bowl, *typed)
    code = (
        "import sys\nfrom tiny_searches import bowl, search\n"
        "code = search(None, *sys.argv[1:])\n"
        "assert not {'torch', 'optuna', 'matplotlib'} & set(sys.modules)\nsys.exit(code)"
    )
    start = [sys.executable, "-c", code, *typed]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(start, capture_output=True, text=True, check=False, env=environment)
    assert (child.returncode, child.stderr) == (0, "")
    assert "2 trials (2 of them before): 2 completed, 0 failed; 0 models" in child.stdout


def test_failures_and_values_that_are_no_numbers_count_and_end_nothing(tiny: Any) -> None:
    typed = (*SPACE, W1)
    what = ends(math.nan, 1.5, ValueError("no memory"), -math.inf, 0.5, None, 0.7)
    said = tiny(what, *typed, "hydra.sweeper.n_trials=6")
    assert said.code == 1
    assert column("status") == ["failed", "completed", "failed", "failed", "completed", "failed"]
    assert [row["error"] for row in sweep_rows() if row["error"]] == [
        "w1 is nan, which cannot be compared",
        "no memory",
        "w1 is -inf, which cannot be compared",
        "w1 is not measured, which cannot be compared",
    ]
    assert "6 trials (0 of them before): 2 completed, 4 failed" in said.out
    assert "best     trial 4: w1 0.5" in said.out
    assert [t.state.name for t in stored().trials] == [
        "FAIL", "COMPLETE", "FAIL", "FAIL", "COMPLETE", "FAIL"
    ]  # fmt: skip
    # They are not tried again.
    assert tiny(what, *typed, "hydra.sweeper.n_trials=6").code == 1
    said = tiny(what, *typed, "hydra.sweeper.n_trials=7")
    assert "7 trials (6 of them before): 3 completed" in said.out


def test_fail_fast_stops_at_the_first_failure(tiny: Any) -> None:
    what, typed = ends(1.0, math.nan, 2.0), (*SPACE, W1, "hydra.sweeper.n_trials=3")
    said = tiny(what, *typed, "fail_fast=true")
    assert said.code == 1
    assert "stopped at the first failure, for fail_fast=true" in said.out
    assert column("status") == ["completed", "failed"]
    # It changes nothing of what is searched.
    tiny(what, *typed)
    assert column("status") == ["completed", "failed", "completed"]


def test_a_signal_ends_the_search_with_its_table_and_the_trial_is_run_again(tiny: Any) -> None:
    what, typed = ends(1.0, Interrupted(signal.SIGTERM), 2.0, 3.0), (*SPACE, W1)
    said = tiny(what, *typed, "hydra.sweeper.n_trials=3")
    assert said.code == 128 + signal.SIGTERM
    assert column("status") == ["completed", "interrupted"]
    before = asked()
    assert tiny(what, *typed, "hydra.sweeper.n_trials=3").code == 0
    assert asked()[:2] == before
    assert column("folder") == ["t0000", "t0001.2", "t0002"]


def test_a_signal_before_the_first_trial_is_no_traceback(tiny: Any) -> None:
    stop = Interrupted(signal.SIGTERM)
    with mock.patch("fokker.search.sweeper.listed_trials", side_effect=stop):
        assert tiny(bowl, *SPACE, W1) == (128 + signal.SIGTERM, "", "")
    assert list(Path().iterdir()) == []


def test_several_trials_at_once_are_asked_before_any_is_told(tiny: Any) -> None:
    running: list[int] = []

    def what(values: Values) -> dict[str, float]:
        running.append(sum(t.state.name == "RUNNING" for t in stored().trials))
        return bowl(values)

    typed = (*SPACE, W1, "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    assert tiny(what, *typed).code == 0
    assert running == [2, 2, 2, 2, 1]
    assert len(set(asked())) == 5


def test_a_trial_of_several_at_once_is_run_again_alone(tiny: Any) -> None:
    calls: list[int] = []

    def what(values: Values) -> dict[str, float]:
        calls.append(len(calls))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return bowl(values)

    sizes: list[int] = []
    take = Trials.take

    def taking(self: Trials, count: int) -> list[Job]:
        taken = take(self, count)
        sizes.append(len(taken))
        return taken

    typed = (*SPACE, W1, TPE, "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=2")
    assert tiny(what, *typed).code == 128 + signal.SIGINT
    assert column("status") == ["completed"] * 3 + ["interrupted"]
    with mock.patch.object(Trials, "take", taking):
        assert tiny(what, *typed).code == 0
    assert sizes == [1, 2, 2, 0]
    assert column("folder")[3] == "t0003.2"
    broken = asked()
    with elsewhere():
        tiny(bowl, *typed)
        assert asked() == broken


def test_a_job_that_is_killed_by_itself_is_run_again_at_the_next_start(tiny: Any) -> None:
    what = ends(1.0, ProcessLookupError(), 0.5, 0.7)
    typed = (*SPACE, W1, "hydra.sweeper.n_trials=3")
    assert tiny(what, *typed).code == 1
    assert column("status") == ["completed", "killed", "completed"]
    assert tiny(what, *typed).code == 0
    assert column("folder") == ["t0000", "t0001.2", "t0002"]
    assert [float(value) for value in column("w1")] == [1.0, 0.7, 0.5]


def test_a_trial_whose_process_was_killed_while_it_asked_is_asked_on(tiny: Any) -> None:
    typed = (*SPACE, W1, TPE)
    tiny(bowl, *typed, "hydra.sweeper.n_trials=3")
    stored().ask()
    tiny(bowl, *typed, "hydra.sweeper.n_trials=5")
    broken = asked()
    with elsewhere():
        tiny(bowl, *typed, "hydra.sweeper.n_trials=5")
        assert asked() == broken


def test_what_ended_untold_is_told_and_not_run_again(tiny: Any) -> None:
    typed = (*SPACE, W1, TPE, "hydra.sweeper.n_trials=3")
    with mock.patch("fokker.search.trials.Trials.tell"):  # As if killed before, each time.
        tiny(bowl, *typed)
    assert {t.state.name for t in stored().trials} == {"RUNNING"}
    tiny(ends(0.5), *typed[:-1], "hydra.sweeper.n_trials=4")
    assert [t.state.name for t in stored().trials] == ["COMPLETE"] * 4
    assert column("folder") == [f"t000{i}" for i in range(4)]
    assert [t.value for t in stored().trials] == [float(v) for v in column("w1")]


# ---- objectives ----------------------------------------------------------------------------


def row(number: int, **metrics: float) -> dict[str, Any]:
    return {"trial": number, "status": "completed", **metrics}


def test_the_pareto_front_by_hand() -> None:
    points = [(3, 1), (2, 2), (2, 3), (1, 4), (1, 4), (4, 4), (5, 0.5)]
    rows = [row(i, w1=x, nfe=y) for i, (x, y) in enumerate(points)]
    rows += [row(7, w1=0.1, nfe=math.nan), {**row(8, w1=0, nfe=0), "status": "pruned"}]
    both = Objectives(("w1", "nfe"))
    assert [r["trial"] for r in both.front(rows)] == [3, 4, 1, 0, 6]
    # The other way round in one of them.
    best = Objectives(("w1", "nfe"), ("minimize", "maximize")).front(rows)
    assert [r["trial"] for r in best] == [3, 4]
    assert Objectives(("nfe",)).front(rows) == [rows[6]]
    assert Objectives(("nfe",), ("maximize",)).in_order(rows)[0] == rows[3]


def test_where_the_seed_is_searched_means_are_compared() -> None:
    values = [("a", 0, 0.1), ("a", 1, 0.9), ("b", 0, 0.4), ("b", 1, 0.5), ("c", 0, 0.2)]
    rows = [
        {"trial": i, "lr": lr, "seed": seed, "w1": w1, "status": "completed"}
        for i, (lr, seed, w1) in enumerate(values)
    ]
    search: Any = SimpleNamespace(columns={"optimizer.lr": "lr", "seed": "seed"})
    ((mean, same),) = Results(search, Objectives(("w1",)), [], rows).front()
    assert mean["w1"] == pytest.approx(0.45)
    assert [row["trial"] for row in same] == [2, 3]
    search.columns = {"optimizer.lr": "lr"}
    ((best, same),) = Results(search, Objectives(("w1",)), [], rows).front()
    assert (best, same) == (rows[0], [rows[0]])


def test_the_nearest_neighbour_ratio_is_best_at_1() -> None:
    rows = [row(i, nearest_neighbour_ratio=v) for i, v in enumerate([0.2, 1.3, 0.9, 1.2])]
    measures = {"nearest_neighbour_ratio": Memorisation().measure}
    ratio = Objectives(("nearest_neighbour_ratio",)).described(measures)
    assert [r["trial"] for r in ratio.in_order(rows)] == [2, 3, 1, 0]
    assert ratio.told(rows[1]) == pytest.approx([0.3])
    least = Objectives(("nearest_neighbour_ratio",), ("minimize",))
    assert least.in_order(rows)[0] == rows[0]
    assert least.told(rows[1]) == [1.3]


def test_two_objectives_have_a_front(tiny: Any) -> None:
    points = iter([(3, 1), (2, 2), (2, 3), (1, 4)])
    typed = (*SPACE, "objective=[w1,nfe]", "hydra.sweeper.n_trials=4")
    said = tiny(
        lambda values: dict(zip(("w1", "nfe"), next(points))), *typed,
        "hydra.sweeper.directions=[minimize,maximize]",
    )  # fmt: skip
    assert said[::2] == (0, "")
    (best,) = yaml("best.yaml").best
    assert (best.trial, best.w1, best.nfe) == (3, 1, 4)
    assert [t.number for t in stored().best_trials] == [3]
    points = iter([(3, 1), (2, 2), (2, 3), (1, 4)])
    with elsewhere():
        said = tiny(lambda values: dict(zip(("w1", "nfe"), next(points))), *typed)
        assert [best.trial for best in yaml("best.yaml").best] == [3, 1, 0]
        assert {t.number for t in stored().best_trials} == {0, 1, 3}
    assert "the Pareto front: no trial is better in w1 and nfe\nbest     trial 3: w1 1" in said.out
    assert said.out.count("best     trial ") == 3


# ---- pruning -------------------------------------------------------------------------------


def test_a_training_that_is_ended_by_its_watch_is_saved_and_goes_on_to_the_bit(
    workdir: Path,
) -> None:
    unbroken = run("seed=3", "callbacks.validation_steps=5")
    whole = trained_state(only_model())
    (workdir / "pruned").mkdir()
    os.chdir(workdir / "pruned")
    made = compose_experiment("seed=3", "callbacks.validation_steps=5")
    lines: list[tuple[int, float]] = []

    def watch(metrics: dict[str, Any], step: int) -> bool:
        lines.append((step, metrics["ema_excess"]))
        return step >= 10

    object.__setattr__(made.task, "watch", watch)
    pruned = Path("outputs/pruned")
    from fokker.experiment import run as run_experiment

    with pytest.raises(Pruned, match="stopped at step 10 of 20"):
        run_experiment(made, pruned)
    record = read_json(pruned / "run.json")
    assert record["status"] == "pruned"
    assert record["seconds"] > 0
    assert not (pruned / "traceback.txt").exists()
    assert only_model().steps_done == 10
    assert not only_model().is_complete
    # The next watch sees the whole curve; before the last step alone it can end it.
    again = compose_experiment("seed=3", "callbacks.validation_steps=5")
    seen: list[int] = []

    def other(metrics: dict[str, Any], step: int) -> bool:
        seen.append(step)
        return step in (5, 10, 20)

    object.__setattr__(again.task, "watch", other)
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        result = run_experiment(again, Path("outputs/again"))
    assert [step for step, _ in lines] == [5, 10]
    assert seen == [5, 10, 15, 20]
    assert read_json(Path("outputs/again/run.json"))["training"] == "continued"
    assert differing(trained_state(only_model()), whole) == []
    assert result.metrics["w1"] == unbroken.metrics["w1"]


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_a_curve_is_reported_so_that_lower_is_better(
    workdir: Path, direction: Any, sign: int
) -> None:
    url = f"journal:{workdir / 'log'}"
    study = optuna.create_study(study_name="s", storage=open_storage(url), direction=direction)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    facts = {"storage": url, "study": "s", "number": 1, "prune_on": "loss"}
    write_json(workdir / "trial.json", {**facts, "pruner": ["threshold", {"upper": sign * 3.0}]})
    watch = watcher(workdir)
    assert watch is not None
    assert [watch({"loss": 2.0}, 5), watch({"lr": 1.0}, 6), watch({"loss": 1.5}, 7)] == [
        sign == -1, False, sign == -1
    ]  # fmt: skip
    assert study.trials[1].intermediate_values == {5: sign * 2.0, 7: sign * 1.5}
    # What a first attempt has reported is not reported again.
    again = watcher(workdir)
    assert again is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again({"loss": 9.0}, 5)
    assert study.trials[1].intermediate_values == {5: sign * 2.0, 7: sign * 1.5}
    write_json(workdir / "trial.json", {**facts, "pruner": None})
    assert watcher(workdir) is None


def test_a_bad_learning_rate_is_pruned(fokker: Any) -> None:
    typed = (
        "optimizer.lr=0.001,3", "objective=w1", "evaluation.budget_points=0",
        "callbacks.validation_steps=5", "hydra.sweeper.prune_on=ema_excess",
        "hydra.sweeper.pruner={threshold: {upper: 0.2}}", "hydra.sweeper.seed=0",
    )  # fmt: skip
    said = fokker(*typed, "hydra.sweeper.n_trials=2")
    assert said[::2] == (0, "")
    rows = sweep_rows()
    rates = {r["lr"]: r["status"] for r in rows}
    assert rates == {"0.001": "completed", "3": "pruned"}
    pruned = [r for r in rows if r["status"] == "pruned"]
    assert {r["w1"] for r in pruned} == {""}
    step = read_json(Path("outputs/models", pruned[0]["model"], "model.json"))["step"]
    assert 0 < step < 20
    assert f"(stopped at step {step} of 20, where it promised too little)" in said.out
    assert f", 0 failed, {len(pruned)} pruned" in said.out
    job = only_sweep() / pruned[0]["folder"]
    assert "pruned   stopped at step" in (job / "output.txt").read_text()
    assert not (job / "traceback.txt").exists()
    study = stored()
    curves = {t.params["optimizer.lr"]: t.intermediate_values for t in study.trials}
    assert list(curves["0.001"]) == [5, 10, 15, 20]
    assert list(curves["3"])[-1] == step
    assert {t.state.name for t in study.trials} == {"COMPLETE", "PRUNED"}
    curve = (Path("outputs/models") / pruned[0]["model"] / "metrics.jsonl").read_text().splitlines()
    measured = {r["step"]: r["ema_excess"] for r in map(json.loads, curve) if "ema_excess" in r}
    assert curves["3"] == pytest.approx(measured)
    # Who wants it whole goes on with it.
    alone = run("optimizer.lr=3", "evaluation.budget_points=0", "callbacks.validation_steps=5")
    assert read_json(alone.path / "run.json")["training"] == "continued"


# ---- processes -----------------------------------------------------------------------------

KILL = """
with open('runs.txt', 'a') as file:
    count = len(open('runs.txt').readlines())
    file.write(f'{os.getpid()}\\n')
time.sleep(NAP)
if count == AT: os.kill(os.getpid(), 9)
return bowl(values)
"""


@pytest.mark.long
def test_a_killed_search_goes_on_with_the_same_values(tiny: Any) -> None:
    Path("go").touch()
    typed = (*SPACE, W1, TPE, "hydra.sweeper.n_trials=6")
    child = process(KILL.replace("NAP", "0").replace("AT", "3"), JOURNAL, *typed)
    out, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert "[3/6]" in out
    assert "[4/6]" not in out
    said = tiny(bowl, *typed)
    assert said[::2] == (0, "")
    assert "6 trials (3 of them before): 6 completed, 0 failed" in said.out
    assert column("folder") == ["t0000", "t0001", "t0002", "t0003.2", "t0004", "t0005"]
    broken = asked()
    with elsewhere():
        tiny(bowl, *typed)
        assert asked() == broken


def test_two_processes_share_a_search_and_one_takes_over_what_the_other_leaves() -> None:
    typed = (*SPACE, W1, "hydra.sweeper.n_trials=6")
    what = KILL.replace("NAP", "0.3").replace("AT", "2")
    both = [process(what, *typed) for _ in range(2)]
    for child in both:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    Path("go").touch()
    said = [child.communicate() for child in both]
    # Who ran the third is killed there; the other one runs it again, and all that is left.
    assert sorted(child.returncode for child in both) == [-signal.SIGKILL, 0], said
    runs = Path("runs.txt").read_text().split()
    assert set(runs) == {str(child.pid) for child in both}
    assert len(runs) == 7
    assert column("status") == ["completed"] * 6
    assert sorted("." in name for name in column("folder")) == [False] * 5 + [True]
    assert [t.state.name for t in stored().trials] == ["COMPLETE"] * 6
    assert len(set(asked())) == 6


# ---- what cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([W1], ["a search needs a key with several values or an interval", "network.width=32,64"]),
        ([*SPACE], ["objective must be the metric that is searched for", "got null"]),
        ([*SPACE, "objective=[w1,w1]"], ["objective must name each metric once, got [w1, w1]"]),
        ([*SPACE, "objective=[]"], ["objective must be the metric", "got []"]),
        ([*SPACE, W1, "hydra.sweeper.n_trials=0"], ["n_trials must be at least 1, got 0"]),
        ([*SPACE, W1, "hydra.sweeper.n_jobs=x"], ["n_jobs must be at least 1, got x"]),
        ([*SPACE, W1, "hydra.sweeper.seed=x"], ["seed must be a whole number, got x"]),
        ([*SPACE, W1, "hydra.sweeper.sampler=tpr"], ["sampler must be one of tpe", "got tpr"]),
        ([*SPACE, W1, "hydra.sweeper.pruner=mean"], ["must be null, one of median", "got mean"]),
        ([*SPACE, "objective=[w1,nfe]", "hydra.sweeper.pruner=median"], ["pruner must be null"]),
        ([*SPACE, "objective=[w1,nfe]", "hydra.sweeper.sampler=gp"], ["searches for one"]),
        ([*SPACE, W1, "hydra.sweeper.directions=[minimize,minimize]"], ["each of 1 objective"]),
        ([*SPACE, W1, "hydra.sweeper.directions=up"], ["directions must be null", "got up"]),
        ([*SPACE, W1, "hydra.sweeper.storage=foo"], ["must be sqlite, journal or", "got foo"]),
        ([*SPACE, W1, "hydra.sweeper.storage=sqlite:////no/x.db"], ["which cannot be opened"]),
        (["optimizer.lr=tag(log,interval(0,1))", W1], ["positive ends for the tag log, got 0"]),
        (["optimizer.lr=interval(2,1)", W1], ["two finite ends, the lower one first"]),
        (["seed=tag(log,range(1,9))", W1], ["has the tag log", "tag(log,interval(1e-4,1e-2))"]),
        (["seed=range(5,5)", W1], ["seed=range(5,5) gives no values to search"]),
        ([*SPACE, W1, "fail_fast=3"], ["fail_fast must be true or false, got 3"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_search_that_cannot_be_is_refused(tiny: Any, typed: list[str], says: list[str]) -> None:
    refused(tiny(bowl, *typed), says)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([*SPACE, "objective=w1,nfe"], ["objective must be the same", "objective=[w1,nfe]"]),
        (["data=uniform,ring8", W1], ["got w1; choose one of ", "sliced_w2"]),
        (["formulation=edm,edn", W1], ["formulation=edn is not an option; did you mean edm?"]),
        (["network.depth=0,-1", W1], ["network.depth must be at least 1, got 0"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_search_whose_runs_cannot_be_is_refused(
    fokker: Any, typed: list[str], says: list[str]
) -> None:
    refused(fokker(*typed), says)


def refused(said: Said, says: list[str]) -> None:
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("fokker: ")
    assert "Traceback" not in said.err
    for part in says:
        assert part in said.err
    assert list(Path().iterdir()) == []


def method(**given: Any) -> Any:
    defaults = {
        "sampler": "tpe", "pruner": None, "seed": 0, "storage": "sqlite", "prune_on": "ema_excess"
    }  # fmt: skip
    return read_method({**defaults, **given}, Objectives(("w1",)))


def test_a_sampler_whose_package_is_not_there_is_refused() -> None:
    with (
        mock.patch("fokker.search.method.find_spec", return_value=None),
        pytest.raises(ValueError, match="cmaes needs the package cmaes: pip install cmaes, or ch"),
    ):
        method(sampler="cmaes").make_sampler(0)
    with pytest.raises(ValueError, match=r"sampler.tpe has no argument x; it takes .*n_startup"):
        method(sampler={"tpe": {"x": 1}}).make_sampler(0)


def test_a_pruner_knows_when_the_curve_is_measured() -> None:
    made = [compose_experiment("callbacks.validation_steps=4", "trainer.max_steps=9")]
    name, arguments = with_steps(method(pruner="hyperband"), made).pruner or ("", {})
    assert (name, dict(arguments)) == ("hyperband", {"min_resource": 4, "max_resource": 9})
    given = method(pruner={"hyperband": {"min_resource": 2}})
    assert (with_steps(given, made).pruner or ("", {}))[1]["min_resource"] == 2
    with pytest.raises(ValueError, match=r"in the training curve.*got w1; choose one of den"):
        with_steps(method(pruner="median", prune_on="w1"), made)
    with pytest.raises(ValueError, match="got ema_excess; some train nothing"):
        with_steps(method(pruner="median"), [compose_experiment("network=exact")])
    with pytest.raises(ValueError, match="threshold cannot be made of"):
        with_steps(method(pruner="threshold"), made)
    late = [compose_experiment("callbacks.validation_steps=9", "trainer.max_steps=9")]
    with pytest.raises(ValueError, match="first measured at step 9, where trainings of 9 steps"):
        with_steps(method(pruner="median"), late)


def test_a_grid_wants_one_objective(fokker: Any) -> None:
    said = fokker("seed=1,2", "objective=[w1,nfe]", start=("-m", *TINY))
    refused(said, ["objective must be the name of a metric or null"])


def test_a_folder_is_one_searchs_and_its_storage_belongs_to_it(tiny: Any) -> None:
    here = ("hydra.sweep.dir=my search", "hydra.sweeper.storage=sqlite")
    assert tiny(bowl, *SPACE, W1, *here, "hydra.sweeper.n_trials=2").code == 0
    assert Path("my search/search.db").is_file()
    said = tiny(bowl, *SPACE, "objective=nfe", *here, "hydra.sweeper.n_trials=2")
    assert said.code == 1
    assert "hydra.sweep.dir=my search holds depth-lr-" in said.err
    Path("my search/search.db").unlink()
    said = tiny(bowl, *SPACE, W1, *here, "hydra.sweeper.n_trials=3")
    assert said.code == 1
    assert "my search holds 2 trials and sqlite:///" in said.err
    assert len(Path("my search/results.csv").read_text().splitlines()) == 3


def test_a_plan_says_what_is_searched_and_writes_nothing(fokker: Any) -> None:
    said = fokker(*SPACE, W1, "task=plan")
    assert said.code == 0
    assert "optimizer.lr: 0.0001 to 0.01, by factors\n" in said.out
    assert "network.depth: 1 to 3, in steps of 1\n" in said.out
    assert "new: would be trained for 20 steps" in said.out
    assert list(Path().iterdir()) == []
