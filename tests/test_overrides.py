"""Overrides are read as hydra's parser reads them, by all that reads any."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from fokker import doctor
from fokker.config.inheritance import Meaning
from fokker.config.option_names import check_typed_options
from fokker.config.signatures import Signatures
from fokker.config.whole_numbers import in_whole_numbers
from fokker.overrides import parse, read, read_key
from fokker.sweeps.alike import single_key
from fokker.sweeps.jobs import short_columns
from fokker.sweeps.swept import Swept, in_one_form
from fokker.tracking.wandb_log import tags

SIGNS = ("", "+", "++", "~")
KEYS = ("a", "a.b", "a/b", "a.0", "a$b", "a-b", "a@c.d", "a/b@_global_", "a@", "null", "", "@p")
VALUES = (
    "x", "", "1e4", "null", "true", "'x'", '"x=y"', "'it\\'s'", "a\\=b", "a\\ ", "a\\,b", " x",
    "\tx ", "[1,2]", "['a=b',c]", "[]", "{k:1}", "{k:{l:'='}}", "${b}", "${f:a=b}", "x/y.z", "a b",
    "a,b", "range(1,4)", "choice(a,'b=c')", "interval(1,2)", "tag(log,interval(1,2))", "glob(*)",
    "[a],[b]", "a,{k:1}", "shuffle(1,2)",
)  # fmt: skip
UNREADABLE = (
    "a", " a=b", "a =b", "+ a=1", "+++a=1", "+~a=1", "~+a=1", "-a=1", "a..b=1", "a[0]=1", "1=2",
    "'a'=1", "a@b@c=1", "${a}=1", "/a=b", "a:b=c", "--a=1",
)  # fmt: skip
# Of which the value alone cannot be read.
UNREADABLE_VALUES = ("a=b=c", "a==c", "a=(", "a=~/x", "a=[1", "a='x")


def hydras(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def readable() -> list[str]:
    texts = [f"{sign}{key}={value}" for sign, key, value in itertools.product(SIGNS, KEYS, VALUES)]
    return [*texts, "~a", "~a.b", "~a/b@c"]


def test_each_kind_of_override_is_read_as_hydra_reads_it() -> None:
    for text in readable():
        word, true = read(text), hydras(text)
        assert (word.kind, word.key, word.package) == (true.type, true.key_or_group, true.package)
        assert word.name == true.get_key_element().lstrip("+~"), text
        assert word.is_set == ("=" in text and not true.is_delete()), text
        assert word.text == word.parsed.input_line == text
        assert str(word.value) == str(true.value()), text
        if "=" in text:  # Its parts make the same again.
            again = hydras(f"{word.typed_key}={word.value_text}")
            assert (str(again.value()), again.type) == (str(true.value()), true.type), text
            assert read_key(word.typed_key).name == word.name
        is_text = isinstance(true.value(), str)
        assert word.plain_value == (true.value() if is_text else word.value_text or "")


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_hydra_cannot_read_has_no_key(text: str) -> None:
    with pytest.raises(HydraException):
        hydras(text)
    word = read(text)
    assert (word.kind, word.key, word.name, word.is_set) == (None, "", "", False)


@pytest.mark.parametrize("text", UNREADABLE_VALUES)
def test_a_key_before_a_value_that_cannot_be_read_is_known(text: str) -> None:
    assert (read(text).name, read(text).kind) == ("a", OverrideType.CHANGE)
    with pytest.raises(HydraException):
        _ = read(text).value


def test_a_value_is_nobodys_to_change() -> None:
    read("a=[1,{k:2}]").value.append(3)
    assert read("a=[1,{k:2}]").value == [1, {"k": 2}]


@pytest.mark.parametrize(
    ("value", "options"),
    [("x", ["x"]), ("'x'", ["x"]), (" x", ["x"]), ("[x,'y']", ["x", "y"]), ("x,y", []), ("[]", [])],
)
def test_the_options_that_a_value_chooses(value: str, options: list[str]) -> None:
    assert read(f"metrics={value}").options == options


# ---- by those who read them --------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["", "+", "++"])
@pytest.mark.parametrize("value", ["doctor", "'doctor'", '"doctor"', " doctor"])
def test_the_doctor_is_asked(sign: str, value: str) -> None:
    assert doctor.is_asked(["seed=1", f"{sign}task={value}"])
    assert not doctor.is_asked([f"{sign}task={value}", "task=run"])


@pytest.mark.parametrize(
    "typed", ["~task=doctor", "task=(", "task@a=doctor", "tasks=doctor", "task"]
)
def test_the_doctor_is_not_asked(typed: str) -> None:
    assert not doctor.is_asked([typed])


def test_single_values_are_those_that_hydra_sets() -> None:
    for text in readable():
        true = hydras(text)
        is_below = (
            "." in true.key_or_group and true.package is None and "$" not in true.key_or_group
        )
        is_single = is_below and "-" not in true.key_or_group and not true.is_delete()
        assert single_key(text) == (true.key_or_group if is_single else ""), text


@pytest.mark.parametrize("typed", ["mine=[a,b]", "mine= [a,b]", "+mine@x=[a,b]", "mine=../a"])
def test_options_that_are_none_are_refused_however_they_are_typed(
    typed: str, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    sources = [OmegaConf.create({"path": str(tmp_path), "schema": "file"})]
    with pytest.raises(ValueError, match="mine"):
        check_typed_options([typed], sources)
    check_typed_options(["mine=a", "mine=[a]", "~mine", "mine=a,b"], sources)


@pytest.mark.parametrize(
    ("typed", "home"),
    [("checkpoint=~/m", "/h/m"), ("+checkpoint= ~/m", "/h/m"), ("data.path=[~/a,~/b]", None)],
)
def test_the_home_is_written_out_before_hydra_reads_a_path(
    typed: str, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fokker.config.inheritance import _with_home

    monkeypatch.setenv("HOME", "/h")
    value = hydras(_with_home(typed)).value()
    assert value == (home or ["/h/a", "/h/b"])
    assert _with_home("seed=~/m") == "seed=~/m"
    assert _with_home("~checkpoint=~/m") == "~checkpoint=~/m"


def test_places_take_the_place_of_all_overrides_of_their_key() -> None:
    meaning = Meaning(["+checkpoint=b"], {"checkpoint": "checkpoint=m"})
    assert meaning.of(["checkpoint=a", "+checkpoint=a", "++checkpoint= a", "seed=1"]) == [
        "+checkpoint=b", "seed=1", "checkpoint=m",
    ]  # fmt: skip


def test_what_an_experiment_in_quotes_or_a_list_says_is_given_too(tmp_path: Path) -> None:
    from fokker.config.inheritance import _given

    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "my.yaml").write_text("# @package _global_\nnetwork: {width: 3}\n")
    config: Any = OmegaConf.create(
        {"hydra": {"runtime": {"config_sources": [{"path": str(tmp_path), "schema": "file"}]}}}
    )
    for value in ("my", "'my'", "[my]", " my"):
        assert _given([f"+experiment={value}"], config) == {"experiment", "network.width"}


def test_whole_numbers_leave_the_rest_of_an_override_as_it_is() -> None:
    config: Any = OmegaConf.create({})
    for text in readable():
        assert in_whole_numbers([text], config, [], Signatures()) == [text]
    found = in_whole_numbers(["+seed= 1e1,2.0"], config, [], Signatures())
    assert found == ["+seed=10,2"]


def test_what_is_fixed_keeps_its_meaning_in_one_form() -> None:
    for text in readable():
        true = hydras(text)
        if true.is_sweep_override():
            continue
        again = hydras(in_one_form(true))
        assert (again.get_key_element(), again.value()) == (true.get_key_element(), true.value())


@pytest.mark.parametrize("value", ["my", "'my'", " my"])
def test_a_study_is_known_however_it_is_typed(value: str, tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "my.yaml").write_text("seed: 3\nhydra: {mode: MULTIRUN}\n")
    config: Any = OmegaConf.create(
        {"hydra": {"runtime": {"config_sources": [{"path": str(tmp_path), "schema": "file"}]}}}
    )
    loader: Any = None
    swept = Swept.read([f"+sweeps={value}", "a=1,2", "a=3,4", "logger=csv"], config, loader)
    assert (swept.study, swept.body, list(swept.several)) == ("my", "seed: 3\n", ["a"])
    assert swept.title(["a"]) == "my"
    assert len(swept.unswept) == 1
    assert swept.keys == {"+sweeps", "a", "logger"}


def test_columns_are_called_by_what_is_set() -> None:
    keys = ["+sde@sampler.sde", "~data", "++network.width", "optimizer.lr", "ema.lr"]
    assert list(short_columns(keys).values()) == ["sde", "data", "width", "optimizer.lr", "ema.lr"]


def test_a_tag_is_made_of_what_is_no_factor() -> None:
    kept = ["sampler=ddim", "+sde@sampler.sde=edm"]
    left = ["+logger.wandb.tags=[a]", "logger=csv", "++logger.x='a=b'", "~logger"]
    assert tags({"overrides": [*kept, *left]}, []) == kept


def test_all_are_refused_together() -> None:
    with pytest.raises(HydraException, match="b=\\("):
        parse(["a=1", "b=("])
