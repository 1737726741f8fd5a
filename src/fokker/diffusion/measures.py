"""The measures of processes with Gaussian noise: for each number its words and its unit."""

from collections.abc import Iterable

from fokker.measures import UNITS, Measure, measure_of

_SQUARED = "standardised units²"

_MEASURES = {
    "w2": Measure("exact W2", UNITS),
    "w2_truncation": Measure("exact W2 of truncation", UNITS),
    "w2_initialisation": Measure("exact W2 of initialisation", UNITS),
    "w2_discretisation": Measure("exact W2 of discretisation", UNITS),
    "denoising_error": Measure("denoising error", _SQUARED, is_of_model=True),
    "error_truncation": Measure("truncation error (r.m.s.)", UNITS),
    "error_prior": Measure("error of the prior (r.m.s.)", UNITS),
    "error_discretisation": Measure("discretisation error (r.m.s.)", UNITS),
    "error_learning": Measure("learning error (r.m.s.)", UNITS),
    "error_measured": Measure("measured displacement (r.m.s.)", UNITS),
    "likelihood_nll": Measure("negative log-likelihood", "nats a sample"),
    "likelihood_exact_nll": Measure("negative log-likelihood of the law itself", "nats a sample"),
    "likelihood_negative_elbo": Measure("negative ELBO", "nats a sample"),
    "likelihood_bits_per_dim": Measure("negative log-likelihood", "bits per dimension"),
    "likelihood_pathwise_kl": Measure("pathwise KL divergence", "nats a sample"),
    "likelihood_pathwise_kl_prior": Measure("pathwise KL divergence of the prior", "nats a sample"),
    "likelihood_round_trip_rms": Measure("round-trip error (r.m.s.)", UNITS),
    "likelihood_nfe": Measure("number of function evaluations", "of a likelihood"),
    "likelihood_rtol": Measure("relative tolerance of the likelihood's ODE"),
    "likelihood_atol": Measure("absolute tolerance of the likelihood's ODE"),
}


def measures_named(names: Iterable[str]) -> dict[str, Measure]:
    """Return the measures of numbers by name; the platform describes the others, such as `loss`."""
    return {name: _MEASURES.get(name) or measure_of(name) for name in names}
