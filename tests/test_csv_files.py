"""Tables in which a spreadsheet finds no formula."""

import csv
from pathlib import Path

from fokker.machine.csv_files import csv_text
from fokker.machine.files import write_text
from fokker.store.run_files import read_table

TEXTS = ["=1+1", "+a", "-x", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@", "'", "'a", "plain", "a=b"]
NUMBERS = ["-1.5", "+3", "-inf", "1e-3", "-0"]


def test_what_a_spreadsheet_would_compute_is_text_and_comes_back(tmp_path: Path) -> None:
    rows = [{"=name": text, "n": number} for text in TEXTS for number in NUMBERS]
    write_text(tmp_path / "a.csv", csv_text(rows, ["=name", "n"]))
    with (tmp_path / "a.csv").open(newline="") as handle:
        raw = list(csv.reader(handle))
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for line in raw for cell in line)
    assert [line[1] for line in raw[1:]] == NUMBERS * len(TEXTS)
    assert raw[0][0] == "'=name"
    assert read_table(tmp_path / "a.csv") == rows


def test_numbers_and_what_is_not_there_are_written_as_they_are() -> None:
    text = csv_text([{"a": -1.5, "b": None}, {"a": True, "c": "-2"}], ["a", "b", "c"])
    assert text == "a,b,c\n-1.5,,\nTrue,,-2\n"
