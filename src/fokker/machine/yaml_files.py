"""YAML files: their content, and a sentence that says where one is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError


@contextmanager
def reading_yaml(path: Path | None = None) -> Iterator[None]:
    """Turn an error of YAML in the block into one sentence, with the file and the line.

    Args:
        path: the path of the file, if it is known; YAML's own errors name it, and others do not.
    Raises:
        ValueError: in place of errors of YAML, and of text that is not UTF-8.
    """
    try:
        yield
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(_what_is_wrong(error, path or Path("a YAML file"))) from error


def read_yaml(path: Path) -> DictConfig:
    """Return the keys and values of a YAML file; an empty file has none.

    Raises:
        ValueError: if it is no YAML, or holds something other than keys with values.
    """
    with reading_yaml(path):
        try:
            content = OmegaConf.load(path)
        except OSError as error:  # omegaconf raises one without a number for a single value.
            if error.errno is not None:
                raise
            content = None
        except OmegaConfBaseException as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"{path} is wrong at {error.full_key}: {why}; fix it") from error
    if not isinstance(content, DictConfig):
        raise ValueError(f"{path} must hold keys with values, as `seed: 3`, and holds none")
    return content


def _what_is_wrong(error: Exception, path: Path) -> str:
    if isinstance(error, ReaderError) and isinstance(error.character, int):
        return f"{error.name} must be text, got the character #x{error.character:02x}; remove it"
    if isinstance(error, (ReaderError, UnicodeDecodeError)):
        return f"{path} must be text in UTF-8, and is not; save it as UTF-8"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark, why = error.problem_mark, error.problem or "it cannot be read"
        remedy = "indent by spaces, not by a tab" if "'\\t'" in why else "mend that line"
        return f"{mark.name}, line {mark.line + 1}, is not YAML: {why}; {remedy}"
    return f"{path} is wrong: {str(error).splitlines()[0]}; fix it"
