"""Whether the tests see a mistake: `make mutations`, or check.py WORD ...

Each mistake of `mistakes` and `platform_mistakes` is planted, alone, in a copy of the project, and
the tests that have to see it run there. Before, they must pass on the copy as it is. With words:
mistakes whose line or file holds one of them. It ends with 1 if a mistake survives.
"""

import multiprocessing
import os
import queue
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import mistakes
import platform_mistakes
from mistake import Mistake

MISTAKES = (*mistakes.MISTAKES, *platform_mistakes.MISTAKES)
PROJECT = Path(__file__).parents[2]
COPIED = ("src", "conf", "sweeps", "tests", "docs", "pyproject.toml")
WORKERS = 2
#: Pytest's way to say that a test failed; it ends otherwise when none could be run.
FAILED = 1
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")
#: What every test run would import anew, in seconds; a fork has it already. Never fokker itself.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hypothesis", "lightning", "torchmetrics", "hydra"])


def main() -> int:
    """Print a row as soon as it is known."""
    os.environ["OMP_NUM_THREADS"] = "1"
    asked = sys.argv[1:]
    chosen = [m for m in MISTAKES if not asked or any(w in m.what + m.file for w in asked)]
    copies: queue.Queue[Path] = queue.Queue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        for number in range(WORKERS):
            copies.put(copy_of_the_project(Path(folder).resolve() / str(number)))
        started = perf_counter()
        check_that_all_pass(copies.queue[0], sorted({t for m in chosen for t in m.tests}))
        print(f"the chosen tests pass without a mistake, {perf_counter() - started:.0f} s\n")
        print("| mistake | file | killed by | seconds |\n|---|---|---|---|", flush=True)
        survivors = 0
        for mistake, (killer, seconds) in zip(
            chosen, pool.map(lambda mistake: killed_by(mistake, copies), chosen)
        ):
            survivors += killer is None
            row = [mistake.what, mistake.file, killer or "**nothing: it survives**"]
            print(f"| {' | '.join(row)} | {seconds:.0f} |", flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} mistakes are seen by the tests")
    return int(survivors > 0)


def copy_of_the_project(to: Path) -> Path:
    """A copy from which fokker, its conf/ and its tests are taken."""
    to.mkdir()
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, to / name, symlinks=True)
        elif source.is_file():
            shutil.copy2(source, to / name)
    return to


def run_tests(copy: Path, tests: list[str]) -> tuple[int, str]:
    """Pytest's exit code and what it says."""
    said = copy / "said.txt"
    process = FORKS.Process(target=pytest_in, args=(copy, tests, said))
    process.start()
    process.join()
    return process.exitcode or 0, said.read_text(encoding="utf-8")


def pytest_in(copy: Path, tests: list[str], said: Path) -> None:
    """Pytest in this process, on a copy of the project; it ends with pytest's exit code."""
    with said.open("w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(copy)
    # Before an editable install, here and in what tests start.
    sys.path.insert(0, str(copy / "src"))
    os.environ["PYTHONPATH"] = str(copy / "src")
    # Byte code of a mistake must not outlive it.
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    import pytest

    code = pytest.main([*OPTIONS, *(f"tests/{test}" for test in tests)])
    import fokker.config.compose

    for found in (fokker.__file__, str(fokker.config.compose.config_dir())):
        if not Path(found).is_relative_to(copy):
            raise SystemExit(f"fokker and its conf must be those of {copy}, got {found}")
    sys.exit(int(code))


def check_that_all_pass(copy: Path, tests: list[str]) -> None:
    """End where a failure would say nothing about a mistake."""
    code, said = run_tests(copy, tests)
    if code:
        raise SystemExit(f"the tests must pass before a mistake is planted:\n{said}")


def killed_by(mistake: Mistake, copies: "queue.Queue[Path]") -> tuple[str | None, float]:
    """The first test that fails, if one does, and the seconds until then."""
    copy, started = copies.get(), perf_counter()
    place = copy / "src" / "fokker" / mistake.file
    right = place.read_text(encoding="utf-8")
    if right.count(mistake.old) != 1:
        raise SystemExit(f"{mistake.file} must hold this text once: {mistake.old}")
    try:
        place.write_text(right.replace(mistake.old, mistake.new), encoding="utf-8")
        code, said = run_tests(copy, list(mistake.tests))
    finally:
        place.write_text(right, encoding="utf-8")
        copies.put(copy)
    killer = re.search(r"^FAILED tests/(\S+)", said, re.MULTILINE)
    if code and not (code == FAILED and killer):
        raise SystemExit(f"no test could be run with this mistake: {mistake.what}\n{said}")
    return killer[1] if killer else None, perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
