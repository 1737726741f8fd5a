"""What cannot be is refused in one sentence, before anything is trained or written."""

import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import fokker
from fokker.cli.main import main
from tiny_runs import TINY

pytestmark = pytest.mark.usefixtures("workdir")

#: Overrides, and what the sentence has to say: the key, the rule, the value, what to do instead.
CASES: list[tuple[str, list[str]]] = [
    # Ranges of numbers.
    ("sde.sigma_min=-1", ["sde.sigma_min must be positive and below", "sigma_max=80", "got -1"]),
    ("sde.sigma_min=100", ["sde.sigma_min", "below sde.sigma_max=80", "got 100"]),
    ("sde.sigma_min=2 sde.sigma_max=1", ["sde.sigma_min", "below sde.sigma_max=1", "got 2"]),
    ("formulation=smld sde.sigma_min=-1", ["sigma_min must be positive", "got -1"]),
    ("sampler.num_steps=0", ["sampler.num_steps must be at least 1, got 0"]),
    ("sampler.num_steps=-1", ["sampler.num_steps must be at least 1, got -1"]),
    ("evaluation.num_steps=[0]", ["num_steps must be at least 1, got 0"]),
    ("evaluation.num_steps=[5,-3]", ["num_steps must be at least 1, got -3"]),
    ("evaluation.num_samples=0", ["evaluation.num_samples must be at least 1, got 0"]),
    ("evaluation.num_samples=1e99", ["evaluation.num_samples must be at most 1,000,000,000,000"]),
    ("network.width=10000000", ["network.width must fit into", "10,000,000 needs at least"]),
    ("network.width=1e20", ["network.width must be at most 1,000,000,000,000, got 1e+20"]),
    ("network.depth=1e9", ["network.depth must fit into this machine's memory", "16.5 TB"]),
    ("data=ring8 data.modes=1e10", ["data.modes must fit into this machine's memory of"]),
    ("data.batch_size=1e11", ["data.batch_size must fit", "for a batch and its noise"]),
    # Without the draws of the whole batch, which would take 15 GB first.
    ("data=uniform data.batch_size=1e9", ["must fit into", "bytes each; say trainer.device"]),
    ("data.num_points=1e12", ["data.num_points must fit", "16 TB for the points"]),
    ("data.workers=1e6", ["data.workers must fit", "5 TB for the processes"]),
    ("evaluation.num_samples=1e12", ["evaluation.num_samples must fit", "24 TB for the samples"]),
    ("evaluation.num_steps=[1e11]", ["evaluation.num_steps must fit", "12 TB for the grid"]),
    ("trainer=ddp_cpu trainer.devices=100000", ["trainer.devices must fit", "a process each"]),
    ("trainer.max_steps=0", ["trainer.max_steps must be at least 1, got 0"]),
    ("trainer.max_steps=-5", ["trainer.max_steps must be at least 1, got -5"]),
    ("data.batch_size=0", ["data.batch_size must be at least 1, got 0"]),
    ("data.num_points=0", ["data.num_points must be at least 1 or null, got 0"]),
    ("data.sigma_data=0", ["data.sigma_data must be positive or null, got 0"]),
    ("data.low=1", ["data.low must be below data.high=1, got 1"]),
    ("data=gaussian data.std=-1", ["data.std must be positive, got -1"]),
    ("data=torus data.minor=3", ["data.minor must be below data.major=1, got 3"]),
    ("optimizer.lr=-0.1", ["optimizer.lr must be positive, got -0.1"]),
    ("optimizer.lr=0", ["optimizer.lr must be positive, got 0"]),
    ("optimizer.warmup_steps=-1", ["optimizer.warmup_steps must not be negative, got -1"]),
    ("optimizer.optimizer.betas=[2,2]", ["optimizer.optimizer", "beta", "2"]),
    ("ema.half_lives=[]", ["ema.half_lives must be one or more positive numbers, got []"]),
    ("network.width=0", ["network.width must be at least 1, got 0"]),
    ("weighting=p2 weighting.k=-1", ["weighting.k must be positive", "k=-1"]),
    ("weighting=min_snr weighting.gamma=0", ["weighting.gamma must be positive, got 0"]),
    ("noise_levels.P_std=0", ["noise_levels.P_std must be positive, got 0"]),
    ("sampler=ddim sampler.eta=2", ["sampler.eta must be in [0, 1] for ddim, got 2"]),
    ("sampler=ode_adaptive sampler.rtol=-1", ["sampler.rtol", "positive", "-1"]),
    ("callbacks.log_steps=0", ["callbacks.log_steps must be positive, got 0"]),
    ("grid.rho=-7", ["grid.rho must be positive, in [0.1, 1000], got -7"]),
    # Parts that do not fit together.
    (
        "formulation=ddpm formulation.num_levels=20",
        ["formulation.num_levels", "above 20", "use more"],
    ),
    ("formulation=ddpm formulation.num_levels=1", ["formulation.num_levels", "at least 2, got 1"]),
    ("formulation=smld formulation.num_levels=1", ["formulation.num_levels", "at least 2, got 1"]),
    (
        "sampler=annealed_langevin",
        ["sampler=annealed_langevin", "choose grid=levels", "formulation=s"],
    ),
    (
        "evaluation.samplers=[annealed_langevin]",
        ["sampler=annealed_langevin", "choose grid=levels"],
    ),
    ("grid=levels", ["grid=levels needs a formulation with levels", "formulation=ddpm"]),
    ("noise_levels=levels", ["noise_levels=levels needs a formulation", "choose formulation=ddpm"]),
    (
        "grid.sigma_max=1000",
        ["grid.sigma_max must lie in 0.002 to 80", "got 1000", "leave it null"],
    ),
    ("grid.sigma_min=0", ["grid.sigma_min must lie in 0.002 to 80", "got 0", "leave it null"]),
    (
        "formulation=ddpm formulation.num_levels=50",
        ["sampler.num_steps must be at most formulation.num_levels=50", "got 100", "another grid"],
    ),
    (
        "sampler=ode_adaptive sampler.num_steps=5",
        ["sampler.num_steps must be null", "got 5", "rtol"],
    ),
    ("trainer.devices=2", ["trainer.strategy must be ddp or fsdp for 2 ranks", "trainer=ddp"]),
    ("trainer.devices=0", ["trainer.devices must be a whole number of at least 1", "got 0"]),
    ("trainer=ddp_cpu trainer.devices=auto", ["devices=auto counts GPUs", "trainer.devices=2"]),
    ("trainer=multi_node", ["trainer.num_nodes=2 needs a start on every machine", "torchrun"]),
    ("trainer=ddp_cpu data.batch_size=255", ["data.batch_size must divide", "254 or 256"]),
    ("+trainer.accumulate_grad_batches=2", ["use trainer.device_batch_size"]),
    ("evaluation.batch_size=0", ["evaluation.batch_size must be at least 1, got 0"]),
    ("trainer.accelerator=foo", ["trainer.accelerator must be auto, cpu or gpu, got foo"]),
    # Evaluations.
    (
        "evaluation.noise=quantiles sampler=ancestral",
        ["evaluation.noise=quantiles", "deterministic", "got sampler=ancestral", "sampler=heun"],
    ),
    (
        "evaluation.noise=quantiles data=ring8",
        ["evaluation.noise=quantiles", "one dimension", "(2,)", "use evaluation.noise=random"],
    ),
    ("evaluation.grids=[levels]", ["grid=levels needs a formulation with levels", "another grid"]),
    (
        "evaluation.budget_points=-1",
        ["evaluation.budget_points must be null, 0 for no error budget, or positive, got -1"],
    ),
    (
        "evaluation.beside=[nowhere]",
        ["evaluation.beside must list finished runs", "nowhere is not one: there is no run"],
    ),
    (
        "evaluation=likelihood sampler=ancestral",
        ["evaluation=likelihood needs a deterministic sampler", "got sampler=ancestral", "heun"],
    ),
    (
        "evaluation=pde data=ring8",
        ["evaluation=pde needs data of a known law in one", "(2,)", "choose data=uniform"],
    ),
    ("evaluation=[likelihood,pde] data=ring8", ["evaluation=pde needs data of a known law in one"]),
    (
        "evaluation=likelihood evaluation.likelihood.bits=true data=mixture",
        ["evaluation.likelihood.bits=true needs data", "data.levels and data.value_range", "null"],
    ),
    # Numbers that are none, and other types.
    ("sde.sigma_min=nan", ["sde.sigma_min must be a number or null, got nan"]),
    ("sde.sigma_min=abc", ["sde.sigma_min must be a number or null, got abc"]),
    ("sde.sigma_max=inf", ["sde.sigma_max must be finite", "got inf"]),
    ("formulation=ddpm sde.beta_max=abc", ["sde.beta_max must be a number, got abc"]),
    ("sampler.num_steps=1.5", ["sampler.num_steps must be a whole number, got 1.5"]),
    ("sampler.num_steps=1.5e0", ["sampler.num_steps must be a whole number, got 1.5"]),
    ("sampler.num_steps=null", ["sampler.num_steps must be a whole number, got null"]),
    ("sampler=ddim sampler.eta=abc", ["sampler.eta must be a number, got abc"]),
    ("sampler=ddim sampler.eta=true", ["sampler.eta must be a number, got true"]),
    ("sampler.prior=foo", ["sampler.prior must be published or matched, got foo"]),
    ("+sampler.sde=foo", ["sampler.sde must be a node with a _target_, got foo"]),
    ("network.width=abc", ["network.width must be a whole number or null, got abc"]),
    ("network.width=1.5", ["network.width must be a whole number or null, got 1.5"]),
    ("network.width=true", ["network.width must be a whole number or null, got true"]),
    ("formulation=ddpm formulation.num_levels=100.5", ["formulation.num_levels", "got 100.5"]),
    ("data.batch_size=1.5", ["data.batch_size must be a whole number, got 1.5"]),
    ("data.standardize=abc", ["data.standardize must be true or false, elements or all, got abc"]),
    ("data.low=abc", ["data.low must be a number or a list of numbers, got abc"]),
    ("data.sigma_data=nan", ["data.sigma_data must be a number or null, got nan"]),
    ("weighting=p2 weighting.gamma=nan", ["weighting.gamma must be a number, got nan"]),
    ("noise_levels.P_mean=nan", ["noise_levels.P_mean must be a number, got nan"]),
    ("optimizer.lr=nan", ["optimizer.lr must be a number, got nan"]),
    ("optimizer.schedule=foo",
     ["optimizer.schedule must be cosine, constant, piecewise or a node with a _target_, got foo"]),
    ("optimizer.optimizer.fused=abc", ["optimizer.optimizer.fused must be true", "got abc"]),
    ("optimizer.optimizer.betas=[0.9]", ["optimizer.optimizer.betas must be a list of 2", "[0.9]"]),
    ("ema.half_lives=5", ["ema.half_lives must be a list of whole numbers, got 5"]),
    ("ema.rampup=nan", ["ema.rampup must be a number or null, got nan"]),
    ("callbacks.save_steps=1.5", ["callbacks.save_steps must be a whole number, got 1.5"]),
    ("trainer.max_steps=1.5", ["trainer.max_steps must be a whole number, got 1.5"]),
    ("trainer.precision=foo", ["trainer.precision must be", "32-true", "got foo"]),
    ("seed=abc", ["seed must be a whole number, got abc"]),
    ("seed=null", ["seed must be a whole number, got null"]),
    (
        "task=foo",
        ["task must be run or plan, or in a shell doctor, models, runs or compare, got foo"],
    ),
    ("retrain=abc", ["retrain must be true or false, got abc"]),
    ("output_dir=null", ["output_dir must be the path of a folder, as text, got null"]),
    ("evaluation.num_samples=abc", ["evaluation.num_samples must be a whole number, got abc"]),
    ("evaluation.num_steps=5", ["evaluation.num_steps must be a list", "[5,10]", "got 5"]),
    (
        "evaluation.num_steps=[1.5]",
        ["evaluation.num_steps must be a list of whole numbers", "[1.5]"],
    ),
    ("evaluation.noise=foo", ["evaluation.noise must be random or quantiles, got foo"]),
    ("evaluation.grids=geometric", ["evaluation.grids must be a list", "got geometric"]),
    ("evaluation.budget_points=1.5", ["evaluation.budget_points must be a whole number", "1.5"]),
    ("evaluation.figures=some", ["evaluation.figures must be true or false, got some"]),
    ("evaluation.beside=nowhere", ["evaluation.beside must be a list of the folders", "nowhere"]),
    ("data.gaussianize=abc", ["data.gaussianize must be true or false, got abc"]),
    ("allow_targets=torch", ["allow_targets must be a list", "[my_package]", "got torch"]),
    ("allow_targets=['*']", ["allow_targets must list names of packages", "'*'"]),
    # Names.
    ("evaluation.weights=foo", ["evaluation.weights must be one of", "raw", "ema", "got foo"]),
    ("evaluation.samplers=[nope]", ["sampler=nope is not an option; choose one of", "heun"]),
    ("evaluation.samplers=heun", ["evaluation.samplers must be a list", "got heun"]),
    (
        "evaluation.samplers=[{ddim: 5}]",
        ["evaluation.samplers must be a list", "{NAME: {KEY: VALUE}}"],
    ),
    ("evaluation.samplers=[{ddim: {etta: 1}}]", ["sampler.etta is not taken by DDIM", "eta"]),
    ("evaluation.grids=[nope]", ["grid=nope is not an option; choose one of", "geometric"]),
    ("evaluation.grids=[{edm_rho: {rhoo: 1}}]", ["grid.rhoo is not taken by EDMRho", "rho"]),
    (
        "+evaluation.typo=1",
        ["evaluation.typo is not a key of fokker", "budget_points", "evaluation=likelihood"],
    ),
    (
        "evaluation=likelihood +evaluation.likelihood.probs=1",
        ["evaluation.likelihood.probs is not taken by Likelihood; did you mean probes? There"],
    ),
    ("+network.wdith=3", ["network.wdith is not taken by MLP; did you mean width? There are"]),
    ("+sampl=3", ["sampl is not a key of fokker; did you mean sampler? There are"]),
    ("+sde@samplr.sde=edm", ["samplr is not a key of fokker", "sampler"]),
    ("+data.lo=3", ["data.lo is not taken by ToyData; did you mean low?", "batch_size"]),
    ("network._target_=os.system", ["network._target_ must name a class in", "got os.system"]),
    ("checkpoint=nowhere", ["no checkpoint at nowhere", "give a run's folder"]),
    ("init_from=nowhere", ["no checkpoint at nowhere", "give a run's folder"]),
    # What the configuration itself cannot say.
    ("network.width=${nope}", ["network.width refers to ${nope}, and there is no such key"]),
    ("network.width=???", ["network.width has no value yet; give it one"]),
    ("~sde", ["sde refers to ${sde}, and there is no such key"]),
    ("~sampler", ["sampler must be an option, and was removed; say sampler=NAME"]),
    ("~seed", ["seed must be a whole number, got null"]),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("overrides", "says"), CASES, ids=[case for case, _ in CASES])
