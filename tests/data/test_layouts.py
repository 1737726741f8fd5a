"""What the axes of a file mean: the model's shape, and the file's own again outside."""

import numpy as np
import pytest

import tiny_runs
from fokker.data import PointsFile
from fokker.experiment import Result

pytestmark = pytest.mark.usefixtures("workdir")


def save(*shape: int) -> str:
    np.save("points.npy", 7 + 3 * np.random.default_rng(0).normal(size=shape))
    return "points.npy"


@pytest.mark.parametrize(
    ("shape", "layout", "inside", "means"),
    [
        ((30, 6), None, (6,), "points"),
        ((30, 6), "series", (6, 1), "series"),
        ((30, 6, 2), None, (1, 6, 2), "image"),
        ((30, 6, 2), "series", (6, 2), "series"),
        ((30, 6, 2), "points", (12,), "points"),
        ((30, 8, 4, 5), None, (8, 4, 5), "image"),
        ((30, 4, 3, 5), "volume", (1, 4, 3, 5), "volume"),
        ((30, 2, 4, 3, 5), None, (2, 4, 3, 5), "volume"),
        ((30, 5, 6, 3), "image", (5, 6, 3), "image"),
        ((30, 2, 1, 2, 3, 2), "points", (24,), "points"),
    ],
)
def test_points_come_back_as_they_came_in(
    shape: tuple[int, ...], layout: str | None, inside: tuple[int, ...], means: str
) -> None:
    data = PointsFile(save(*shape), layout=layout)
    assert (data.shape, data.layout) == (inside, means)
    assert data.batch(0, 5).x.shape == (5, *inside)
    training = data.training_points()
    assert training is not None
    back = data.to_file(training)
    assert back.shape == (24, *shape[1:])
    # The same points, with each number in its place.
    held = {row.tobytes() for row in np.load("points.npy")}
    assert {row.tobytes() for row in back.numpy()} <= held
    assert np.array_equal(data.from_file(back), training)
    assert data.to_file(training[:0]).shape == (0, *shape[1:])


@pytest.mark.parametrize(
    ("shape", "layout", "says"),
    [
        ((30, 6), "image", r"^data\.layout=image needs an array of rank 3 .* or 4 .*, and data\.p"),
        ((30, 6), "volume", r"^data\.layout=volume needs an array of rank 4 .*layout=points"),
        ((30, 2, 4, 3, 5), "series", r"^data\.layout=series needs an array of rank 2 \(n, time\)"),
        ((30,), "points", r"^data\.layout=points needs .* points of one dimension are \(n, 1\)$"),
        ((9, 2, 1, 2, 3, 2), None, r"must hold an array of rank 2 .*data\.layout=points flattens"),
        ((30, 8, 8, 3), None, r"must hold channels first.*transpose it to \(30, 3, 8, 8\) .*image"),
        ((30, 8, 8, 1), None, r"must hold channels first"),
        ((9, 6, 5, 7, 4), None, r"must hold channels first.*\(9, 4, 6, 5, 7\).*layout=volume"),
        ((30, 6), "video", r"^data\.layout must be points, image, volume, series or null, got vid"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_fit_is_refused(
    shape: tuple[int, ...], layout: str | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        PointsFile(save(*shape), layout=layout)


def test_one_channel_last_is_seen_behind_any_second_axis() -> None:
    with pytest.raises(ValueError, match=r"looks as if they came last; transpose it to \(60, 1, 4"):
        PointsFile(save(60, 4, 4, 6, 1))


def test_whole_numbers_that_float64_cannot_tell_apart_are_refused() -> None:
    np.save("large.npy", 2**60 + np.arange(100)[:, None])
    with pytest.raises(ValueError, match=r"whole numbers within 2\^53, .* got 1152921504606846976"):
        PointsFile("large.npy")


def test_three_or_four_channels_first_are_no_matter() -> None:
    for shape in ((30, 4, 8, 4), (30, 3, 1, 3), (30, 1, 5, 1)):
        assert PointsFile(save(*shape)).shape == shape[1:]


def run(*overrides: str) -> Result:
    return tiny_runs.run("data=points", "data.path=points.npy", "network=exact", *overrides)


@pytest.mark.long
def test_samples_of_a_run_have_the_shape_of_the_file() -> None:
    save(30, 4, 3, 5)
    few = ("evaluation.num_samples=20", "sampler.num_steps=4")
    result = run(*few, "data.layout=volume")
    assert result.samples.shape == (20, 4, 3, 5)
    assert result.model.data.layout == "volume"
    assert np.load(result.path / "samples.npz")["samples"].shape == (20, 4, 3, 5)
    save(30, 4, 3)
    assert run(*few).samples.shape == (20, 4, 3)
    # Of the model it is the shape that counts, and not what it is called.
    one, other, third = (
        tiny_runs.compose_experiment("data=points", "data.path=points.npy", f"data.layout={word}")
        for word in ("null", "image", "series")
    )
    assert one.task.folder.path.name == other.task.folder.path.name != third.task.folder.path.name
