"""Effects of the factors of a sweep, against closed forms and synthetic noise."""

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from fokker.sweeps.effects import Effects, effects_of, factors_of
from fokker.sweeps.jobs import Row

LEVELS = {"a": ("x", "y", "z"), "b": ("1", "2"), "c": ("p", "q")}
#: Sums to 0 over the levels of each.
MAIN = {"a": {"x": 0.5, "y": -0.2, "z": -0.3}, "b": {"1": 0.1, "2": -0.1}, "c": {"p": 0, "q": 0}}
PAIR = {("x", "1"): 0.25, ("y", "1"): -0.05, ("z", "1"): -0.2}


def additive(**levels: str) -> float:
    return 3.0 + sum(MAIN[key][level] for key, level in levels.items())


def interacting(**levels: str) -> float:
    sign = 1 if levels["b"] == "1" else -1
    return additive(**levels) + sign * PAIR[levels["a"], "1"]


def rows_of(
    value: Callable[..., float],
    seeds: tuple[str, ...] = (),
    levels: Mapping[str, tuple[str, ...]] = LEVELS,
    **more: Any,
) -> list[Row]:
    rows = []
    for chosen in product(*levels.values()):
        own = dict(zip(levels, chosen))
        for seed in seeds or ("",):
            of_seed = {"seed": seed} if seeds else {}
            rows.append({**own, **of_seed, "status": "completed", "w1": value(**own), **more})
    return rows


def by_name(effects: Effects) -> dict[tuple[str, ...], float]:
    return {effect.levels: effect.value for effect in effects.effects}


def test_an_additive_table_has_its_main_effects_and_no_interactions() -> None:
    found = effects_of(rows_of(additive), ["a", "b", "c"], "w1")
    for effect in found.effects:
        one = len(effect.factors) == 1
        expected = MAIN[effect.factors[0]][effect.levels[0]] if one else 0
        assert effect.value == pytest.approx(expected, abs=1e-14)
        assert effect.value == expected or one, "0 but for rounding is 0"
        assert effect.error is None
    assert len(found.effects) == 3 + 2 + 2 + 6 + 6 + 4
    assert found.note == "one seed, and no standard errors are known"


def test_a_planted_interaction_is_found() -> None:
    found = by_name(effects_of(rows_of(interacting), ["a", "b", "c"], "w1"))
    for (level, one), expected in PAIR.items():
        assert found[level, one] == pytest.approx(expected)
        assert found[level, "2"] == pytest.approx(-expected)
        assert found[level, "p"] == pytest.approx(0, abs=1e-14)
    assert found["x",] == pytest.approx(0.5)


def test_factors_multiply_where_values_do() -> None:
    levels = {"a": ("x", "y"), "b": ("1", "2")}
    powers = {"x": 1, "y": -1, "1": 2, "2": -2}
    rows = rows_of(lambda a, b: 5 * 2.0 ** (powers[a] + powers[b]), levels=levels)
    found = {e.levels: e.factor for e in effects_of(rows, ["a", "b"], "w1").effects}
    assert found["x",] == pytest.approx(2)
    assert found["2",] == pytest.approx(1 / 4)
    assert found["x", "1"] == pytest.approx(1)
    rows[0]["w1"] = -1.0
    assert {e.factor for e in effects_of(rows, ["a", "b"], "w1").effects} == {None}


def test_the_error_of_one_seed_is_that_of_its_runs_by_their_weights() -> None:
    levels = {"a": ("x", "y", "z"), "b": ("1", "2")}
    rows = rows_of(interacting_of_two, levels=levels)
    errors = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).reshape(3, 2)
    for row, error in zip(rows, errors.ravel()):
        row["w1_standard_error"] = error
    found = {e.levels: e.error for e in effects_of(rows, ["a", "b"], "w1").effects}
    # Of level x: (y_x1 + y_x2) / 2 - mean of six; of (x, 1): what is left without both.
    own = np.full((3, 2), -1 / 6)
    own[0] += 1 / 2
    assert found["x",] == pytest.approx(math.sqrt(((own * errors) ** 2).sum()))
    pair = np.full((3, 2), 1 / 6)
    pair[0] -= 1 / 2
    pair[:, 0] -= 1 / 3
    pair[0, 0] += 1
    assert found["x", "1"] == pytest.approx(math.sqrt(((pair * errors) ** 2).sum()))


def interacting_of_two(a: str, b: str) -> float:
    return MAIN["a"][a] + MAIN["b"][b] + (1 if b == "1" else -1) * PAIR[a, "1"]


