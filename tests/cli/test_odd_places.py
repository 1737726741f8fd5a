"""`fokker.run` in scripts that have set torch and hydra otherwise, in notebooks, in odd shells."""

import linecache
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import fokker
from fokker.cli.main import main
from fokker.launch import job
from fokker.launch.slurm import facts, restarts
from fokker.machine.environment import is_on, number
from fokker.machine.start import Start, cores_of_rank, first_node
from fokker.store.own_sources import source_of
from tiny_runs import compose_experiment, differing, only_model, run, tiny, trained_state

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_default_device(None)


# ---- torch -----------------------------------------------------------------------------------


@pytest.mark.long
def test_modes_of_torch_change_no_bit_and_are_left_as_they_were() -> None:
    def made(folder: str) -> tuple[torch.Tensor, dict[str, object]]:
        samples = run("sampler.num_steps=3", f"output_dir={folder}").samples
        return samples, trained_state(only_model(folder))

    samples, state = made("plain")
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
        torch.set_default_dtype(torch.float64)
        others = made("inference")
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)
    assert torch.equal(others[0], samples)
    assert differing(others[1], state) == []
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    others = made("meta")
    assert not torch.is_grad_enabled()
    assert torch.get_default_device().type == "meta"
    torch.set_default_device(None)
    assert torch.equal(others[0], samples)
    assert differing(others[1], state) == []


# ---- hydra -----------------------------------------------------------------------------------


def test_a_run_inside_an_application_of_hydra_leaves_it_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("conf").mkdir()
    Path("conf/app.yaml").write_text("x: ${run_name:}\n")
    OmegaConf.register_new_resolver("run_name", lambda: "theirs", replace=True)
    done = []

    @hydra.main(version_base="1.2", config_path=str(Path("conf").resolve()), config_name="app")
    def application(config: DictConfig) -> None:
        before = GlobalHydra.instance().hydra, HydraConfig.get(), hydra.version.getbase()
        with pytest.raises(ValueError, match=r"optimizer\.lr\?"):
            fokker.run(["lr=1"])
        result = run("sampler.num_steps=3", "trainer.max_steps=2")
        assert len(result.samples) == 100
        assert (
            GlobalHydra.instance().hydra,
            HydraConfig.get(),
            hydra.version.getbase(),
        ) == before
        assert GlobalHydra.instance().config_loader().get_group_options("formulation") == []
        assert config.x == "theirs"
        done.append(result)

    monkeypatch.setattr(sys, "argv", ["app"])
    application()
    assert done
    assert only_model().is_complete


# ---- sources ---------------------------------------------------------------------------------

