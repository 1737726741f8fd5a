"""Fields, marginals, steps and chains as figures: what is drawn where, and that it can be read."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from fokker.figures import (
    chain_histograms,
    chain_points,
    flow_fields,
    marginal_maps,
    save,
    steps_maps,
)
from fokker.figures.time_axes import PlaceAxis, TimeAxis
from fokker.sweeps.joint import joint_figures

SIGMA = np.geomspace(80, 0.002, 30)
STEPS = [3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100]


def run_of(kind: str, centre: float = 0.5, unit: float = 0.58) -> dict[str, Any]:
    """The arrays of a run along EDM's SDE or the linear VP's, of Gaussian data."""
    if kind == "edm":
        t, s = SIGMA, np.ones(30)
    else:
        t = (np.sqrt(0.01 + 39.8 * np.log1p(SIGMA**2)) - 0.1) / 19.9
        s = 1 / np.sqrt(1 + SIGMA**2)
    std = unit * s * np.hypot(0.5, SIGMA)
    edges = centre + std[:, None] * np.linspace(-4, 4, 41)
    x = (edges[:, 1:] + edges[:, :-1]) / 2
    density = np.exp(-(((x - centre) / std[:, None]) ** 2) / 2) / std[:, None]
    paths = centre + std[:, None] * np.array([-1.0, 0.0, 1.0])
    field = (x - centre) / np.maximum(t[:, None], 1e-3)
    return {
        "t": t, "sigma": SIGMA, "x": x, "exact": field, "learned": 1.1 * field,
        "exact_paths": paths, "learned_paths": paths, "edges": edges, "density": density,
    }  # fmt: skip


def map_of(kind: str, **given: float) -> dict[str, Any]:
    run = run_of(kind, **given)
    return {**run, "exact": run["density"], "sampled": 0.9 * run["density"]}


def steps_of(worst: float = 0.3) -> dict[str, Any]:
    edges = np.linspace(-0.25, 1.25, 61)
    density = np.where((edges[1:] > 0) & (edges[1:] < 1), 1.0, 0.0)
    sampled = density * np.linspace(0.3, 1, len(STEPS))[:, None]
    return {
        "num_steps": np.array(STEPS), "w1": worst * np.array(STEPS, dtype=float) ** -1.2,
        "edges": edges, "sampled": sampled, "data": density, "sampling_noise": 0.003,
    }  # fmt: skip


def several(make: Callable[[str], dict[str, Any]], count: int) -> dict[str, Any]:
    return {f"setting={i}": make("edm" if i % 2 else "vp") for i in range(count)}


def chain(count: int, alike: bool) -> Figure:
    edges = np.stack([np.linspace(-2, 3, 41) * (1 if alike else 20.0**-i) for i in range(count)])
    density = np.random.default_rng(0).uniform(size=(count, 40))
    return chain_histograms(
        edges, density, density, range(count), np.geomspace(80, 1e-3, count)
    )


def points(d: int, count: int, sizes: tuple[float, ...] = (1,)) -> Figure:
    states = np.random.default_rng(d).normal(size=(count, 300, d)) * sizes
    states *= np.geomspace(100, 1, count)[:, None, None]
    beside = states[:, ::-1].copy()
    states[-1, :100] += 50  # A third outside.
    return chain_points(states, beside, range(count), np.geomspace(80, 1e-3, count))


FIGURES: dict[str, Callable[[], Figure]] = {
    "flow edm": lambda: flow_fields({"": run_of("edm")}),
    "flow vp": lambda: flow_fields({"": run_of("vp")}),
    "flow far": lambda: flow_fields({"": run_of("edm", 1000.0, 3.0)}),
    "flows 4": lambda: flow_fields(several(run_of, 4)),
    "maps edm": lambda: marginal_maps({"": map_of("edm")}),
    "maps small": lambda: marginal_maps({"": map_of("vp", centre=0.0, unit=1e-3)}),
    "maps 5": lambda: marginal_maps(several(map_of, 5)),
    "steps 1": lambda: steps_maps({"": steps_of()}),
    "steps 6": lambda: steps_maps({f"setting={i}": steps_of(0.1 + i) for i in range(6)}),
    "chain 8": lambda: chain(8, alike=True),
    "chain 5": lambda: chain(5, alike=False),
    "columns 3": lambda: points(3, 5, (1e-3, 1, 3e4)),
    "columns 2": lambda: points(2, 4, (1e6, 1)),
    "points 3": lambda: points(3, 5),
    "points 2": lambda: points(2, 3),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_whole_apart_and_large_enough(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    found: list[tuple[str, float, Any]] = []
    draw = Text.draw

    def record(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            place = self.get_window_extent(renderer)
            found.append((self.get_text(), self.get_fontsize(), place))
        draw(self, renderer)

    # Twice, as `save` does: the layout of the first is the place of the second.
    canvas.draw()
    monkeypatch.setattr(Text, "draw", record)
    canvas.draw()
    assert figure.get_figwidth() <= 6.5
    assert found
    page = figure.bbox
    for text, size, box in found:
        assert size >= 8, text
        assert box.x0 >= page.x0 - 1, f"{text!r} is cut off on the left"
        assert box.x1 <= page.x1 + 1, f"{text!r} is cut off on the right"
        assert box.y0 >= page.y0 - 1, f"{text!r} is cut off below"
        assert box.y1 <= page.y1 + 1, f"{text!r} is cut off above"
    for (a, _, one), (b, _, other) in itertools.combinations(found, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 1 or height <= 1, f"{a!r} covers {b!r}"


# Axes -----------------------------------------------------------------------------------------


def test_time_is_logarithmic_where_noise_takes_nearly_all_of_it() -> None:
    edm, vp = run_of("edm"), run_of("vp")
    log, linear = TimeAxis(edm["t"], edm["sigma"]), TimeAxis(vp["t"], vp["sigma"])
    assert log.is_log
    assert not linear.is_log
    # From noise on the left to data on the right.
    for axis, t in ((log, edm["t"]), (linear, vp["t"])):
        assert (np.diff(axis.places(t)) > 0).all()
    geometric = TimeAxis(np.linspace(1, 0, 30), SIGMA)  # t = 0 at the lowest level.
    assert not geometric.is_log


def test_an_exploding_x_is_on_an_asinh_scale_around_the_data() -> None:
    wide, narrow = PlaceAxis(run_of("edm", 1000.0)["edges"]), PlaceAxis(run_of("vp")["edges"])
    assert narrow.is_linear
    assert not wide.is_linear
    x = np.array([700.0, 999.0, 1000.0, 1001.0, 1300.0])
    places = wide.places(x)
    assert places == pytest.approx(-places[::-1])
    assert (np.diff(places) > 0).all()
    assert np.diff(places)[0] < 5 * np.diff(places)[1]


def meshes(figure: Figure) -> list[QuadMesh]:
    return [m for axes in figure.axes for m in axes.collections if isinstance(m, QuadMesh)]


# What is drawn --------------------------------------------------------------------------------


def test_densities_over_the_greatest_exact_one() -> None:
    exact, sampled = meshes(marginal_maps({"": map_of("edm")}))[:2]
    run = map_of("edm")
    greatest = run["density"].max(axis=1, keepdims=True)
    values = exact.get_array()
    assert values is not None
    assert np.asarray(values) == pytest.approx(run["density"] / greatest)
    assert np.asarray(values).max() == pytest.approx(1.0)
    other = sampled.get_array()
    assert np.asarray(other) == pytest.approx(0.9 * np.asarray(values))
    assert exact.norm is sampled.norm
    # One column a node, each around the place of its own time.
    corners = np.asarray(exact.get_coordinates())
    assert corners.shape == (31, 41, 2)
    places = TimeAxis(run["t"], run["sigma"]).places(run["t"])
    between = (places[1:] + places[:-1]) / 2
    assert corners[:, 0, 0] == pytest.approx(np.array([places[0], *between, places[-1]]))


def test_speeds_are_without_sign_and_both_fields_have_one_scale() -> None:
    exact, learned = meshes(flow_fields({"": run_of("vp")}))[:2]
    run = run_of("vp")
    for mesh, name in ((exact, "exact"), (learned, "learned")):
        speed, drawn = np.abs(run[name]), np.asarray(mesh.get_array()).reshape(30, 40)
        visible = speed > 0.01 * speed.max()
        assert drawn[visible] == pytest.approx(speed[visible])
    assert exact.norm is learned.norm
    figure = flow_fields({"": run_of("vp")}, ("exact", "ideal denoiser"))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["exact", "ideal denoiser"]
    assert [len(axes.lines) for axes in figure.axes[:2]] == [3, 3]


def test_arrows_point_along_the_paths_to_the_data() -> None:
    """Of Gaussian data along EDM's time every x - m shrinks as std_t = hypot(1/2, t)."""
    run = run_of("edm")
    run["exact"] = (run["x"] - 0.5) * (SIGMA / (0.25 + SIGMA**2))[:, None]
    figure = flow_fields({"": run})
    (quiver,) = (c for c in figure.axes[0].collections if type(c).__name__ == "Quiver")
    assert (quiver.U > 0).all()
    y = quiver.get_offsets()[:, 1]
    assert (quiver.V * y < 0).all()
    # As steep as the path beside it: of one standard deviation, through the arrow's place.
    place, time = PlaceAxis(run["x"]), TimeAxis(run["t"], run["sigma"])
    for i in range(0, len(quiver.U), 7):
        middle = quiver.get_offsets()[i, 0] + quiver.U[i] / 2
        k = int(np.abs(time.places(run["t"]) - middle).argmin())
        x = np.interp(y[i] + quiver.V[i] / 2, place.places(run["x"])[k], run["x"][k])
        share = (x - 0.5) / np.hypot(0.5, SIGMA[k])
        path = place.places(0.5 + share * np.hypot(0.5, SIGMA[k - 1 : k + 2]))
        slope = (path[2] - path[0]) / np.diff(time.places(SIGMA[k - 1 : k + 2])).sum()
        assert quiver.V[i] / quiver.U[i] == pytest.approx(slope, rel=0.2, abs=0.02)


