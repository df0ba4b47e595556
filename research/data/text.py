"""Text: a file of yours, read as bytes (`--data.path FILE`); 5 % are held out."""

import functools

from research.errors import UserError
from research.experiment import Data
from research.sources.streams import Text
from research.sources.users import read_bytes

TAKES = ("path", "length")


def configured(data: Data, batch_size: int) -> Text:
    """The file as `batch_size` streams of windows of `data.length`.

    Raises:
      UserError: no file is named.
    """
    if data.path is None:
        raise UserError(
            "--data.name text reads a file of yours: name it with --data.path FILE, "
            "or take --data.name bible"
        )
    read = functools.partial(read_bytes, data.path)
    length = data.length_or(Text.length)
    return Text(str(data.path), read, batch_size, length, f"The text {data.path.name}")