CELL = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return {}
"""


def cell(value: str, name: str) -> type:
    """A class that was written into a notebook's cell, whose source python's linecache has."""
    text = CELL.format(value)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    module = ModuleType("notebook")
    exec(compile(text, name, "exec"), vars(module) | {"__name__": "notebook"}, vars(module))
    made: type = vars(module)["Net"]
    return made


def test_a_class_of_a_notebook_is_told_by_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))  # Which has no file.
    one, same, other = cell("x", "<cell 1>"), cell("x", "<cell 2>"), cell("2 * x", "<cell 3>")
    assert source_of([one]) == source_of([same]) != source_of([other])


def test_a_class_without_a_source_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))
    typed = cell("x", "<shell>")
    del linecache.cache["<shell>"]
    with pytest.raises(ValueError, match=r"source of notebook\.Net .* write the class into a file"):
        source_of([typed])


# ---- environments ----------------------------------------------------------------------------

STEP = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "n1",
}  # fmt: skip
TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def test_an_empty_variable_is_none() -> None:
    for name in ("WORLD_SIZE", "RANK"):
        assert Start.here({**TORCHRUN, name: ""}) == Start("fokker")
    alone = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "", "LOCAL_WORLD_SIZE": " "}
    assert Start.here(alone) == Start("torchrun")
    for name in ("SLURM_JOB_ID", "SLURM_STEP_TASKS_PER_NODE"):
        assert Start.here({**STEP, name: ""}) == Start("fokker")
    assert Start.here({**STEP, "SLURM_STEP_NUM_TASKS": ""}) == Start("srun")
    assert Start.here({**STEP, **dict.fromkeys(TORCHRUN, "")}) == Start("srun", 1, 2, 1, 2)
    assert restarts({"SLURM_RESTART_COUNT": ""}) == 0
    assert facts({"SLURM_JOB_ID": ""}) == {}
    assert cores_of_rank(1, {**STEP, "SLURM_CPUS_PER_TASK": ""}) == cores_of_rank(1, {})
    told = {**STEP, "SLURM_STEP_ID": "", "SLURM_NODEID": "", "MASTER_ADDR": ""}
    Start.here(told).say(told)
    assert (told["MASTER_ADDR"], told["GROUP_RANK"], told["RANK"]) == ("n1", "0", "1")


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"])
@pytest.mark.parametrize("value", ["two", "-1", "1.5"])
def test_what_is_no_number_is_refused_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} in .* must be a whole .* {value};.*unset"):
        Start.here({**TORCHRUN, name: value})


def test_a_step_of_slurm_that_does_not_say_which_task_this_is() -> None:
    for name in ("SLURM_PROCID", "SLURM_LOCALID"):
        left = {key: value for key, value in STEP.items() if key != name}
        with pytest.raises(ValueError, match=rf"{name} must say which of the 2 tasks .* by srun"):
            Start.here(left)
        with pytest.raises(ValueError, match=f"{name} in the environment must be a whole number"):
            Start.here({**STEP, name: "x"})
    with pytest.raises(ValueError, match=r"WORLD_SIZE .* this one is rank 2 of 2"):
        Start.here({**TORCHRUN, "RANK": "2"})
    with pytest.raises(ValueError, match="SLURM_STEP_NODELIST must name the machines"):
        first_node({})
    with pytest.raises(ValueError, match=r"SLURM_RESTART_COUNT .* got some; .*unset"):
        restarts({"SLURM_RESTART_COUNT": "some"})
    assert number({"N": " 3 "}, "N", 1) == 3


@pytest.mark.parametrize(
    "typed",
    [
        [*tiny("trainer.devices=2")],  # before torch is waited for
        [*tiny("trainer.device_batch_size=100")],  # in the job
        ["-m", *tiny()],
        ["-m", "hydra/sweeper=fokker_search", "hydra.sweeper.n_trials=-1", *tiny()],
    ],
)
def test_a_switch_is_on_by_1_alone_as_in_hydra(
    typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [value for value in ("0", "1", "", "false", "2") if is_on("S", {"S": value})] == ["1"]
    assert not is_on("S", {})
    for value, error in (("0", SystemExit), ("1", ValueError)):
        monkeypatch.setenv("HYDRA_FULL_ERROR", value)
        monkeypatch.setattr("sys.argv", ["fokker", *typed])
        with pytest.raises(error):
            main()
    assert capsys.readouterr().err.count("fokker: ") == 1


@pytest.mark.parametrize(("threads", "taken"), [("0", 1), ("", 1), ("2", 2)])
def test_no_thread_is_no_number_of_threads(
    threads: str, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    torch.set_num_threads(2)  # As torch has found them.
    try:
        with job.threads(compose_experiment()):
            assert torch.get_num_threads() == taken
    finally:
        torch.set_num_threads(1)


def test_a_run_with_empty_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = (*TORCHRUN, *STEP, "OMP_NUM_THREADS", "HYDRA_FULL_ERROR", "SLURM_RESTART_COUNT",
             "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "SLURM_CPUS_PER_TASK",
             "SLURM_NTASKS", "SLURM_ARRAY_JOB_ID")  # fmt: skip
    for name in empty:
        monkeypatch.setenv(name, "")
    assert len(run(*tiny("trainer.max_steps=2", "sampler.num_steps=2")).samples) == 100
