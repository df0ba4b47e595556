"""Music of yours: a .mat, .json or .pickle file of piano rolls, or a folder of MIDI.

`--data.path` names it: JSB Chorales, Nottingham and others in the layout that they are
passed around in, with their own splits, or .mid files, a fifth of which is held out.
`--data.held-out valid` measures on a file's "valid" instead of on its "test": number of
steps, width and the like are chosen there.
"""

import functools

from research.errors import UserError
from research.experiment import Data
from research.sources import user_music
from research.sources.piano_rolls import PianoRolls

TAKES = ("path", "length", "held_out")

_read = functools.cache(user_music.read)


def configured(data: Data, batch_size: int) -> PianoRolls:
    """Whole pieces, or windows of `data.length` steps.

    Raises:
      UserError: no file is named.
    """
    del batch_size
    if data.path is None:
        raise UserError(
            "--data.name piano_rolls reads music of yours: name a .mat, .json or "
            ".pickle file, or a folder of .mid files, with --data.path, or take "
            "--data.name chorales"
        )
    read = functools.partial(_read, data.path, data.held_out or "test")
    about = f"The music of {data.path.name}"
    return PianoRolls(str(data.path), read, data.length, about)
