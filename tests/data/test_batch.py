"""Batches of any data: letters with labels, pairs of two data sets; moved, cut and made whole."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny_runs
from fokker.data import Batch, Conditions, DataModule, StandardizedData
from fokker.diffusion.formulations import EDM, SMLD
from fokker.formulation import Draws


class Letters(DataModule):
    """Words of five letters of four, in three classes, some without one."""

    shape, content, dtype = (5,), "", torch.int64
    conditions = Conditions("classes", 3)

    def batch(self, start: int, stop: int) -> Batch:
        letters = 4 * self.randomness.uniform("data", 5 * start, 5 * stop)
        labels = 4 * self.randomness.uniform("flip", start, stop)
        return Batch(letters.long().reshape(-1, 5), labels.long() - 1)

    def held_out(self, count: int) -> Batch:
        return self.batch(10**6, 10**6 + count)

    def reference(self, count: int) -> Tensor:
        return self.held_out(count).x


class Pairs(Letters):
    """Points, two numbers for each, and the points of a second data set that belong to them."""

    shape, dtype = (2,), torch.float32
    conditions = Conditions("numbers", 2)

    def batch(self, start: int, stop: int) -> Batch:
        draw = self.randomness.normal
        x = draw("data", start, stop, (2,))
        return Batch(x, draw("sigma", start, stop, (2,)), 3 * x + draw("noise", start, stop, (2,)))


KINDS = (Letters, Pairs)


def tensors(batch: Batch) -> dict[str, Tensor]:
    return {name: t for name, t in vars(batch).items() if t is not None}


def equal(one: Batch, other: Batch) -> bool:
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


# A batch -------------------------------------------------------------------------------------


def whole() -> Batch:
    rows = torch.arange(6)
    return Batch(rows.float()[:, None], rows, rows.double()[:, None, None] * torch.ones(2, 3))


def test_every_tensor_is_moved_cut_and_counted() -> None:
    batch = whole()
    assert {t.device.type for t in tensors(batch.to("meta")).values()} == {"meta"}
    assert tensors(batch.to("meta")).keys() == tensors(batch).keys()
    assert all(len(t) == 6 for t in tensors(batch).values())
    for rows in (slice(1, 4), torch.tensor([1, 2, 3])):
        part = tensors(batch[rows])
        assert part.keys() == {"x", "condition", "source"}
        assert all(t.reshape(3, -1)[:, 0].tolist() == [1, 2, 3] for t in part.values())
    assert batch.nbytes == 6 * (4 + 8 + 8 * 6)
    draws = Draws(batch, torch.zeros(6).double(), {"noise": torch.zeros(6, 1)})
    assert draws.nbytes == batch.nbytes + 6 * (8 + 4)
    first, last = draws.cut(2)
    assert equal(first.batch, batch[:3])
    assert equal(last.batch, batch[3:])


def test_what_is_not_there_stays_away() -> None:
    batch = Batch(torch.zeros(3, 2))
    for other in (batch[:2], batch.to("cpu")):
        assert (other.condition, other.source) == (None, None)
    assert batch.nbytes == 24


@pytest.mark.parametrize("name", ["condition", "source"])
def test_rows_that_belong_to_no_sample_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^a batch must have as many rows in {name} as in x, got"):
        Batch(torch.zeros(3, 2), **{name: torch.zeros(1, 2)})


# Data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_workers_change_no_bit_of_a_batch(kind: type[DataModule]) -> None:
    data, plain = kind(8, seed=3), kind(8, seed=3)
    data.workers = 2
    with data.made_ahead(data.batch_size):
        for start in (0, 8, 16, 100, 108):
            made = data.training_batch(start, start + 8)
            assert equal(made, plain.batch(start, start + 8))
            assert made.x.dtype == data.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_the_stream_are_the_same_in_any_cut(kind: type[DataModule]) -> None:
    data = kind(8, seed=3)
    stream = data.batch(0, 90)
    for start, stop in itertools.pairwise((0, 1, 8, 37, 90)):
        assert equal(data.batch(start, stop), stream[start:stop])
    assert not equal(kind(8, seed=4).batch(0, 90), stream)


def test_data_of_any_kind_have_no_scale() -> None:
    data = Letters(8, seed=0)
    of_numbers = set(dir(StandardizedData)) - set(dir(DataModule))
    assert {"moments", "law", "model_law", "to_model", "log_scale", "levels"} <= of_numbers
    for name in ("shift", "scale", "sigma_data", "measured", "standardize"):
        assert not hasattr(data, name)
    letters = data.held_out(3).x
    for there_and_back in (data.to_data, data.to_file, data.from_file):
        assert torch.equal(there_and_back(letters), letters)
        assert there_and_back(letters).dtype == torch.int64
    assert data.described() == "points of shape (5,)"
    assert torch.equal(data.some_points(4), data.held_out(4).x)
    assert (data.training_points(), data.fresh) == (None, False)
    with pytest.raises(ValueError, match=r"^data\.batch_size must be at least 1, got 0$"):
        Letters(0, seed=0)


@pytest.mark.parametrize("make", [EDM, SMLD])
def test_gaussian_noise_is_not_added_to_letters(make: type) -> None:
    says = (
        f"^data must be standardised numbers, to which {make.__name__} adds Gaussian noise, got "
        r"Letters; derive it from fokker\.data\.StandardizedData, or choose"
    )
    with pytest.raises(ValueError, match=says):
        make(data=Letters(8, seed=0), network=None, preconditioning=None, weighting=None,
             noise_levels=None, seed=0)  # fmt: skip


def test_a_formulation_takes_all_of_a_batch_with_it(workdir: Path) -> None:
    model = tiny_runs.compose_experiment("data.batch_size=6").model
    drawn = model.draws(0, range(6), whole())
    assert equal(drawn.batch, whole())


# Of the user's own ---------------------------------------------------------------------------

OWN = '''
import torch
from fokker.data import Batch, StandardizedData


class Good(StandardizedData):
    shape, content = (2,), ""

    def moments(self):
        return torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)

    def batch(self, start, stop):
        x = self.randomness.normal("data", start, stop, (2,))
        return Batch(self.to_model(x), (x[:, 0] > 0).long())

    def held_out(self, count):
        return Batch(self.reference(count))

    def reference(self, count):
        return self.randomness.normal("held_out", 0, count, (2,)).double()


class Tensors(Good):
    def batch(self, start, stop):
        return super().batch(start, stop).x


class Points(Good):
    held_out = Good.reference
'''


def own(workdir: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.syspath_prepend(str(workdir))
    Path("own_points.py").write_text(OWN)
    file = Path("mine/data/own.yaml")
    file.parent.mkdir(parents=True)
    file.write_text(
        f"_target_: own_points.{name}\nbatch_size: 64\nstandardize: true\nsigma_data: null\n"
        "seed: ${seed}\n"
    )
    return ("data=own", f"hydra.searchpath=[file://{workdir}/mine]", "allow_targets=[own_points]")


def test_data_of_one_s_own_with_labels_are_trained_on(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = own(workdir, "Good", monkeypatch)
    made = [
        tiny_runs.train(*job, f"output_dir=by_{n}", f"+data.workers={n}")[1] for n in (0, 2)
    ]  # fmt: skip
    assert tiny_runs.differing(*map(tiny_runs.trained_state, made)) == []


@pytest.mark.parametrize(("name", "method"), [("Tensors", "batch"), ("Points", "held_out")])
def test_a_plain_tensor_is_refused_before_anything_is_written(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str
) -> None:
    job = own(workdir, name, monkeypatch)
    before = {path.name for path in workdir.iterdir()}
    says = rf"^data must give a fokker\.data\.Batch, got a Tensor from {name}\.{method}; return "
    with pytest.raises(ValueError, match=says):
        tiny_runs.run(*job)
    assert {path.name for path in workdir.iterdir()} - {"__pycache__"} == before


def test_a_plain_tensor_is_refused_where_a_training_asks_for_it() -> None:
    class Plain(Letters):
        def batch(self, start: int, stop: int) -> Batch:
            return super().batch(start, stop).x  # type: ignore[return-value]

    with pytest.raises(ValueError, match=r"got a Tensor from Plain\.batch; return Batch\(x\) "):
        Plain(8, seed=0).training_batch(0, 8)


def test_data_need_no_lightning() -> None:
    ask = "import sys, fokker.data; print([m for m in sys.modules if m.startswith('lightning')])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
