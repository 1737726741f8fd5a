"""`evaluation=likelihood`: the likelihood of held-out data under a model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from fokker.data import StandardizedData
from fokker.diffusion.denoiser import ExactDenoiser
from fokker.diffusion.evaluations.noised import need_memory
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.diffusion.formulations.start import start_law
from fokker.diffusion.likelihood import (
    Divergence,
    ExactDivergence,
    HutchinsonDivergence,
    LawDivergence,
    Prior,
    bits_per_dim,
    chain_negative_elbo,
    decode,
    log_likelihood,
    mean_of,
    negative_elbo,
    pathwise_kl,
)
from fokker.diffusion.measures import measures_named
from fokker.distributions import Estimate
from fokker.evaluations.base import Evaluation
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.randomness import Randomness

# Up to this dimension the exact trace costs little more than a probe of it.
SMALL_DIM = 16
DEQUANTIZATION = Randomness(0)
STIFF_BELOW = 0.1


@final
@dataclass(frozen=True)
class Likelihood(Evaluation):
    """The ODE's log-likelihood, its bounds and its latents, on held-out data.

    The report has `-log p(x; sigma_min)` by the probability-flow ODE from the prior, the negative
    ELBO and, where the data's law is known, the KL divergence of the reverse SDE's paths
    (Girsanov), all of the same weights. They are in nats per sample, for densities in the units of
    the data's file. They are also in bits per dimension where the data declare their levels and
    range; points then have uniform noise of one level's width, with each value in its middle.

    Args:
        num_points: the largest number of held-out points.
        trace: the trace of dD/dy: `exact`, or by `rademacher` or `gaussian` probes; `auto`: exact
            up to 16 dimensions, else rademacher.
        probes: the number of probes a point.
        rtol, atol: the tolerances of the ODE.
        draws: the number of noise levels a point for the ELBO and the pathwise KL.
        sigma_min, sigma_max: the range of noise; null: that of the run's own grid.
        bits: whether to give bits per dimension; null: where levels and range are declared.
    Raises:
        ValueError: if a number is not positive.
    """

    of: ClassVar[type] = Diffusion
    num_points: int = 500
    trace: Literal["auto", "exact", "rademacher", "gaussian"] = "auto"
    probes: int = 1
    rtol: float = 1e-5
    atol: float = 1e-5
    draws: int = 64
    sigma_min: float | None = None
    sigma_max: float | None = None
    bits: bool | None = None

    def __post_init__(self) -> None:
        for key, least in (("num_points", 2), ("probes", 1), ("draws", 1)):
            if not getattr(self, key) >= least:
                raise ValueError(
                    f"evaluation.likelihood.{key} must be at least {least}, got "
                    f"{getattr(self, key)}"
                )
        for key, tolerance in (("rtol", self.rtol), ("atol", self.atol)):
            if not 0 < tolerance < math.inf:
                raise ValueError(
                    f"evaluation.likelihood.{key} must be positive and finite, got {tolerance:g}"
                )

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse a stochastic sampler, equal points, bits without levels, and an empty range."""
        if not way.sampler.is_deterministic:
            raise ValueError(
                "evaluation=likelihood needs a deterministic sampler, for it follows the "
                f"probability-flow ODE, got sampler={way.name}, whose samples have another "
                "law; choose one such as sampler=heun or ode_adaptive"
            )
        if not bool((model.start_law.variance > 0).any()):
            raise ValueError(
                "evaluation=likelihood needs data that vary, for equal points have no density, got "
                "training points that are all the same; give others, or leave the evaluation out"
            )
        if self.bits and model.data.levels is None:
            raise ValueError(
                "evaluation.likelihood.bits=true needs data that declare how many levels fill "
                "which range (data.levels and data.value_range), for a density alone has no bits; "
                "leave it null for nats"
            )
        dim = math.prod(model.data.shape)
        if model.data.fresh:  # A finite set has no more than its own points.
            need_memory("likelihood", "num_points", self.num_points, 2 * dim * self.num_points)
        # Memory for all probes of a point, in float32.
        if self.trace != "exact" and (self.trace != "auto" or dim > SMALL_DIM):
            need_memory("likelihood", "probes", self.probes, dim * self.probes / 2)
        low, high = self._range(way)
        if self.sigma_min is None and len(way.nodes) < 3:
            raise ValueError(
                "evaluation=likelihood needs a grid of at least 2 steps for its range, or "
                "evaluation.likelihood.sigma_min; got sampler.num_steps=1"
            )
        if not 0 < low < high < math.inf:
            raise ValueError(
                "evaluation.likelihood.sigma_min must be positive and below sigma_max="
                f"{high:g}, got {low:g}"
            )

        if model.is_exact and not model.data.fresh and low < STIFF_BELOW:
            raise ValueError(
                f"evaluation.likelihood.sigma_min must be at least {STIFF_BELOW:g} with "
                f"network=exact on a finite set, got {low:g}: below, the flow of the ideal "
                "denoiser falls onto single points, and its ODE is too stiff to be solved"
            )

    def _range(self, way: SamplerWay) -> tuple[float, float]:
        low, high = float(way.nodes[-2]), float(way.nodes[0])
        return (
            low if self.sigma_min is None else self.sigma_min,
            high if self.sigma_max is None else self.sigma_max,
        )

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return the measures of its numbers, by name."""
        names = ["nll", "negative_elbo", "round_trip_rms", "nfe", "rtol", "atol"]
        if model.data.levels is not None and self.bits is not False:
            names.append("bits_per_dim")
        if model.data.model_law is not None:
            names += ["pathwise_kl", "pathwise_kl_prior"]
            names += ["exact_nll"] if model.data.fresh else []
        return measures_named(f"likelihood_{name}" for name in names)

    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the likelihoods of a model that is ready."""
        data = model.data
        low, high = self._range(way)
        prior = Prior(model.start_law, way.sampler.prior)
        x = self._points(data)
        d, unit = math.prod(data.shape), data.log_scale
        found = log_likelihood(
            self._divergence(model, len(x), randomness), x, prior, low, high, self.rtol, self.atol
        )
        nll = -found.nats + d * unit
        named: list[tuple[str, str, Estimate]] = [("nll", "nats", mean_of(nll))]
        if data.levels is not None and self.bits is not False:
            # The mean of ln(scale) over the elements is the logarithm of their geometric mean.
            scale, value_range = math.exp(unit), data.value_range or 0.0
            bits = bits_per_dim(found.nats, d, scale, data.levels, value_range)
            named.append(("bits_per_dim", "bits", mean_of(bits)))
        if model.levels is None:
            bound = negative_elbo(model.denoiser, x, low, high, prior, randomness, self.draws)
        else:
            levels = model.levels
            bound = chain_negative_elbo(model.denoiser, x, levels, prior, randomness, self.draws)
        named.append(("negative_elbo", "nats", mean_of(bound.nats + d * unit)))
        named += self._against_law(model, x, low, high, prior, randomness)
        back = decode(model.denoiser, found.latents, low, high, self.rtol, self.atol)
        round_trip = float((back - x).square().mean().sqrt()) * data.scale
        rows: list[dict[str, Any]] = [
            {"quantity": name, "value": e.value, "standard_error": e.standard_error, "unit": unit}
            for name, unit, e in named
        ]
        rows.append(
            {"quantity": "round_trip_rms", "value": round_trip, "standard_error": None,
             "unit": data.unit_label}
        )  # fmt: skip
        nfe = float(found.evaluations.double().mean())
        rows.append(
            {"quantity": "nfe", "value": nfe, "standard_error": None, "unit": "of D and its trace"}
        )
        metrics = {f"likelihood_{row['quantity']}": float(row["value"]) for row in rows}
        metrics |= {f"likelihood_{name}_standard_error": e.standard_error for name, _, e in named}
        has_own_units = data.unit_label == "data units"
        in_units = "data units" if has_own_units else "the units of the file"
        return Report(
            name="likelihood",
            title=f"likelihood of {len(x)} held-out points, per sample, in {in_units}",
            rows=rows,
            metrics={**metrics, "likelihood_rtol": self.rtol, "likelihood_atol": self.atol},
            notes=self._notes(model, low, high),
            arrays={
                "points": data.to_file(data.to_data(x)),
                "latents": found.latents,
                "nll": nll,
            },
        )

    def _notes(self, model: Diffusion, low: float, high: float) -> list[str]:
        """Return notes on how the numbers were found, and on what they lack."""
        trace = self._trace(model)
        probes = "" if trace == "exact" else f", {self.probes} a point"
        notes = [
            f"trace {trace}{probes}; rtol {self.rtol:g}, atol {self.atol:g}; "
            f"sigma {low:.4g} to {high:.4g}"
        ]
        if model.data.levels is None:
            notes.append("no bits per dimension: the data declare no levels and range")
        return [*notes, *self._of_constants(model.data, low)]

    def _of_constants(self, data: StandardizedData, low: float) -> list[str]:
        """Say that constant elements count, though they have no density unless data have levels."""
        constant = (start_law(data).variance == 0).flatten().nonzero().flatten().tolist()
        if not constant or data.levels is not None:
            return []
        # The nll of an element that equals its mean; constant elements have only the model's scale.
        each = math.log(low * data.scale * math.sqrt(2 * math.pi))
        return [
            f"{data.named(constant)} constant in the training points and without a density: to "
            f"nll and negative_elbo the lowest noise alone adds {each:.3g} nats or more for each, "
            "which says nothing of the data; take them out of the file"
        ]

    def _points(self, data: StandardizedData) -> Tensor:
        """Return held-out points in the model's units, float64; uniform noise fills levels."""
        x = data.held_out(self.num_points).x
        if data.levels is not None and data.value_range is not None:
            width = data.value_range / data.levels
            generator = DEQUANTIZATION.generator("held_out")
            noise = width * (torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5)
            # Levels are one width apart in the file; each value is the middle of its level.
            in_file = data.to_file(x)
            x = data.from_file(in_file + noise.reshape(in_file.shape))
        return (x.double() - data.shift) / data.scale

    def _trace(self, model: Diffusion) -> str:
        if model.is_exact:
            return "exact"
        small = math.prod(model.data.shape) <= SMALL_DIM
        return ("exact" if small else "rademacher") if self.trace == "auto" else self.trace

    def _divergence(self, model: Diffusion, count: int, randomness: Randomness) -> Divergence:
        trace, law = self._trace(model), model.data.model_law
        if model.is_exact and law is not None:
            return LawDivergence(law)
        if trace == "exact":
            return ExactDivergence(model.denoiser)
        kind: Literal["rademacher", "gaussian"] = (
            "gaussian" if trace == "gaussian" else "rademacher"
        )
        return HutchinsonDivergence(
            model.denoiser, randomness, 0, count, model.data.shape, self.probes, kind
        )

    def _against_law(
        self,
        model: Diffusion,
        x: Tensor,
        low: float,
        high: float,
        prior: Prior,
        randomness: Randomness,
    ) -> list[tuple[str, str, Estimate]]:
        """Return the numbers that need a known law: the best possible nll, and the KL of paths."""
        data, law = model.data, model.data.model_law
        if law is None:
            return []
        d, unit = law.dim, data.log_scale
        named = []
        points = x
        if data.fresh:
            best = -law.log_prob(x.flatten(1), low) + d * unit
            named.append(("exact_nll", "nats", mean_of(best)))
        else:
            training = data.training_points()
            if training is not None:
                points = (training[: self.num_points].double() - data.shift) / data.scale
        kl = pathwise_kl(
            ExactDenoiser(law), model.denoiser, points, low, high, prior, randomness, self.draws
        )
        named.append(("pathwise_kl", "nats", mean_of(kl.path)))
        named.append(("pathwise_kl_prior", "nats", mean_of(kl.prior)))
        return named
