"""However two ranks are started, the run is the same as in one process, and is written once."""

from pathlib import Path

import cluster_runs
import numpy as np
import pytest
from cluster_runs import FOKKER, JOB, STARTS

from fokker.machine.files import read_json

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]

OF_A_RUN = {
    "config.yaml", "run.json", "metrics.json", "metrics.jsonl", "metrics.csv", "samples.npz",
    "evaluations.csv", "loss_per_level.csv",
}  # fmt: skip
OF_A_MODEL = {"last.ckpt", "model.json", "config.yaml", "metrics.jsonl", "raw.safetensors"}


def assert_same(run: Path, folder: Path, one: Path) -> None:
    """A run of two ranks in `folder` against the run of one process in `one`."""
    assert cluster_runs.damaged(folder) == []
    record = read_json(run / "run.json")
    assert record["status"] == "completed"
    assert (record["ranks"], record["training"]) == (2, "trained")
    expected = cluster_runs.losses(one)
    assert len(expected) == 20
    np.testing.assert_allclose(cluster_runs.losses(folder), expected, rtol=1e-6, atol=0)
    reference = cluster_runs.points(cluster_runs.only("outputs/runs/*", one))
    found = cluster_runs.points(run)
    assert found.shape == reference.shape == (2000, 1)
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5)
    table, reference = (
        np.genfromtxt(there / "loss_per_level.csv", delimiter=",", names=True)["loss"]
        for there in (run, cluster_runs.only("outputs/runs/*", one))
    )
    np.testing.assert_allclose(table, reference, rtol=1e-5, atol=0)
    # The networks are evaluated as often; each rank counts its own part.
    numbers = read_json(run / "metrics.json")
    assert numbers["nfe"] == 100
    assert numbers.keys() == read_json(cluster_runs.only("outputs/runs/*/metrics.json", one)).keys()
    (model,) = cluster_runs.models(folder)
    assert OF_A_MODEL <= cluster_runs.names(model.iterdir())
    assert len(list(model.iterdir())) == len(list(cluster_runs.models(one)[0].iterdir()))


@pytest.mark.parametrize("how", ["fokker", "torchrun", "srun", "srun_two_nodes"])
def test_two_ranks_make_the_run_of_one_process(
    how: str, one: Path, two: Path, tmp_path: Path
) -> None:
    folder = two
    if how != "fokker":
        folder = cluster_runs.prepare(tmp_path)
        cluster_runs.run(folder, *STARTS[how], *JOB)
    run = cluster_runs.only("outputs/runs/*", folder)
    assert_same(run, folder, one)
    assert cluster_runs.names(run.iterdir()) == OF_A_RUN
    assert cluster_runs.names((folder / "outputs").iterdir()) == {"runs", "models"}
    # The first rank alone speaks, and says everything once.
    assert (folder / "out.txt").read_text().count("record   ") == 1
    assert (folder / "out.txt").read_text().count("model    trained") == 1
    slurm = read_json(run / "run.json").get("slurm")
    assert (slurm is not None) == how.startswith("srun")
    assert cluster_runs.is_as(folder, two)


def test_the_jobs_of_an_array_make_the_run_of_one_process(
    one: Path, two: Path, tmp_path: Path
) -> None:
    folder = cluster_runs.prepare(tmp_path)
    cluster_runs.run(
        folder, FOKKER, "-m", "hydra/launcher=submitit_slurm", "trainer=ddp_cpu", *JOB,
        "sampler.variance=0.0,1.0",
    )  # fmt: skip
    rows = cluster_runs.table(cluster_runs.only("outputs/sweeps/*/results.csv", folder))
    assert [row["status"] for row in rows] == ["completed", "completed"]
    # Both want one model: one trains it, the other waits for it.
    assert sorted(row["training"] for row in rows) == ["found", "trained"]
    first = cluster_runs.only(f"outputs/sweeps/*/{rows[0]['folder']}", folder)
    reference = cluster_runs.points(cluster_runs.only("outputs/runs/*", one))
    np.testing.assert_allclose(cluster_runs.points(first), reference, rtol=0, atol=1e-5)
    assert cluster_runs.names(first.iterdir()) == OF_A_RUN | {"output.txt"}
    assert cluster_runs.names((folder / "outputs").iterdir()) == {"sweeps", "models"}
    assert cluster_runs.damaged(folder) == []
    assert cluster_runs.is_as(folder, two)
    assert {read_json(p)["ranks"] for p in folder.glob("outputs/sweeps/*/*/run.json")} == {2}
