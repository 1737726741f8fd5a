"""What docs/ has that is made from the code is up to date."""

import subprocess
import sys
from pathlib import Path

from fokker.config.compose import config_dir

DOCS = Path(__file__).parents[1] / "docs"
CODE = """
import runpy, sys
sys.path.insert(0, "docs/make")
made = runpy.run_path("docs/make/__main__.py", run_name="made")["made"]()
stale = [p for p, text in made.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
extra = {*sys.modules["reference"].DOCS.glob("reference/*")} - {*made}
stale += sorted(extra)
print(*stale, sep="\\n")
"""


def test_pages_made_from_the_code_are_not_stale() -> None:
    """In a process of its own, for the modules in docs/make have common names."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=DOCS.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [], "run `make docs`, and look at what it has changed"


def test_every_option_has_a_section() -> None:
    for file in config_dir().glob("*/*.yaml"):
        page = DOCS / "reference" / f"{file.parent.name}.md"
        if file.parent.name != "hydra":
            assert f"\n## `{file.stem}`\n" in page.read_text(), f"{page} lacks {file.stem}"


def test_every_key_has_a_meaning() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for line in page.read_text().splitlines():
            bare = line.startswith("- `") and line.endswith("`") and line.count("`") == 2
            assert not bare, f"{page.name}: write what {line[2:]} means in conf/ or a docstring"
            assert len(line) <= 120, f"{page.name} has a line that is too long: {line}"
