"""Diffusion: processes with Gaussian noise, all that they are made of and evaluated by."""
