"""Pages can be read: short ones, without dead links."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as a forge makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        file = Path(os.path.normpath(page.parent / name)) if name else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_pages_are_short() -> None:
    lines = {page.name: len(page.read_text().splitlines()) for page in PAGES}
    assert lines.pop("README.md") <= 200
    assert {name: count for name, count in lines.items() if count > 300} == {}
    readme = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in readme if len(line) > 120 and line[0] != "|"] == []
