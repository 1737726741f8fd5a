"""A sweep or a search as its folder has it.

Nothing here needs torch, so that a sweep which is done says so at once.
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
    """A sweep or a search as its folder has it.

    Attributes:
        folder: where its jobs lie, and jobs.json, which lists them.
        jobs: in order, each with its key, its values of the swept keys and its overrides.
        values: of the parameters of a search, a mapping a job as it stands there; empty of a sweep.
        search: the name of the search; empty of a sweep, or where nothing is listed.
    """

    folder: Path
    jobs: tuple[Job, ...] = ()
    values: tuple[Any, ...] = ()
    search: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """What a folder lists; nothing where it has no list.

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
        """The list."""
        return self.folder / "jobs.json"

    def write(self) -> None:
        """Write the list, for whoever wants no more than what the jobs are."""
        listed: list[dict[str, Any]] = [
            {"key": job.key, "swept": job.swept, "overrides": job.overrides} for job in self.jobs
        ]
        if self.search:
            listed = [{**job, "values": own} for job, own in zip(listed, self.values, strict=True)]
        write_json(self.file, {**({"search": self.search} if self.search else {}), "jobs": listed})

    def job_in(self, path: Path) -> Job | None:
        """The job whose folder this is, of whatever attempt; null if it is none of the listed."""
        known = job_id(path)
        return next((job for job in self.jobs if known == job.key), None)
