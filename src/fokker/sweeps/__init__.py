"""Sweeps: grids of jobs, their tables, figures and reports."""
