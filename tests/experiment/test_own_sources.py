"""The files of a user's own that a model's key holds: the class's, and what it imports."""

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny_runs
from fokker.store.own_sources import source_of

FILES = {
    "mine/__init__.py": "",
    "mine/nets.py": (
        "import torch\nimport others\nfrom mine import layers\nfrom .blocks import Block\n"
        "import mine.far.off as off\n\n"
        "class Helper:\n    scale = 1\n\n"
        "class Net(torch.nn.Module):\n    block = Block\n    late = off.late\n"
    ),
    "mine/layers.py": "WIDTH = 3\n",
    "mine/blocks.py": "from .sizes import SIZE\n\nclass Block:\n    size = SIZE\n",
    "mine/sizes.py": "from __future__ import annotations\nSIZE = 4\n",
    "mine/far/__init__.py": "",
    "mine/far/off.py": "def late():\n    from ..lazy import LAZY\n    return LAZY\n",
    "mine/lazy.py": "raise RuntimeError('it is read, and not run')\n",
    "mine/unused.py": "X = 1\n",
    "others.py": "X = 1\n",
}


@pytest.fixture
def digest(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Gives the hash of a class, imported anew."""
    monkeypatch.syspath_prepend(str(workdir))
    for name, text in FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)

    def forget() -> None:
        for name in [n for n in sys.modules if n.split(".")[0] in ("mine", "moved", "others")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        shutil.rmtree("__pycache__", ignore_errors=True)
        for folder in Path().rglob("__pycache__"):
            shutil.rmtree(folder)

    def own(module: str = "mine.nets", allow: tuple[str, ...] = ("mine",)) -> str:
        forget()
        return source_of([importlib.import_module(module).Net], allow)

    yield own
    forget()


def changed(file: str, digest: Callable[..., str], old: str, new: str) -> bool:
    """Whether an edit changes the hash, and taking it back brings it back."""
    before, text = digest(), Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new, 1))
    after = digest()
    Path(file).write_text(text)
    assert digest() == before
    return after != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("mine/nets.py", "scale = 1", "scale = 2"),  # A helper beside the class.
        ("mine/nets.py", "class Net", "# A word.\nclass Net"),
        ("mine/layers.py", "3", "5"),  # `from package import module`.
        ("mine/blocks.py", "size = SIZE", "size = SIZE + 1"),  # Relative.
        ("mine/sizes.py", "4", "6"),  # Two imports away.
        ("mine/far/off.py", "return", "return 2 *"),  # `import a.b as c`.
        ("mine/lazy.py", "run", "begun"),  # Imported late, and two folders up.
    ],
)
def test_an_edit_of_what_is_imported_counts(
    digest: Callable[..., str], file: str, old: str, new: str
) -> None:
    assert changed(file, digest, old, new)


@pytest.mark.parametrize("file", ["mine/unused.py", "others.py", "mine/far/__init__.py"])
def test_an_edit_of_anything_else_does_not(digest: Callable[..., str], file: str) -> None:
    assert not changed(file, digest, "", "# A word.\n")


def test_the_packages_that_are_allowed_say_what_is_one_s_own(digest: Callable[..., str]) -> None:
    alone = digest(allow=("mine.nets",))
    assert alone != digest(allow=("mine",)) != digest(allow=("mine", "others"))
    Path("mine/layers.py").write_text("WIDTH = 9\n")
    assert digest(allow=("mine.nets",)) == alone


def test_a_file_that_is_moved_or_renamed_is_the_same(digest: Callable[..., str]) -> None:
    text = "import torch\n\nclass Net(torch.nn.Module):\n    x = 1\n"
    Path("mine/here.py").write_text(text)
    Path("mine/far/there.py").write_text(text)
    assert digest("mine.here") == digest("mine.far.there")
    # What two files hold is not the same the other way round.
    Path("mine/one.py").write_text(f"from mine.two import Net as Base\n{text}")
    Path("mine/two.py").write_text(f"{text}    y = 2\n")
    assert digest("mine.one") != digest("mine.two")


def test_modules_that_import_each_other_are_read_once(digest: Callable[..., str]) -> None:
    Path("mine/layers.py").write_text("import mine.nets\nWIDTH = 3\n")
    assert len(digest()) == 64


def test_a_source_that_is_gone_is_refused(digest: Callable[..., str], workdir: Path) -> None:
    digest()
    net = sys.modules["mine.nets"].Net
    Path("mine/lazy.py").unlink()
    Path("mine/lazy.py").mkdir()  # What cannot be read as a file, also by root.
    assert source_of([net], ["mine"])  # It is a folder without code then, and no module.
    Path("mine/blocks.py").unlink()
    with pytest.raises(ValueError, match=r"source of mine\.blocks must be there to tell one model"):
        source_of([net], ["mine"])
    Path("mine/nets.py").unlink()
    with pytest.raises(ValueError, match=r"source of mine\.nets\.Net .* write the class into a f"):
        source_of([net], ["mine"])


def test_a_script_is_one_s_own_as_a_whole(workdir: Path) -> None:
    script = (
        "import sys\nfrom fokker.store.own_sources import source_of\nSCALE = {}\n"
        "class Net:\n    pass\nprint(source_of([Net], ['__main__']))\n"
    )

    def said(value: int) -> str:
        Path("script.py").write_text(script.format(value))
        child = tiny_runs.Child(_run_script, folder=workdir, env={})
        out, error = child.communicate(timeout=120)
        assert child.returncode == 0, error
        return str(out).strip()

    assert said(1) == said(1) != said(2)


def _run_script() -> None:
    import runpy

    runpy.run_path("script.py", run_name="__main__")


OWN = "import torch\nfrom own_lib.scales import SCALE\n" + """
class Own(torch.nn.Module):
    def __init__(self, shape, c_noise_range):
        super().__init__()
        self.layer = torch.nn.Linear(shape[0], shape[0])

    def forward(self, x, c_noise, condition=None):
        return SCALE * self.layer(x)
"""


def test_a_model_is_trained_again_when_a_helper_was_edited(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(workdir))
    Path("own_lib").mkdir()
    for name, text in (("__init__", ""), ("nets", OWN), ("scales", "SCALE = 1\n")):
        Path(f"own_lib/{name}.py").write_text(text)

    def key(*overrides: Any) -> str:
        for name in [n for n in sys.modules if n.startswith("own_lib")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return tiny_runs.compose_experiment(
            "~network.width", "~network.depth", "~network.num_frequencies",
            "allow_targets=[own_lib]", *(overrides or ["network._target_=own_lib.nets.Own"]),
        ).task.folder.path.name  # fmt: skip

    first = key()
    # Another file with another text, for python trusts times and sizes of files.
    Path("own_lib/scales.py").write_text("SCALE = 1000\n")
    second = key()
    assert second != first
    Path("own_lib/nets.py").rename("own_lib/other_nets.py")
    assert key("network._target_=own_lib.other_nets.Own") == second
