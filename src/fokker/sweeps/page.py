"""A page that is one file, of a template: text as it is, tables, and figures inside."""

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
        heads: above the columns; what stands in one after a line's end is smaller and below.
        lines: rows with their looks; one of a single cell is as wide as the table.
    """

    heads: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]


@final
@dataclass(frozen=True)
class Inside:
    """A figure with its file inside.

    Attributes:
        caption: what it shows.
        name: by which the page knows it; empty: by none.
        data: its PNG file in base64; empty where it cannot be read.
        file: its name.
        why: it cannot be read.
    """

    caption: str
    name: str
    data: str
    file: str
    why: str


def rendered(template: str, values: dict[str, Any]) -> str:
    """Return a page of values, by a template that lies beside this file.

    Raises:
        UndefinedError: of jinja2, for a value that the template names and is not given.
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


def escaped(value: Any) -> "Markup":
    """Text as it is, without the control characters that no page may hold."""
    from markupsafe import Markup

    if isinstance(value, Markup):  # Of a macro.
        return value
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(value))
    kept = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    return Markup(html.escape(kept))


def figure(path: Path, caption: str, width: int | None, name: str = "") -> Inside:
    """Return a figure, at most so wide, or why it cannot be read."""
    try:
        data = path.read_bytes() if width is None else _smaller(path, width)
    except (OSError, ValueError) as error:
        return Inside(caption, name, "", path.name, str(error))
    return Inside(caption, name, base64.b64encode(data).decode(), path.name, "")


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