def test_steps_with_the_data_behind_them_and_chance_below() -> None:
    figure = steps_maps({"a": steps_of(), "b": steps_of(3.0)})
    upper, other, lower, last = figure.axes[:4]
    assert [upper.get_title(), other.get_title()] == ["a", "b"]
    samples, data = (m for m in upper.collections if isinstance(m, QuadMesh))
    assert np.asarray(samples.get_array()) == pytest.approx(steps_of()["sampled"].T)
    assert np.asarray(data.get_array())[:, 0] == pytest.approx(steps_of()["data"])
    edges = np.asarray(samples.get_coordinates())[0, :, 0]
    assert (edges[:-1] < STEPS).all()
    assert (edges[1:] > STEPS).all()
    assert np.asarray(data.get_coordinates())[0, 0, 0] > edges[-1]
    assert samples.norm.vmax == 2.0
    line, dashed = lower.lines
    assert line.get_xdata() == pytest.approx(STEPS)
    assert line.get_ydata() == pytest.approx(steps_of()["w1"])
    assert dashed.get_ydata() == pytest.approx([0.003, 0.003])
    assert lower.get_ylim() == last.get_ylim()
    assert lower.get_ylim()[1] > 3.0 * 3**-1.2
    without = {key: value for key, value in steps_of().items() if key != "sampling_noise"}
    assert len(steps_maps({"": without}).axes[1].lines) == 1


