"""Text: bytes int32 [texts, time], read as UTF-8."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.metrics import bits, text
from research.metrics.measured import Measured, mean

ENTRY = "tokens"
CALLED = "texts"
SHOWN = 10
SUFFIX = ".txt"
SYMBOLS = 256
# Bytes of one block: those in a row are alike, over whole letters of an apostle. Blocks
# of 1, 4 and 8 KB gave 1.74 ± 0.018, 0.027 and 0.044 bits of `bible --budget minutes`.
TOGETHER = 8_192


def to_network(texts: jax.Array) -> jax.Array:
    """Bytes → one-hot float32 [texts, time, 256]."""
    return jax.nn.one_hot(texts, SYMBOLS)


def from_network(outputs: jax.Array) -> jax.Array:
    """Shares of the 256 bytes, or their logits → the likeliest bytes."""
    return jnp.argmax(outputs, axis=-1).astype(jnp.int32)


def words(texts: np.ndarray) -> str:
    """The texts one after another, each under a line; unreadable bytes are �."""
    return "\n――――\n".join(readable(text) for text in texts)


def readable(text: np.ndarray) -> str:
    """One text; bytes that are no UTF-8 are �, and control characters but line ends."""
    decoded = np.asarray(text).astype(np.uint8).tobytes().decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in decoded)


def write(texts: np.ndarray, file: Path, dataset: Any) -> None:
    """The texts in a file of UTF-8."""
    del dataset
    file.write_text(words(texts) + "\n", encoding="utf-8")


def sheet(texts: np.ndarray, dataset: Any) -> None:
    """No picture: texts are read."""
    del texts, dataset


def likelihood(found: dict[str, np.ndarray]) -> dict[str, Measured]:
    """Bits a held-out byte, and how often the likeliest one is right."""
    return {
        "bits_per_byte": bits.measure(found["loss"], 1, "bits a byte"),
        "accuracy": mean(found["accuracy"], "share"),
    }


def read_in_order(nats: np.ndarray, length: int) -> dict[str, Measured]:
    """Bits a byte of a text by a model that learns from it as it reads.

    Args:
      nats: [windows], of each window's bytes; the windows go on one after another.
      length: bytes of a window.
    """
    blocks = np.arange(len(nats)) * length // TOGETHER
    return {"dynamic_bits_per_byte": mean(nats / math.log(2), "bits a byte", blocks)}


def watch(texts: np.ndarray, dataset: Any) -> dict[str, float]:
    """How much of the texts comes once only."""
    del dataset
    return {"diversity": text.diversity(texts)}


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    dataset: Any,
) -> dict[str, Measured]:
    """How texts compare with real ones; see `text.score`."""
    del dataset
    return text.score(generated, reference, again)
