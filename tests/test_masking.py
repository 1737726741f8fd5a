"""Passwords stand in nothing that is written, said or sent."""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from fokker.machine.files import write_private, write_text
from fokker.machine.masking import masked, masked_values
from fokker.machine.output import Listener
from fokker.search.storage import open_storage
from fokker.tracking import wandb_run
from tiny_searches import search

URL = "postgresql://me:hidden-word@host:5432/db"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, "postgresql://me:***@host:5432/db"),
        ("mysql+pymysql://me:hid/den@h/d?password=hidden&x=1",
         "mysql+pymysql://me:***@h/d?password=***&x=1"),
        ("postgresql:/me:hidden@h/d of a path", "postgresql:/me:***@h/d of a path"),
        ("fokker -m 'hydra.sweeper.storage=redis://:hidden@h'",
         "fokker -m 'hydra.sweeper.storage=redis://:***@h'"),
        ("logger.api_key=hidden seed=1", "logger.api_key=*** seed=1"),
        ("sqlite:////tmp/a.db http://h:80/a b@c file:///a:b postgresql://me@h/d", None),
        ("api_key: null, password: ${oc.env:X}, keys: 3, tokens=4", None),
    ],
)  # fmt: skip
def test_a_password_is_three_stars_and_all_else_as_it_was(text: str, shown: str | None) -> None:
    assert masked(text) == (shown or text)
    assert masked(masked(text)) == masked(text)


def test_what_is_masked_is_yaml_and_json_still() -> None:
    content = {"logger": {"api_key": "hidden", "password": 12345678, "n": 3}, "urls": [URL, "a"]}
    for dump, load in ((json.dumps, json.loads), (yaml.safe_dump, yaml.safe_load)):
        found = load(masked(dump(content)))
        assert found["logger"] == {"api_key": "***", "password": "***", "n": 3}
        assert found["urls"] == [masked(URL), "a"]
    nested = masked_values({"a": [{"hf_token": "hidden", "none_token": None}], "b": (URL,)})
    assert nested == {"a": [{"hf_token": "***", "none_token": None}], "b": [masked(URL)]}


def test_values_of_variables_that_are_called_secrets_are_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("WANDB_API_KEY", "0123abcd4567"), ("MY_PASSWORD", "correcthorse"),
                        ("SORT_KEY", "formulation"), ("SHORT_TOKEN", "abc1"),
                        ("AWS_SECRET", "wJalr/bPx1+x"), ("SSH_KEY", sys.executable),
                        ("OTHER", "plainvalue1")):  # fmt: skip
        monkeypatch.setenv(name, value)
    said = masked("0123abcd4567 correcthorse wJalr/bPx1+x formulation abc1 plainvalue1")
    assert said == "*** *** *** formulation abc1 plainvalue1"
    assert masked(f"outputs {sys.executable}") == f"outputs {sys.executable}"


def test_a_private_file_is_the_users_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "a", URL)
    write_text(tmp_path / "b", URL)
    assert (tmp_path / "a").read_text() == URL
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b").read_text() == masked(URL)


def test_what_is_said_has_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    print(f"at {URL}", file=Listener(sys.stdout))
    assert capsys.readouterr().out == f"at {masked(URL)}\n"


@pytest.mark.parametrize("password", ["hidden-word", "hidden-w'o\"r d", "***@hidden-word"])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    optuna = pytest.importorskip("optuna")

    def refuse(url: str, **_: Any) -> None:
        raise RuntimeError(f"no connection to {url} (password {password})")

    monkeypatch.setattr(optuna.storages, "RDBStorage", refuse)
    with pytest.raises(ValueError, match="storage must be sqlite") as found:
        open_storage(URL.replace("hidden-word", password))
    assert "hidden-w" not in str(found.value)
    assert "me:***@host" in str(found.value)


@pytest.mark.usefixtures("workdir")
def test_a_search_leaves_the_password_of_its_storage_in_its_trials_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    optuna = pytest.importorskip("optuna")
    made = optuna.storages.RDBStorage("sqlite:///all.db")
    monkeypatch.setattr("fokker.search.trials.open_storage", lambda url: made)
    from fokker.machine.output import patient_output

    with patient_output():
        code = search(
            lambda values: {"w1": float(values["optimizer.lr"])},
            "optimizer.lr=interval(0.1,0.2)", "objective=w1", "hydra.sweeper.n_trials=2",
            f"hydra.sweeper.storage={URL}",
        )  # fmt: skip
    assert code == 0
    said = "".join(capfd.readouterr())
    assert "hidden-word" not in said
    having = [p for p in Path().rglob("*") if p.is_file() and b"hidden-word" in p.read_bytes()]
    assert sorted(p.name for p in having) == ["trial.json"] * 2
    assert {p.stat().st_mode & 0o777 for p in having} == {0o600}


@pytest.mark.usefixtures("workdir")
def test_wandb_is_told_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the configuration nor by the command, of which W&B keeps the words."""
    import sys

    told: list[Any] = []

    class Run:
        offline, dir, url = True, "wandb/files", ""

    class Wandb:
        class Settings:
            model_fields: ClassVar[dict[str, Any]] = {}

        @staticmethod
        def init(**given: Any) -> Run:
            told.append((given["config"], list(sys.argv)))
            return Run()

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    monkeypatch.setattr(sys, "argv", ["fokker", f"a={URL}"])
    wandb_run.SafeRun(Path(), 1.0, config={"logger": {"api_key": "hidden", "url": URL}})
    assert told == [
        ({"logger": {"api_key": "***", "url": masked(URL)}}, ["fokker", f"a={masked(URL)}"])
    ]
    assert sys.argv == ["fokker", f"a={URL}"]


def test_a_password_may_hold_the_sign_before_the_host() -> None:
    said = masked("no postgresql://u:Super@Secret1@localhost/db?pwd=Hidden123 here")
    assert said == "no postgresql://u:***@localhost/db?pwd=*** here"
