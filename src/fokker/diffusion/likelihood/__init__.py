"""Likelihoods and bounds on them, in nats per sample."""

from fokker.diffusion.likelihood.bits import bits_per_dim
from fokker.diffusion.likelihood.divergence import (
    Divergence,
    ExactDivergence,
    HutchinsonDivergence,
    LawDivergence,
)
from fokker.diffusion.likelihood.elbo import NegativeELBO, chain_negative_elbo, negative_elbo
from fokker.diffusion.likelihood.monte_carlo import mean_of
from fokker.diffusion.likelihood.ode import LogLikelihood, decode, encode, log_likelihood
from fokker.diffusion.likelihood.pathwise_kl import PathwiseKL, pathwise_kl, pathwise_kl_rate
from fokker.diffusion.likelihood.prior import Prior

__all__ = [
    "Divergence",
    "ExactDivergence",
    "HutchinsonDivergence",
    "LawDivergence",
    "LogLikelihood",
    "NegativeELBO",
    "PathwiseKL",
    "Prior",
    "bits_per_dim",
    "chain_negative_elbo",
    "decode",
    "encode",
    "log_likelihood",
    "mean_of",
    "negative_elbo",
    "pathwise_kl",
    "pathwise_kl_rate",
]
