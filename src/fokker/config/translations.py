"""Hydra's errors about overrides and files, in one sentence each."""

import re
from collections.abc import Callable, Sequence

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from fokker.config.mistakes import of_value, one_of, said_of
from fokker.overrides import read

#: A function that gives the options of a group, and none for what is no group.
Options = Callable[[str], Sequence[str]]
QUOTES = (
    "a value with other characters than letters from a to z, digits, blanks and _/-+.$%*@?| wants "
    "double quotes inside single ones"
)
#: Patterns of hydra's messages, and the sentence in place of each, with the pattern's groups.
SAID = (
    (r"Ambiguous value for argument '(?P<typed>(?P<key>[^=]*)=(?P<value>.*?))'\n.*",
     "{typed} has several values, which need -m: fokker -m {typed}; one that is a list has "
     "brackets: {key}=[{value}]"),
    (r"Sweep parameters '(?P<typed>.*)' requires --multirun",
     "{typed} has several values, which need -m: fokker -m '{typed}'"),
    (r"Sweeping over Hydra's configuration is not supported : '(?P<typed>.*)'",
     "{typed} has several values, and a key of hydra's own must have one; choose one of them"),
    (r"Multiple values for (?P<key>\S*)\..*",
     "{key} is chosen twice; remove the plus before it, or in the defaults of a file write "
     "override /{key}: NAME"),
    (r"force-add of config groups is not supported: '(?P<plus>\+*)(?P<typed>.*)'",
     "{plus}{typed} has a plus too many, for an option is chosen without one; say {typed}"),
    (r"Could not append to config. An item is already at '.*'.\n.*'(?P<typed>.*)'\nOr.*",
     "+{typed} adds a key, and there is one; remove the plus: {typed}"),
    (r"Could not delete from config. The value of '(?P<key>.*)' is (?P<is>.*) and not (?P<not>.*).",
     "~{key}={not} removes nothing, for {key} is {is}; say ~{key}"),
    (r"Could not delete '(?P<group>[^=]*)(?P<rest>.*)'. No match in the defaults list",
     "~{group}{rest} removes nothing, for {group} has not this option; say {group}=NAME for "
     "another one"),
    (r"Could not override '(?P<typed>[^']*@[^']*)'.*",
     "{typed} is not there to be changed; a plus adds it: +{typed}=NAME"),
    (r"Could not override '(?P<key>[^'@]*)'.*",
     "override /{key}: NAME changes nothing, for {key} is no group that is chosen before; name "
     "one, such as sampler"),
    (r"Override (?P<typed>.*) looks like a config group override, but .* '(?P<group>.*)' .*",
     "{typed} names no group, for {group} is not one; a key has dots, as in "
     "sampler.num_steps=20"),
    (r"hydra.searchpath must be a list of strings. Got: (?P<value>.*)",
     "hydra.searchpath must be a list of folders, such as [file:///home/me/conf], got {value}; or "
     "say --config-dir FOLDER"),
    (r"Overriding hydra.searchpath is only supported from the primary config",
     "hydra.searchpath must be given on the command line, not in a file; say --config-dir FOLDER"),
    (r"Duplicate _self_ defined in (?P<file>.*)",
     "_self_ must stand once in the defaults of {file}, got twice; remove one"),
    (r"Override '(?P<first>.*) : .*' is defined before '(?P<second>.*):.*",
     "the defaults with override must stand last; move {first} behind {second}"),
    (r".*Default List Overrides are not allowed in the subtree.*",
     "defaults with override must not stand in an option that ${{...}} chooses; move them to the "
     "file above"),
    (r"Too many components in '(?P<typed>.*)'",
     "{typed} must name one package; write # @package _global_, or leave the line out"),
    (r"Invalid defaults list in '(?P<file>.*)', defaults must be a list .*",
     "the defaults of {file} must be a list; write a line '- override /GROUP: NAME' for each"),
    (r"Unsupported type in defaults : .*",
     "each entry of the defaults must be a text; write '- override /GROUP: NAME'"),
    (r"'utf-8' codec can't decode.*",
     "a file of the configuration must be text in UTF-8; save it so"),
    (r"Error resolving interpolation '(?P<typed>.*)', possible interpolation keys: .*",
     "{typed} refers to no group that is chosen before; give the option's name"),
)  # fmt: skip


def sentence(error: Exception, overrides: Sequence[str], options: Options) -> str:
    """Say why hydra has refused overrides, or the files that they choose.

    Args:
        error: the error of hydra, or of a library that it uses.
        overrides: the overrides as typed.
        options: the function that gives the options of a group.
    """
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    text = str(error).strip() or str(error.__cause__ or "").strip()
    in_file = re.match(r"In '?([\w/]+)'?: ", text)
    place = (
        f", in {in_file[1]}.yaml"
        if in_file and in_file[1] not in ("config", "hydra/config")
        else ""
    )
    text = text[in_file.end() :] if in_file else text
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(str(error.missing_cfg_file), overrides, options, place)
    wanted = re.match(r"You must specify '([^']*)'", text)
    if wanted or text.startswith("Config group override"):
        return _no_name(wanted[1] if wanted else "", overrides, options)
    merged = re.match(r"Error merging override (.*)", text)
    if merged and isinstance(error.__cause__, OmegaConfBaseException):
        said = of_value(error.__cause__, read(merged[1]).typed_key)
        return said if ", got" in said else f"{said}; got {merged[1]}"
    if merged or " raised while composing config:" in text:
        lines = text.splitlines()[1:]
        key = "".join(re.findall(r"full_key: (\S+)", text))
        return f"{said_of(lines[0] if lines else '', key or 'a group')}{place}"
    for pattern, said in SAID:
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found:
            return f"{said.format_map(found.groupdict())}{place}"
    return f"{said_of(text, 'a value')}{place}"


