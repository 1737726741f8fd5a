"""YAML files: what they hold, and where they are wrong, in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError


@contextmanager
def reading_yaml(path: Path | None = None) -> Iterator[None]:
    """Let what is wrong with a YAML file be one sentence, with the file and the line.

    Args:
        path: of the file, where it is known; YAML's own errors name it, and others do not.
    Raises:
        ValueError: in place of YAML's errors.
    """
    try:
        yield
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(_what_is_wrong(error, path or Path("a YAML file"))) from error


def read_yaml(path: Path) -> DictConfig:
    """The keys and values of a YAML file; none of an empty one.

    Raises:
        ValueError: if it is no YAML, or holds something else.
    """
    with reading_yaml(path):
        try:
            content = OmegaConf.load(path)
        except OSError as error:  # Of what is no collection, in omegaconf's words.
            if error.errno is not None:
                raise
            content = None
        except OmegaConfBaseException as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"{path} is wrong at {error.full_key}: {why}; mend it") from error
    if not isinstance(content, DictConfig):
        raise ValueError(f"{path} must hold keys with values, as `seed: 3`, and holds none")
    return content


def _what_is_wrong(error: Exception, path: Path) -> str:
    if isinstance(error, ReaderError) and isinstance(error.character, int):
        return f"{error.name} must be text, got the character #x{error.character:02x}; take it away"
    if isinstance(error, (ReaderError, UnicodeDecodeError)):
        return f"{path} must be text in UTF-8, and is not; save it as UTF-8"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark, why = error.problem_mark, error.problem or "it cannot be read"
        remedy = "indent by spaces, not by a tab" if "'\\t'" in why else "mend that line"
        return f"{mark.name}, line {mark.line + 1}, is not YAML: {why}; {remedy}"
    return f"{path} is wrong: {str(error).splitlines()[0]}; mend it"
