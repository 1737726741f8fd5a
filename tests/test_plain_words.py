"""Messages, comments and pages use the field's words and plain sentences."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Words that must not come back, and what to write in their place.
BANNED = {
    r"[Oo]ptimiser": "optimizer",
    r"\bby chance\b|\bchance in\b|\bchance of\b": "sampling noise, random, or a collision",
    r"\b(leave|left) (it|out)? ?away\b": "leave it out",
    r"\btakes? (it|them|one|these overrides) away\b": "remove it",
    r"\bmend it\b": "fix it",
    r"\bwho looks\b|\bwhoever\b": "name the process or the user",
    r"\bNot at once:": "Retry briefly: ...",
}
PLACES = ("src", "conf", "sweeps", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
KINDS = (".py", ".yaml", ".md")


@pytest.mark.parametrize("pattern", BANNED)
def test_words_that_need_a_second_reading_do_not_come_back(pattern: str) -> None:
    found = []
    for place in PLACES:
        for path in [ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"):
            if path.suffix in KINDS:
                # A message may go on in the next line of the source.
                text = re.sub(r'"\n\s*f?"', "", path.read_text(encoding="utf-8"))
                found += [f"{path}: {match[0]}" for match in re.finditer(pattern, text)]
    assert found == [], f"write {BANNED[pattern]}"
