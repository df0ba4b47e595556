"""Small stacked digits: three 8×8 digits a picture, 1,000 equally likely classes.

As `stacked_digits`, of the digits of `digits_8`: a thousand modes that two cores learn
in minutes. Pictures of "train" are made of training digits alone.
"""

from pathlib import Path

from research.data import digits_8, stacked_digits
from research.sources.split import Split, fingerprint

IMAGE_SHAPE = (8, 8, 3)
LABELS = 1000
ENDLESS = True  # other digits meet in every epoch
FEATURES = "digits_8"
EXAMPLES = stacked_digits.EXAMPLES


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The digits that pictures of "train" or "test" are put together from.

    Raises:
      UserError: an unknown split, or a package that is missing or damaged.
    """
    arrays, _, name = digits_8.load(split, data_dir)
    examples = EXAMPLES[split]
    return Split(arrays, examples, fingerprint({}, "stacked_digits_8", examples, name))


batch = stacked_digits.batch
