"""What asking costs once a model is trained, in CPU seconds of one thread."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest

import fokker
import tiny_runs
from fokker.cli.main import main
from fokker.config.compose import composed

# As large as the model of a real run: network and number of samples by default, too few steps.
MODEL = ("data=uniform", "trainer.max_steps=2")


def seconds(call: Callable[[], object]) -> float:
    started = process_time()
    call()
    return process_time() - started


@pytest.mark.long
def test_twenty_evaluations_take_less_than_twenty_seconds(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["fokker.experiment.run"], "draw_figures", lambda *_: None)
    ask = (*MODEL, "evaluation.budget_points=0", "sampler.num_steps=20")
    fokker.run(ask)
    more = "{heun:{alpha:0.5}},{heun:{alpha:0.6}},{heun:{alpha:0.7}},{heun:{alpha:0.8}}"
    five = lambda: fokker.run((*ask, "evaluation.num_steps=[20]", f"evaluation.samplers=[{more}]"))  # noqa: E731
    # The validation and the start are no part of asking and cost the same for 1 and 5.
    one = min(seconds(lambda: fokker.run(ask)) for _ in range(2))
    assert min(seconds(five) for _ in range(2)) - one < 4 * 20 / 20


@pytest.mark.long
def test_a_sweep_of_which_all_is_done_says_so_at_once(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["fokker.experiment.run"], "draw_figures", lambda *_: None)
    job = [*tiny_runs.TINY, "trainer.max_steps=2", "sampler.num_steps=2,3"]
    monkeypatch.setattr("sys.argv", ["fokker", "-m", *job])
    main()

    def compose() -> None:
        with composed(job, is_sweep=True):
            pass

    # Half a second on a machine that composes a configuration in 70 ms.
    assert min(seconds(main) for _ in range(3)) < 7 * min(seconds(compose) for _ in range(3))


def test_figures_can_be_left_away(workdir: Path) -> None:
    job = [*tiny_runs.TINY, "trainer.max_steps=2"]
    result = fokker.run([*job, "evaluation.figures=false"])
    assert not (result.path / "figures").exists()
    assert result.metrics == tiny_runs.run("trainer.max_steps=2").metrics


KEPT = """
import re, torch
from pathlib import Path
from fokker.launch.job import keep_freed_memory
keep_freed_memory()
status = lambda: Path("/proc/self/status").read_text()
megabytes = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", status())[1]) / 1e3
before = megabytes()
torch.ones(6 * 2**20)
print(megabytes() - before)
"""


@pytest.mark.thorough
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc does with freed memory")
def test_the_memory_of_a_step_is_kept_for_the_next() -> None:
    """Of a block of 24 MB, which a process gives back where it has freed none as large."""
    command = [sys.executable, "-c", KEPT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout.split()[-1]) > 20
