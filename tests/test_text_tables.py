"""Tables of texts: what is printed, to the letter."""

from pathlib import Path

import pytest

from fokker.experiment.compare import Comparison, Difference, comparison_text
from fokker.experiment.record import rows_table
from fokker.machine.text_tables import aligned
from fokker.store.listing import listed
from fokker.sweeps.tables import Table

ROWS = [["key", "b"], ["a", "1000"], ["", ""]]


@pytest.mark.parametrize(
    ("right", "lines"),
    [
        ((), ["key  b   ", "a    1000", "         "]),
        ((1,), ["key     b", "a    1000", "         "]),
        (None, ["key     b", "  a  1000", "         "]),
    ],
)
def test_columns_are_as_wide_as_their_widest_cell(
    right: tuple[int, ...] | None, lines: list[str]
) -> None:
    assert aligned(ROWS, right) == lines


def test_a_row_that_lacks_a_cell_is_none() -> None:
    with pytest.raises(ValueError, match="shorter"):
        aligned([["a", "b"], ["c"]])
    assert aligned([]) == []


def test_each_table_is_printed_as_it_was() -> None:
    assert Table(["n", "w1"], [["10", "0.5"], ["200", ""]]).aligned() == (
        "    n   w1\n   10  0.5\n  200     "
    )
    rows = [{"nfe": 10, "w1": 0.25, "w1_standard_error": 1.0}, {"nfe": 200, "w1": None}]
    assert rows_table(rows) == "  nfe    w1\n   10  0.25\n  200     -"
    assert rows_table([]) == "  "
    assert listed([["name", "MB", "of"], ["a\x1b", "1.5", "x"], ["", "", ""]], right=(1,)) == [
        "name    MB  of", "a\\x1b  1.5  x", "",
    ]  # fmt: skip
    compared = Comparison(
        Path("a"), Path("b"), {"seed": ("0", "1")}, [Difference("w1", 1.0, None)], [], "x"
    )
    assert comparison_text(compared).splitlines()[:7] == [
        "A  a", "B  b", "", "configuration  A  B", "seed           0  1", "",
        "metric  A  B  B - A  standard error  from",
    ]  # fmt: skip
