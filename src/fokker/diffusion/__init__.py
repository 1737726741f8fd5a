"""Diffusion processes with Gaussian noise: their parts, samplers, analyses and evaluations."""
