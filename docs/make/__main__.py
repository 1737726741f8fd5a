"""Write what docs/ has that is made from the code: `python docs/make`."""

from pathlib import Path

import reference
import rooms

DOCS = Path(__file__).resolve().parents[1]


def made() -> dict[Path, str]:
    """Return the text of each file that is made, by its path."""
    pages = {DOCS / "reference" / name: text for name, text in reference.pages().items()}
    return {**pages, DOCS / "images" / "rooms.svg": rooms.svg()}


def main() -> None:
    """Write all files, and remove pages of groups that are gone."""
    texts = made()
    for old in {*(DOCS / "reference").glob("*.md")} - texts.keys():
        old.unlink()
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
