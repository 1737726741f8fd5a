"""The pages in docs/reference/, from the files in conf/ and the docstrings of their classes."""

import re
import textwrap
from pathlib import Path

from options import Key, Option, defaults, groups, options, root_keys

DOCS = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by `make docs` from conf/ and docstrings: change those. -->"
WIDTH, MOST_LINES = 118, 300


def pages() -> dict[str, str]:
    """Return the text of each page by its name."""
    found = {f"{_file(group)}": _page(group) for group in groups()}
    found["keys.md"] = _root()
    found["README.md"] = _index()
    for name, text in found.items():
        if (count := len(text.splitlines())) > MOST_LINES:
            rule = f"docs/reference/{name} must have at most {MOST_LINES} lines"
            raise ValueError(f"{rule}, got {count}; shorten docstrings or comments")
    return found


def _file(group: str) -> str:
    return group.replace("/", "_") + ".md"


def _purpose(group: str) -> str:
    """Return what a group is, from the table in docs/options.md."""
    table = (DOCS / "options.md").read_text()
    row = re.search(rf"^\| `{re.escape(group)}` \|[^|]*\| (.*) \|$", table, re.M)
    text = row[1] if row else ""
    return re.sub(r"\]\((?!http)", "](../", text)


def _index() -> str:
    chosen = defaults()
    lines = ["# Reference", "", NOTE, ""]
    lines += ["A page a group; bold: the default. Keys of no group are in [keys.md](keys.md).", ""]
    for group in groups():
        names = [o.name for o in options(group)]
        told = " ".join(f"**`{n}`**" if n == chosen.get(group) else f"`{n}`" for n in names)
        lines += _wrapped(f"- [`{group}`]({_file(group)}): {told}", "  ")
    return "\n".join(lines) + "\n"


def _root() -> str:
    lines = ["# Keys of every run", "", NOTE, ""]
    lines += ["Type `KEY=VALUE`; behind the equals sign stands the default.", ""]
    lines += [line for key in root_keys() for line in _key(key)]
    return "\n".join(lines) + "\n"


def _page(group: str) -> str:
    chosen, found = defaults().get(group), options(group)
    lines = [f"# `{group}`", "", NOTE, ""]
    if purpose := _purpose(group):
        lines += [*_wrapped(_sentence(purpose)), ""]
    lines += [*_wrapped("Options: " + " · ".join(_link(o, chosen) for o in found) + "."), ""]
    for option in found:
        lines += _section(group, option)
    return "\n".join(lines).rstrip("\n") + "\n"


def _link(option: Option, chosen: str | None) -> str:
    default = " (the default)" if option.name == chosen else ""
    return f"[`{option.name}`](#{option.name.lower()}){default}"


def _section(group: str, option: Option) -> list[str]:
    typed = f"+{group}={option.name}" if group == "sweeps" else f"{group}={option.name}"
    lines = [f"## `{option.name}`", ""]
    lines += [f"`{typed}`" + (f", `{option.target}`" if option.target else ""), ""]
    if option.about:
        lines += [*_wrapped(option.about), ""]
    for block in option.docstring.body.split("\n\n") if option.docstring.body else ():
        lines += [*(block.splitlines() if block.startswith("```") else _wrapped(block)), ""]
    if option.choices and option.target:
        lines += [*_wrapped("It chooses " + ", ".join(f"`{c}`" for c in option.choices) + "."), ""]
    if option.text:
        lines += ["```yaml", *option.text.splitlines(), "```", ""]
    else:
        lines += [line for key in option.keys for line in _key(key)]
        lines += [""] if option.keys else []
    for rule in option.docstring.raises:
        lines += [*_wrapped(rule.replace("ValueError:", "Refused:")), ""]
    return lines


def _key(key: Key) -> list[str]:
    meaning = f": {key.meaning}" if key.meaning else ""
    return _wrapped(f"- `{key.name}={key.default}`{meaning}", "  ")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _wrapped(text: str, further: str = "") -> list[str]:
    plain = " ".join(text.split())
    return textwrap.wrap(
        plain, WIDTH, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
