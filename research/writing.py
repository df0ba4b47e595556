"""Writing on from a prompt, some symbols at a time, as they are drawn."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.errors import UserError
from research.sampling import Sampling, continue_streams
from research.task import Task

CHUNK = 16  # symbols of one compiled call: what is shown at once


def write(
    task: Task, state: Any, prompt: bytes, length: int, how: Sampling, seed: int = 0
) -> Iterator[bytes]:
    """What a language model writes after a prompt, in pieces of up to CHUNK bytes.

    The text depends on the arguments alone and not on CHUNK; a longer one begins with
    the shorter.

    Args:
      task: with `predict` and `begin`.
      state: of the task.
      prompt: read first, after `begin`.
      length: bytes to write.
      how: each is chosen.
      seed: of the draws.
    """
    assert task.predict is not None
    predict = task.predict
    symbols = jnp.array([[task.begin, *prompt]], jnp.int32)
    last, keys = symbols[:, -1], jax.random.key(seed)[None]
    _, memory = jax.jit(predict)(state, symbols[:, :-1], None)

    @jax.jit
    def some(state, last, memory, first):
        return continue_streams(
            lambda symbols, memory: predict(state, symbols, memory),
            keys, last, memory, first, CHUNK, how,
        )  # fmt: skip

    for first in range(0, length, CHUNK):
        written, memory = some(state, last, memory, first)
        last = written[:, -1]
        yield np.asarray(written[0, : length - first]).astype(np.uint8).tobytes()


def refuse_prompt(
    prompt: bytes, text: np.ndarray, classes: int, name: str, option: str = "--prompt"
) -> None:
    """Raises UserError for a prompt of symbols that the model cannot know.

    Args:
      prompt: bytes.
      text: uint8, what was trained on.
      classes: symbols that the model tells apart.
      name: of the data set.
      option: that it was given by.
    """
    known = np.bincount(text, minlength=256) > 0
    for byte in prompt:
        if byte >= classes or not known[byte]:
            shown = _character(prompt, byte)
            raise UserError(
                f"{option} holds {shown!r}, which {name} never does: the model has not "
                f"learned what follows it; leave it out"
            )


def _character(prompt: bytes, byte: int) -> str:
    """The first character of a prompt that a byte belongs to."""
    text = prompt.decode(errors="replace")
    return next((c for c in text if byte in c.encode()), chr(byte))