def test_points_outside_are_said() -> None:
    said = [text.get_text() for text in points(3, 4).texts if "outside" in text.get_text()]
    assert len(said) == 1  # Of the samples at the end, not of what is beside them.
    assert 33 <= int(said[0].partition("%")[0]) <= 36


@pytest.mark.parametrize("draw", [flow_fields, marginal_maps, steps_maps])
def test_refusals_of_runs(draw: Callable[[Any], Figure]) -> None:
    with pytest.raises(ValueError, match="room for 1 to 6 runs side by side, got 0"):
        draw({})
    with pytest.raises(ValueError, match="got 7"):
        draw({str(i): {} for i in range(7)})
    with pytest.raises(ValueError, match="a must have the arrays"):
        draw({"a": {"sigma": SIGMA}})


def test_refusals_of_shapes() -> None:
    with pytest.raises(ValueError, match=r"edges, sampled and beside must be \(k, n \+ 1\)"):
        chain_histograms(np.zeros((3, 5)), np.zeros((3, 5)), np.zeros((3, 5)), range(3), range(3))
    with pytest.raises(ValueError, match="d 2 or 3"):
        chain_points(np.zeros((3, 5, 4)), np.zeros((3, 5, 4)), range(3), range(3))


# Side by side ---------------------------------------------------------------------------------


def test_runs_side_by_side(tmp_path: Path) -> None:
    folders = {}
    for i in range(7):
        folders[f"run {i}"] = tmp_path / str(i)
        folders[f"run {i}"].mkdir()
        np.savez(tmp_path / f"{i}/steps_map.npz", **steps_of())
        if i < 2:
            np.savez(tmp_path / f"{i}/flow_field.npz", **run_of("vp"))
    np.savez(tmp_path / "0/marginal_map.npz", **map_of("vp"))
    assert joint_figures({}) == {}
    assert joint_figures({"none": tmp_path / "nowhere"}) == {}
    assert joint_figures({"run 0": folders["run 0"]}) == {}
    pair = {name: folders[name] for name in ("run 0", "run 1", "run 2")}
    drawn = joint_figures(pair)
    assert list(drawn) == ["flow_fields", "steps_maps"]
    assert [axes.get_title() for axes in drawn["steps_maps"].axes[:3]] == list(pair)
    assert [axes.get_title() for axes in drawn["flow_fields"].axes[:2]] == ["run 0", "run 1"]
    assert "learned" in drawn["flow_fields"].axes[2].get_ylabel()
    # Seven have no room.
    assert list(joint_figures(folders)) == ["flow_fields"]
    for i in range(2):
        run = run_of("vp")
        np.savez(tmp_path / f"{i}/flow_field.npz", **{**run, "learned": run["exact"]})
    assert "ideal" in joint_figures(pair)["flow_fields"].axes[2].get_ylabel()


def test_meshes_are_images_in_the_pdf(tmp_path: Path) -> None:
    save(marginal_maps({"": map_of("vp")}), tmp_path / "map")
    assert (tmp_path / "map.pdf").stat().st_size < 100_000
    assert b"/Subtype /Image" in (tmp_path / "map.pdf").read_bytes()