def _unknown_option(file: str, overrides: Sequence[str], options: Options, place: str) -> str:
    if ".." in file.split("/"):
        path = next((o for o in overrides if ".." in o), file).lstrip("+")
        return (
            f"{path} must name an option by its plain name, without / or ..; say --config-dir "
            "FOLDER for files of yours"
        )
    group, _, name = file.rpartition("/")
    known = sorted(options(group))
    if known:
        typed = any(name in override for override in overrides)
        # Hydra names the file whose default it is, and not the one that overrides it.
        where = "" if typed or not place else f"{place} or what overrides it,"
        return f"{group}={name}{where} is not an option; {one_of(name, known)}"
    near = re.sub(r"^(experiment|sweeps)/", "/", group)
    return (
        f"{group} is not a group, and so {name} no option of it{place}; in a file's defaults write "
        f"override /{near.strip('/')}: {name}"
    )


def _no_name(group: str, overrides: Sequence[str], options: Options) -> str:
    """Say that an option must have a name."""
    for override in overrides:
        word = read(override)
        key, value = word.name, word.value_text or ""
        if not word.key:
            return f"{override} cannot be read, for it has no key; say KEY={value}"
        known = sorted(options(word.key))
        is_name = re.fullmatch(r"[A-Za-z_]\w*|\[.*\]", value) and value not in (
            "null",
            "true",
            "false",
        )
        if known and (key == group or not group) and not is_name:
            return f"{override} must name an option; choose one of {', '.join(known)}"
    known = sorted(options(group))
    return f"{group or 'a group'} must name an option; choose one of {', '.join(known)}"


def _unreadable(typed: str) -> str:
    """Say why an override cannot be read.

    Hydra's parser says so in terms of its grammar, and gives no parts of the override. So the
    override is divided here at its `=`, whatever stands before that.
    """
    key, equals, value = typed.partition("=")
    bare = typed.lstrip("-")
    if bare != typed:
        return f"{typed} cannot be read, for an override has no dashes before it; say {bare}"
    if not equals:
        pair = re.sub(r"[:\s]+", "=", typed.strip(), count=1)
        said = pair if "=" in pair else f"{typed}=VALUE"
        return f"{typed} cannot be read, for it has no =; say {said}"
    name = key.lstrip("+~")
    if not re.fullmatch(r"[\w$-]+([./][\w$-]+)*(@([\w$-]+(\.[\w$-]+)*)?)?", name):
        tidy = re.sub(r"[^\w./@+~-]", "", key).strip(".")
        return (
            f"{typed} cannot be read, for a key has letters, digits, _ and dots between them, got "
            f"{name!r}; say {tidy or 'KEY'}={value.strip()}"
        )
    return f"{typed} cannot be read{_unreadable_value(key, value)}"


def _unreadable_value(key: str, value: str) -> str:
    """Say why the value of an override cannot be read, from the word after `read` on."""
    for mark in ("'", '"'):
        if value.count(mark) % 2:
            return f", for a {mark} is not closed; add it, or remove it"
    if re.match(r"(choice|range|interval|shuffle|sort|glob|extend_list)\(", value):
        return (
            f", for what it sweeps over needs its values; say {key}=a,b or {key}=choice(a,b), of "
            f"numbers {key}=range(1,5) or {key}=interval(1,5)"
        )
    if value.startswith("${"):
        return f", for a ${{ is not closed; write {key}=${{KEY}}"
    for opening, closing in ("[]", "{}"):
        if value[:1] in ("[", "{") and value.count(opening) != value.count(closing):
            return (
                f", for {opening} and {closing} do not go in pairs; close them, and put what has "
                "blanks into single quotes: 'evaluation.samplers=[{ddim: {eta: 0.5}}]'"
            )
    if value[:1] in ("[", "{"):
        return (
            "; a list is [1,2], a node {KEY: VALUE}, with nothing empty, "
            'and a text of other characters in it has double quotes: ["a(1)"]'
        )
    return f"; {QUOTES}: '{key}=\"{value}\"'"


def unknown_key(error: Exception) -> str:
    """Return the key that hydra does not know; empty if it is another error."""
    text = str(error)
    if not text.startswith(("Could not override '", "Could not delete from config. '")):
        return ""
    key = text.partition("'")[2].partition("'")[0]
    below = getattr(error.__cause__, "full_key", None) or ""
    return "" if "@" in key else below if below.startswith(f"{key}.") else key
