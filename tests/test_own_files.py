"""Links that somebody has put where a run writes lead nowhere, and locks are the user's own."""

import os
from pathlib import Path

import pytest

from fokker.machine.files import (
    append_json_line,
    json_lines,
    open_to_append,
    write_atomically,
    write_text,
)
from fokker.machine.folders import own_folder


@pytest.mark.parametrize("planted", ["a.json", ".a.json.tmp"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(
    tmp_path: Path, planted: str
) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / planted).symlink_to(other)
    write_text(tmp_path / "a.json", "{}")
    assert other.read_text() == "mine"
    assert not (tmp_path / "a.json").is_symlink()
    assert (tmp_path / "a.json").read_text() == "{}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "other"]


def test_a_link_that_is_put_there_while_a_file_is_written_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")

    def write(temporary: Path) -> None:
        temporary.unlink()
        temporary.symlink_to(other)

    with pytest.raises(OSError, match=r"a cannot be written: .*; a link stands in its place"):
        write_atomically(tmp_path / "a", write)
    assert not (tmp_path / "a").exists()


def test_what_a_kill_has_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / ".a.tmp").write_text("half of it, and more than is written now")
    write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"


def test_a_link_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="link"):
        open_to_append(tmp_path / "link")
    with pytest.raises(OSError, match="a link stands in its place"):
        append_json_line(tmp_path / "link", {})
    append_json_line(tmp_path / "own", {"a": 1})
    append_json_line(tmp_path / "own", {"a": 2})
    assert (tmp_path / "own").read_text() == '{"a": 1}\n{"a": 2}\n'
    assert not (tmp_path / "other").exists()


def test_the_users_folder_of_locks_is_refused_if_it_is_open_or_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = own_folder()
    assert place == tmp_path / f"fokker-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    assert own_folder() == place
    place.chmod(0o755)
    with pytest.raises(ValueError, match="must be a folder of your own"):
        own_folder()
    place.rmdir()
    (tmp_path / "there").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "there")
    with pytest.raises(ValueError, match="must be a folder of your own"):
        own_folder()
    place.unlink()
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(ValueError, match="fokker-12345 must be a folder of your own"):
        own_folder()


def test_each_line_of_json_is_what_it_holds_or_why_it_is_none(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    lines = [b'{"a": 1}', b"", b'"b"', b"\xff", b"{", deep, b"null", b'{"c": 2']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    held = dict(json_lines(tmp_path / "a.jsonl"))
    good = {number: one for number, one in held.items() if not isinstance(one, ValueError)}
    assert good == {1: {"a": 1}, 3: "b", 7: None}
    assert sorted(held) == [1, 3, 4, 5, 6, 7, 8]
