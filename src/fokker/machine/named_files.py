"""Files that a user names, and names as they are shown."""

from pathlib import Path


def one_line(text: str) -> str:
    """A text of the user's, in which line breaks and the like are written as `\\n`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def find_points(path: str | None, key: str = "data.path") -> Path:
    """The file of points that a path means.

    Args:
        path: as given.
        key: where.

    Raises:
        ValueError: if there is none.
    """
    if path is None:
        raise ValueError(
            f"{key} must name a .npy or .npz file of points, got null; a .csv or a .pt file "
            "will do too"
        )
    file = Path(path).expanduser()
    if not file.is_file():
        what = f"not there, seen from {Path.cwd()}"
        if file.exists():
            what = "a folder" if file.is_dir() else "no file but a device or a pipe"
        name = one_line(str(file))
        raise ValueError(f"{key} must be a file of points, and {name} is {what}")
    return file
