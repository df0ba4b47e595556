"""Frames of music note by note: each key given those above it and all frames before.

A frame is written as its keys from the highest to the lowest, one a step, and 0 where
there are none left. There is one way to write it, and a symbol that would break the
order has no share, in the likelihood as in drawing: so the shares of all frames sum to
1, and the costs of a frame's steps are its −log p, in the unit of `frames`, which takes
its keys as independent. Liang 2016 (BachBot) writes chorales in this order.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from research.encodings.frames import DRAWN, Predict, within
from research.errors import UserError
from research.outcomes import Outcome
from research.sources.piano_rolls import KEYS

VOICES = 4  # steps of a frame, and the most keys that sound in it: a chorale's
SYMBOLS = KEYS + 1  # 0: no further key; n: key n − 1
# Keys up or down that a piece is moved by in training. Nats a frame of pieces that
# were set aside of the training ones, with 64 units: unmoved 5.4 after 400 updates and
# 6.0 after 1,600, learned by heart; moved by 6, 5.1 after 1,500. With 128 units it is
# 4.77 by 3 and 4.75 by 6, but by 6 pieces leave their register: features 0.063 away
# instead of 0.038.
REACH = 3


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, time · VOICES, features], targets int32 [batch, time · VOICES].

    Args:
      batch: frames [batch, time, keys] of at most VOICES keys each, and lengths
        [batch] where rows are padded: targets of padding are −1.
      keys: of `transposed`, while training.
    """
    frames = batch["frames"].astype(bool)
    if keys is not None:
        frames = jax.vmap(transposed)(frames, keys)
    written = symbols(frames)
    before = jnp.pad(written[:, :-1], ((0, 0), (1, 0), (0, 0)))  # silence at first
    above = jnp.tri(VOICES, k=-1, dtype=jnp.int32)  # a row for each place
    places = jnp.arange(VOICES)
    width = frames.shape[-1]
    inputs = features(before[:, :, None], written[:, :, None] * above, places, width)
    if "lengths" in batch:
        written = jnp.where(within(batch)[..., None], written, -1)
    rows = len(frames), frames.shape[1] * VOICES
    return inputs.reshape(*rows, -1), written.reshape(rows)


def outputs_needed(dataset: Any) -> int:
    """A logit of each symbol.

    Raises:
      UserError: no music.
    """
    if getattr(dataset, "MEDIUM", "") != "music":
        raise UserError(
            "--task.encoding notes writes music, which the data is not: take "
            "--data.name chorales, or another --task.encoding"
        )
    return SYMBOLS


def refuse(arrays: Mapping[str, Any]) -> None:
    """Raises UserError for a frame of more keys than can be written."""
    most = int(arrays["frames"].sum(-1).max())
    if most > VOICES:
        raise UserError(
            f"{most} keys sound at once in this music, --task.encoding notes writes at "
            f"most {VOICES}: take --task.encoding frames --model.classes {KEYS}, or "
            f"other --data"
        )


def transposed(frames: jax.Array, key: jax.Array) -> jax.Array:
    """A piece, bool [time, keys], moved by up to REACH keys that hold all of it."""
    sounding = frames.any(0)
    below, over = sounding.argmax(), sounding[::-1].argmax()  # 0 of silence
    by = jax.random.randint(
        key, (), -jnp.minimum(below, REACH), jnp.minimum(over, REACH) + 1
    )
    return jnp.roll(frames, by, axis=-1)


def symbols(frames: jax.Array) -> jax.Array:
    """bool [..., keys] → int32 [..., VOICES]: keys + 1 falling, then 0."""
    left = jnp.where(frames, jnp.arange(1, frames.shape[-1] + 1, dtype=jnp.int32), 0)
    found = []
    for _ in range(VOICES):
        highest = left.max(-1)
        found.append(highest)
        left = jnp.where(left == highest[..., None], 0, left)
    return jnp.stack(found, axis=-1)


def frames_of(symbols: jax.Array) -> jax.Array:
    """The inverse of `symbols`, for a piano's keys: bool [..., 88]."""
    return jax.nn.one_hot(symbols - 1, KEYS, dtype=bool).any(-2)


