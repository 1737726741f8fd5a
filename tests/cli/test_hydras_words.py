"""Errors of hydra, its parser and OmegaConf about overrides and files, in one sentence each."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException

from fokker.config.compose import HELP, _load, in_words

FOREIGN = re.compile(
    r"ConfigKeyError|mismatched|extraneous|no viable|token recogn|missing EQUAL|Lexer|Could not|"
    r"full_key|object_type|reference_type|In '|Error|Interpolation|multirun|not Optional|"
    r"In config|Sweep parameters|force-add|defaults list\b|hydra\.cc|<EOF>|DictConfig|codec"
)
#: Files of a small configuration; `bad/NAME` have mistakes.
FILES = {
    "config": "defaults: [_self_, part: one, bad: null]\nseed: 0\nlist: [1]\n",
    "part/one": "lr: 1\n",
    "part/two": "eta: 1\n",
    "bad/not_yaml": "x: {y: 1\n",
    "bad/twice": "x: 1\nx: 2\n",
    "bad/no_group": "defaults: [nope: one]\n",
    "bad/no_option": "# @package _global_\ndefaults: [override /part: nope]\n",
    "bad/nothing_to_override": "# @package _global_\ndefaults: [override /prat: one]\n",
    "bad/order": "# @package _global_\ndefaults: [override /part: two, /part@other: one]\n",
    "bad/chosen_twice": "# @package _global_\ndefaults: [/part: two]\n",
    "bad/two_selves": "defaults: [_self_, _self_]\n",
    "bad/no_list": "defaults: 5\n",
    "bad/number": "defaults: [5]\n",
    "bad/package": "# @package a b\nx: 1\n",
    "bad/search": "# @package _global_\nhydra: {searchpath: [x]}\n",
    "bad/list": "# @package _global_\npart: [1]\n",
    "bad/type": "# @package _global_\nhydra: {run: {dir: [1]}}\n",
    "bad/open": "x: ${\n",
}
CASES = [
    ("foo", "foo cannot be read, for it has no =; say foo=VALUE"),
    ("seed: 3", "has no =; say seed=3"),
    ("--seed=3", "an override has no dashes before it; say seed=3"),
    ("seed =3", "got 'seed '; say seed=3"),
    (".seed=3", "say seed=3"),
    ("seed:=3", "got 'seed:'; say seed=3"),
    ("=3", "it has no key; say KEY=3"),
    ("seed='a", "for a ' is not closed"),
    ('seed="a', 'for a " is not closed'),
    ("list=[1", "[ and ] do not go in pairs"),
    ("part={a: 1", "{ and } do not go in pairs"),
    ("list=[1,]", "a list is [1,2]"),
    ("seed=${", "write seed=${KEY}"),
    ("seed=größe", "wants double quotes inside single ones: 'seed=\"größe\"'"),
    ("seed=a(1).npy", "wants double quotes inside single ones: 'seed=\"a(1).npy\"'"),
    ("seed=nope(1)", "wants double quotes inside single ones: 'seed=\"nope(1)\"'"),
    ("seed==3", "wants double quotes inside single ones: 'seed=\"=3\"'"),
    ("seed=1,2", "fokker -m seed=1,2; one that is a list has brackets: seed=[1,2]"),
    ("seed=range(1,3)", "which need -m: fokker -m 'seed=range(1,3)'"),
    ("part=on", "part=on is not an option; did you mean one? There are one, two"),
    ("part=[one,nope]", "part=nope is not an option"),
    ("part=null", "part=null must name an option; choose one of one, two"),
    ("part=3", "part=3 must name an option; choose one of one, two"),
    ("part=???", "part=??? must name an option; choose one of one, two"),
    ("part=${nope}", "${nope} refers to no group"),
    ("+part=two", "part is chosen twice; remove the plus before it"),
    ("++part=two", "++part=two has a plus too many, for an option is chosen without one; say part"),
    ("+part=nope", "part=nope is not an option"),
    ("part@other=one", "part@other is not there to be changed; a plus adds it: +part@other=NAME"),
    ("~part=two", "~part=two removes nothing, for part has not this option; say part=NAME"),
    ("~seed=5", "~seed=5 removes nothing, for seed is 0; say ~seed"),
    ("+seed=3", "+seed=3 adds a key, and there is one; remove the plus: seed=3"),
    ("sedd=3", "sedd is not a key; did you mean seed? There are"),
    ("part.lrr=3", "part.lrr is not a key; did you mean lr? There are lr; what else part may take"),
    ("part={lrr: 3}", "part.lrr is not a key; did you mean lr?"),
    ("~sedd", "sedd is not a key; did you mean seed? There are"),
    ("seed.x=3", "seed.x is not a key, for seed is a value; say seed=VALUE"),
    ("other/part=one", "other/part is not a key"),
    ("hydra.searchpath=5", "hydra.searchpath must be a list of folders"),
    ("hydra.run.dir=null", "hydra.run.dir must not be null"),
    ("hydra.job.chdir=abc", "hydra.job.chdir must be true or false, got abc"),
    ("bad=not_yaml", "bad/not_yaml.yaml, line 2, is not YAML: expected"),
    ("bad=twice", "bad/twice.yaml, line 2, is not YAML: found duplicate key x"),
    ("bad=no_group", "bad/nope is not a group, and so one no option of it, in bad/no_group.yaml"),
    ("bad=no_option", "part=nope is not an option; choose one of one, two"),
    ("bad=nothing_to_override", "override /prat: NAME changes nothing"),
    ("bad=order", "move part behind part@other, in bad/order.yaml"),
    ("bad=chosen_twice", "part is chosen twice; remove the plus before it, or in the defaults"),
    ("bad=two_selves", "_self_ must stand once in the defaults of bad/two_selves"),
    ("bad=no_list", "the defaults of bad/no_list must be a list"),
    ("bad=number", "each entry of the defaults must be a text"),
    ("bad=package", "@package a b must name one package"),
    ("bad=search", "must be given on the command line, not in a file"),
    ("bad=list", "has keys below it and must keep them; set one of these, in bad/list.yaml"),
    ("bad=type", "hydra.run.dir must be a text, got [1], in bad/type.yaml"),
    ("bad=open", "has a ${ that is not closed"),
    ("bad=bytes", "must be text in UTF-8"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hydra with a small configuration, which takes a tenth of the time of fokker's."""
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        file = Path(folder, f"{name}.yaml")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    Path(folder, "bad/bytes.yaml").write_bytes(b"\xff\xfe")
    with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        yield


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("typed", "says"), CASES, ids=[typed for typed, _ in CASES])
def test_each_is_one_sentence_with_a_remedy(typed: str, says: str) -> None:
    with pytest.raises((HydraException, ValueError)) as error:
        _load([typed], is_sweep=False)
    said = str(in_words(error.value, [typed])).removesuffix(f"\n{HELP}")
    assert says in said
    assert "\n" not in said
    assert not FOREIGN.search(said.replace("hydra.", "").replace("found duplicate", ""))
