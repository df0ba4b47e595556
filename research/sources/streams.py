"""A text read as parallel streams, for training that carries its state along.

The training text is a ring, cut into as many streams as a batch has rows. A step reads
the next `length` bytes of each stream, so row r of step s goes on where row r of step
s − 1 ended (Zaremba 2014, section 4). Where that begins is a pure function of (seed,
epoch), so a step says what is read, and resuming needs nothing else. Held-out text is
cut into windows that each bring their own context.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from research.errors import UserError
from research.metrics.measured import Measured
from research.metrics.text import memoryless
from research.sources.order import shuffled
from research.sources.split import Split, fingerprint, refuse_unknown

HELD_OUT = 0.05  # share of a text, at its end
CONTEXT = 256  # held-out bytes that are read before the first that is scored
IN_ORDER = 250_000  # held-out bytes that are read in order, from the first
RUNS, RUN = 10, 20  # of training text beside it, and windows in each


@dataclasses.dataclass(frozen=True)
class Text:
    """A data set of one text, as bytes."""

    name: str
    read: Callable[[], bytes]
    rows: int  # streams, the batch size of training
    length: int = 128  # bytes of a step, over which the gradient goes back
    about: str = ""

    MEDIUM = "text"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return self.about

    def load(self, split: str, data_dir: str | Path | None = None) -> Split:
        """The bytes of "train", the first 95 %, or of "test", the rest.

        Args:
          split: "train" or "test".
          data_dir: not used: the text is read where it lies.

        Raises:
          UserError: an unknown split, or a text too short for its streams.
        """
        del data_dir
        refuse_unknown(self.name, split)
        if self.length < 1:
            raise UserError(f"--data.length is {self.length}: give 1 byte or more")
        whole = np.frombuffer(self.read(), np.uint8)
        cut = len(whole) - round(len(whole) * HELD_OUT)
        self._refuse_short(whole, cut)
        text = whole[:cut] if split == "train" else whole[cut:]
        if split == "train":
            arrays = {"text": text}
            examples = len(text) // self.rows // self.length * self.rows
        else:
            arrays = {"held_out": text}
            examples = (len(text) - CONTEXT - 1) // self.length
        also = (self.length, self.rows) if split == "train" else self.length
        return Split(arrays, examples, fingerprint(arrays, also))

    def batch(
        self,
        arrays: Mapping[str, jax.Array],
        seed: int | jax.Array,
        positions: jax.Array,
    ) -> dict[str, jax.Array]:
        """Windows of bytes.

        Args:
          arrays: "text" or "held_out", uint8 [bytes].
          seed: of the start of each epoch; of the order of held-out windows.
          positions: uint32 [batch], counting windows since the start of training.

        Returns:
          tokens int32 [batch, time + 1], of which the last `time` are predicted. In
          training `row` int32 [batch], the stream, and `fresh` bool [batch], whether
          a stream begins here. Held out `scored` bool [batch, time], false in the
          context.
        """
        if "held_out" in arrays:
            return self._held_out(arrays["held_out"], seed, positions)
        text = arrays["text"]
        stream = len(text) // self.rows  # bytes
        steps = stream // self.length  # of an epoch
        row, step = positions % self.rows, positions // self.rows
        turn = shuffled(seed, step // steps, len(text), stream=1)
        inside = step % steps
        first = turn.astype(jnp.uint32) + row * stream + inside * self.length
        index = first[:, None] + jnp.arange(self.length + 1, dtype=jnp.uint32)
        return {
            "tokens": text[index % len(text)].astype(jnp.int32),
            "row": row.astype(jnp.int32),
            "fresh": inside == 0,
        }

    def baselines(self, train: Split, held_out: Split) -> dict[str, Measured]:
        """What predicts the held-out text without a network; see metrics.text."""
        return memoryless(train.arrays["text"], held_out.arrays["held_out"])

    def in_order(self, train: Split, held_out: Split) -> tuple[np.ndarray, np.ndarray]:
        """Windows that each go on where the one before ended, int32 [..., time + 1].

        Returns:
          Of the training text, [runs, windows, time + 1], the runs evenly spread; of
          the held-out text from its first byte on, [windows, time + 1].
        """
        text = train.arrays["text"]
        run = min(RUN, (len(text) - 1) // self.length)
        begins = np.linspace(0, len(text) - 1 - run * self.length, RUNS).astype(int)
        seen = np.stack([self._windows(text[begin:], run) for begin in begins])
        text = held_out.arrays["held_out"][: max(IN_ORDER, self.length + 1)]
        return seen, self._windows(text, (len(text) - 1) // self.length)

    def _windows(self, text: np.ndarray, count: int) -> np.ndarray:
        first = np.arange(count)[:, None] * self.length
        return text[first + np.arange(self.length + 1)].astype(np.int32)

    def _held_out(self, text, seed, positions) -> dict[str, jax.Array]:
        window = shuffled(seed, positions, (len(text) - CONTEXT - 1) // self.length)
        time = CONTEXT + self.length
        index = window[:, None] * self.length + jnp.arange(time + 1)
        scored = jnp.arange(time) >= CONTEXT
        return {
            "tokens": text[index].astype(jnp.int32),
            "scored": jnp.broadcast_to(scored, (len(positions), time)),
        }

    def _refuse_short(self, whole: np.ndarray, cut: int) -> None:
        if not len(whole):
            raise UserError(f"{self.name} is empty: name a text with --data.path")
        least = self.length + 1
        if len(whole) - cut < CONTEXT + least:
            enough = math.ceil((CONTEXT + least) / HELD_OUT)
            raise UserError(
                f"{self.name} holds {len(whole):,} bytes, too few to hold out a window "
                f"of {self.length} after {CONTEXT} others: {enough:,} or more are "
                f"needed, fewer with a smaller --data.length"
            )
        if cut // self.rows < least:
            raise UserError(
                f"{self.name} holds {len(whole):,} bytes, too few for {self.rows} "
                f"streams of windows of {self.length}: take a longer text, or a "
                f"smaller --batch-size or --data.length"
            )
