"""What is built and installed, and the order of the rooms inside src/fokker."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {".ci", "conf", "docs", "src", "sweeps", "tests", "outputs"}

# A room may import from itself and from earlier rows.
ROWS = (
    {"measures", "overrides"},
    {"machine"},
    {"levels", "randomness"},
    {"distributions", "networks", "figures"},
    {"data"},
    {"metrics"},
    {"answers", "ways"},
    {"formulation"},  # The contract: all that the platform knows of a family.
    {"evaluations"},
    {"diffusion", "discrete"},
    {"bridges"},
    {"store"},
    {"training", "tracking"},
    {"experiment"},
    {"config"},
    {"launch"},
    {"sweeps", "doctor"},
    {"search"},
    {"api", "cli"},
    {"__init__"},
    {"__main__", "hydra_plugins"},
)
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms}
# What processes are of one kind; all other rooms but these know them by the contract alone.
FAMILIES = ("diffusion", "discrete", "bridges")
# Inside a family in the same way.
ROWS_INSIDE = {
    "diffusion": (
        {"sde", "measures"},
        {"preconditioning", "weighting", "noise_levels", "grids"},
        {"denoiser"},
        {"exact", "samplers"},
        {"likelihood"},
        {"analysis"},
        {"formulations"},
        {"evaluations"},
    ),
}


def repository_files(*folders: str) -> list[PurePosixPath]:
    """Files of the repository, new ones too, without what .gitignore names."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [PurePosixPath(name) for name in listing.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file()]


def test_top_level_folders() -> None:
    folders = {path.parts[0] for path in repository_files() if len(path.parts) > 1}
    assert folders <= FOLDERS, f"folders outside the design: {sorted(folders - FOLDERS)}"


# Rooms ---------------------------------------------------------------------------------------


def imported_modules(path: PurePosixPath, source: str) -> Iterator[str]:
    """Dotted names that the file at `path` (below src/) imports, relative ones resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: len(path.parts) - node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of_import(name: str) -> str | None:
    """The room that an imported name belongs to; None if it is no room's."""
    first, *rest = name.split(".")
    if first == "hydra_plugins":  # Other packages have theirs there.
        return first if rest and rest[0].startswith("fokker") else None
    if first != "fokker" or rest == ["__version__"]:
        return None
    if not rest or (len(rest) == 1 and rest[0] not in ROW):
        return "__init__"
    return rest[0]


def room_violations(path: PurePosixPath, source: str) -> list[str]:
    """Imports of the file at `path` (below src/) that its room may not have."""
    room = path.parts[0] if path.parts[0] == "hydra_plugins" else path.with_suffix("").parts[1]
    if room not in ROW:
        return [f"{path}: {room} is in no row of the table"]
    found = []
    for name in imported_modules(path, source):
        other = room_of_import(name)
        if other is None or other == room:
            continue
        if other not in ROW:
            found.append(f"{path} imports {name}: {other} is in no row of the table")
        elif ROW[other] >= ROW[room]:
            found.append(f"{path} imports {name}: {other} does not come before {room}")
        elif other in FAMILIES and room not in FAMILIES:
            found.append(f"{path} imports {name}: {room} knows {other} by the contract alone")
    return [*found, *inside_violations(path, source)]


def inside_violations(path: PurePosixPath, source: str) -> list[str]:
    """Imports inside a family that come from a later row of it."""
    room, *below = path.with_suffix("").parts[1:]
    if room not in ROWS_INSIDE or below == ["__init__"]:
        return []
    row = {part: number for number, parts in enumerate(ROWS_INSIDE[room]) for part in parts}
    own = below[0]
    if own not in row:
        return [f"{path}: {own} is in no row of the table"]
    found = []
    for name in imported_modules(path, source):
        parts = name.split(".")
        if parts[:2] != ["fokker", room] or parts[2:3] == [own]:
            continue
        if row.get(parts[2] if len(parts) > 2 else "", len(row)) >= row[own]:
            found.append(f"{path} imports {name}, which does not come before {own}")
    return found


