"""Small digits: 1,740 real digits of 8×8 pixels that ship in scikit-learn.

1,440 to train, 300 held out (144 and 30 of each class, the same ones everywhere). No
download; a second's work for a laptop. Alpaydin and Kaynak, 1998.
"""

from pathlib import Path

from research.sources import order, small_digits
from research.sources.split import Split, fingerprint, refuse_unknown

IMAGE_SHAPE = (8, 8, 1)
LABELS = 10
FEATURES = "digits_8"


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The digits of "train" (1,440) or "test" (300 held out).

    Args:
      split: "train" or "test".
      data_dir: not used: the digits are read from the package.

    Raises:
      UserError: an unknown split, or a package that is missing or damaged.
    """
    del data_dir
    refuse_unknown("digits_8", split)
    images, labels = small_digits.splits()[split]
    arrays = {"image": images, "label": labels}
    return Split(arrays, len(labels), fingerprint(arrays, "digits_8"))


batch = order.batch
