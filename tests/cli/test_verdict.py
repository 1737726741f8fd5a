"""What a sweep says it has found, and which setting it holds for the best."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fokker.sweeps.outcome import Outcome
from fokker.sweeps.verdict import Verdict
from made_sweeps import Sweep, metrics


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweep")


def seeded(sweep: Sweep, settings: Mapping[str, Sequence[float | None]], **more: Any) -> None:
    """A job for each value, None for a failed one."""
    for name, values in settings.items():
        for seed, value in enumerate(values):
            own = {"sampler": name, "seed": str(seed)}
            sweep.add(own, None if value is None else metrics(value), data="ring8", **more)


def says(sweep: Sweep, *objectives: str) -> str:
    return Verdict(sweep.outcome(*objectives)).text()


# ---- which is the best -----------------------------------------------------------------------


def test_the_best_is_the_setting_with_the_best_mean_not_the_best_run(sweep: Sweep) -> None:
    seeded(sweep, {"lucky": (0.1, 0.9, 0.8), "steady": (0.5, 0.51, 0.49)})
    ranked = sweep.outcome().ranked("w1")
    assert [s.rows[0]["sampler"] for s in ranked] == ["steady", "lucky"]
    ordered = sweep.outcome().in_order("w1")
    assert [row["sampler"] for row in ordered] == ["steady"] * 3 + ["lucky"] * 3
    sweep.draw("w1")
    (best,) = [row for row in sweep.page.iter("tr") if row.get("class") == "best"]
    assert "".join("".join(best.itertext()).split()).startswith("steady3")
    # Its own order of runs is kept where nothing is asked for.
    assert sweep.outcome().in_order(None) == sweep.rows


def test_a_single_run_beside_means_may_be_luck(sweep: Sweep) -> None:
    seeded(sweep, {"one": (0.1, None, None), "three": (0.5, 0.6, 0.7), "nan": (math.nan, 0.0, 0.0)})
    ranked = sweep.outcome().ranked("w1")
    assert [s.rows[0]["sampler"] for s in ranked] == ["three", "one", "nan"]
    assert says(sweep).startswith("On ring8, three has the lowest W1, 0.600 ± 0.058 data units")
    assert says(sweep).endswith("Not counted of 9 jobs: 2 failed.")


def test_the_difference_is_seed_by_seed(sweep: Sweep) -> None:
    # Seeds differ by 1, settings by 0.1 +- 0.01/sqrt(3) in each of them.
    seeded(sweep, {"a": (1.0, 2.0, 3.0), "b": (1.11, 2.1, 3.09)})
    a, b = sweep.outcome().ranked("w1")
    gap = b.behind(a)
    assert gap.size == pytest.approx(0.1)
    assert gap.error == pytest.approx(0.01 / math.sqrt(3))
    assert a.error == pytest.approx(1 / math.sqrt(3))
    assert "next is b, 2.1 ± 0.6, 17 standard errors of the difference behind" in says(sweep)


def test_the_nearest_neighbour_ratio_is_best_at_1(sweep: Sweep) -> None:
    for name, ratio in (("a", 0.5), ("b", 1.2), ("c", 1.3)):
        more = {"nearest_neighbour_ratio": ratio, "nearest_neighbour_ratio_standard_error": 0.04}
        sweep.add({"sampler": name}, metrics(1.0, **more), data="digits")
    found = says(sweep, "nearest_neighbour_ratio")
    assert "b has the nearest-neighbour ratio closest to 1, 1.20 ± 0.04 (one seed" in found
    # 0.1 / (0.04 sqrt 2)
    assert "next is c, 1.30 ± 0.04, 1.8 standard errors" in found


# ---- what is said ----------------------------------------------------------------------------


def test_the_error_and_the_runner_up_within_it_are_said(sweep: Sweep) -> None:
    seeded(sweep, {"ddim": (0.04, 0.05, 0.045), "heun": (0.045, 0.043, 0.05), "euler": (1, 1, 1.1)})
    assert says(sweep) == (
        "On ring8, ddim has the lowest W1, 0.045 ± 0.003 data units (mean ± standard error over "
        "3 seeds); heun, 0.046 ± 0.002, is within one standard error of it."
    )


def test_one_seed_is_said_to_be_one(sweep: Sweep) -> None:
    for steps, w1, nfe in (("5", 0.3, 9.0), ("18", 0.1, 35.0), ("20", 0.11, 39.0)):
        sweep.add({"sampler": "heun", "num_steps": steps}, metrics(w1, nfe=nfe), data="ring8")
    assert says(sweep) == (
        "On ring8, the setting with 18 steps has the lowest W1, 0.100 ± 0.010 data units (one "
        "seed, ± by its samples alone; NFE 35, settings have 9 to 39); the setting with 20 steps, "
        "0.110 ± 0.010, is within one standard error of it."
    )
    # Nothing is known of its error, and it is the same at any cost.
    found = says(sweep, "excess")
    assert "0.2000 (one seed); next is the setting with 20 steps, 0.2200; without" in found
    assert "NFE" not in found


def test_what_as_many_points_of_the_data_have_is_beside_it(sweep: Sweep) -> None:
    for name, w1 in (("a", 0.5), ("b", 0.9)):
        sweep.add({"sampler": name}, metrics(w1, w1_data=0.0234), data="ring8")
    assert "by its samples alone; as many points of the data have 0.023); next" in says(sweep)


@pytest.mark.parametrize(
    ("values", "says_"),
    [
        ((0.5, 0.5), "both settings have the same W1, 0.500 ± 0.010 data units"),
        ((0.5, 0.5, 0.9), "b, 0.500 ± 0.010, is level."),
        ((0.5, 0.501, 0.502), "b, 0.501 ± 0.010, and 1 other setting are within one standard"),
        ((0.5,), "the W1 is 0.500 ± 0.010 data units (one seed"),
        ((math.nan,), "no completed job has a finite W1."),
        ((math.inf, 0.3), "the W1 of b is 0.300 ± 0.010"),
    ],
)
def test_ties_and_single_settings(sweep: Sweep, values: tuple[float, ...], says_: str) -> None:
    for name, w1 in zip("abc", values):
        sweep.add({"sampler": name}, metrics(w1), data="ring8")
    assert says_ in says(sweep)


def test_what_failed_is_said(sweep: Sweep) -> None:
    sweep.add({"sampler": "a"}, None)
    sweep.add({"sampler": "b"}, None, status="diverged")
    assert says(sweep) == "No job is completed, so there is no result: 1 failed, 1 diverged."
    seeded(sweep, {"c": (0.5, 0.7, None)})
    for job in sweep.jobs[:2]:
        job.swept["seed"] = "0"  # type: ignore[index]
    found = says(sweep)
    assert "over 2 seeds, which two leave unsure; of 3 runs 1 failed)" in found
    assert found.endswith("Not counted of 5 jobs: 2 failed, 1 diverged.")


def test_the_only_one_with_a_result_is_named(sweep: Sweep) -> None:
    sweep.add({"sampler": "a", "data": "ring8"}, metrics(0.5), data="ring8")
    sweep.add({"sampler": "b", "data": "ring8"}, None)
    assert says(sweep).startswith("On ring8, the W1 of a is 0.500 ± 0.010 data units")


def test_each_data_set_has_its_own_best(sweep: Sweep) -> None:
    for data, shift in (("ring8", 0.0), ("uniform", 5.0)):
        for name, w1 in (("a", 0.5 + shift), ("b", 0.9 - 0.01 * shift)):
            sweep.add({"data": data, "sampler": name}, metrics(w1), data=data)
    found = says(sweep)
    assert "On ring8, a has the lowest W1, 0.500" in found
    assert "On uniform, b has the lowest W1, 0.850" in found
    sweep.draw()
    # Two columns of two data sets.
    assert (sweep.folder / "results.md").read_text().count("**") == 2 * 4
    # One name, two laws.
    other = Sweep(sweep.folder / "other")
    for points in ("100", "200"):
        given = ["data=ring8", f"data.num_points={points}"]
        other.add({"num_points": points}, metrics(0.5), data="ring8", overrides=given)
    assert "On ring8 (data.num_points=100), the W1 is" in says(other)


def test_a_search_says_its_trial_and_that_it_is_flattered(sweep: Sweep) -> None:
    for w1 in (0.5, 0.2, 0.3, None):
        sweep.add({"lr": f"{w1}"}, None if w1 is None else metrics(w1), data="ring8")
    rows = [{"trial": i, **row} for i, row in enumerate(sweep.rows)]
    found = Verdict(Outcome(sweep.folder, rows, ["trial", "lr"], ["w1"])).text()
    assert found.startswith("On ring8, of 3 trials, trial 1 (lr=0.2) has the lowest W1, 0.200")
    assert "The best of 3 by one seed each is flattered by sampling noise" in found
    assert found.endswith("Not counted of 4 trials: 1 failed.")
    told = Outcome(sweep.folder, rows, ["trial", "lr"], ["w1"], ["highest"])
    assert "trial 0 (lr=0.5) has the highest W1, 0.500" in Verdict(told).text()
    two = Outcome(sweep.folder, rows, ["trial", "lr"], ["w1", "nfe"])
    assert "the lowest W1, 0.200 ± 0.010, is that of trial 1, and the lowest" in Verdict(two).text()


def test_a_search_over_seeds_is_judged_by_means(sweep: Sweep) -> None:
    for lr, seed, w1 in (("a", 0, 0.1), ("a", 1, 0.9), ("b", 0, 0.4), ("b", 1, 0.42)):
        sweep.add({"lr": lr, "seed": str(seed)}, metrics(w1), data="ring8")
    rows = [{"trial": i, **row} for i, row in enumerate(sweep.rows)]
    found = Verdict(Outcome(sweep.folder, rows, ["trial", "lr", "seed"], ["w1"])).text()
    assert "trials 2, 3 (lr=b) have the lowest W1, 0.410 ± 0.010" in found


def test_the_answer_is_at_the_top_of_the_report_and_escaped(sweep: Sweep) -> None:
    hostile = "<b>&\"'"
    for name, w1 in ((hostile, 0.1), ("b", 0.5)):
        sweep.add({"sampler": name}, metrics(w1), data=hostile)
    sweep.draw()
    body = sweep.page.find("body")
    assert body is not None
    assert [element.tag for element in body][:2] == ["h1", "p"]
    assert body[1].text == says(sweep)
    assert f"On {hostile}, {hostile} has the lowest W1" in says(sweep)
