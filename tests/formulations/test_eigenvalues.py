"""The eigenvalues of the data's covariance, in the model's units."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.data import Digits, FiniteData, ToyData
from fokker.diffusion.formulations import start
from fokker.diffusion.formulations.start import eigenvalues
from fokker.distributions import Gaussian, GaussianCovariance, Ring


class Tilted(FiniteData):
    """Three points on a line through the plane, and their mirror images."""

    def load(self) -> Tensor:
        points = torch.tensor([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]], dtype=torch.float64)
        return torch.cat([points, -points])


class Unknown(Tilted):
    """Data that tell nothing of themselves but batches."""

    law = None

    def training_points(self) -> None:  # type: ignore[override]
        return None


def test_of_a_law_they_are_its_own() -> None:
    """Standardised to 0.5 over all elements: eigenvalues 1 and 9 have the mean 5, not 0.25."""
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    covariance = turn @ torch.diag(torch.tensor([1.0, 9.0], dtype=torch.float64)) @ turn.T
    data = ToyData(lambda: GaussianCovariance([3.0, 3.0], (covariance + covariance.T) / 2))
    expected = torch.tensor([0.05, 0.45], dtype=torch.float64)
    torch.testing.assert_close(eigenvalues(data), expected, rtol=1e-12, atol=0)
    ring = ToyData(partial(Ring, modes=8, radius=2.0, std=0.1))
    torch.testing.assert_close(eigenvalues(ring), torch.tensor([0.25, 0.25]).double())
    plain = ToyData(partial(Gaussian, mean=1.0, std=[0.2, 4.0]), standardize=False)
    torch.testing.assert_close(eigenvalues(plain), torch.tensor([0.04, 16.0]).double())


def test_of_a_finite_set_they_are_its_points() -> None:
    data = Digits()
    points = data.to_model(data.training_points()).flatten(1).double().numpy()
    expected = np.linalg.svd(points - points.mean(0), compute_uv=False) ** 2 / len(points)
    got = eigenvalues(data)
    assert got.shape == (64,)
    assert bool((got >= 0).all())
    assert got.numpy()[::-1] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    # A line in the plane has one.
    assert eigenvalues(Tilted(standardize=False))[0] == pytest.approx(0, abs=1e-12)


def test_of_equal_points_they_are_0_and_not_rounding() -> None:
    class Equal(FiniteData):
        def load(self) -> np.ndarray:
            return np.array([[0.1, 0.7, 1e5 / 3]]).repeat(90, axis=0)

    assert eigenvalues(Equal()).tolist() == [0, 0, 0]


def test_without_a_law_and_in_many_dimensions_they_are_variances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, unknown = Tilted(standardize=False), Unknown(standardize=False)
    points = known.training_points()
    assert points is not None
    variances = points.var(0, correction=0)
    torch.testing.assert_close(eigenvalues(unknown), variances)
    assert float(eigenvalues(known)[-1]) == pytest.approx(float(variances.sum()))
    monkeypatch.setattr(start, "MAX_COVARIANCE_DIM", 1)
    torch.testing.assert_close(eigenvalues(Tilted(standardize=False)), variances)
