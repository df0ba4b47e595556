"""Files that a user names."""

from pathlib import Path

from research.errors import UserError


def read_bytes(path: Path) -> bytes:
    """The content of a user's file.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"--data.path {path}: {error.strerror}") from error