def test_rooms_import_only_from_earlier_rows() -> None:
    files = [path.relative_to("src") for path in repository_files("src") if path.suffix == ".py"]
    assert files
    found = [
        line
        for path in files
        for line in room_violations(path, (ROOT / "src" / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


SDE, DIFFUSION = "fokker/diffusion/sde/edm.py", "fokker.diffusion"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("fokker/data/toy.py", "import fokker.evaluations"),
        ("fokker/data/toy.py", "from fokker.evaluations.base import Evaluation"),
        ("fokker/data/toy.py", "from fokker import evaluations"),
        ("fokker/data/toy.py", "from ..evaluations import base"),
        ("fokker/data/toy.py", "from .. import evaluations"),
        ("fokker/data/__init__.py", "from ..evaluations import base"),
        ("fokker/data/toy.py", "def late() -> None:\n    import fokker.cli.main"),
        ("fokker/data/toy.py", "from fokker import run"),
        ("fokker/data/toy.py", "import fokker"),
        ("fokker/levels.py", "from fokker.randomness import Randomness"),
        ("fokker/diffusion/exact.py", "from fokker.store.models import ModelFolder"),
        ("fokker/diffusion/exact.py", "from fokker.discrete import kernels"),
        ("fokker/diffusion/exact.py", "from fokker.bridges import bridge"),
        ("fokker/cli/main.py", "import hydra_plugins.fokker_sweeper"),
        ("fokker/cli/main.py", "from fokker.utils import helper"),
        ("fokker/utils.py", ""),
        ("fokker/utils/text.py", ""),
        # The platform and the families.
        ("fokker/data/toy.py", f"from {DIFFUSION}.sde import SDE"),
        ("fokker/formulation.py", f"from {DIFFUSION}.formulations import EDM"),
        ("fokker/experiment/run.py", f"from {DIFFUSION}.formulations import EDM"),
        ("fokker/config/build.py", f"def late() -> None:\n    from {DIFFUSION}.exact import Exact"),
        ("fokker/cli/main.py", "from fokker import diffusion"),
        ("fokker/sweeps/joint.py", "import fokker.discrete.kernels"),
        ("fokker/__init__.py", "from .bridges import bridge"),
        # Inside a family.
        (SDE, f"import {DIFFUSION}.samplers"),
        (SDE, f"from {DIFFUSION}.samplers.heun import Heun"),
        (SDE, f"from {DIFFUSION} import samplers"),
        (SDE, "from ..samplers import heun"),
        (SDE, "from .. import samplers"),
        (SDE, f"import {DIFFUSION}"),
        ("fokker/diffusion/sde/__init__.py", "from ..samplers import heun"),
        ("fokker/diffusion/weighting.py", "from .noise_levels import NoiseLevels"),
        ("fokker/diffusion/weighting.py", f"def late() -> None:\n    import {DIFFUSION}.denoiser"),
        ("fokker/diffusion/utils.py", ""),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    assert len(room_violations(PurePosixPath(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (SDE, f"import math\nfrom .base import SDE\nfrom {DIFFUSION}.sde.base import SDE"),
        ("fokker/diffusion/sde/__init__.py", "from .edm import EDM\nfrom . import base"),
        ("fokker/diffusion/__init__.py", "from .sde import SDE"),
        (
            "fokker/diffusion/weighting.py",
            f"from {DIFFUSION}.sde import SDE\nfrom .sde import SDE\nfrom . import sde",
        ),
        ("fokker/bridges/bridge.py", f"from {DIFFUSION}.samplers import Heun"),
        ("fokker/experiment/record.py", "from fokker import __version__"),
        ("fokker/__init__.py", "from fokker.cli.main import run\nfrom .cli import main"),
        ("hydra_plugins/fokker_sweeper.py", "from fokker.sweeps.grid import GridSweeper"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    assert room_violations(PurePosixPath(path), source) == []


# Wheels --------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path) -> str:
    """Output of a command that has to succeed, without network and without PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PIP_NO_INDEX"] = "1"
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder: Path, *options: str) -> Path:
    """The wheel that `python -m build` makes of the repository with the installed tools."""
    command = [sys.executable, "-m", "build", "--no-isolation", *options]
    run(*command, "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel_from_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tree"), "--wheel")


@pytest.fixture(scope="module")
def wheel_from_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sdist"))


def members(wheel: Path) -> list[tuple[str, int]]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted((entry.filename, entry.CRC) for entry in archive.infolist())


def test_wheel_holds_every_file_once(wheel_from_tree: Path) -> None:
    expected = [path.relative_to("src") for path in repository_files("src")]
    expected += ["fokker" / path for path in repository_files("conf")]
    expected += ["fokker/conf" / path for path in repository_files("sweeps")]
    names = [name for name, _ in members(wheel_from_tree) if ".dist-info/" not in name]
    assert names == sorted(str(path) for path in expected)


def test_wheel_from_sdist_equals_wheel_from_tree(
    wheel_from_tree: Path, wheel_from_sdist: Path
) -> None:
    assert members(wheel_from_sdist) == members(wheel_from_tree)


def test_editable_install_copies_nothing(tmp_path: Path) -> None:
    program = "import sys, hatchling.build as b; b.build_editable(sys.argv[1])"
    run(sys.executable, "-c", program, tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name, _ in members(wheel) if ".dist-info/" not in name]
    assert names == ["_fokker.pth"]


@pytest.fixture(scope="module", params=["tree", "sdist"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of an environment that holds the wheel and sees the locked packages behind it.

    A path in a .pth file comes after the environment's own packages, and the .pth files in that
    path are not read, so the editable fokker of the locked environment is out of sight.
    """
    wheel: Path = request.getfixturevalue(f"wheel_from_{request.param}")
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=home)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python.parent


def test_installed_wheel_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = (
        "import fokker, importlib.metadata as m; print(fokker.__file__); print(m.version('fokker'))"
    )
    where, version = run(installed / "python", "-c", program, cwd=tmp_path).splitlines()
    package = Path(where).parent
    assert package.is_relative_to(installed.parent)
    # An option that only the folder inside the wheel has: the job finds it there or fails.
    option = package / "conf" / "experiment" / "planted.yaml"
    option.parent.mkdir(exist_ok=True)
    option.write_text("# @package _global_\nseed: 4321\n", encoding="utf-8")

    fokker = installed / "fokker"
    assert version in run(fokker, "--version", cwd=tmp_path)
    assert "fokker" in run(fokker, "--help", cwd=tmp_path)
    assert "FokkerGridSweeper" in run(fokker, "--info", "plugins", cwd=tmp_path)
    overrides = [
        "experiment=planted",
        "data=uniform",
        "trainer.max_steps=20",
        "evaluation.num_samples=100",
    ]
    run(fokker, *overrides, cwd=tmp_path)
    (record,) = tmp_path.glob("outputs/runs/*/metrics.json")
    assert json.loads(record.read_text(encoding="utf-8"))
    config = record.with_name("config.yaml").read_text(encoding="utf-8")
    assert "seed: 4321" in config.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
