"""Writes what commands say now into the blocks of pages: `tests/docs/record.py docs/search.md`.

A line that a block shows is found again in the output by its text, whatever its numbers, and is
shown as it is now, or stays where that is the same; what lies between such lines is `...`. A line
that is not found again is named. Names of runs stay, for any stands for any; those of models are
of what a model is, and are written anew. With `--whole` all of each output is shown, where the
block shows any. `--quick` leaves out long blocks.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

from doc_compare import CUT, NAME, paired, said, skeletons
from doc_pages import blocks_of
from doc_session import Answer, Session


def shown_now(shown: list[str], came: list[str]) -> tuple[list[str], list[str]]:
    """The lines to show now, and those shown before that came no more."""
    came = said(came)
    pairs = paired(shown, came, likeness=0.7)
    before, now = skeletons(shown), skeletons(came)
    found = dict(pairs)
    gone = [line for i, line in enumerate(shown) if line != CUT and i not in found]
    lines: list[str] = []
    after = 0
    for i, j in pairs:
        if j > after:
            lines.append(CUT)
        lines.append(shown[i] if before[i] == now[j] else _cut_alike(shown[i], came[j]))
        after = j + 1
    if after < len(came):
        lines.append(CUT)
    return lines, gone


def _cut_alike(shown: str, came: str) -> str:
    for cut in (CUT, "…"):
        if shown.endswith(cut) and shown != cut:
            return came[: len(shown) - len(cut)] + cut
    return came


def record(page: Path, whole: bool, quick: bool) -> None:
    """Run a page and write it anew."""
    text = page.read_text()
    lines = text.splitlines()
    answers: list[Answer] = []
    with TemporaryDirectory() as folder, TemporaryDirectory() as cache:
        session = Session(Path(folder).resolve(), Path(cache))
        started = monotonic()
        try:
            for answer in session.answers(blocks_of(text), with_long=not quick):
                print(f"$ {answer.command.text}", *answer.came, sep="\n")
                print(f"# {monotonic() - started:.1f} s so far", flush=True)
                answers.append(answer)
        finally:
            session.close()
    for answer in reversed(answers):
        shown, start = answer.command.shown, answer.command.line + 1
        if not shown or shown[0].startswith("-> "):
            continue
        now, gone = (said(answer.came), []) if whole else shown_now(shown, answer.came)
        for line in gone:
            print(f"{page}:{start}: does not come any more: {line}", file=sys.stderr)
        lines[start : start + len(shown)] = now
    names = {a: b for a, b in session.names.items() if "_" not in a}
    names |= {b: a for a, b in session.names.items() if "_" in a}
    written = "\n".join(lines) + "\n"
    page.write_text(NAME.sub(lambda found: names.get(found[0], found[0]), written))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for each in options.pages:
        record(each, options.whole, options.quick)
