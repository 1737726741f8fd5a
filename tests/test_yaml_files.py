"""What is wrong with a YAML file is one sentence, with the file and the line."""

from pathlib import Path

import pytest

from fokker.config.agents import check_agents_parameters
from fokker.config.compose import composed
from fokker.config.option_words import quoted
from fokker.machine.yaml_files import read_yaml

#: What a file holds behind its first line, and what is said of it.
WRONG = {
    "tab": ("a:\n\tb: 1\n", "line 3, is not YAML: found character '\\t' that cannot start any tok"),
    "twice": ("a: 1\na: 2\n", "line 3, is not YAML: found duplicate key a; mend that line"),
    "colon": ("a: b: c\n", "line 2, is not YAML: mapping values are not allowed here"),
    "brace": ("a: {b: 1\nc: 2\n", "line 3, is not YAML: expected ',' or '}', but got ':'"),
    "quote": ("a: 'x\n", "line 3, is not YAML: found unexpected end of stream"),
    "alias": ("a: *x\n", "line 2, is not YAML: found undefined alias 'x'"),
    "tag": ("a: !!python/object:os.x {}\n", "line 2, is not YAML: could not determine a constr"),
    "two": ("a: 1\n---\nb: 2\n", "line 3, is not YAML: but found another document"),
    "list": ("- 1\n", "must hold keys with values"),
    "number": ("3\n", "must hold keys with values"),
    "bell": ("a: \x07\n", "must be text, got the character #x07; remove it"),
    "latin": ("a: \xe9\n", "must be text in UTF-8, and is not; save it as UTF-8"),
    "dollar": ("a: ${b\n", "is wrong at a: no viable alternative at input '${b'; fix it"),
}


@pytest.fixture
def files(workdir: Path) -> Path:
    """A folder of experiments, each wrong in its way."""
    folder = workdir / "mine/experiment"
    folder.mkdir(parents=True)
    for name, (text, _) in WRONG.items():
        content = f"# @package _global_\n{text}"
        (folder / f"{name}.yaml").write_bytes(content.encode("latin-1"))
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong_is_said_to_be(files: Path, name: str) -> None:
    file = files / f"{name}.yaml"
    with pytest.raises(ValueError) as caught:
        read_yaml(file)
    said = str(caught.value)
    assert said.startswith(f"{file}")
    assert WRONG[name][1] in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["tab", "list", "latin", "dollar"])
def test_an_option_that_is_wrong_is_said_to_be(files: Path, name: str) -> None:
    search = f"hydra.searchpath=[{quoted(f'file://{files.parent}')}]"
    with pytest.raises(ValueError) as caught, composed([f"experiment={name}", search]):
        pass
    assert str(caught.value).startswith(str(files / f"{name}.yaml"))
    assert WRONG[name][1] in str(caught.value)


def test_a_file_that_is_right_is_read(workdir: Path) -> None:
    file = workdir / "right.yaml"
    file.write_text("a: ${b}\nb: 1\n")
    assert read_yaml(file).a == 1
    file.write_text("")
    assert read_yaml(file) == {}


def test_the_parameters_of_a_wandb_agent_are_read_the_same(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(files / "tab.yaml"))
    with pytest.raises(ValueError, match=r"tab\.yaml, line 3, is not YAML: .* not by a tab"):
        check_agents_parameters()
