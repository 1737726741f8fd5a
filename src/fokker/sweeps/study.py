"""The list of a sweep's or a search's jobs, in its folder.

Nothing here needs torch, so that a finished sweep reports at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from fokker.store.job_folders import write_json
from fokker.store.job_names import job_id
from fokker.store.records import read_record
from fokker.sweeps.jobs import Job


@final
@dataclass(frozen=True)
class Study:
    """A sweep or a search, as the list in its folder describes it.

    Attributes:
        folder: the folder with its jobs, and with jobs.json, which lists them.
        jobs: the jobs in order, each with its key, its values of the swept keys and its overrides.
        values: the values of a search's parameters, a mapping for each job as the file has it;
            empty for a sweep.
        search: the name of the search; empty for a sweep, or where nothing is listed.
    """

    folder: Path
    jobs: tuple[Job, ...] = ()
    values: tuple[Any, ...] = ()
    search: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """Read the list of a folder; a folder without a list gives no jobs.

        Raises:
            DamagedError: if the list is damaged.
        """
        content = read_record(cls(folder).file)
        listed: list[dict[str, Any]] = content.get("jobs", [])
        jobs = (Job(folder, j["key"], tuple(j["overrides"]), j["swept"]) for j in listed)
        search = content.get("search", "")
        values = tuple(j.get("values") for j in listed) if search else ()
        return cls(folder, tuple(jobs), values, search)

    @property
    def file(self) -> Path:
        """Return the path of the list."""
        return self.folder / "jobs.json"

    def write(self) -> None:
        """Write the list, for commands that only need to know the jobs."""
        listed: list[dict[str, Any]] = [
            {"key": job.key, "swept": job.swept, "overrides": job.overrides} for job in self.jobs
        ]
        if self.search:
            listed = [{**job, "values": own} for job, own in zip(listed, self.values, strict=True)]
        write_json(self.file, {**({"search": self.search} if self.search else {}), "jobs": listed})

    def job_in(self, path: Path) -> Job | None:
        """Return the listed job whose folder this is, of any attempt; null if there is none."""
        known = job_id(path)
        return next((job for job in self.jobs if known == job.key), None)
