"""How submitit learns what has become of its jobs: from squeue, which needs no accounting."""

from submitit.slurm import slurm

ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "TIMEOUT",
)  # fmt: skip


class SqueueWatcher(slurm.SlurmInfoWatcher):
    """Asks SLURM's controller; a job that it does not know any more is over.

    It knows ended jobs for some minutes. Where it does not answer, nothing changes.
    """

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%N"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """The state of each job."""
        text = string if isinstance(string, str) else string.decode()
        found = {}
        for line in text.splitlines():
            job, state, nodes = line.strip().split("|")
            # Of a state that it has not heard of submitit thinks that it is an end; one that is
            # queued again is pending here.
            known = state if state in (*ENDED, "PENDING") else "RUNNING"
            found[job] = {"JobID": job, "State": known, "NodeList": nodes}
        for job in self._registered - self._finished - set(found):
            found[job] = {"JobID": job, "State": "VANISHED", "NodeList": ""}
        return found


def watch_by_squeue() -> None:
    """Let submitit's jobs be watched so."""
    if not isinstance(slurm.SlurmJob.watcher, SqueueWatcher):
        slurm.SlurmJob.watcher = SqueueWatcher(delay_s=10)
