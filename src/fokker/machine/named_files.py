"""Files that a user names, and texts of the user as they are shown."""

from pathlib import Path


def one_line(text: str) -> str:
    """Return a user's text with line breaks and other unprintable characters as `\\n`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def find_points(path: str | None, key: str = "data.path") -> Path:
    """Return the file of points at a path.

    Args:
        path: the path as the user gives it; null is refused.
        key: the key that gives it, for the message.

    Raises:
        ValueError: if there is no file.
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
