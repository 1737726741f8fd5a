"""A page in one file, made of a template: escaped text, tables, and embedded figures."""

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from markupsafe import Markup

_COLOURS = 96


@final
@dataclass(frozen=True)
class Cells:
    """A table of a page.

    Attributes:
        heads: the heads of the columns; the text after a line break is smaller and below.
        lines: the rows, each with its CSS class; a row of a single cell is as wide as the table.
    """

    heads: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]


@final
@dataclass(frozen=True)
class Inside:
    """A figure whose file is embedded in the page.

    Attributes:
        caption: a text that says what it shows.
        name: the name by which the page knows it; empty if it has none.
        data: the PNG file in base64; empty where it cannot be read.
        file: the name of the file.
        why: the reason why it cannot be read; empty if it can.
    """

    caption: str
    name: str
    data: str
    file: str
    why: str


def rendered(template: str, values: dict[str, Any]) -> str:
    """Return a page of values, by a template in the folder of this file.

    Raises:
        UndefinedError: if the template names a value that is not given; it is jinja2's error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def escaped(value: object) -> "Markup":
    """Return a text escaped for HTML, without the control characters that no page may hold."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # A macro's text is escaped already.
        return value
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(value))
    kept = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    return Markup(html.escape(kept))


def figure(path: Path, caption: str, width: int | None, name: str = "") -> Inside:
    """Return a figure at most `width` pixels wide, or the reason why it cannot be read."""
    try:
        data = path.read_bytes() if width is None else _smaller(path, width)
    except (OSError, ValueError) as error:
        return Inside(caption, name, "", path.name, str(error))
    return Inside(caption, name, base64.b64encode(data).decode(), path.name, "")


def _smaller(path: Path, width: int) -> bytes:
    """Return a PNG at most `width` pixels wide, of few colours, in a tenth of its bytes."""
    from PIL import Image

    with Image.open(path) as stored:
        image = stored.convert("RGB")
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    image.quantize(_COLOURS).save(output, "PNG", optimize=True)
    return output.getvalue()