def test_what_a_seed_adds_to_all_settings_is_no_error() -> None:
    levels = {"a": ("x", "y", "z"), "b": ("1", "2")}
    rows = rows_of(interacting_of_two, ("0", "1", "2"), levels)
    for row in rows:
        row["w1"] += 10.0 * int(row["seed"])
    found = effects_of(rows, ["a", "b", "seed"], "w1")
    assert found.n == 3
    assert "one standard error over 3 seeds" in found.note
    for effect in found.effects:
        assert effect.error == pytest.approx(0, abs=1e-12)
    assert by_name(found)["x", "1"] == pytest.approx(0.25)


@pytest.mark.parametrize("seeds", [1, 4])
def test_errors_are_those_of_synthetic_noise(seeds: int) -> None:
    levels = {"a": ("x", "y", "z"), "b": ("1", "2")}
    names = tuple(map(str, range(seeds)))
    generator = np.random.default_rng(0)
    values, claimed = [], []
    for _ in range(500):
        rows = rows_of(interacting_of_two, names, levels)
        shared = generator.normal(size=seeds)
        for i, row in enumerate(rows):
            # Each setting has a noise of its own size, which the runs know.
            size = 0.1 * (1 + i // seeds)
            row["w1"] += size * generator.normal() + (shared[i % seeds] if seeds > 1 else 0)
            row["w1_standard_error"] = size
        found = effects_of(rows, ["a", "b", "seed"], "w1").effects
        values.append([e.value for e in found])
        claimed.append([e.error for e in found])
    true = np.std(values, axis=0)
    root = np.sqrt(np.mean(np.square(claimed), axis=0))
    # The spread of 500 is known to 3%, and so is the root of the mean of their claims.
    np.testing.assert_allclose(root / true, 1, atol=0.1)
    expected = [MAIN["a"]["x"], PAIR["x", "1"]]
    places = [[e.levels for e in found].index(level) for level in (("x",), ("x", "1"))]
    means = np.mean(values, axis=0)[places]
    assert (np.abs(means - expected) < 4 * true[places] / math.sqrt(500)).all()


def test_of_an_incomplete_factorial_is_told_what_can_be() -> None:
    swept = ["a", "b", "c"]
    # One of twelve is missing: pairs can still be told, the triple was never asked.
    rows = rows_of(interacting)
    rows[3] = {**rows[3], "status": "failed", "w1": math.nan}
    found = effects_of(rows, swept, "w1")
    assert found.note.startswith("1 of 12 settings are missing; least squares over the others")
    assert by_name(found)["x", "1"] == pytest.approx(0.25)
    # Single changes of one setting tell main effects alone.
    first = rows[0]
    few = [r for r in rows_of(additive) if sum(r[k] != first[k] for k in swept) < 2]
    rest = [{**r, "status": "failed", "w1": None} for r in rows_of(additive) if r not in few]
    found = effects_of([*few, *rest], swept, "w1")
    assert "as if there were no interactions" in found.note
    assert {len(e.factors) for e in found.effects} == {1}
    assert by_name(found)["y",] == pytest.approx(-0.2)
    # Two factors that change together.
    same = [r for r in few if r["b"] == first["b"]] + [
        {**r, "status": "failed", "w1": None} for r in few if r["b"] != first["b"]
    ]
    found = effects_of(same, swept, "w1")
    assert found.effects == []
    assert found.note.endswith("those left do not tell the factors apart")


def test_seeds_that_not_all_settings_have_are_left_out() -> None:
    levels = {"a": ("x", "y"), "b": ("1", "2")}
    rows = rows_of(additive, ("0", "1", "2"), levels)
    rows[0]["w1"] = None
    found = effects_of(rows, ["a", "b", "seed"], "w1")
    assert found.n == 2
    assert found.note.startswith("over 2 of 3 seeds, those that all settings have; ")
    for row in rows[:3]:
        row["w1"] = 1.0 if row["seed"] == "0" else None
    for row in rows[3:]:
        row["w1"] = None if row["seed"] == "0" else 1.0
    assert effects_of(rows, ["a", "b", "seed"], "w1").note == "no seed has a value in all settings"


def test_a_factor_is_a_key_with_several_values_but_for_the_seed() -> None:
    rows = rows_of(additive, ("0", "1"))
    assert factors_of(rows, ["a", "b", "c", "seed"]) == {k: list(v) for k, v in LEVELS.items()}
    assert factors_of(rows[:2], ["a", "b", "c", "seed"]) == {}
    assert factors_of(rows, ["a", "seed"]) == {}
    assert factors_of(rows, ["trial", "a", "b"]) == {}
