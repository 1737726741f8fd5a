"""The blocks of pages have a valid form, and the comparison with what comes sees a lie."""

from pathlib import Path

import pytest
from doc_compare import difference, is_shown, paired
from doc_pages import PAGES, ROOT, blocks_of
from doc_session import Session
from record import shown_now

RUN = "outputs/runs/2026-11-22_20-05-29-7c35630bf7"
OTHER = "outputs/runs/2027-01-02_03-04-05-0123456789"
TABLE = ["  sampler  nfe       w1  seconds", "     heun    9   0.3202   0.5279"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_have_a_valid_form(page: Path) -> None:
    blocks = blocks_of(page.read_text())
    assert [f"{block.line + 1}: {fault}" for block in blocks for fault in block.faults()] == []


@pytest.mark.parametrize(
    "text",
    [
        "```console\nfokker: no command\n```",
        "```console\n```",
        "<!-- slow -->\n```console\n$ fokker\n```",
        "<!-- not run: boring, it is -->\n```console\n$ fokker\n```",
        "<!-- not run: gpu -->\n```python\nx\n```",
        "<!-- long -->\n```yaml\nx: 1\n```",
    ],
)
def test_a_block_of_another_form_is_seen(text: str) -> None:
    (block,) = blocks_of(text)
    assert list(block.faults())


def test_a_block_has_its_marks_commands_and_output() -> None:
    text = "<!-- long -->\n<!-- prepare\ntouch a\n-->\n```console\n$ ls \\\n  -a\na\n$ ls b\n```"
    (block,) = blocks_of(text)
    assert not list(block.faults())
    assert block.is_run
    assert block.is_long
    assert block.prepare == "touch a"
    found = [(command.text, command.shown) for command in block.commands]
    assert found == [("ls \\\n  -a", ["a"]), ("ls b", [])]


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        (["  w1  0.01521 +- 0.0014"], ["    w1    0.01522 +- 0.0013"]),
        (["a", "...", "d"], ["a", "b", "c", "d"]),
        (["a", "..."], ["a"]),
        (["...", "b", "..."], ["a", "b"]),
        (["is excess over..."], ["is excess over the floor"]),
        ([f"record   {RUN}"], [f"record   {OTHER}"]),
        (["in 5.6 s; about 1 min, until 23:12"], ["in 1 min; about 2.0 h, until 01:02"]),
        (["memory of 25.3 GB"], ["memory of 1.02 TB"]),
        (TABLE, [TABLE[0], "     heun    9   0.3202     10.1"]),
        (["a"], ["a", "training, 5 of 9 steps, to go about 47.8 s, until 14:05"]),
    ],
)  # fmt: skip
def test_what_is_the_same_is_said_to_be(shown: list[str], came: list[str]) -> None:
    assert difference(shown, came) == ""


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        (["w1  0.01521"], ["w1  0.01541"]),
        (["nfe  35"], ["nfe  36"]),
        (["loss  0.3"], ["excess  0.3"]),
        (["a", "c"], ["a", "b", "c"]),
        (["a"], ["a", "b"]),
        (["a", "...", "d"], ["a", "d", "e"]),
        (["a", "...", "b", "c"], ["a", "b", "x", "c"]),
        (["is excess under..."], ["is excess over the floor"]),
        (TABLE, [TABLE[0], "     heun    9   0.3302   0.5279"]),
    ],
)
def test_what_differs_is_seen(shown: list[str], came: list[str]) -> None:
    assert difference(shown, came)


def test_what_was_trained_has_the_wider_tolerance() -> None:
    model = "model    trained: outputs/models/edm-digits-b45c330361"
    assert difference([model, "w1  1.234"], [model, "w1  1.230"]) == ""
    assert difference(["w1  1.234"], ["w1  1.230"])
    assert difference([model, "w1  1.234"], [model, "w1  1.210"])


def test_lines_are_found_again_by_all_but_their_numbers() -> None:
    came = ["x 1", "  heun  9  0.3", "  heun  19  0.2", "  heun  39  0.1", f"record {OTHER}"]
    shown = ["  heun  9  0.31", "...", "  heun  39  0.12", "gone 3", f"record {RUN}"]
    assert paired(shown, came) == [(0, 1), (2, 3), (4, 4)]
    now, gone = shown_now(shown, came)
    assert now == ["...", came[1], "...", came[3], f"record {RUN}"]
    assert gone == ["gone 3"]
    assert is_shown(now, came, 0.0)


def test_a_page_is_read_in_order(tmp_path: Path) -> None:
    text = f"""
```yaml
# sub/a.yaml
b: 1
```
```console
$ cat sub/a.yaml; pwd; echo {RUN} | tr 2 3
b: 1
/home/me
{RUN}
$ echo {RUN}; exit 3
```
```python
x = 3
x + 0.5   # -> 3.5
x         # the same less a half -> 3
```
```python
print(x)
```
```text
3
```
<!-- not run: gpu, for a reason -->
```console
$ touch sub/no
```
<!-- long -->
```console
$ touch sub/no
```
"""
    session = Session(tmp_path, tmp_path)
    first, second, third, fourth = session.answers(blocks_of(text), with_long=False)
    session.close()
    now = RUN.replace("2", "3")
    assert (first.code, first.came) == (0, ["b: 1", "/home/me", now])
    # The name in the page stands for the name of now from here on.
    assert (second.code, second.came) == (3, [now])
    assert (third.command.shown, third.came) == (["-> 3.5", "-> 3"], ["-> 3.5", "-> 3"])
    assert (fourth.command.shown, fourth.came) == (["3"], ["3"])
    assert not (tmp_path / "sub/no").exists()
