"""Files that a user names."""

from pathlib import Path

from research.errors import UserError


def expanded(path: Path, option: str = "--data.path") -> Path:
    """A path in which ~ is the user's home.

    Raises:
      UserError: there is no such home, as for a user of a container's without a name.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(
            f"{option} {path}: nothing here tells which folder ~ is; give the whole "
            f"path"
        ) from None


def read_bytes(path: Path) -> bytes:
    """The content of a user's file.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    try:
        return expanded(path).read_bytes()
    except OSError as error:
        raise UserError(f"--data.path {path}: {error.strerror}") from error
