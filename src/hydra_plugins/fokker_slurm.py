"""The plugin for fokker's SLURM launcher; hydra finds plugins only in this namespace package."""

from typing import final

from fokker.launch.slurm_launcher import SlurmLauncher


@final
class FokkerSlurmLauncher(SlurmLauncher):
    """The launcher `hydra/launcher=submitit_slurm`."""
