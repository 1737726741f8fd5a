"""Google-style docstrings as parts: what a class is, what its arguments mean, what it refuses."""

import inspect
import re
import textwrap
from dataclasses import dataclass, field

SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring.

    Attributes:
        body: the text before the sections, as Markdown.
        args: the meaning of each argument.
        raises: the rules whose violation is an error.
    """

    body: str
    args: dict[str, str] = field(default_factory=dict)
    raises: list[str] = field(default_factory=list)


def read(kind: object) -> Docstring:
    """Read the docstring of a class; arguments that it does not explain are those of its bases."""
    own = _read(inspect.getdoc(kind) or "")
    args = dict(own.args)
    for base in getattr(kind, "__mro__", (kind,))[1:]:
        inherited = _read(inspect.cleandoc(base.__doc__ or "")).args
        for name, meaning in inherited.items():
            if args.get(name, "see ").startswith("see "):
                args[name] = meaning
    return Docstring(own.body, args, own.raises)


def _read(text: str) -> Docstring:
    body: list[str] = []
    args: dict[str, str] = {}
    raises: list[str] = []
    section = ""
    entry: list[str] = []

    def close() -> None:
        name, colon, meaning = " ".join(entry).partition(": ")
        if colon and section == "Raises:":
            raises.append(f"{name}: {meaning}")
        elif colon and section in ("Args:", "Attributes:"):
            args.update((one.strip(), meaning) for one in name.split(","))
        entry.clear()

    for line in text.splitlines():
        if line in SECTIONS:
            close()
            section = line
        elif section and (line.startswith("    ") or not line):
            if re.match(r"    \S", line):
                close()
            entry += [line.strip()] if line else []
        else:
            close()
            section = ""
            body.append(line)
    close()
    return Docstring(_markdown(body), args, raises)


def _markdown(lines: list[str]) -> str:
    """Return paragraphs, with indented formulas as code blocks."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip())
    made = []
    for block in blocks:
        if not block:
            continue
        indented = all(line.startswith("    ") for line in block.splitlines())
        made.append(f"```text\n{textwrap.dedent(block)}\n```" if indented else block)
    return "\n\n".join(made)
