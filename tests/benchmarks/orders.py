"""Measured orders of the solvers as a table, from far above the data's scale and from near it.

Of deterministic solvers: of the error on a mixture against its exact flow, down to a noise above 0.
Of stochastic ones: of the variance on a Gaussian, which is known without a sample. As in
tests/samplers/test_orders.py, between 64 and 256 steps, evenly spread in ln sigma.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "samplers"))

from exact_cases import (
    SAMPLERS,
    VARIANCE,
    Gaussian,
    GeneratorNoise,
    Mixture,
    flow_error,
    measured_order,
)
from test_orders import HIGH, LOW, NEAR, STEPS, STOCHASTIC, geometric, maps, two_stds

from fokker.diffusion.samplers import Sampler
from fokker.diffusion.sde import SDE
from sdes import SDES

Make = Callable[[SDE, int], Sampler]
RANGES = ((HIGH, LOW), NEAR)
DETERMINISTIC: dict[str, tuple[Make, str]] = {
    "`euler`, VP's time": (SAMPLERS["euler"], "vp_linear"),
    "`ddim`, and `euler` in EDM's time": (SAMPLERS["ddim"], "edm"),
    "`heun`": (SAMPLERS["heun"], "edm"),
    "`heun`, alpha 0.5 (midpoint)": (SAMPLERS["midpoint"], "edm"),
    "`heun`, alpha 0.667 (Ralston)": (SAMPLERS["ralston"], "edm"),
    "`dpmpp_2m`": (SAMPLERS["dpmpp_2m"], "edm"),
    "`dpmpp_3m`": (SAMPLERS["dpmpp_3m"], "edm"),
    "`adams`": (SAMPLERS["adams"], "edm"),
    "`adams`, stds [0.5, 0.1]": (two_stds, "edm"),
}
VARIANCES = {
    "`ancestral`": "ancestral_small",
    "`ddim`, eta 1": "ddim_1",
    "`euler_maruyama`": "euler_maruyama_1",
    "`reverse_diffusion`": "reverse_diffusion",
    "`edm_stochastic`": "edm_stochastic",
    "`dpmpp_2m_sde`": "2m_sde",
}


def evaluations(make: Make, sde: str) -> int:
    """Of a step in the middle of others."""
    counted = []
    for num_steps in (20, 21):
        gaussian, sampler = Gaussian(), make(SDES[sde], num_steps)
        noise = GeneratorNoise((1, 1))
        sampler(gaussian, geometric(num_steps - 1), Gaussian.law, noise)
        counted.append(gaussian.rows)
    return counted[1] - counted[0]


def line(name: str, make: Make, sde: str, errors: list[list[float]]) -> str:
    orders = [measured_order(STEPS, found) for found in errors]
    cells = [f"{order:.2f} | {found[-1]:.1e}" for order, found in zip(orders, errors)]
    return f"| {name} | {evaluations(make, sde)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    print("| sampler | NFE a step | order far | error | order near | error |")
    print("|---|---|---|---|---|---|")
    mixture = Mixture()
    for name, (make, sde) in DETERMINISTIC.items():
        walks = [
            [flow_error(make(SDES[sde], n + 1), geometric(n, *ends), mixture) for n in STEPS]
            for ends in RANGES
        ]
        print(line(name, make, sde, walks), flush=True)
    for name, case in VARIANCES.items():
        make, sde, _ = STOCHASTIC[case]
        found = [
            [
                abs(solver.variance(VARIANCE + high**2) / (VARIANCE + low**2) - 1)
                for solver in maps(make, sde, high, low)
            ]
            for high, low in RANGES
        ]
        print(line(name, make, sde, found), flush=True)
