"""What the folder of a sweep or a search lists, read by all in one way."""

import json
from pathlib import Path

import pytest

from fokker.machine.disk import DamagedError
from fokker.machine.files import read_json
from fokker.sweeps.jobs import Job
from fokker.sweeps.running import facts_of_sweep
from fokker.sweeps.study import Study

GRID = Path("outputs/sweeps/steps-01234567")
KEYS = ("0123456789", "abcdef0123")


def jobs(folder: Path) -> tuple[Job, ...]:
    return tuple(
        Job(folder, key, ("data=ring8", f"seed={n}"), {"seed": str(n)})
        for n, key in enumerate(KEYS)
    )


def test_a_list_is_read_as_it_was_written(workdir: Path) -> None:
    grid = Study(GRID, jobs(GRID))
    search = Study(Path("find"), jobs(Path("find")), ({"lr": 1.5}, {"lr": 2}), "lr-01234567")
    for study in (grid, search):
        study.write()
        again = Study.read(study.folder)
        assert again == study
        assert [job.swept for job in again.jobs] == [{"seed": "0"}, {"seed": "1"}]
    assert Study.read(Path("none")) == Study(Path("none"))
    # As other programs and older versions read it.
    first = {"key": KEYS[0], "swept": {"seed": "0"}, "overrides": ["data=ring8", "seed=0"]}
    assert read_json(grid.file)["jobs"][0] == first
    assert list(read_json(grid.file)) == ["jobs"]
    assert read_json(search.file)["jobs"][0] == {**first, "values": {"lr": 1.5}}
    assert read_json(search.file)["search"] == "lr-01234567"


@pytest.mark.parametrize(
    "name", [KEYS[1], f"{KEYS[1]}.13", f"ddpm-5-{KEYS[1]}", f"ddpm-5-{KEYS[1]}.2"]
)
def test_a_job_is_found_by_each_name_of_its_folders(workdir: Path, name: str) -> None:
    Study(GRID, jobs(GRID)).write()
    assert facts_of_sweep(GRID / name) == {"sweep": GRID.name, "swept": {"seed": "1"}}
    assert facts_of_sweep(GRID / "ffffffffff") == {}
    assert facts_of_sweep(Path("elsewhere") / name) == {}


def test_a_damaged_list_says_so(workdir: Path) -> None:
    GRID.mkdir(parents=True)
    for content in ({}, {"jobs": [{"key": 1, "swept": {}, "overrides": []}]}, {"jobs": [{}]}):
        (GRID / "jobs.json").write_text(json.dumps(content))
        with pytest.raises(DamagedError, match=r"jobs\.json is damaged"):
            Study.read(GRID)
