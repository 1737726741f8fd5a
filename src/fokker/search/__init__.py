"""Searches for the best setting by Optuna."""
