"""Keys that are no part's arguments: what each of them takes, said in one sentence where not."""

import math
import re
from collections.abc import Iterator

import pytest
from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import fits
from fokker.config.compose import composed
from fokker.config.family import family_of
from fokker.config.keys import KEYS, LISTED, Options, check_keys
from fokker.diffusion.formulations import EDM

VALUES = (
    None, True, 1, 1.5, math.nan, math.inf, "", "abc", "\udcff", [], [1], [1.5], [True], ["abc"],
    [None], [[1]], [{"ddim": {"eta": 0.5}}], [{"ddim": 1}],
)  # fmt: skip
FAMILY = family_of(EDM)
#: With the keys that list options of a family's groups.
TAKEN = {**KEYS, **dict.fromkeys(FAMILY.lists, (Options, LISTED))}
WHOLE = [key for key, (kind, _) in KEYS.items() if fits(1, kind)]
LISTS = [key for key, (kind, _) in KEYS.items() if fits([1], kind)]


@pytest.fixture
def config() -> Iterator[DictConfig]:
    """A configuration that takes any value for a key."""
    with composed([], False) as made:
        OmegaConf.set_struct(made, False)
        yield made


@pytest.mark.one_in(3)
@pytest.mark.parametrize("key", TAKEN)
def test_a_key_takes_what_its_type_says_and_refuses_all_else(config: DictConfig, key: str) -> None:
    kind, rule = TAKEN[key]
    for value in VALUES:
        OmegaConf.update(config, key, value, merge=False)
        if fits(value, kind) and (value, rule) != ("", "a path or null"):
            check_keys(config, FAMILY)
            continue
        sentence = rf"{re.escape(key)} must be {re.escape(rule)}, got [^\n]+"
        with pytest.raises(ValueError) as caught:
            check_keys(config, FAMILY)
        assert re.fullmatch(sentence, str(caught.value)), value


def test_1e4_becomes_a_whole_number_where_one_is_taken(config: DictConfig) -> None:
    assert "evaluation.batch_size" in WHOLE
    for key in WHOLE:
        OmegaConf.update(config, key, 1e2)
    for key in LISTS:
        OmegaConf.update(config, key, [5, 1e2])
    check_keys(config, FAMILY)
    assert {repr(OmegaConf.select(config, key)) for key in WHOLE} == {"100"}
    assert {repr(OmegaConf.select(config, key)) for key in LISTS} == {"[5, 100]"}


@pytest.mark.parametrize("key", [key for key in (*WHOLE, *LISTS) if key != "seed"])
def test_a_count_is_none_that_nothing_could_be_counted_to(config: DictConfig, key: str) -> None:
    for number in (10**12 + 1, 1e20, 10**400):
        OmegaConf.update(config, key, [number] if key in LISTS else number)
        sentence = f"{key} must be at most 1,000,000,000,000, got "
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            check_keys(config, FAMILY)


def test_the_first_of_several_mistakes_is_said_alone(config: DictConfig) -> None:
    config.task, config.retrain, config.evaluation.num_samples = "walk", 1, 0
    with pytest.raises(ValueError, match=r"^task must be run or plan, .* compare, got walk$"):
        check_keys(config, FAMILY)
