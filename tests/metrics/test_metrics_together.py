"""What holds for all metrics: several processes, collections, cost, and what an import brings."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from fokker.metrics import (
    DenoisingError,
    EnergyDistance,
    NearestNeighbourRatio,
    SlicedWasserstein2,
    Wasserstein1,
)


def points(seed: int, n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 + 2.5 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def sample_metrics(d: int) -> dict[str, Metric]:
    reference = points(0, 500, d)
    metrics: dict[str, Metric] = {
        "sliced_w2": SlicedWasserstein2(reference),
        "energy_distance": EnergyDistance(reference),
        "nearest_neighbour_ratio": NearestNeighbourRatio(reference, points(1, 200, d)),
    }
    if d == 1:
        metrics["w1"] = Wasserstein1(reference)
    return metrics


def share(samples: Tensor, rank: int, split: str) -> Tensor:
    if split == "empty":  # the second process never updates
        return samples[: len(samples) * (1 - rank)]
    return samples[:61] if rank == 0 else samples[61:]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=30),
    )
    results = {}
    for split in ("unequal", "empty"):
        for d in (1, 3):
            mine = share(points(2, 300, d) + 1, rank, split)
            for name, metric in sample_metrics(d).items():
                if len(mine):
                    metric.update(mine)
                results[f"{split}-{name}-{d}"] = metric.compute()
    many = EnergyDistance(points(0, 500, 2))
    many.update(points(10 + rank, 1500, 2) + rank)
    results["many"] = many.compute()
    error = DenoisingError(torch.tensor([0.1, 5.0, 80.0]))
    if rank == 0:
        error.update(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    else:
        error.update(torch.tensor([4.0, 6.0, 8.0]), torch.tensor([1, 1, 2]))
    results["denoising_error"] = error.compute()
    torch.save(results, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results_of_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    # Not forked from here, where torch may have threads, whose locks a fork would copy; the two
    # are forked from a server that has done the imports once and computed nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "fokker.metrics"])
    processes = [
        context.Process(target=work, args=(rank, str(folder)), daemon=True) for rank in range(2)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=90)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("split", ["unequal", "empty"])
@pytest.mark.parametrize("d", [1, 3])
def test_two_processes_agree_with_one(
    results_of_ranks: list[dict[str, Tensor]], split: str, d: int
) -> None:
    for name, metric in sample_metrics(d).items():
        metric.update(points(2, 300, d) + 1)
        expected = float(metric.compute())
        for results in results_of_ranks:
            assert float(results[f"{split}-{name}-{d}"]) == pytest.approx(expected, rel=1e-12)


def test_two_processes_average_the_errors_of_both(
    results_of_ranks: list[dict[str, Tensor]],
) -> None:
    for results in results_of_ranks:
        assert results["denoising_error"].tolist() == [1, 4, 8]


def test_two_processes_keep_2000_points_of_the_first_process_first(
    results_of_ranks: list[dict[str, Tensor]],
) -> None:
    many = EnergyDistance(points(0, 500, 2))
    many.update(torch.cat([points(10, 1500, 2), (points(11, 1500, 2) + 1)[:500]]))
    for results in results_of_ranks:
        assert float(results["many"]) == pytest.approx(float(many.compute()), rel=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_a_collection_with_compute_groups_mixes_nothing_up(d: int) -> None:
    first, second = points(3, 1500, d) + 1, points(4, 1400, d) - 2
    collection = MetricCollection(sample_metrics(d), compute_groups=True)
    collection.update(first)
    collection.update(second)
    values = collection.compute()
    for name, metric in sample_metrics(d).items():
        metric.update(torch.cat([first, second]))
        assert float(values[name]) == pytest.approx(float(metric.compute()), rel=1e-12), name


@pytest.mark.parametrize("d", [1, 3, 20])
def test_copies_and_pickles_go_on(d: int) -> None:
    for metric in sample_metrics(d).values():
        metric.update(points(5, 40, d))
        again = [copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))]
        metric.update(points(6, 30, d))
        for other in again:
            other.update(points(6, 30, d))
            assert torch.equal(other.compute(), metric.compute())


def test_nothing_of_the_reference_is_a_state() -> None:
    for metric in sample_metrics(3).values():
        assert sum(torch.as_tensor(v).numel() for v in metric.metric_state.values()) <= 2
        assert not list(metric.parameters())
        assert not list(metric.buffers())


def test_one_evaluation_of_10000_points_in_the_plane_is_cheap() -> None:
    reference, held_out, samples = points(7, 10000, 2), points(8, 10000, 2), points(9, 10000, 2)
    error, index = torch.rand(10000), torch.arange(10000) % 20
    NearestNeighbourRatio(reference[:9], held_out[:9])  # the import of the tree

    def evaluate() -> float:
        start = time.process_time()
        line = Wasserstein1(reference[:, :1])
        line.update(samples[:, :1])
        line.compute()
        for metric in (
            SlicedWasserstein2(reference),
            EnergyDistance(reference),
            NearestNeighbourRatio(reference, held_out),
        ):
            metric.update(samples)
            metric.compute()
        levels = DenoisingError(torch.logspace(-2, 2, 20))
        levels.update(error, index)
        levels.compute()
        return time.process_time() - start

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = min(evaluate() for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    assert seconds < 0.3


def test_the_import_brings_nothing_heavy_beyond_torchmetrics() -> None:
    code = (
        "import sys, torch, torchmetrics; before = set(sys.modules); import fokker.metrics; "
        "print({m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'fokker'}"
