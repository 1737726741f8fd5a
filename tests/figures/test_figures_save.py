"""Files of figures are whole, vector and raster, and named as asked."""

import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import loss_per_level, samples_beside_data, save


def figure() -> Figure:
    return loss_per_level(AXIS, {"edm": np.array([0.1, 0.3])}, [0.5, 40.0])


def size_of_png(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", header[16:24])
    return int(width), int(height)


def test_png_of_200_dpi_and_pdf_beside_it(tmp_path: Path) -> None:
    drawn = figure()
    path = save(drawn, tmp_path / "new" / "loss_at_sigma_0.5")
    assert path == tmp_path / "new" / "loss_at_sigma_0.5.png"
    assert size_of_png(path) == (1300, round(200 * drawn.get_figheight()))
    pdf = path.with_name("loss_at_sigma_0.5.pdf")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert path.stat().st_size > 10_000
    assert pdf.stat().st_size > 5_000
    assert sorted(p.name for p in path.parent.iterdir()) == [pdf.name, path.name]


def test_a_text_as_path_is_taken(tmp_path: Path) -> None:
    assert save(figure(), f"{tmp_path}/loss") == tmp_path / "loss.png"


@pytest.mark.long
def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(figure(), tmp_path / name)
    for kind in ("png", "pdf"):
        one, two = tmp_path / f"one.{kind}", tmp_path / f"two.{kind}"
        assert one.read_bytes() == two.read_bytes()


def test_a_failure_leaves_the_old_files_and_no_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(figure(), tmp_path / "loss")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    new = loss_per_level(AXIS, {"other": np.array([7.0, 9.0])}, [0.5, 40.0])
    savefig = new.savefig

    def fail_at_pdf(target: Path, **options: object) -> None:
        savefig(target, **options)
        if options["format"] == "pdf":
            raise OSError("no space left")

    monkeypatch.setattr(new, "savefig", fail_at_pdf)
    with pytest.raises(OSError, match="no space"):
        save(new, old.with_suffix(""))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("d", [1, 2, 3])
def test_many_points_make_a_small_pdf_with_text_as_text(tmp_path: Path, d: int) -> None:
    points = np.random.default_rng(0).normal(3, 2, (50_000, d))
    path = save(samples_beside_data(points, points, (d,)), tmp_path / "many")
    content = path.with_suffix(".pdf").read_bytes()
    assert len(content) < 400_000
    # Points are an image in it, bars are not; letters are a font.
    assert (b"/Subtype /Image" in content) == (d > 1)
    assert b"/FontDescriptor" in content


def test_a_heading_stands_in_a_strip_above_the_figure(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(50, 1))
    bare = save(samples_beside_data(points, points, (1,)), tmp_path / "bare")
    headed = save(samples_beside_data(points, points, (1,)), tmp_path / "headed", "heun, N = 18")
    with Image.open(bare) as one, Image.open(headed) as other:
        strip = other.height - one.height
        assert other.width == one.width
        assert strip == 44
        below = other.crop((0, strip, other.width, other.height))
        assert np.array_equal(np.asarray(below), np.asarray(one))
        assert np.asarray(other.convert("L").crop((0, 0, other.width, strip))).min() < 50
