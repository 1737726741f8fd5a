"""A watcher of submitit's jobs that asks squeue, which needs no accounting."""

from submitit.slurm import slurm

ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "TIMEOUT",
)  # fmt: skip


class SqueueWatcher(slurm.SlurmInfoWatcher):
    """A watcher that asks SLURM's controller; a job that the controller has forgotten is over.

    The controller knows ended jobs for some minutes. While it does not answer, nothing changes.
    """

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%N"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return the state of each job."""
        text = string if isinstance(string, str) else string.decode()
        found = {}
        for line in text.splitlines():
            job, state, nodes = line.strip().split("|")
            # Submitit takes a state that it does not know for an end. A job that is queued again is
            # pending here.
            known = state if state in (*ENDED, "PENDING") else "RUNNING"
            found[job] = {"JobID": job, "State": known, "NodeList": nodes}
        for job in self._registered - self._finished - set(found):
            found[job] = {"JobID": job, "State": "VANISHED", "NodeList": ""}
        return found


def watch_by_squeue() -> None:
    """Let submitit watch its jobs by squeue."""
    if not isinstance(slurm.SlurmJob.watcher, SqueueWatcher):
        slurm.SlurmJob.watcher = SqueueWatcher(delay_s=10)