def test_a_mistake_is_one_sentence_before_anything_is_done(overrides: str, says: list[str]) -> None:
    # `[{ddim: 5}]` holds a space, and no list of overrides begins with a bracket.
    typed = [overrides] if "[{" in overrides else overrides.split()
    # What is not refused does not train, which for two nodes would be to wait for the other.
    accepted = AssertionError("not refused")
    with (
        mock.patch("fokker.launch.job.run_experiment", side_effect=accepted),
        pytest.raises(ValueError) as error,
    ):
        fokker.run([*TINY, *typed])
    message = str(error.value)
    for part in says:
        assert part in message
    assert "\n" not in message
    assert list(Path().iterdir()) == []


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of points that are none, outside the folder of the run."""
    folder = tmp_path_factory.mktemp("points")
    points = np.random.default_rng(0).normal(size=(20, 2))
    np.save(folder / "good.npy", points)
    np.save(folder / "empty.npy", points[:0])
    np.save(folder / "nan.npy", np.where(points > 1, np.nan, points))
    np.save(folder / "rank1.npy", points[:, 0])
    np.save(folder / "texts.npy", points.astype(str))
    np.savez(folder / "two.npz", a=points, b=points)
    (folder / "text.npy").write_text("1.0 2.0\n3.0 4.0\n")
    (folder / "nothing.npy").write_bytes(b"")
    return folder


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("null", ["data.path must name a .npy or .npz file", "got null"]),
        ("", ["data.path must be a file of points, and", "points0 is a folder"]),
        ("missing.npy", ["data.path must be a file of points", "missing.npy is not there"]),
        ("nothing.npy", ["nothing.npy must be a .npy or .npz file"]),
        ("text.npy", ["text.npy must be a .npy or .npz file of numbers"]),
        ("empty.npy", ["empty.npy must hold at least 2 points, got the shape (0, 2)"]),
        ("rank1.npy", ["rank1.npy must hold an array of rank 2", "got the shape (20,)", "(n, 1)"]),
        ("nan.npy", ["nan.npy must hold finite numbers, got", "remove these points"]),
        ("texts.npy", ["texts.npy must hold numbers, got an array of"]),
        ("two.npz", ["data.key must name one of the arrays ['a', 'b']", "two.npz"]),
    ],
)
def test_a_file_that_holds_no_points_is_refused(files: Path, name: str, says: list[str]) -> None:
    path = name if name == "null" else str(files / name)
    with pytest.raises(ValueError) as error:
        fokker.run([*TINY, "data=points", f"data.path={path}"])
    for part in ("data.", *says):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("data.levels=5", ["data.levels", "data.value_range must be given together", "5 and None"]),
        ("data.value_range=5", ["must be given together, got None and 5", "256 and 256"]),
        ("data.levels=1 data.value_range=5", ["data.levels, at least 2", "got 1 and 5"]),
        ("data.levels=5 data.value_range=-1", ["data.value_range must be positive", "got -1"]),
        ("data.levels=5 data.value_range=inf", ["data.value_range must be", "finite, got inf"]),
    ],
)
def test_levels_that_fill_no_range_are_refused(files: Path, keys: str, says: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        fokker.run([*TINY, "data=points", f"data.path={files / 'good.npy'}", *keys.split()])
    for part in says:
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert list(Path().iterdir()) == []


def test_a_checkpoint_that_is_none_is_refused_before_anything_is_written(files: Path) -> None:
    for key in ("checkpoint", "init_from"):
        with pytest.raises(
            ValueError, match=r"good\.npy is not a checkpoint that can be read safe"
        ):
            fokker.run([*TINY, f"{key}={files / 'good.npy'}"])
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sde=foo", ["sde=foo is not an option; choose one of edm, rectified,", "vp_ou"]),
        ("sampler=addams", ["addams is not an option; did you mean adams? There are adams"]),
        ("+sde@sampler.sde=foo", ["sde=foo is not an option; choose one of edm, rectified"]),
        ("experiment=foo", ["experiment=foo is not an option", "crossed"]),
        ("network.wdith=3", ["network.wdith"]),
        ("evaluation.typo=1", ["evaluation.typo"]),
        ("evaluation=nope", ["evaluation=nope is not an option", "likelihood", "pde"]),
        ("logger=null", ["logger=null must name an option; choose one of csv, tensorboard"]),
        ("foo", ["foo cannot be read, for it has no =; say foo=VALUE"]),
        ("seed=[1", ["seed=[1 cannot be read"]),
        ("output_dir=größe", ["double quotes inside single ones: 'output_dir=\"größe\"'"]),
        ("data.key=~x", ["cannot be read", "'data.key=\"~x\"'"]),
        ("data.path=a(1).npy", ["cannot be read", "'data.path=\"a(1).npy\"'"]),
    ],
)
def test_what_cannot_be_composed_is_said_with_the_way_to_all_keys(
    override: str, says: list[str]
) -> None:
    with pytest.raises(ValueError) as error:
        fokker.run([override])
    for part in (*says, "fokker --help lists the groups, options and keys"):
        assert part in str(error.value)
    assert list(Path().iterdir()) == []


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sde=foo", ["sde=foo is not an option", "vp_linear", "fokker --help"]),
        ("network.wdith=3", ["network.wdith is not a key; did you mean width? There", "--help"]),
        ("seed=1,2", ["seed=1,2 has several values, which need -m: fokker -m seed=1,2"]),
        ("checkpoint=", ["checkpoint must be a path or null, got nothing"]),
        ("trainer.max_steps=", ["trainer.max_steps must be a whole number, got nothing"]),
        ("evaluation.grids=[spectrl]", ["grid=spectrl is not an option; did you mean spectral?"]),
        ("logger=null", ["logger=null must name an option", "fokker --help"]),
        ("hydra.run.dir=${nope}", ["hydra.run.dir refers to ${nope}, and there is no such key"]),
        ("output_dir=", ["must be the path of a folder", "got nothing", "output_dir=./outputs"]),
        ("output_dir=null", ["output_dir must be the path of a folder, as text, got null"]),
        ("output_dir=[a,b]", ["output_dir must be the path of a folder", "got ['a', 'b']"]),
        ("output_dir=7", ["output_dir must be the path of a folder, as text, got 7"]),
        ("output_dir=/proc/x", ["/proc/x", "cannot be written: Permission denied; let it be"]),
        ("task=plan output_dir=/proc/x", ["/proc/x cannot be written: Permission denied"]),
        ("-m task=plan output_dir=/proc/x", ["/proc/x cannot be written: Permission denied"]),
        ("sampler=[heun,ddim]", ["sampler must name one option, got [heun,ddim]", "=heun,ddim"]),
        ("+sde@sampler.sde=[edm,edm]", ["must name one option"]),
        ("delete=failed", ["delete is not a key; it goes with task=runs or task=models; say"]),
        ("data.path=x", ["data.path is not a key; it is one of data=points\n"]),
        ("data=../../x", ["data=../../x must name an option by its plain name", "--config-dir"]),
        ("data=[nan]", ["data=[nan] must name an option by a text"]),
        ("sampler=[1,[2]]", ["sampler=[1,[2]] must name an option by a text"]),
        (f"output_dir={'a' * 300}", ["cannot be written: File name too long"]),
        (f"optimizer.lr={'9' * 400}", ["optimizer.lr"]),
        ("hydra.sweeper.storage=x", ["of the sweeper that is chosen", "fokker_grid or fokker_s"]),
        ("hydra.launcher.n_jobs=2", ["of the launcher that is chosen", "joblib, submitit_local"]),
        ("hydra.run.dir=", ["must be the path of a folder", "hydra.run.dir=./outputs/runs/first"]),
        ("hydra.sweep.dir=", ["hydra.sweep.dir must be the path of a folder", "got nothing"]),
        ("hydra.sweep.dir=null", ["hydra.sweep.dir must not be null"]),
        ("hydra.sweeper._target_=os.system", ["sweeper._target_", "os.system", "fokker_grid"]),
        ("hydra.launcher._target_=os.system", ["hydra.launcher._target_", "os.system", "basic"]),
        (
            "+hydra.callbacks.x._target_=http.server.test",
            ["hydra.callbacks.x._target_ must name a class in", "got http.server.test"],
        ),
        (
            "+hydra.callbacks.x={_target_: torch.nn.Linear, of: {_target_: os.system}}",
            ["hydra.callbacks.x.of._target_ must not be there", "got os.system; remove it"],
        ),
        ("network.width=abc", ["network.width must be a whole number or null, got abc"]),
        ("checkpoint=nowhere", ["no checkpoint at nowhere"]),
        ("data=points", ["data.path must name a .npy or .npz file of points, got null"]),
    ],
)
def test_the_command_line_says_it_without_a_traceback(
    override: str,
    says: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["fokker", *TINY, *re.split(" (?=out|task)", override)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("fokker: ")
    for part in says:
        assert part in err
    assert "Traceback" not in err
    assert "HYDRA_FULL_ERROR" not in err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("override", ["sde=foo", "network.wdith=3", "logger=null"])
def test_the_command_ends_with_a_message_and_an_exit_code(override: str) -> None:
    command = [str(Path(sys.executable).with_name("fokker")), "data=uniform", override]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("fokker: ")
    assert "Traceback" not in ended.stderr
    assert list(Path().iterdir()) == []
