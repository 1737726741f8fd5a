"""What README.md and docs/ show is what comes of their commands and their Python."""

from pathlib import Path

import pytest
from doc_compare import difference, numbers_agree
from doc_pages import PAGES, ROOT, blocks_of
from doc_session import Answer, Session

BLOCKS = {page: blocks_of(page.read_text()) for page in PAGES}
QUICK = [page for page, blocks in BLOCKS.items() if any(b.is_run and not b.is_long for b in blocks)]
LONG = [page for page, blocks in BLOCKS.items() if any(b.is_run and b.is_long for b in blocks)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all pages, for lists of fonts."""
    folder = tmp_path_factory.getbasetemp().parent / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.docs
@pytest.mark.parametrize("page", QUICK, ids=named)
def test_a_page_is_true(page: Path, tmp_path: Path, cache: Path) -> None:
    read(page, tmp_path, cache, with_long=False)


@pytest.mark.long
@pytest.mark.parametrize("page", LONG, ids=named)
def test_a_page_with_its_long_commands_is_true(page: Path, tmp_path: Path, cache: Path) -> None:
    read(page, tmp_path, cache, with_long=True)


def read(page: Path, folder: Path, cache: Path, with_long: bool) -> None:
    session = Session(folder, cache)
    try:
        answers = list(session.answers(BLOCKS[page], with_long))
    finally:
        session.close()
    wrong = [f"{named(page)}:{a.block.line + 1}: $ {a.command.text}\n{what}"
             for a in answers if (what := fault(a))]  # fmt: skip
    assert not wrong, "\n\n".join(wrong)


def fault(answer: Answer) -> str:
    """What is wrong with an answer; empty where it is what the page says."""
    shown, came = answer.command.shown, answer.came
    is_refusal = any(line.startswith(("fokker: ", "ValueError: ")) for line in shown)
    if is_refusal != (answer.code != 0):
        return "\n".join([f"ended with the status {answer.code}", *came])
    if shown and all(line.startswith("-> ") for line in shown):
        values = [line for line in came if line.startswith("-> ")]
        same = len(values) == len(shown) and all(map(numbers_agree, shown, values))
        return "" if same else "\n".join(["the page says", *shown, "and now it is", *came])
    return difference(shown, came) or "\n".join(answer.renamed)
