"""The command line: its flags, its tasks, and the processes of a run."""
