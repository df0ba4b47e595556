"""Where this program keeps files on this machine, of which each may be made anew."""

import os
from pathlib import Path

from research.errors import UserError


def cache() -> Path:
    """`gan-lstm-lab` in $XDG_CACHE_HOME, or in ~/.cache.

    Raises:
      UserError: there is no home.
    """
    try:
        folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a container's user, whom its /etc/passwd does not name
        raise UserError(
            "there is no home folder to keep a cache in: set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from None
    return Path(folder) / "gan-lstm-lab"
