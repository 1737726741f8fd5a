"""Digits and files of points: splits, orders, units, and what is refused."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial
import torch
from torch import Tensor

from fokker.data import Digits, PointsFile
from fokker.data.finite import ArrayRows
from fokker.diffusion.formulations.start import max_distance, start_law

SHAPES = {2: (60, 5), 3: (60, 4, 6), 4: (60, 3, 4, 2)}


def cloud(*shape: int, seed: int = 0) -> np.ndarray:
    """Points of mean 7 and standard deviation 3, the later elements wider than the first."""
    points = np.random.default_rng(seed).normal(size=shape)
    spread = np.linspace(0.5, 1.5, math.prod(shape[1:])).reshape(shape[1:])
    return 7 + 3 * points * spread


def save(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


def rows(points: Tensor) -> set[bytes]:
    return {row.tobytes() for row in points.numpy()}


# Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_files_of_every_rank(workdir: Path, rank: int, kind: str) -> None:
    array = cloud(*SHAPES[rank])
    path = workdir / f"points.{kind}"
    np.save(path, array) if kind == "npy" else np.savez(path, some_name=array)
    data = PointsFile(str(path), standardize="all")
    expected = array[:, None] if rank == 3 else array
    assert data.shape == expected.shape[1:]
    assert len(data.training_points()) == 48
    assert len(data.held_out(1_000).x) == 12
    together = torch.cat([data.training_points(), data.held_out(1_000).x])
    assert together.dtype == torch.float64
    assert rows(together) == rows(torch.from_numpy(expected))
    assert data.batch(0, 5).x.shape == (5, *data.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.bool_])
def test_every_kind_of_number(workdir: Path, dtype: type) -> None:
    array = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(dtype)
    data = PointsFile(save(workdir / "points.npy", array))
    together = torch.cat([data.training_points(), data.held_out(40).x])
    assert float(together.sum()) == float(array.astype(np.float64).sum())


def test_a_file_with_several_arrays_needs_a_key(workdir: Path) -> None:
    path = str(workdir / "two.npz")
    np.savez(path, first=cloud(40, 2), second=cloud(50, 3, seed=1))
    with pytest.raises(ValueError, match=r"data\.key must name one of .*first.*second.*got None"):
        PointsFile(path)
    with pytest.raises(ValueError, match=r"data\.key must name one of .*first.*second.*got third"):
        PointsFile(path, key="third")
    assert PointsFile(path, key="first").shape == (2,)
    assert PointsFile(path, key="second").shape == (3,)


def test_a_path_may_begin_with_the_home_folder(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(workdir))
    save(workdir / "points.npy", cloud(20, 2))
    assert PointsFile("~/points.npy").shape == (2,)


# The split and the order ---------------------------------------------------------------------


def test_the_split_is_disjoint_and_the_same_for_every_seed(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(100, 2))
    data = [PointsFile(path, seed=seed, held_out_share=0.3) for seed in (0, 1)]
    for one in data:
        assert len(rows(one.training_points())) == 70
        assert len(rows(one.held_out(100).x)) == 30
        assert not rows(one.training_points()) & rows(one.held_out(100).x)
    assert torch.equal(data[0].held_out(100).x, data[1].held_out(100).x)
    assert torch.equal(data[0].training_points(), data[1].training_points())
    assert torch.equal(data[0].held_out(4).x, data[0].held_out(100).x[:4])
    assert torch.equal(data[0].reference(5), data[0].held_out(100).x)
    # Not the end of the file, which may be sorted.
    assert rows(data[0].held_out(100).x) != rows(torch.from_numpy(cloud(100, 2)[70:]))


def test_every_epoch_is_a_new_order_of_the_training_points_alone(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(40, 2))
    data = PointsFile(path, seed=3)
    known = rows(data.to_model(data.training_points()))
    epochs = [data.batch(32 * e, 32 * (e + 1)).x for e in range(3)]
    assert all(len(e) == 32 and rows(e) == known for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(PointsFile(path, seed=4).batch(0, 32).x, epochs[0])
    stream = torch.cat(epochs)
    for start, stop in [(70, 96), (0, 96), (5, 6), (31, 33)]:  # in any order, and across epochs
        assert torch.equal(data.batch(start, stop).x, stream[start:stop])
    # A batch that is larger than the set.
    again = data.batch(0, 1_000).x
    assert torch.equal(again[:96], stream)
    assert rows(again) == known


def test_training_points_are_standardised_by_their_own_moments(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(200, 3, 2))
    data = PointsFile(path)
    training = data.to_model(data.training_points()).double()
    assert float(training.mean()) == pytest.approx(0, abs=1e-6)
    assert float(training.std(correction=0)) == pytest.approx(0.5, rel=1e-6)
    expected = data.training_points().numpy()
    assert data.measured == (pytest.approx(expected.mean()), pytest.approx(expected.std()))
    # Each element keeps its own mean and variance, which the start law knows.
    torch.testing.assert_close(start_law(data).mean, training.mean(0), atol=1e-6, rtol=1e-5)
    variance = training.var(0, correction=0)
    torch.testing.assert_close(start_law(data).variance, variance, atol=1e-6, rtol=1e-5)
    round_trip = data.to_data(data.to_model(data.training_points()))
    torch.testing.assert_close(round_trip, data.training_points(), atol=1e-5, rtol=0)


def test_without_standardisation_the_deviation_is_measured(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(200, 5))
    data = PointsFile(path, standardize=False)
    assert (data.shift, data.scale) == (0.0, 1.0)
    assert data.sigma_data == pytest.approx(data.training_points().std(correction=0).item())
    assert rows(data.batch(0, 160).x) == rows(data.training_points().float())
    assert PointsFile(path, standardize=False, sigma_data=2.0).sigma_data == 2.0
    one = PointsFile(path, sigma_data=1.0)
    assert float(one.batch(0, 160).x.std(correction=0)) == pytest.approx(1.0, rel=1e-5)


def test_the_largest_distance_is_that_of_the_training_points(workdir: Path) -> None:
    data = PointsFile(save(workdir / "points.npy", cloud(1_500, 2, 3)))
    points = data.to_model(data.training_points()).flatten(1).double().numpy()
    assert max_distance(data) == pytest.approx(scipy.spatial.distance.pdist(points).max(), rel=1e-6)


def test_the_content_is_what_the_file_holds_not_where_it_lies(workdir: Path) -> None:
    array = cloud(40, 2)
    one = PointsFile(save(workdir / "one.npy", array)).content
    assert PointsFile(save(workdir / "other.npy", array), seed=5).content == one
    np.savez(workdir / "third.npz", x=array)
    assert PointsFile(str(workdir / "third.npz")).content == one
    array[17, 1] += 1e-9
    assert PointsFile(save(workdir / "one.npy", array)).content != one
    held_out = torch.from_numpy(cloud(40, 4))
    reshaped = [held_out.reshape(40, 2, 2).numpy(), held_out.numpy()]
    contents = {PointsFile(save(workdir / "x.npy", a)).content for a in reshaped}
    assert len(contents) == 2


# Digits --------------------------------------------------------------------------------------


def test_digits() -> None:
    data = Digits()
    assert data.shape == (1, 8, 8)
    together = torch.cat([data.training_points(), data.held_out(10_000).x])
    assert together.shape == (1797, 1, 8, 8)
    assert len(data.held_out(10_000).x) == 359
    assert together.unique().tolist() == list(range(17))
    batch = data.batch(0, 1438).x
    assert float(batch.double().mean()) == pytest.approx(0, abs=1e-6)
    assert float(batch.double().std(correction=0)) == pytest.approx(0.5, rel=1e-6)
    assert not data.fresh
    # Upright and in order: the rows and columns of scikit-learn's images.
    from sklearn.datasets import load_digits

    assert rows(together.reshape(-1, 64)) == {row.tobytes() for row in load_digits().data}


# Refusals ------------------------------------------------------------------------------------


def bad_arrays() -> dict[str, np.ndarray]:
    holed, infinite = cloud(40, 2), cloud(40, 2)
    holed[3, 1], infinite[[5, 6]] = np.nan, np.inf
    return {
        "empty": np.zeros((0, 2)),
        "no_numbers_in_a_point": np.zeros((40, 0)),
        "nan": holed,
        "infinity": infinite,
        "rank_0": np.array(3.0),
        "rank_1": np.arange(40.0),
        "rank_5": np.zeros((4, 1, 2, 2, 2)),
        "strings": np.array([["a", "b"]] * 40),
        "complex": cloud(40, 2) * 1j,
        "objects": np.array([[1.0, None]] * 40, dtype=object),
        "constant": np.full((40, 2), 3.0),
        "constant_bool": np.ones((40, 2), dtype=bool),
    }


@pytest.mark.parametrize("name", bad_arrays())
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_files_that_hold_no_points_are_refused(workdir: Path, name: str, kind: str) -> None:
    path = workdir / f"bad.{kind}"
    array = bad_arrays()[name]
    np.save(path, array) if kind == "npy" else np.savez(path, x=array)
    with pytest.raises(ValueError, match=r"data\.path=.*bad\.np"):
        PointsFile(str(path))


def test_the_number_of_bad_points_is_told(workdir: Path) -> None:
    with pytest.raises(ValueError, match=r"got 2 points .* the first at index 5;"):
        PointsFile(save(workdir / "bad.npy", bad_arrays()["infinity"]))


def damaged_files() -> dict[str, bytes]:
    return {
        "text.npy": b"1.0, 2.0\n3.0, 4.0\n",
        "nothing.npy": b"",
        "no_zip.npz": b"PK\x03\x04 and nothing that follows",
        "nothing.npz": b"",
    }


@pytest.mark.parametrize("name", damaged_files())
def test_damaged_files_are_refused(workdir: Path, name: str) -> None:
    (workdir / name).write_bytes(damaged_files()[name])
    with pytest.raises(ValueError, match=rf"data\.path=.*{name}"):
        PointsFile(str(workdir / name))


@pytest.mark.parametrize("compressed", [False, True])
def test_files_that_were_cut_or_changed_are_refused(workdir: Path, compressed: bool) -> None:
    path = workdir / "points.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=cloud(400, 4))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"data\.path="):
        PointsFile(str(path))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match=r"data\.path="):
        PointsFile(str(path))


def test_a_file_must_be_there(workdir: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.path must be a file .*nowhere\.npy is not there"):
        PointsFile("nowhere.npy")
    with pytest.raises(ValueError, match=r"data\.path must be a file"):
        PointsFile(str(workdir))
    with pytest.raises(ValueError, match=r"data\.path must name a \.npy or \.npz file"):
        PointsFile(None)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001, -0.5, 1.5, 0.975])
def test_the_split_leaves_two_training_points_and_another(workdir: Path, share: float) -> None:
    path = save(workdir / "points.npy", cloud(40, 2))
    with pytest.raises(ValueError, match=rf"data\.held_out_share .* got {share:g} of 40 points"):
        PointsFile(path, held_out_share=share)


def test_numbers_whose_variance_overflows_are_refused(workdir: Path) -> None:
    with pytest.raises(ValueError, match="standard deviation be finite, got inf"):
        PointsFile(save(workdir / "points.npy", 1e200 * cloud(40, 2)))


def test_training_points_that_are_all_one_number_are_refused(workdir: Path) -> None:
    array = np.full((40, 2), 3.0)
    path = save(workdir / "points.npy", cloud(40, 2))
    held_out = PointsFile(path).held_out(1).x[0].numpy()
    array[(np.load(path) == held_out).all(1)] = 5.0  # the one that is held out varies
    with pytest.raises(ValueError, match="data must vary"):
        PointsFile(save(workdir / "points.npy", array))


# Levels --------------------------------------------------------------------------------------


def test_levels_must_be_those_of_the_values(workdir: Path) -> None:
    """Of 8-bit values in other units the range is 256 spacings, not largest minus smallest."""
    values = np.random.default_rng(0).integers(0, 256, (50, 4)) / 255.0 * 2 - 1
    np.save("points.npy", values)
    data = PointsFile("points.npy", levels=256, value_range=512 / 255)
    assert (data.levels, data.value_range) == (256, 512 / 255)
    for levels, value_range in [(256, 2.0), (256, 256.0), (128, 256 / 255), (8, 8.0)]:
        with pytest.raises(ValueError, match=r"data\.levels=.* must fit the values.* got val"):
            PointsFile("points.npy", levels=levels, value_range=value_range)


# Mirrored images -----------------------------------------------------------------------------


def test_mirrored_images_are_half_of_what_is_seen_and_of_the_law(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(60, 3, 4, 5))
    data, plain = PointsFile(path, flip=True), PointsFile(path)
    points = plain.training_points()
    assert rows(data.training_points()) == rows(torch.cat([points, points.flip(-1)]))
    assert rows(data.held_out(100).x) == rows(plain.held_out(100).x)
    mean, variance = data.moments()
    torch.testing.assert_close(mean, mean.flip(-1))
    torch.testing.assert_close(variance, data.training_points().var(0, correction=0))
    seen = data.to_data(data.batch(0, 48_000).x).reshape(1000, 48, *data.shape)
    order = plain.to_data(plain.batch(0, 48_000).x).reshape(1000, 48, *data.shape)
    as_is = (seen - order).flatten(2).abs().amax(2) < 1e-5
    mirrored = (seen - order.flip(-1)).flatten(2).abs().amax(2) < 1e-5
    assert bool((as_is ^ mirrored).all())
    assert abs(float(mirrored.double().mean()) - 0.5) < 5 * 0.5 / math.sqrt(48_000)
    # Of the place in the stream alone, whatever the batch that it is asked in.
    parts = [data.batch(i, min(i + 7, 500)).x for i in range(0, 500, 7)]
    assert torch.equal(torch.cat(parts), data.batch(0, 500).x)
    assert not torch.equal(PointsFile(path, flip=True, seed=1).batch(0, 48).x, data.batch(0, 48).x)


def test_only_images_have_a_mirror(workdir: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.flip=true mirrors images .* got .*\(5,\)"):
        PointsFile(save(workdir / "points.npy", cloud(60, 5)), flip=True)


# What is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
def test_rows_of_an_array_are_read_where_they_are_asked_for(mirrored: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 3, 2, 4), dtype=np.uint8)
    places = torch.tensor([4, 0, 8, 5, 1])
    rows = ArrayRows(array, places, mirrored)
    whole = array[[4, 0, 8, 5, 1]].astype(float)
    if mirrored:
        whole = np.concatenate([whole, whole[:, :, :, [3, 2, 1, 0]]])
    expected = torch.from_numpy(whole.reshape(-1, 24))
    assert rows.shape == expected.shape
    assert torch.equal(torch.cat(list(rows.blocks())), expected)
    for index in (slice(3, 7), slice(None), slice(4, 100), torch.tensor([len(rows) - 1, 0, 3, 3])):
        assert torch.equal(rows[index], expected[index])


def test_moments_of_a_set_of_several_blocks(workdir: Path) -> None:
    """2,000,000 numbers, more than are held at a time, far from 0 and in float32."""
    array = np.random.default_rng(0).normal(size=(5_000, 500)) * np.linspace(0.1, 3, 500) + 1e4
    data = PointsFile(save(workdir / "points.npy", array.astype(np.float32)), standardize="all")
    points = data.training_points().numpy()
    assert points.shape == (4_000, 500)
    mean, variance = data.moments()
    np.testing.assert_allclose(mean.numpy(), points.mean(0), rtol=1e-14)
    np.testing.assert_allclose(variance.numpy(), points.var(0), rtol=1e-10)


def test_a_mapped_file_gives_the_same_as_one_in_memory(workdir: Path) -> None:
    path = save(workdir / "points.npy", cloud(60, 3, 4, 2).astype(np.float32))
    kept, mapped = (PointsFile(path, flip=True, in_memory=b) for b in (True, False))
    assert (kept.workers, mapped.workers) == (0, 2)
    assert mapped.content == kept.content
    assert (mapped.shift, mapped.scale) == (kept.shift, kept.scale)
    for asked in ("training_points()", "held_out(7).x", "reference(7)", "batch(5, 130).x",
                  "some_points(60)", "law.covariance"):  # fmt: skip
        one, other = (eval(f"data.{asked}", {"data": data}) for data in (kept, mapped))
        assert torch.equal(one, other)


def test_large_files_are_mapped(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(workdir / "points.npy", cloud(60, 2))
    assert PointsFile(path).workers == 0
    monkeypatch.setattr("fokker.data.points_file.MAX_IN_MEMORY", 1_000)
    assert PointsFile(path).workers == 2
    assert PointsFile(path, in_memory=True).workers == 0


def test_an_archive_cannot_be_mapped(workdir: Path) -> None:
    np.savez(workdir / "points.npz", x=cloud(60, 2))
    with pytest.raises(ValueError, match=r"^data\.in_memory=false needs a \.npy file.*points\.npz"):
        PointsFile(str(workdir / "points.npz"), in_memory=False)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_set_takes_little_more_memory_than_its_array(workdir: Path, dtype: type) -> None:
    array = np.random.default_rng(0).integers(0, 256, (12_000, 3, 32, 32)).astype(dtype)
    path = save(workdir / "images.npy", array)
    tracemalloc.start()
    data = PointsFile(path, levels=256, value_range=256)
    assert data.content
    assert data.law is not None
    data.batch(0, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Some 250,000 numbers in float64 at a time, and a batch of 800,000.
    assert peak < array.nbytes + 2**24
