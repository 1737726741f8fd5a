"""Flags: hydra gets those that fokker knows, whole; all else is a sentence."""

from typing import Any
from unittest import mock

import pytest
from hydra._internal.utils import get_args_parser

from fokker.cli.flags import ALONE, REFUSED, VALUED, read_flags

LONG = sorted({*ALONE.values(), *VALUED.values(), *(n for n in REFUSED if n[:2] == "--")})
pytestmark = pytest.mark.usefixtures("workdir", "no_composing")


@pytest.fixture
def no_composing() -> Any:
    """In place of the configuration, which is asked whether a key was meant."""
    with mock.patch("fokker.cli.flags.composed") as composed:
        yield composed


def refused(*arguments: str) -> str:
    with pytest.raises(ValueError) as error:
        read_flags(arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_each_flag_of_hydras_is_known_or_refused() -> None:
    flags = [name for action in get_args_parser()._actions for name in action.option_strings]
    assert {*flags} == {*ALONE, *ALONE.values(), *VALUED, *VALUED.values(), *REFUSED}


@pytest.mark.parametrize("name", LONG)
def test_no_flag_is_abbreviated(name: str) -> None:
    for end in range(3, len(name)):
        assert "is not a flag" in refused(name[:end])
        assert "is not a flag" in refused(f"{name[:end]}=x")


@pytest.mark.parametrize("typed", REFUSED)
def test_flags_that_fokker_has_no_use_for_are_refused_with_a_remedy(typed: str) -> None:
    assert refused("data=uniform", typed, "nope") == (
        f"{typed} is not a flag of fokker's; {REFUSED[typed]}"
    )
    assert "is not a flag" in refused(f"{typed}=nope")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("-mr", "-mr is not a flag; did you mean -m?"),
        ("-cjob", "-cjob is not a flag"),
        ("-x", "-x is not a flag"),
        ("--", "-- is not a flag"),
        ("-", "- is not a flag"),
        ("---m", "---m is not a flag"),
        ("--multi seed=1,2", "flags are written in full: --multirun"),
        ("--multirun=3", "--multirun takes no value, got 3; say --multirun"),
        ("--config-dir /nope", "--config-dir must be followed by a folder, seen from"),
        ("--config-dir", "got nothing"),
        ("--config-dir . -cd=.", "-cd must be given once, got . and ."),
        ("--cfg", "--cfg must be one of job, hydra, all, got nothing"),
        ("-c nope", "-c must be one of job, hydra, all, got nope"),
        ("--info=nope", "--info must be one of all, config"),
        ("--cfg job -m", "--multirun and --cfg do not go together"),
        ("--resolve", "--resolve goes with --cfg or --help alone"),
        ("--package sampler", "--package goes with --cfg alone"),
        ("--cfg job -p", "-p must be the key of a node, such as sampler, got nothing"),
        ("-sc", "--shell-completion needs one word"),
        ("-sc data=uniform", "--shell-completion needs one word"),
    ],
)
def test_what_is_wrong_with_flags_is_a_sentence(typed: str, says: str) -> None:
    assert says in refused(*typed.split())


@pytest.mark.parametrize(
    ("typed", "overrides", "words"),
    [
        ("-m a=1,2", "a=1,2", "--multirun"),
        ("a=1 --multirun --config-dir . b=2", "a=1 b=2", "--multirun --config-dir=."),
        ("--cfg=job -p=sampler a=1", "a=1", "--cfg=job --package=sampler"),
        ("-c hydra --resolve", "", "--cfg=hydra --resolve"),
        ("-i a=1", "a=1", "--info=all"),
        ("-i defaults ~ema", "~ema", "--info=defaults"),
        ("-h -m", "", "--help --multirun"),
        ("-sc install=bash", "install=bash", "--shell-completion"),
        ("foo a=-1", "foo a=-1", ""),
    ],
)
def test_what_is_right_is_handed_on_in_full(typed: str, overrides: str, words: str) -> None:
    given = read_flags(typed.split())
    assert list(given.overrides) == overrides.split()
    assert given.words == words.split()
    assert given.begins == (not {"--cfg", "--info", "--help", "-sc", "-h", "-i", "-c"} & {
        word.partition("=")[0] for word in typed.split()
    })  # fmt: skip
    assert get_args_parser().parse_args([*given.overrides, *given.words]).overrides == list(
        given.overrides
    )
