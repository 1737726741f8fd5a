"""The pages of a reader, and the blocks in them that can be run.

A block is a fence with the word `console` or `python`. A fence of another word, or of these two,
whose first line is `# a/file.name` is a file that the reader saves. Directly above a fence an HTML
comment, which no reader sees, may say how it is run:

    <!-- long -->                    by `make test-long`, for it takes more than seconds
    <!-- not run: gpu, because -->   never, for it needs a cluster, a GPU or a network
    <!-- prepare                     after these lines of shell, which make what the text takes
    ...                              as given, such as a damaged file
    -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What a test of pages may lack, and nothing else excuses a block.
NEEDS = ("cluster", "gpu", "network")
_FILE = re.compile(r"# ([\w./-]+\.\w+)$")
_NOT_RUN = re.compile(rf"not run: ({'|'.join(NEEDS)}), \S.*")


@dataclass
class Command:
    """A command after `$`, and the lines that the page shows under it.

    Args:
        text: what is typed.
        line: the place of its last line in the page, from 0 on.
        shown: the lines of output in the page.
    """

    text: str
    line: int
    shown: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A fence of a page.

    Args:
        language: the word behind the fence.
        line: the place of the opening fence in the page, from 0 on.
        lines: what stands in it.
        marks: the comments above it.
    """

    language: str
    line: int
    lines: list[str]
    marks: list[str]

    @property
    def file(self) -> str:
        """The file that the block is; empty for one that is run."""
        named = _FILE.match(self.lines[0]) if self.lines and self.language != "console" else None
        return named[1] if named else ""

    @property
    def is_run(self) -> bool:
        """Whether the block is run at any time."""
        is_code = self.language == "console" or (self.language == "python" and not self.file)
        return is_code and not any(mark.startswith("not run") for mark in self.marks)

    @property
    def is_long(self) -> bool:
        """Whether the block is run by `make test-long` alone."""
        return "long" in self.marks

    @property
    def prepare(self) -> str:
        """The shell that comes before it."""
        return "\n".join(m.partition("\n")[2] for m in self.marks if m.startswith("prepare\n"))

    @property
    def commands(self) -> list[Command]:
        """The commands of a console block; a line that ends with a backslash goes on."""
        found: list[Command] = []
        goes_on = False
        for place, line in enumerate(self.lines, self.line + 1):
            if goes_on:
                found[-1].text, found[-1].line = f"{found[-1].text}\n{line}", place
            elif line.startswith("$ "):
                found.append(Command(line[2:], place))
            elif found:
                found[-1].shown.append(line)
            goes_on = line.endswith("\\") and (goes_on or line.startswith("$ "))
        return found

    def faults(self) -> Iterator[str]:
        """What is wrong with the form of the block."""
        if self.language == "console" and not (self.lines and self.lines[0].startswith("$ ")):
            yield "a console block begins with `$ `; what is no command's output is ```text"
        if self.language in ("console", "python"):
            for mark in self.marks:
                if mark != "long" and not mark.startswith("prepare\n") and not _NOT_RUN.match(mark):
                    yield f"unknown mark {mark!r}"
        elif self.marks:
            yield "only a block that is run has a mark"


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    found: list[Block] = []
    marks: list[str] = []
    lines = text.splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        if line.startswith("<!--"):
            end = next(i for i in range(place, len(lines)) if lines[i].endswith("-->"))
            comment = "\n".join(lines[place : end + 1])
            marks.append(comment.removeprefix("<!--").removesuffix("-->").strip())
            place = end
        elif line.startswith("```"):
            end = next(i for i in range(place + 1, len(lines)) if lines[i] == "```")
            found.append(Block(line[3:], place, lines[place + 1 : end], marks))
            place, marks = end, []
        else:
            marks = []
        place += 1
    return found
