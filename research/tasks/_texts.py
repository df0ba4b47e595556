"""What a language model asks of a text, and what it reads before one of its own."""

from typing import Any

import numpy as np

from research.errors import UserError
from research.media.text import SYMBOLS

BEGIN = 10  # a line's end: what stands before a text, of a training text that has any
COUNTED = 1_000_000  # bytes of one that has none, of which the most frequent is taken


def begin_of(text: np.ndarray) -> int:
    """What drawn texts begin after: a line's end, or a text's most frequent byte.

    A symbol that was never read would be an embedding that was never trained.

    Args:
      text: uint8, what is trained on.
    """
    return BEGIN if BEGIN in text else int(np.bincount(text[:COUNTED]).argmax())


def refuse(model: Any, dynamic_rate: float, dataset: Any) -> None:
    """Raises UserError for what cannot be learned from, or not read in order.

    A byte beyond the logits would cost nothing, one beyond the inputs be unread.
    """
    for field in ("classes", "symbols"):
        count = getattr(model, field, None)
        if count is not None and count < SYMBOLS:
            raise UserError(
                f"--model.{field} {count} is fewer than the bytes that a text is of: "
                f"give {SYMBOLS}"
            )
    if dynamic_rate and not hasattr(dataset, "in_order"):
        raise UserError(
            f"--task.dynamic-rate {dynamic_rate} reads a text in order, and the data "
            f"has no `in_order`, as a Text of research.sources.streams has: give 0"
        )