def features(
    before: jax.Array, chosen: jax.Array, place: jax.Array, keys: int = KEYS
) -> jax.Array:
    """What a step sees: float32 [..., 3 · keys + VOICES] of 0 and 1.

    The keys of the frame before, which of them stood at this place, the keys chosen so
    far, and the place.

    Args:
      before: symbols of the frame before, [..., VOICES].
      chosen: symbols of this frame, [..., VOICES], 0 from `place` on.
      place: [...], which of the VOICES comes.
      keys: of a frame.
    """
    here = jax.nn.one_hot(place, VOICES)
    past, now = (jax.nn.one_hot(s - 1, keys) for s in (before, chosen))  # 0: no key
    voice = jnp.einsum("...vk,...v->...k", past, here)
    seen = past.sum(-2), voice, now.sum(-2), here
    shape = jnp.broadcast_shapes(*(part.shape[:-1] for part in seen))
    parts = [jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in seen]
    return jnp.concatenate(parts, axis=-1)


def allowed(logits: jax.Array, above: jax.Array) -> jax.Array:
    """−∞ for each symbol that cannot follow: symbols fall until 0, which stays.

    Args:
      logits: [..., symbols].
      above: the symbol before, [...]; SYMBOLS or more at a frame's first place.
    """
    every = jnp.arange(logits.shape[-1])
    return jnp.where((every < above[..., None]) | (every == 0), logits, -jnp.inf)


def losses(
    logits: jax.Array, targets: jax.Array, smoothing: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """−log p of whole frames in nats, and which are scored: float32 [batch, time].

    Args:
      logits: [batch, time · VOICES, symbols].
      targets: int32 [batch, time · VOICES], below 0 for padding.
      smoothing: share of each target that is spread over what could stand there.
    """
    written = targets.reshape(len(targets), -1, VOICES)
    scored = written[..., 0] >= 0
    first = ((0, 0), (0, 0), (1, 0))
    above = jnp.pad(written[..., :-1], first, constant_values=logits.shape[-1])
    can = allowed(logits.reshape(*written.shape, -1), above)
    shares = jax.nn.log_softmax(can)
    chosen = jnp.maximum(written, 0)[..., None]
    costs = -jnp.take_along_axis(shares, chosen, axis=-1)[..., 0]
    if smoothing:
        possible = jnp.isfinite(can)
        spread = -jnp.where(possible, shares, 0).sum(-1) / possible.sum(-1)
        costs = (1 - smoothing) * costs + smoothing * spread
    return jnp.where(scored, costs.sum(-1), 0), scored.astype(jnp.float32)


OUTCOME = Outcome(losses, lambda logits, targets: {}, smooths=True)


def measure(logits: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """`first_frame_nats` [batch]: the cost of the first frame, after silence."""
    return {"first_frame_nats": losses(logits, targets)[0][:, 0]}


def draw(predict: Predict, start: Any, keys: jax.Array) -> jax.Array:
    """Pieces drawn note by note, in one loop.

    Args:
      predict: inputs float32 [pieces, 1, features] and a state → logits
        [pieces, 1, symbols] and the next state.
      start: the state before the first note.
      keys: one a piece; a piece depends on its own key alone.

    Returns:
      bool [pieces, DRAWN, 88].
    """

    def note(carry, step):
        before, chosen, state = carry
        place = step % VOICES
        logits, state = predict(features(before, chosen, place)[:, None], state)
        above = jnp.where(place == 0, SYMBOLS, chosen[:, place - 1])
        here = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        symbol = jax.vmap(jax.random.categorical)(here, allowed(logits[:, 0], above))
        chosen = chosen.at[:, place].set(symbol)
        last = place == VOICES - 1
        after = jnp.where(last, chosen, before), jnp.where(last, 0, chosen)
        return (*after, state), symbol

    silence = jnp.zeros((len(keys), VOICES), jnp.int32)
    steps = jnp.arange(DRAWN * VOICES)
    _, drawn = jax.lax.scan(note, (silence, silence, start), steps)
    return frames_of(drawn.T.reshape(len(keys), DRAWN, VOICES))
