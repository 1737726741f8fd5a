"""Who does what: the shares of a count, the parts of a batch, and what cannot be divided."""

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_runs
from fokker.machine.ranks import ALONE, Ranks
from fokker.training import Engine


def ranks(rank: int, size: int) -> Ranks:
    """One of several ranks, in words alone: there are no processes that it could ask."""
    made = Ranks()
    made.rank, made.size = rank, size
    return made


# Shares -----------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.integers(1, 1500), st.integers(1, 9))
def test_shares_are_everything_once_in_order_in_whole_units(
    count: int, unit: int, size: int
) -> None:
    shares = [ranks(rank, size).share(count, unit) for rank in range(size)]
    assert list(itertools.chain(*shares)) == list(range(count))
    assert all(share.start % unit == 0 for share in shares if share)
    # Only the last unit may be a part, and nobody has two more than another.
    units = [-(-len(share) // unit) for share in shares]
    assert max(units) - min(units) <= 1
    # The first draws the states on their way too, of a few samples as of many.
    assert units[0] == max(units)


@given(st.integers(0, 5000), st.integers(1, 1500), st.integers(1, 9))
def test_every_rank_knows_the_shares_of_all(count: int, unit: int, size: int) -> None:
    for rank in range(size):
        expected = ranks(rank, size).share(count, unit)
        assert ranks(0, size).share_of(rank, count, unit) == expected
        assert ranks(size - 1, size).share_of(rank, count, unit) == expected


def test_one_process_has_everything() -> None:
    assert ALONE.share(3000, 1024) == range(3000)
    assert ALONE.share(0) == range(0)
    assert ALONE.is_first


def test_a_count_of_less_than_a_unit_is_the_first_rank_s() -> None:
    shares = [ranks(rank, 3).share(100, 1024) for rank in range(3)]
    assert list(map(len, shares)) == [100, 0, 0]


# Batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "size", "piece", "parts"),
    [
        (256, 1, None, 1), (256, 2, None, 1), (256, 4, None, 1), (255, 3, None, 1),
        (256, 1, 64, 4), (256, 2, 64, 2), (256, 4, 64, 1), (256, 1, 256, 1), (256, 2, 1, 128),
        (256, 1, 1000, 1), (256, 2, 200, 1), (24, 2, 3, 4),
    ],
)  # fmt: skip
def test_a_batch_is_cut_into_equal_parts(
    batch: int, size: int, piece: int | None, parts: int
) -> None:
    assert Engine(device_batch_size=piece).parts(batch, size) == parts


@given(st.integers(1, 400), st.integers(1, 8), st.none() | st.integers(1, 130))
def test_parts_are_whole_and_a_refusal_names_the_nearest_that_are_accepted(
    batch: int, size: int, piece: int | None
) -> None:
    engine = Engine(device_batch_size=piece)

    def rows_at_once(size_of_batch: int) -> float:
        return size_of_batch / size / engine.parts(size_of_batch, size)

    try:
        rows = rows_at_once(batch)
    except ValueError as error:
        text = str(error)
        assert "data.batch_size" in text
        assert f"got {batch};" in text
        assert (piece is not None) or "device_batch_size" not in text
        named = [int(n) for n in text.partition("nearest that does: ")[2].split(" or ")]
        assert 1 <= len(named) <= 2
        assert batch not in named
        for near in named:
            assert rows_at_once(near) == int(rows_at_once(near))
        # Nothing that would do lies between the batch and what is named.
        lower = [n for n in named if n < batch]
        for other in range(max(lower, default=0) + 1, max(named)):
            with pytest.raises(ValueError, match="nearest"):
                engine.parts(other, size)
    else:
        assert rows == int(rows)
        assert piece is None or rows <= piece


def test_a_refusal_in_words() -> None:
    with pytest.raises(ValueError, match="into 3 equal shares") as caught:
        Engine().parts(256, 3)
    assert str(caught.value).endswith("got 256; the nearest that does: 255 or 258")
    with pytest.raises(ValueError, match=r"data.batch_size") as caught:
        Engine(device_batch_size=48).parts(256, 2)
    assert "whole trainer.device_batch_size=48" in str(caught.value)
    assert str(caught.value).endswith("192 or 288")
    with pytest.raises(ValueError, match=r"does: 4$"):
        Engine().parts(3, 4)


@pytest.mark.parametrize("piece", [0, -4])
def test_a_device_holds_at_least_one_image(piece: int) -> None:
    with pytest.raises(ValueError, match=rf"trainer.device_batch_size .* got {piece}"):
        Engine(device_batch_size=piece)


# Options ----------------------------------------------------------------------------------------


def test_scaled_gradients_do_not_go_with_spread_weights() -> None:
    with pytest.raises(ValueError, match=r"16-mixed.*fsdp.*bf16-mixed"):
        Engine(strategy="fsdp", precision="16-mixed")
    for strategy, precision in (("fsdp", "bf16-mixed"), ("ddp", "16-mixed")):
        options: dict[str, Any] = {"strategy": strategy, "precision": precision}
        assert Engine(**options) is not None


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.precision=64-true", "trainer.precision must be 32-true, bf16-mixed or 16-mixed"),
        ("trainer.precision=16-true", "trainer.precision"),
        ("trainer.strategy=deepspeed", "trainer.strategy must be auto, ddp or fsdp"),
        ("trainer.device_batch_size=0", "trainer.device_batch_size"),
        ("+trainer.accumulate_grad_batches=2", "trainer.device_batch_size"),
        ("+trainer.detect_anomalie=true", "did you mean detect_anomaly"),
        ("+trainer.gradient_clip_val=1.0", "optimizer.max_grad_norm"),
    ],
)
def test_the_command_line_refuses_the_same(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        tiny_runs.compose_experiment(override)


def test_a_batch_that_asked_ranks_cannot_share_is_refused_before_they_start() -> None:
    asked = ("trainer=ddp_cpu", "trainer.devices=3")
    with pytest.raises(ValueError, match=r"data.batch_size .* 255 or 258"):
        tiny_runs.compose_experiment(*asked)
    assert tiny_runs.compose_experiment(*asked, "data.batch_size=255") is not None
