"""The flags of a command line; hydra gets only those that fokker has read.

No flag is an override by hydra's grammar, so they are divided at their `=` here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from omegaconf import DictConfig, OmegaConf

from fokker.config.compose import SEARCHPATH, composed
from fokker.config.mistakes import one_of
from fokker.config.option_words import quoted

#: The flags without a value, by their short names.
ALONE = {
    "-m": "--multirun", "-h": "--help", "--hydra-help": "--hydra-help", "--resolve": "--resolve",
    "-sc": "--shell-completion",
}  # fmt: skip
#: The flags with a value, by their short names.
VALUED = {"-c": "--cfg", "-p": "--package", "-cd": "--config-dir", "-i": "--info"}
#: The words that a flag takes as its value.
WORDS = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
#: The flags of hydra's that fokker has no use for, and what to say in their place.
REFUSED = {
    "--run": "a run needs no flag, so leave it out", "-r": "a run needs no flag, so leave it out",
    "--config-name": "say experiment=NAME, with --config-dir FOLDER for files of yours",
    "--config-path": "say --config-dir FOLDER for files of yours",
    "--experimental-rerun": "say its overrides again, which stand in the run's run.json",
    "--version": "say fokker --version alone",
}  # fmt: skip
REFUSED |= {"-cn": REFUSED["--config-name"], "-cp": REFUSED["--config-path"]}
#: The flags that exclude each other, for hydra does one of these things.
DEEDS = ("--multirun", "--cfg", "--info", "--shell-completion")
_NAMES = {**ALONE, **VALUED, **{n: n for n in (*ALONE.values(), *VALUED.values())}}


@final
@dataclass(frozen=True)
class CommandLine:
    """A command line.

    Attributes:
        overrides: the arguments that are no flags.
        flags: the values of the flags, by their long names; empty where a flag has none.
    """

    overrides: tuple[str, ...]
    flags: dict[str, str]

    @property
    def begins(self) -> bool:
        """Tell whether something is run, and not only shown."""
        return self.flags.keys() <= {"--multirun", "--config-dir"}

    @property
    def search(self) -> list[str]:
        """Return the folder of the user's own files, as an override of hydra's search path."""
        if "--config-dir" not in self.flags:
            return []
        folder = Path(self.flags["--config-dir"]).expanduser().resolve()
        return [f"{SEARCHPATH}[{quoted(f'file://{folder}')}]"]

    @property
    def words(self) -> list[str]:
        """Return the flags as hydra reads them."""
        return [f"{name}={value}" if value else name for name, value in self.flags.items()]

    def check_shown(self, config: DictConfig) -> None:
        """Refuse a `--package` that the configuration does not have.

        Raises:
            ValueError: with the flag and its value.
        """
        package = self.flags.get("--package", "")
        if package not in ("", "_global_") and OmegaConf.select(config, package) is None:
            raise ValueError(f"--package must be the key of a node, such as sampler, got {package}")


def read_flags(arguments: Sequence[str]) -> CommandLine:
    """Read a command line, and refuse abbreviated flags: hydra would accept `--multi`.

    Raises:
        ValueError: for a flag that does not exist, or a value that it does not take.
    """
    overrides: list[str] = []
    flags: dict[str, str] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word[:1] != "-":
            overrides.append(word)
            continue
        typed, equals, value = word.partition("=")
        name = _NAMES.get(typed)
        if name is None:
            raise ValueError(_no_flag(typed))
        if name in ALONE.values() and equals:
            raise ValueError(f"{typed} takes no value, got {value or 'nothing'}; say {typed}")
        if name in VALUED.values() and not equals:
            # Without a word behind it, --info means all.
            is_next = name != "--info" or (words and words[0] in WORDS[name])
            value = words.pop(0) if words and is_next else "all" if name == "--info" else ""
        if name in flags and name in VALUED.values():
            raise ValueError(f"{typed} must be given once, got {flags[name]} and {value}")
        flags[name] = _checked(typed, name, value)
    given = CommandLine(tuple(overrides), flags)
    for fault in _faults(given):
        raise ValueError(fault)
    return given


def _checked(typed: str, name: str, value: str) -> str:
    """Return the value of a flag, or refuse it."""
    known = WORDS.get(name)
    if known is not None and value not in known:
        raise ValueError(
            f"{typed} must be one of {', '.join(known)}, got {value or 'nothing'}; for instance "
            f"{typed} {known[0]}"
        )
    if name == "--package" and (not value or value[:1] == "-"):
        raise ValueError(f"{typed} must be the key of a node, such as sampler, got nothing")
    place = Path(value).expanduser()
    if name == "--config-dir" and (not value or not place.is_dir()):
        raise ValueError(
            f"{typed} must be followed by a folder, seen from {Path.cwd()}, got "
            f"{place if value else 'nothing'}"
        )
    return str(place) if name == "--config-dir" else value


def _faults(given: CommandLine) -> Iterator[str]:
    """Yield a sentence for each mistake in the combination of flags."""
    flags = given.flags
    if sum(deed in flags for deed in DEEDS) > 1:
        both = " and ".join(deed for deed in DEEDS if deed in flags)
        yield f"{both} do not go together; remove one of them"
    if "--resolve" in flags and not {"--cfg", "--help"} & flags.keys():
        yield "--resolve goes with --cfg or --help alone; say --cfg job --resolve"
    if "--package" in flags and "--cfg" not in flags:
        yield "--package goes with --cfg alone; say --cfg job --package KEY"
    if "--shell-completion" in flags:
        asked = [word.partition("=")[0] for word in given.overrides]
        if len(asked) != 1 or asked[0] not in ("install", "uninstall", "query"):
            yield "--shell-completion needs one word; say --shell-completion install=bash"


def _no_flag(typed: str) -> str:
    """Say why a word with dashes is none of the flags, and what to type."""
    if typed in REFUSED:
        return f"{typed} is not a flag of fokker's; {REFUSED[typed]}"
    near = [name for name in _NAMES if typed[:2] == "--" and len(typed) > 3 and typed in name]
    if len(near) == 1:
        return f"{typed} is not a flag; flags are written in full: {near[0]}"
    key = typed.lstrip("-").replace("-", "_")
    if not key.isidentifier() or len(typed) - len(typed.lstrip("-")) != 2:
        return f"{typed} is not a flag; {one_of(typed, sorted(_NAMES))}; each stands by itself"
    try:
        with composed([f"{key}=null"], is_shown=True):
            pass
    except ValueError as error:
        if str(error).startswith(f"{key} is not a key"):
            return f"{typed} is not a flag, and {error}"
    return f"{typed} is not a flag; an override has no dashes: say {key}=VALUE"
