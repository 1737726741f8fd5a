"""Code of the pages in docs/, so that what a reader copies is what is tested."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def write_code(page: str, folder: Path) -> None:
    """Write the files of a page into a folder: each block whose first line is `# its/name`."""
    for name, text in re.findall(r"```\w+\n# (\S+)\n(.*?)```", (DOCS / page).read_text(), re.S):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
