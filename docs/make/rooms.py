"""The picture of the rooms in src/fokker: a row imports only from the rows below it."""

import ast
import sys
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from test_packaging import FAMILIES, ROWS  # noqa: E402

WIDTH, HEIGHT, GAP, MARGIN, LETTERS = 1000, 60, 8, 14, 5.8
#: What the picture leaves out: doors without a room behind them.
LEFT_OUT = ("__init__", "__main__")
COLOURS = {"contract": "#f6d7a7", "family": "#cfe3f5", "platform": "#eef1f4"}


def svg() -> str:
    """Return the picture as SVG."""
    rows = [sorted(room for room in row if _about(room)) for row in reversed(ROWS)]
    rows = [row for row in rows if row]
    height = MARGIN + len(rows) * (HEIGHT + GAP) + 22
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, row in enumerate(rows):
        width = (WIDTH - 2 * MARGIN - (len(row) - 1) * GAP) / len(row)
        for place, room in enumerate(row):
            x, y = MARGIN + place * (width + GAP), MARGIN + number * (HEIGHT + GAP)
            lines += _box(room, x, y, width)
    text = "A room imports only from rows below its own, and knows a family by its contract alone."
    lines.append(f'<text x="{MARGIN}" y="{height - 10}" font-size="13">{text}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _box(room: str, x: float, y: float, width: float) -> list[str]:
    kind = "contract" if room in ("formulation", "ways", "answers") else "platform"
    colour = COLOURS["family" if room in FAMILIES else kind]
    lines = [
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="5" '
        f'fill="{colour}" stroke="#8a949e"/>',
        f'<text x="{x + 9:.0f}" y="{y + 19:.0f}" font-size="14" font-weight="bold">{room}</text>',
    ]
    told = textwrap.wrap(_about(room), int((width - 16) / LETTERS))[:2]
    for number, line in enumerate(told):
        place = f'x="{x + 9:.0f}" y="{y + 36 + 15 * number:.0f}"'
        lines.append(f'<text {place} font-size="12">{escape(line)}</text>')
    return lines


def _about(room: str) -> str:
    """Return the first sentence of a room's docstring, up to a colon; empty if it is not there."""
    if room in LEFT_OUT:
        return ""
    folder = ROOT / "src" / "fokker" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if room == "hydra_plugins":
        return "What hydra looks for: sweepers and launchers."
    if not file.is_file():
        return ""
    said = ast.get_docstring(ast.parse(file.read_text())) or room
    return said.splitlines()[0].rstrip(".").replace("`", "")
