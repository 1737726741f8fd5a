"""A reader who types what a page says, in a folder of his own, and sees what comes."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from doc_compare import NAME, names_in, paired
from doc_pages import ROOT, Block, Command

from children import Child

#: The home of the reader, in a page.
HOME = "/home/me"
_SECONDS = 1800.0
_VALUE = re.compile(r"# .*-> (.*)")
_PYTHON = '''
import ast, re, sys, traceback
names = {"__name__": "__main__"}
sys.path.insert(0, "")
for file in sys.stdin:
    text = open(file.strip()).read()
    lines = text.splitlines()
    failed = 0
    try:
        for node in ast.parse(text).body:
            said = re.search(r"# .*-> ", lines[node.end_lineno - 1])
            if said and isinstance(node, ast.Expr):
                value = eval(compile(ast.Expression(node.value), file, "eval"), names)
                print("->", " ".join(repr(value).split()))
            else:
                exec(compile(ast.Module([node], []), file, "exec"), names)
    except BaseException:
        print(traceback.format_exc().strip().splitlines()[-1])
        failed = 1
    print(f"\\0{failed}", flush=True)
'''


@dataclass(frozen=True)
class Answer:
    """What came of a command or of a block of Python.

    Args:
        block: where it stands.
        command: the command; of Python what it says it shows.
        came: the lines of output, with the home of the page.
        code: the exit status.
        renamed: names of the page that already stood for others, with both of these.
    """

    block: Block
    command: Command
    came: list[str]
    code: int
    renamed: list[str]


@final
class Session:
    """The folder of a page.

    Args:
        folder: an empty one.
        cache: a folder for what libraries keep, such as lists of fonts.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}
        for name in ("tests", ".venv"):  # A reader stands in a clone.
            (folder / name).symlink_to(ROOT / name)
        self._env = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder), "MPLCONFIGDIR": str(cache), "MPLBACKEND": "Agg",
            "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1",
            "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true",
        }  # fmt: skip
        self._python: subprocess.Popen[str] | None = None

    def answers(self, blocks: list[Block], with_long: bool) -> Iterator[Answer]:
        """What comes of the blocks, one after the other."""
        for place, block in enumerate(blocks):
            if block.file:
                file = self.folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\n".join(block.lines[1:]) + "\n")
            elif block.is_run and (with_long or not block.is_long):
                if block.prepare:
                    code, came = self._shell(self._now(f"set -e\n{block.prepare}"))
                    assert code == 0, (block.prepare, came)
                if block.language == "console":
                    for command in block.commands:
                        yield self._answer(block, command, *self._run(self._now(command.text)))
                else:
                    shown = shown_by(blocks, place)
                    yield self._answer(block, shown, *self._code(self._now(shown.text)))

    def close(self) -> None:
        """End what still runs."""
        if self._python is not None:
            assert self._python.stdin is not None
            self._python.stdin.close()
            self._python.wait()

    def _now(self, text: str) -> str:
        """The text with the names of today."""
        return NAME.sub(lambda found: self.names.get(found[0], found[0]), text)

    def _answer(self, block: Block, command: Command, code: int, said: str) -> Answer:
        came = said.replace(str(self.folder), HOME).rstrip().splitlines()
        renamed = []
        for i, j in paired(command.shown, came):
            for name, now in names_in(command.shown[i], came[j]).items():
                if self.names.setdefault(name, now) != now:
                    renamed.append(f"{name} was {self.names[name]}, and here it is {now}")
        return Answer(block, command, came, code, renamed)

    def _run(self, text: str) -> tuple[int, str]:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        if words[0] != "fokker" or {"|", ">", ";", "&&"} & set(words):
            return self._shell(text)
        # Imported once for all commands of all pages, which else is half of their time.
        child = Child(_fokker, *words, folder=self.folder, env=self._env)
        said, _ = child.communicate(_SECONDS)
        assert child.returncode is not None
        return child.returncode, said

    def _shell(self, text: str) -> tuple[int, str]:
        ended = subprocess.run(
            ["bash", "-c", text], cwd=self.folder, env=self._env, timeout=_SECONDS, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout

    def _code(self, text: str) -> tuple[int, str]:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _PYTHON], cwd=self.folder, env=self._env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        file = self.folder / ".block.py"
        file.write_text(text)
        self._python.stdin.write(f"{file}\n")
        self._python.stdin.flush()
        came = ""
        while not (line := self._python.stdout.readline()).startswith("\0"):
            assert line, f"python has ended: {came}"
            came += line
        return int(line[1:]), came


def _fokker(*words: str) -> None:
    os.dup2(1, 2)  # A terminal shows both, in order.
    sys.argv = list(words)
    from fokker.__main__ import main

    main()


def shown_by(blocks: list[Block], place: int) -> Command:
    """The code of a block of Python as a command, and what the page says that it shows.

    That is the ```text right below it, or comments such as `# in metres -> 1.8` behind expressions.
    """
    block = blocks[place]
    after = blocks[place + 1] if place + 1 < len(blocks) else None
    end = block.line + len(block.lines) + 1
    if after is not None and after.language == "text" and after.line <= end + 2:
        return Command("\n".join(block.lines), after.line, after.lines)
    shown = [f"-> {said[1]}" for line in block.lines if (said := _VALUE.search(line))]
    return Command("\n".join(block.lines), end, shown)
