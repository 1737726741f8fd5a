"""The template of a sweep's report: what it escapes, what it needs, and when it is read."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from jinja2 import UndefinedError

from fokker.sweeps.page import rendered
from made_sweeps import PIXEL, Sweep, evaluation, metrics


def given(folder: Path) -> dict[str, Any]:
    """All that a report hands to its template."""
    sweep = Sweep(folder)
    for width, depth, seed in product("24", "13", "12"):
        score = metrics(int(width) / int(depth) + 0.1 * int(seed))
        path = sweep.add({"width": width, "depth": depth, "seed": seed}, score, [evaluation(5, 1)])
        (path / "figures").mkdir()
        (path / "figures" / "samples.png").write_bytes(PIXEL)
    sweep.add({"width": "2", "depth": "1", "seed": "3"}, None, error="ValueError: no")
    rendering = mock.patch("fokker.sweeps.report.rendered", return_value="")
    with rendering as render, mock.patch("fokker.sweeps.report.MAX_JOBS", 1):
        sweep.draw("w1", comment="Of widths.")
    _, values = render.call_args.args
    return dict(values)


def test_no_text_leaves_its_place_whatever_characters_it_has(tmp_path: Path) -> None:
    odd = [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, *map(ord, "<>&\"'{}%")]
    text = "".join(map(chr, odd))
    hostile = f"{text}</p><script>{{{{ key }}}}</script>\x1b[31m"

    def replaced(value: Any) -> Any:
        """Every text of the values, in whatever they lie."""
        if isinstance(value, str):
            return hostile
        if isinstance(value, dict):
            return {name: replaced(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(replaced, value))
        if hasattr(value, "__dataclass_fields__"):
            return type(value)(**{name: replaced(v) for name, v in vars(value).items()})
        return value

    values = given(tmp_path)
    page = rendered("report.html", {name: replaced(value) for name, value in values.items()})
    page.encode("utf-8")
    whole = ET.fromstring(page.removeprefix("<!DOCTYPE html>"))
    plain = ET.fromstring(rendered("report.html", values).removeprefix("<!DOCTYPE html>"))
    tags = {element.tag for element in plain.iter()}
    assert {element.tag for element in whole.iter()} <= tags
    told = "".join(whole.find("body").itertext())  # type: ignore[union-attr]
    assert "<script>{{ key }}</script>" in told
    assert "[31m" not in told


def test_the_template_does_without_nothing_that_it_names(tmp_path: Path) -> None:
    values = given(tmp_path)
    assert [
        name for name, value in values.items() if not value
    ] == []  # So that each branch of the template is taken.
    for name in values:
        less = {other: value for other, value in values.items() if other != name}
        with pytest.raises(UndefinedError, match=f"'{name}' is undefined"):
            rendered("report.html", less)


def test_jinja_is_not_waited_for_before_a_report_is_written() -> None:
    program = "import sys, fokker.sweeps.figures; print('jinja2' in sys.modules)"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "False\n"
