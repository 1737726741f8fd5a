"""Any parts with any parameters that their docstrings allow, as hypothesis strategies."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import hypothesis
from hypothesis import strategies as st

from fokker.diffusion.grids import IDDPM, EDMRho, Geometric, Grid, QuadraticTime, UniformTime
from fokker.diffusion.sde import (
    EDM,
    SDE,
    Rectified,
    SubVP,
    VEGeometric,
    VESqrt,
    VPCosine,
    VPLinear,
    VPOrnsteinUhlenbeck,
)

T = TypeVar("T")

#: The lowest and the highest noise that an SDE can have.
LOWEST, HIGHEST = 1e-8, 1e8
PLAIN_SDES: tuple[type[SDE], ...] = (EDM, Rectified, VEGeometric, VESqrt, VPOrnsteinUhlenbeck)
#: What no number of a part may be.
NOT_NUMBERS = (math.nan, math.inf, -math.inf)


def examples(count: int) -> hypothesis.settings:
    """So many examples of a test; times as many under a profile with more than 100."""
    return hypothesis.settings(max_examples=count * hypothesis.settings.default.max_examples // 100)


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """Positive numbers, even in their logarithm."""
    logs = st.floats(math.log10(low), math.log10(high))
    return logs.map(lambda log: min(max(10**log, low), high))


@st.composite
def ranges(
    draw: st.DrawFn, low: float = LOWEST, high: float = HIGHEST, narrowest: float = 1e-3
) -> tuple[float, float]:
    """Two numbers in low to high, the second larger by at least `narrowest` of itself."""
    first = draw(powers(low, high / (1 + 2 * narrowest)))
    return first, draw(powers(first * (1 + 2 * narrowest), high))


def made_or_refused(make: Callable[..., T], keys: Iterable[str], **arguments: Any) -> T:
    """A part; parameters that do not go together have to be refused by the name of a key."""
    try:
        return make(**arguments)
    except ValueError as error:
        check_named(error, keys)
        hypothesis.reject()


def check_named(error: ValueError, keys: Iterable[str]) -> None:
    """The sentence names one of the keys, as a whole word."""
    assert any(re.search(rf"\b{re.escape(key)}\b", str(error)) for key in keys), str(error)


@st.composite
def ends(draw: st.DrawFn) -> dict[str, float]:
    """None, one or both ends of an SDE's range."""
    low, high = draw(ranges())
    given = draw(st.sampled_from(["none", "both", "low", "high"]))
    if given == "none":
        return {}
    if given == "both":
        return {"sigma_min": low, "sigma_max": high}
    if given == "low":
        return {"sigma_min": draw(powers(LOWEST, 50))}
    return {"sigma_max": draw(powers(0.05, HIGHEST))}


@st.composite
def sdes(draw: st.DrawFn) -> SDE:
    """Any SDE of conf/sde."""
    kind = draw(st.sampled_from([*PLAIN_SDES, VPCosine, VPLinear, SubVP]))
    arguments: dict[str, float] = draw(ends())
    if kind is VPCosine and draw(st.booleans()):
        arguments["offset"] = draw(st.floats(1e-6, 0.999))
    if kind in (VPLinear, SubVP) and draw(st.booleans()):
        arguments["beta_min"], arguments["beta_max"] = draw(powers(1e-3, 36)), draw(powers(0.1, 36))
    keys = [f"sde.{key}" for key in ("sigma_min", "sigma_max", "beta_min", "beta_max")]
    return made_or_refused(kind, keys, **arguments)


@st.composite
def grids(draw: st.DrawFn, sde: SDE, given: bool = True) -> Grid:
    """Any grid of conf/grid but that of a model's own levels, with ends that the SDE has."""
    kind = draw(st.sampled_from([EDMRho, UniformTime, QuadraticTime, Geometric, IDDPM]))
    arguments: dict[str, Any] = {}
    if given and draw(st.booleans()):
        low, high = sde.sigma_min, sde.sigma_max
        first, last = draw(st.floats(0, 1)), draw(st.floats(0, 1))
        for key, place in zip(("sigma_min", "sigma_max"), sorted((first, last))):
            if draw(st.booleans()):
                arguments[key] = min(max(low * (high / low) ** place, low), high)
    if kind is EDMRho and draw(st.booleans()):
        arguments["rho"] = draw(powers(0.1, 1000))
    if kind is IDDPM:
        arguments["num_levels"] = draw(st.sampled_from([2, 3, 10, 100, 1000]))
    return made_or_refused(kind, ["grid.rho"], **arguments)
