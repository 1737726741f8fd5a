"""Names fokker's SLURM launcher to hydra, which finds plugins in this namespace package alone."""

from typing import final

from fokker.launch.slurm_launcher import SlurmLauncher


@final
class FokkerSlurmLauncher(SlurmLauncher):
    """`hydra/launcher=submitit_slurm`."""
