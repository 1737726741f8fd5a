"""Formats of files: the same points whatever they are kept in, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fokker.data import PointsFile

pytestmark = pytest.mark.usefixtures("workdir")
ARRAY = np.round(7 + 3 * np.random.default_rng(0).normal(size=(40, 3)), 3)


def content(path: str, **changes: object) -> str:
    return PointsFile(path, **changes).content


def write(text: str, path: str = "points.csv", encoding: str = "utf-8") -> str:
    Path(path).write_bytes(text.encode(encoding))
    return path


def table(separator: str = ",", end: str = "\n", header: str = "a,b,the weight") -> str:
    lines = [header.replace(",", separator)]
    return end.join(lines + [separator.join(map(str, row)) for row in ARRAY.tolist()]) + end


def test_every_format_holds_the_same_points() -> None:
    np.save("points.npy", ARRAY)
    expected = content("points.npy")
    tensor = torch.from_numpy(ARRAY)
    np.savez("one.npz", anything=ARRAY)
    torch.save(tensor, "points.pt")
    torch.save({"x": tensor, "y": torch.zeros(40), "epoch": 3}, "dict.PT")
    torch.save({"x": tensor.requires_grad_()}, "only.pth")
    torch.save((tensor.detach(),), "single.pt")
    assert content("one.npz") == content("points.pt") == content("dict.PT", key="x") == expected
    assert content("only.pth") == content("single.pt") == expected
    torch.save((tensor.detach(), torch.arange(40)), "pair.pt")
    with pytest.warns(UserWarning, match=r"^data\.path=pair\.pt: of the pair \(x, y\), y is ign"):
        assert content("pair.pt") == expected


@pytest.mark.parametrize(
    "text",
    [
        table(),
        table(";"),
        table("\t", "\r\n"),
        "\ufeff" + table() + "\n  \n,,\n\n",
        table().replace(",", " , ").replace("a , ", ' "a, in mm", '),
        table(";").replace("a;b;the weight", '"a; b";weight, kg;c'),
        '"' + table().replace(",", '","').replace("\n", '"\n"')[:-1],
    ],
    ids=["comma", "semicolon", "tab", "bom_and_blank_end", "spaces", "names", "quoted"],
)
def test_tables_of_every_kind(text: str) -> None:
    np.save("points.npy", ARRAY)
    assert content(write(text)) == content("points.npy")


def test_a_table_of_one_column_and_its_name() -> None:
    data = PointsFile(write("length\n" + "\n".join(map(str, range(20))), "one.tsv"))
    assert data.shape == (1,)
    assert data.form is not None
    assert data.form.columns == ("length",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2\n3,4\n", "must begin with a header line .* the numbers 1, 2; write a header line"),
        ("", "must begin with a header line, got a blank one or nothing"),
        (",a\n0,1\n1,2\n", "must name every column .* got no name for column 1; .*index=False"),
        ("a,b\n1,2\n3,x\n", r"must hold finite numbers alone, got 'x' in line 3, column b; remove"),
        ("a,b\n1,2\n3,\n", "got an empty cell in line 3, column b;"),
        ("a,b\n1,nan\n3,4\n", "got 'nan' in line 2, column b;"),
        ("a,b\n1,2\n-inf,4\n", "got '-inf' in line 3, column a;"),
        ("a,b\n1,2\n1_0,4\n", "got '1_0' in line 3, column a;"),
        ('"a\nb",c\n1,2\n3,\n', "in line 4, column c;"),
        ("a;b\n1;2\n1,5;2\n", "got '1,5' in line 3, column a; write decimal points"),
        ("a,b\n1,2\n3\n", "must have 2 cells in every line, as in its header, got 1 in line 3"),
        ("a\n1\n\n2\n", "must have a point in every line, got line 3 blank"),
        ('a,b\n1,2\n"3,4\n', "cannot be read as one .* quote that is not closed"),
        ("a,b\n", "must hold at least 2 points, got the shape"),
    ],
)
def test_tables_that_hold_no_points_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^data\.path=points\.csv .*{says}"):
        PointsFile(write(text))


def test_a_table_in_another_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"points\.csv must be text in UTF-8, and is not"):
        PointsFile(write("größe,b\n1,2\n", encoding="latin-1"))


def test_numbers_whose_sum_overflows_are_numbers() -> None:
    array = np.array([[1e308, 1.5e308], [1.0, 2.0]] * 9)
    text = "a,b\n" + "\n".join(f"{a},{b}" for a, b in array.tolist())
    # The file is read; its standard deviation is what is refused.
    with pytest.raises(ValueError, match="standard deviation be finite"):
        PointsFile(write(text))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "uint8", "int64", "bool"])
def test_tensors_of_every_type(dtype: str) -> None:
    tensor = torch.randint(0, 2, (40, 3), generator=torch.Generator().manual_seed(0))
    torch.save(tensor.to(getattr(torch, dtype)).T.contiguous().T, "points.pt")
    np.save("points.npy", tensor.numpy())
    assert content("points.pt") == content("points.npy")


class Strange:
    """What only pickle can read."""


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (Strange(), r"must hold a tensor, .* is not loaded, for that could run code; write it by"),
        ([torch.zeros(4, 2), torch.zeros(5)], r"of the same length, got a list of 2; .*stack"),
        ([torch.zeros(4, 2)] * 3, r"got a list of 3; make it one tensor by torch\.stack"),
        ([], r"got a list of 0"),
        ("text", r"must hold a tensor, .* got str"),
        ({"x": torch.zeros(4), "y": torch.zeros(4)}, r"data\.key must name .*\['x', 'y'\].*None"),
        ({"epoch": 3}, r"must hold an array at its top, got none"),
        (torch.ones(4, 2, dtype=torch.complex64), r"must hold numbers, got an array of complex64"),
        (torch.eye(4).to_sparse(), r"must hold a dense tensor, got one that is torch\.sparse_coo"),
    ],
)
def test_files_of_no_tensor_are_refused(held: object, says: str) -> None:
    torch.save(held, "points.pt")
    with pytest.raises(ValueError, match=says):
        PointsFile("points.pt")


def test_a_damaged_file_of_tensors_is_refused() -> None:
    torch.save(torch.zeros(400, 2), "points.pt")
    whole = Path("points.pt").read_bytes()
    Path("points.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^data\.path=points\.pt must hold a tensor.*RuntimeE"):
        PointsFile("points.pt")


@pytest.mark.parametrize("name", ["points.csv", "points.pt"])
def test_a_key_and_reading_by_rows_are_of_other_files(name: str) -> None:
    write(table())
    torch.save(torch.from_numpy(ARRAY), "points.pt")
    with pytest.raises(ValueError, match=rf"^data\.key must be null with data\.path={name}"):
        PointsFile(name, key="x")
    with pytest.raises(ValueError, match=rf"^data\.in_memory=false needs a \.npy .*{name}"):
        PointsFile(name, in_memory=False)
