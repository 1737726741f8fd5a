"""Several processes are one: the same numbers as of one process, and the same files.

The processes are real and talk by gloo. They are started once, do all their checks, and leave what
they found, for starting costs more than most checks do.
"""

import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rank_work
import torch
from filelock import FileLock

import tiny_runs
from children import Child
from fokker.machine.files import read_json
from fokker.machine.ranks import ALONE
from fokker.store.models import ModelFolder
from processes import is_inside

BY_TWO = [
    "words", "fresh-ddp", "fresh-found", "digits-ddp", "learned-ddp", "independent-ddp",
    "bf16-ddp", "fresh-parts", "learned-parts", "fresh-fsdp", "learned-fsdp",
    "fresh-ended_ddp", "fresh-ended_fsdp", *rank_work.BEGUN, "mistake-data", "mistake-levels",
    "mistake-noise", "mistake-gradients", "failed_metric", "not_finite", "gone_on", "buffers",
    "lost_in_training",
]  # fmt: skip
BY_FOUR = ["words", "fresh-ddp", "validated", "sampled", "lost_in_words"]


class Pool:
    """What several ranks have found.

    Args:
        folder: that they were in.
        size: how many there were.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size

    def start(self, checks: Sequence[str]) -> None:
        """Let them do their checks."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {
            **os.environ, "WORLD_SIZE": str(self.size), "GROUP_RANK": "0",
            "LOCAL_WORLD_SIZE": str(self.size), "MASTER_ADDR": "127.0.0.1",
            # Of no use: all are on one machine, and an interface that there is not finds nobody.
            "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "none0",
        }  # fmt: skip
        ranks = [
            Child(
                rank_work.main, *checks, folder=self.folder,
                env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(self.size)
        ]  # fmt: skip
        with ThreadPoolExecutor(self.size) as threads:
            for rank, said in enumerate(threads.map(Child.communicate, ranks)):
                (self.folder / f"log.{rank}").write_text("".join(said))

    def found(self, check: str) -> list[Any]:
        """What each rank has found in a check."""
        files = [self.folder / f"{check}.{rank}.pt" for rank in range(self.size)]
        if not all(file.is_file() for file in files):
            failed = sorted(self.folder.glob(f"{check}.*.failed"))
            texts = [f"{path.name}:\n{torch.load(path)}" for path in failed]
            last = [(self.folder / f"log.{rank}").read_text() for rank in range(self.size)]
            pytest.fail("\n".join([f"{check} was not done", *(texts or last)]))
        return [torch.load(file, weights_only=False) for file in files]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of these tests."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "together"
    place.mkdir(exist_ok=True)
    return place


def pool(place: Path, size: int, checks: Sequence[str]) -> Pool:
    """A pool that has done its work, in whichever process of pytest."""
    folder = place / f"by_{size}"
    with FileLock(place / f"{size}.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.is_dir():
            folder.mkdir()
            patch.chdir(folder)
            for name in rank_work.BEGUN if size == 2 else ():
                rank_work.curve(ALONE, f"output_dir={name}", stop_at=10)
            Pool(folder, size).start(checks)
    return Pool(folder, size)


@pytest.fixture(scope="module")
def two(place: Path) -> Pool:
    return pool(place, 2, BY_TWO)


@pytest.fixture(scope="module")
def four(place: Path) -> Pool:
    return pool(place, 4, BY_FOUR)


@pytest.fixture(scope="module")
def pools(two: Pool, four: Pool) -> dict[int, Pool]:
    return {2: two, 4: four}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(workdir: Path) -> None:
    """Where one process does what the ranks have done."""


# Words ------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("size", [2, 4])
def test_what_ranks_say_to_each_other(pools: dict[int, Pool], size: int) -> None:
    for rank, said in enumerate(pools[size].found("words")):
        assert said["place"] == (rank, size, rank, size, rank == 0)
        # The first alone decides, and its error is everyone's.
        assert said["first_says"] == "said by 0"
        assert said["asked"] == ([0] if rank == 0 else [])
        assert said["nothing"] is None
        assert "planted" in said["error"]
        others = sum(range(size))
        assert said["total"].tolist() == [size, others, -others]
        assert said["total"].dtype == torch.float64
        assert said["largest"].tolist() == [1, size - 1, 0]
        assert said["is_kept"]
        assert said["collected"] == [{"rank": r} for r in range(size)]
        # Whoever could reach them might run code here.
        assert said["listens"]
        assert all(map(is_inside, said["listens"])), said["listens"]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(
    ("count", "unit"), [(10, 4), (3, 1024), (2049, 1024), (7, 1), (0, 5)]
)  # fmt: skip
def test_shares_are_joined_in_order_also_empty_ones(
    pools: dict[int, Pool], size: int, count: int, unit: int
) -> None:
    said = pools[size].found("words")
    assert sum(len(s[f"share {count} {unit}"]) for s in said) == count
    whole = torch.arange(count * 6.0).reshape(count, 2, 3)
    assert torch.equal(said[0][f"joined {count} {unit}"], whole)
    for other in said[1:]:
        assert torch.equal(other[f"joined {count} {unit}"], other[f"share {count} {unit}"])


@pytest.mark.parametrize("size", [2, 4])
def test_who_loses_another_is_told_so(pools: dict[int, Pool], size: int) -> None:
    *left, gone = pools[size].found("lost_in_training" if size == 2 else "lost_in_words")
    assert gone == "gone"
    assert all("another rank of this run has ended" in text for text in left), left


# Trainings --------------------------------------------------------------------------------------


@cache
def one_process(case: str) -> dict[str, Any]:
    return rank_work.curve(ALONE, *rank_work.CASES[case], "output_dir=one")


def distance(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> dict[str, float]:
    """The largest relative difference of two curves, by the name of the curve."""
    assert [list(row) for row in rows] == [list(row) for row in expected]
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    far: dict[str, float] = {}
    for row, other in zip(rows, expected):
        for key in row:
            a, b = (torch.tensor(r[key], dtype=torch.float64) for r in (row, other))
            far[key] = max(far.get(key, 0.0), float(((a - b).abs() / b.abs()).max()))
    assert {"loss", "held_out_loss", "held_out_per_level", "ema_excess"} <= far.keys()
    return far


def assert_same(rows: list[dict[str, Any]], case: str, share: float = 1e-6) -> None:
    """That a curve is that of one process; a small excess is a difference of large numbers."""
    for name, value in distance(rows, one_process(case)["rows"]).items():
        assert value <= (10 * share if "excess" in name else share), (name, value)


def assert_alike(found: list[dict[str, Any]]) -> None:
    """That all ranks end with the same weights and averages, to the bit."""
    assert any("ema_" in name for name in found[0]["weights"])
    for other in found[1:]:
        assert tiny_runs.differing(found[0]["weights"], other["weights"]) == []


def test_the_loss_falls_enough_to_show_a_mistake() -> None:
    rows = one_process("digits")["rows"]
    assert rows[-1]["loss"] < 0.95 * rows[0]["loss"]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("size", "check"),
    [
        (2, "fresh-ddp"), (2, "digits-ddp"), (2, "learned-ddp"), (2, "independent-ddp"),
        (2, "fresh-parts"), (2, "learned-parts"), (4, "fresh-ddp"),
    ],
)  # fmt: skip
def test_ranks_train_as_one_process(pools: dict[int, Pool], size: int, check: str) -> None:
    found = pools[size].found(check)
    assert [f["how"] for f in found] == ["trained"] * size
    assert_same(found[0]["rows"], check.partition("-")[0])
    assert_alike(found)
    assert len({f["folder"] for f in found}) == 1


def test_all_ranks_get_the_weights_of_a_model_that_is_found(two: Pool) -> None:
    trained, found = two.found("fresh-ddp"), two.found("fresh-found")
    assert [f["how"] for f in found] == ["found"] * 2
    assert_alike([trained[0], *found])


@pytest.mark.parametrize("check", ["fresh-fsdp", "learned-fsdp"])
def test_spread_weights_train_as_one_process(two: Pool, check: str) -> None:
    found = two.found(check)
    assert_same(found[0]["rows"], check.partition("-")[0], 1e-5)
    assert_alike(found)
    # A file of spread weights is a file of whole ones.
    one = tiny_runs.checkpoint(_model(Path("one")))
    spread = tiny_runs.checkpoint(_model(two.folder / check))
    for part in ("state_dict", "ema"):
        own, shapes = (
            {k: v.shape for k, v in tiny_runs.flat(content[part]).items() if "weighting" not in k}
            for content in (one, spread)
        )
        assert shapes == own


def _model(outputs: Path) -> ModelFolder:
    if outputs == Path("one") and not outputs.is_dir():
        rank_work.curve(ALONE, "output_dir=one")
    return tiny_runs.only_model(outputs)


def test_low_precision_is_shared_too(two: Pool) -> None:
    found = two.found("bf16-ddp")
    # Rounding of 1e-7 in a weight is now and then one of 4e-3 in its bfloat16.
    assert_same(found[0]["rows"], "bf16", 1e-3)
    assert_alike(found)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", ["fresh", "learned", "digits"])
def test_one_process_in_parts_trains_as_in_one(case: str) -> None:
    parts = ("trainer.device_batch_size=64", "output_dir=parts")
    assert_same(rank_work.curve(ALONE, *rank_work.CASES[case], *parts)["rows"], case)


def test_all_have_the_same_model(two: Pool) -> None:
    """Neither ranks nor strategy nor parts are part of a model's identity; precision is."""
    one = one_process("fresh")["folder"]
    for check in ("fresh-ddp", "fresh-parts", "fresh-fsdp", "fresh-begun_fsdp"):
        assert {f["folder"] for f in two.found(check)} == {one}
    assert two.found("bf16-ddp")[0]["folder"] != one


# A mistake would be seen --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["data", "levels", "noise"])
def test_another_share_s_numbers_would_be_seen(two: Pool, what: str) -> None:
    rows = two.found(f"mistake-{what}")[0]["rows"]
    assert distance(rows, one_process("fresh")["rows"])["loss"] > 1e-3


def test_gradients_of_one_s_own_would_be_seen(two: Pool) -> None:
    found = two.found("mistake-gradients")
    assert distance(found[0]["rows"], one_process("fresh")["rows"])["held_out_loss"] > 1e-4
    assert tiny_runs.differing(found[0]["weights"], found[1]["weights"])


# Going on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "share"), [("ended_ddp", 1e-6), ("ended_fsdp", 1e-5)])
def test_one_process_goes_on_where_ranks_were_ended(two: Pool, check: str, share: float) -> None:
    """One rank was told, and all of them have ended."""
    found = two.found(f"fresh-{check}")
    assert [f["how"] for f in found] == ["interrupted"] * 2
    assert [row["step"] for row in found[0]["rows"]] == [5, 10]
    output = two.folder / f"fresh-{check}"
    again = rank_work.curve(ALONE, f"output_dir={output}")
    assert again["how"] == "continued"
    assert_same(again["rows"], "fresh", share)
    assert tiny_runs.only_model(output).is_complete


@pytest.mark.parametrize(("check", "share"), [("begun_ddp", 1e-6), ("begun_fsdp", 1e-5)])
def test_ranks_go_on_where_one_process_was_ended(two: Pool, check: str, share: float) -> None:
    found = two.found(f"fresh-{check}")
    assert [f["how"] for f in found] == ["continued"] * 2
    assert_same(found[0]["rows"], "fresh", share)
    assert_alike(found)


def test_ranks_go_on_from_a_model(two: Pool) -> None:
    found = two.found("gone_on")
    whole = ("optimizer.schedule=constant", "trainer.max_steps=40", "output_dir=whole")
    expected = rank_work.curve(ALONE, *whole)["rows"]
    assert_alike(found)
    assert [row["step"] for row in found[0]["rows"]] == list(range(5, 45, 5))
    for row, other in zip(found[0]["rows"], expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert row["lr"] == other["lr"]
        assert ("ema_excess" in row) == ("ema_excess" in other)


def test_ranks_have_the_buffers_of_the_first(two: Pool) -> None:
    assert [found.tolist() for found in two.found("buffers")] == [[1, 1], [1, 1]]


def test_what_was_saved_before_a_rank_was_lost_is_gone_on_with(two: Pool) -> None:
    two.found("lost_in_training")
    output = two.folder / "lost_in_training"
    assert tiny_runs.only_model(output).record["status"] == "interrupted"
    assert tiny_runs.checkpoint(tiny_runs.only_model(output))["global_step"] == 7
    again = rank_work.curve(ALONE, f"output_dir={output}")
    assert again["how"] == "continued"
    assert_same(again["rows"], "fresh")


# Measuring and sampling ------------------------------------------------------------------------


def test_ranks_measure_each_point_once(four: Pool) -> None:
    found, one = four.found("validated"), rank_work.measured(ALONE)
    assert [len(by_size) for by_size in found] == [2, 2, 1, 0]
    for size, of in ((2, 0), (3, 1)):
        by_rank = [by_size[of - (rank == 2)] for rank, by_size in enumerate(found[:size])]
        assert sum(by["given"] for by in by_rank) == one["given"]
        for by in by_rank:
            assert by["losses"] == pytest.approx(one["losses"], rel=1e-6, abs=1e-12)


@pytest.mark.thorough
@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", rank_work.SAMPLERS)
def test_samples_do_not_depend_on_who_draws_them(four: Pool, name: str) -> None:
    ways = {f"{batch} at once": rank_work.drawn(name, 3000, ALONE, batch) for batch in (1024, 700)}
    found = four.found("sampled")
    ways |= {f"{size} ranks": found[0][f"{name} 3000 {size}"] for size in (2, 3)}
    compare(rank_work.drawn(name, 3000, ALONE, 3000), ways, name)
    # The others keep what they have drawn.
    others = [found[rank][f"{name} 3000 3"]["points"] for rank in (1, 2)]
    assert torch.equal(torch.cat(others), ways["3 ranks"]["points"][-sum(map(len, others)) :])


def test_many_samples_do_not_depend_on_who_draws_them(four: Pool) -> None:
    ways = {"3 ranks": four.found("sampled")[0]["many"]}
    compare(rank_work.drawn(rank_work.MANY, 10_000, ALONE), ways, rank_work.MANY)


@pytest.mark.parametrize(
    ("check", "error", "rows"),
    [
        ("failed_metric", "RuntimeError: planted", 1),
        ("not_finite", "ValueError: 976 of 2000 samples are not finite with sampler=heun", 0),
    ],
)
def test_what_fails_in_the_first_rank_ends_all_and_leaves_the_samples(
    two: Pool, check: str, error: str, rows: int
) -> None:
    for said in two.found(check):
        assert said.startswith(error)
    path = two.folder / check
    with np.load(path / "samples.npz") as content:
        assert content["samples"].shape == (2000, 1)
    facts = read_json(path / "run.json")
    assert (facts["status"], facts["samples"]) == ("failed", "samples.npz")
    table = path / "evaluations.csv"
    assert table.is_file() is (rows > 0)
    if rows:
        assert len(table.read_text().splitlines()) == 1 + rows


def compare(whole: dict[str, Any], ways: dict[str, dict[str, Any]], name: str) -> None:
    """That samples are the same up to rounding, in units of data of standard deviation 0.5."""
    assert 0.1 < float(whole["points"].std()) < 10
    for way, samples in ways.items():
        assert samples["points"].shape == whole["points"].shape
        far = float((samples["points"] - whole["points"]).abs().max())
        assert far < (1e-4 if name == "ode_adaptive" else 1e-5), (way, far)
        assert samples["nfe"] == pytest.approx(whole["nfe"], rel=1e-3 * (name == "ode_adaptive"))
