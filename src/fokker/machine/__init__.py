"""The machine: files that are whole or not there, processes, GPUs, signals, the terminal."""
