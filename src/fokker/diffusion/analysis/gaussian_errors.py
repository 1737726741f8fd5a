"""The exact law of a sampler on Gaussian data, and its errors by their causes."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.analysis.model import Model
from fokker.diffusion.samplers import (
    GivenStart,
    Nodes,
    Sampler,
    StartLaw,
    gaussian_answer,
    mean_answer,
)
from fokker.distributions import Gaussian, GaussianCovariance


@final
@dataclass(frozen=True)
class GaussianErrors:
    """2-Wasserstein distances between neighbours in a chain of four Gaussian laws.

    data -> truncated -> reversed -> sampled:

    - data: N(m, S);
    - truncated: D(y; sigma_min) of y ~ p(.; sigma_min), the data's law at the lowest noise;
    - reversed: D(y; sigma_min) of y that the exact reverse process brings from the start law at
      sigma_T to sigma_min, in the members of the SDE family that the sampler's transitions
      discretise;
    - sampled: the sampler's samples on its grid.

    A distance is between whole samples: its square is a sum over d elements, not an average.

    Attributes:
        truncation: W2(data, truncated), in the units of the law.
        initialisation: W2(truncated, reversed).
        discretisation: W2(reversed, sampled).
        total: W2(data, sampled).
        stds: the standard deviations of the four laws along each eigenvector of S, (4, d).
        means: the means of the four laws along each eigenvector, (4, d).
    """

    truncation: float
    initialisation: float
    discretisation: float
    total: float
    stds: Tensor
    means: Tensor

    @property
    def displacements(self) -> Tensor:
        """Return what each of the three errors adds to the standard deviations, signed, (3, d).

        Displacements sum to what the total adds, while distances do not add. Where all four laws
        have the eigenvectors of S (prior published, or equal variances of all elements), a
        distance is the root of the summed squares of its displacements and `means.diff(dim=0)`.
        """
        return self.stds.diff(dim=0)


@final
@dataclass(frozen=True)
class _Law:
    """`N(mean, R R^T)` in the coordinates of the data's eigenvectors.

    Args:
        mean: the mean, (d,).
        root: R, (d, d), or its diagonal, (d,), where the coordinates are independent.
    """

    mean: Tensor
    root: Tensor

    @property
    def std(self) -> Tensor:
        return self.root if self.root.dim() == 1 else self.root.norm(dim=1)

    @property
    def matrix(self) -> Tensor:
        return self.root.diag() if self.root.dim() == 1 else self.root

    def mapped(self, centre: Tensor, kept: Tensor, gain: Tensor, variance: Tensor) -> "_Law":
        """Return the law of `kept centre + gain (y - centre) + sqrt(variance) n`, each (d,)."""
        mean = kept * centre + gain * (self.mean - centre)
        if self.root.dim() == 1:
            return _Law(mean, ((gain * self.root) ** 2 + variance).sqrt())
        wide = torch.cat([gain[:, None] * self.root, variance.sqrt().diag()], dim=1)
        # QR takes a root of wide wide^T without squaring it, so small variances keep their digits.
        return _Law(mean, torch.linalg.qr(wide.T, mode="r").R.T)


def _distance(p: _Law, q: _Law) -> float:
    """Return W2, where `W2^2 = |m_p - m_q|^2 + min_U |R_p - R_q U|^2` over orthogonal U.

    The second term is the Bures distance `tr(P + Q - 2 (P^1/2 Q P^1/2)^1/2)` without its
    cancellation, by which laws nearer than 1e-8 could not be told apart.
    """
    if p.root.dim() == q.root.dim() == 1:
        spread = p.root - q.root
    else:
        left, _, right = torch.linalg.svd(q.matrix.T @ p.matrix)
        spread = p.matrix - q.matrix @ (left @ right)
    return float(torch.cat([spread.flatten(), p.mean - q.mean]).norm())


@final
@dataclass(frozen=True)
class _Problem:
    """Data N(mean, diag(eigenvalues)) in their own axes, a sampler on a grid, and its start."""

    sampler: Sampler
    nodes: Nodes
    mean: Tensor
    eigenvalues: Tensor
    axes: Tensor
    start: _Law

    def sampled(self) -> _Law:
        """Return the law of the samples."""
        answer = gaussian_answer(self.sampler, self.nodes, self.eigenvalues)
        kept = mean_answer(self.sampler, self.nodes, self.eigenvalues)
        law = self.start.mapped(self.mean, kept, answer.gain, answer.variance)
        if not bool(law.std.isfinite().all() and law.mean.isfinite().all()):
            name = type(self.sampler).__name__
            raise ValueError(f"{name} diverges on these nodes: use more steps or another sampler")
        return law

    def reversed(self) -> _Law:
        """Return the law of D after the exact reverse process to sigma_min.

        Along member c a start variance `lambda + sigma_a^2 + delta` becomes `lambda + sigma_b^2 +
        delta ((lambda + sigma_b^2)/(lambda + sigma_a^2))^(1 + c^2)`.
        """
        logs = torch.zeros_like(self.eigenvalues)  # ln of the ODE's squared gain
        noise = torch.zeros_like(self.eigenvalues)  # ln of the factor that c adds to it
        sigmas = self.nodes.sigma[:-1]
        members = self.sampler.members(self.nodes)
        for c, (a, b) in zip(members, pairwise(sigmas), strict=True):
            # It is negative even where it rounds to 0, so that c = inf forgets the start there too.
            step = ((self.eigenvalues + b**2) / (self.eigenvalues + a**2)).log().clamp(max=-1e-300)
            logs, noise = logs + step, noise + c * c * step
        low = self.eigenvalues + sigmas[-1] ** 2
        last = self.eigenvalues / low
        gain = last * torch.exp((logs + noise) / 2)
        variance = -(last**2) * low * torch.expm1(noise)
        return self.start.mapped(self.mean, torch.ones_like(last), gain, variance)

    def truncated(self) -> _Law:
        low = (self.eigenvalues + self.nodes.sigma[-2] ** 2).sqrt()
        return _Law(self.mean, self.eigenvalues / low)


def _problem(
    law: Gaussian | GaussianCovariance, sampler: Sampler, sigmas: Tensor, start: StartLaw | None
) -> _Problem:
    if isinstance(law, Gaussian):
        eigenvalues, axes = law.variance, torch.eye(law.dim, dtype=torch.float64)
    else:
        eigenvalues, axes = law.eigenvalues, law.axes
    nodes = Nodes(sampler.sde, sigmas.to("cpu", torch.float64))
    moments = StartLaw(law.mean, law.variance) if start is None else start
    centre, variance = (
        part.detach().to("cpu", torch.float64).flatten()
        for part in (moments.mean, moments.variance)
    )
    if not len(centre) == len(variance) == law.dim:
        raise ValueError(
            f"start must have the {law.dim} elements of the law, got a mean of {len(centre)} and a "
            f"variance of {len(variance)}"
        )
    own = StartLaw(torch.zeros_like(centre), variance)
    std = sampler.start(nodes.sigma[0], own, GivenStart(torch.ones_like(centre)))
    # The start's elements are independent. Its coordinates in the data's axes are so only if all
    # standard deviations are equal, or if the axes are those of the elements.
    alike = isinstance(law, Gaussian) or bool((std == std[0]).all())
    root = std if alike else axes.T * std
    return _Problem(sampler, nodes, law.mean @ axes, eigenvalues, axes, _Law(centre @ axes, root))


def gaussian_errors(
    law: Gaussian | GaussianCovariance,
    sampler: Sampler,
    sigmas: Tensor,
    start: StartLaw | None = None,
) -> GaussianErrors:
    """Return the errors of a sampler by cause, on Gaussian data with the exact denoiser.

    With `D = m + S (S + sigma^2 I)^-1 (y - m)` each sampler is an affine map of its start and its
    draws, eigenvector by eigenvector. So its law is Gaussian, and known to rounding (Pierret
    & Galerne 2025, arXiv 2405.14250); the law of an adaptive sampler is known to its tolerance. No
    sample is drawn: the sampler itself runs on fixed starts and unit draws.

    Args:
        law: the law of the data, in the sampler's (standardised) units.
        sampler: the sampler, run as it is, in float64.
        sigmas: the grid points, (N + 1,), the last 0.
        start: the data's moments as the sampler is given them, (*shape); null: those of `law`.

    Raises:
        ValueError: if the sampler is not affine (norms=batch), asks for noise though it says that
            it is deterministic, or diverges; or if start does not fit the law.
    """
    problem = _problem(law, sampler, sigmas, start)
    data = _Law(problem.mean, problem.eigenvalues.sqrt())
    truncated, reverse, sampled = problem.truncated(), problem.reversed(), problem.sampled()
    laws = (data, truncated, reverse, sampled)
    return GaussianErrors(
        truncation=_distance(data, truncated),
        initialisation=_distance(truncated, reverse),
        discretisation=_distance(reverse, sampled),
        total=_distance(data, sampled),
        stds=torch.stack([one.std for one in laws]),
        means=torch.stack([one.mean for one in laws]),
    )


def sampled_law(
    law: Gaussian | GaussianCovariance,
    sampler: Sampler,
    sigmas: Tensor,
    start: StartLaw | None = None,
) -> GaussianCovariance:
    """Return the law of the samples that a sampler draws on Gaussian data with the exact denoiser.

    Arguments and errors are those of `gaussian_errors`.
    """
    problem = _problem(law, sampler, sigmas, start)
    sampled = problem.sampled()
    root = problem.axes @ sampled.matrix
    return GaussianCovariance(problem.axes @ sampled.mean, root @ root.T)


def exact_distances(
    model: Model, sampler: Sampler, nodes: Tensor
) -> dict[str, float]:
    """Return the ideal denoiser's exact W2 to Gaussian data, and its causes, without sampling.

    They are in the data's units. The result is empty for other data, for a network, and for a
    sampler whose law is not known.
    """
    data = model.data
    law = data.law
    if not (model.is_exact and isinstance(law, (Gaussian, GaussianCovariance))):
        return {}
    centred, spread = (law.mean - data.shift) / data.scale, law.covariance / data.scale**2
    standardized = GaussianCovariance(centred, spread)
    names = ("w2", "w2_truncation", "w2_initialisation", "w2_discretisation")
    try:
        errors = gaussian_errors(standardized, sampler, nodes, model.start_law)
    except ValueError:  # The sampler is not affine, or it diverges.
        return {}
    found = (errors.total, errors.truncation, errors.initialisation, errors.discretisation)
    return {name: value * data.scale for name, value in zip(names, found, strict=True)}
