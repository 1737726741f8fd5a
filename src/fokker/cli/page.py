"""Pieces of a page that is one file: text as it is, tables, and figures with their files inside."""

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_COLOURS = 96

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 60rem; padding: 1.2rem; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #bbb; }
pre, code { font-family: ui-monospace, Consolas, monospace; font-size: .85rem; }
pre { background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #777; vertical-align: bottom; }
th small { display: block; font-weight: 400; color: #555; }
th:first-child, td:first-child { text-align: left; padding-left: .3rem; }
tr.bad td { background: #fbe9e7; } tr.best td { background: #e6f3ea; font-weight: 600; }
.result { font-size: 1.1rem; border-left: 4px solid #2e7d4f; background: #f1f7f3;
  padding: .3rem .8rem; overflow-wrap: anywhere; }
td.why { text-align: left; white-space: normal; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0; break-inside: avoid; }
figure img { display: block; max-width: min(100%, 50rem); height: auto; }
figcaption { font-size: .9rem; color: #333; max-width: 50rem; overflow-wrap: anywhere; }
details { border-bottom: 1px solid #ddd; padding: .3rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.note { color: #444; font-size: .9rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  table { font-size: 7.5pt; } tr { break-inside: avoid; } pre { border: 1px solid #ccc; } }
"""


def escaped(value: Any) -> str:
    """Text as it is, without the control characters that no page may hold."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(value))
    return html.escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text))


def table(head: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Rows with their looks; one of a single cell is as wide as the table.

    What stands in a head after a line's end is smaller and below.
    """
    names = "".join(map(_head, head))
    yield f"<div class='wide'><table><thead><tr>{names}</tr></thead><tbody>"
    for look, cells in lines:
        opening = f"<tr class='{look}'>" if look else "<tr>"
        if len(cells) == 1 < len(head):
            yield f"{opening}<td class='why' colspan='{len(head)}'>{escaped(cells[0])}</td></tr>"
        else:
            yield opening + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div>"


def _head(name: str) -> str:
    words, _, unit = name.partition("\n")
    below = f"<small>{escaped(unit)}</small>" if unit else ""
    return f"<th>{escaped(words)}{below}</th>"


def figure(path: Path, caption: str, width: int | None, name: str = "") -> Iterator[str]:
    """A figure with its file inside, at most so wide; what cannot be read is said."""
    try:
        data = path.read_bytes() if width is None else _smaller(path, width)
    except (OSError, ValueError) as error:
        yield f"<p class='note'>{escaped(path.name)} cannot be read: {escaped(error)}</p>"
        return
    source = base64.b64encode(data).decode()
    named = f' id="{escaped(name)}"' if name else ""
    yield (
        f'<figure{named}><img alt="{escaped(caption)}" src="data:image/png;base64,{source}"/>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def _smaller(path: Path, width: int) -> bytes:
    """A PNG at most so wide, of few colours, which a tenth of its bytes hold."""
    from PIL import Image

    with Image.open(path) as stored:
        image = stored.convert("RGB")
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    image.quantize(_COLOURS).save(output, "PNG", optimize=True)
    return output.getvalue()
