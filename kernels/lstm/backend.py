"""What a backend is: a forward sweep and a backward sweep over time.

Every backend shares the split of gradients.py: x·wx + b for all steps before the
forward sweep, weight gradients for all steps after the backward sweep, as GEMMs. A
backend is the two loops in between. All arrays are time-major.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from kernels.lstm.spec import Case, LstmState, LstmWeights, Masks


class Core(NamedTuple):
    """What a backend's loop is given besides its sequences; None where absent."""

    wh: jax.Array  # [projected, 4·hidden]
    peephole: jax.Array | None  # [3, hidden], wide
    projection: jax.Array | None  # [hidden, projected]
    state: LstmState  # the initial one
    h_mask: jax.Array | None  # [batch, projected]
    masks: Masks


class Streamed(NamedTuple):
    """What a forward sweep is given in place of xp where the backend `streams`."""

    x: jax.Array  # [time, batch, features]
    weights: LstmWeights


class Swept(NamedTuple):
    """What a forward sweep leaves; the last two only if it was asked to keep them."""

    y: jax.Array  # [time, batch, projected], zero past the end of a row
    last: LstmState
    gates: jax.Array | None  # [time, batch, 4·hidden], of x's dtype
    cells: jax.Array | None  # [time, batch, hidden]: c *entering* each step, wide


class SweptBack(NamedTuple):
    """What a backward sweep leaves."""

    dz: jax.Array  # [time, batch, 4·hidden], of x's dtype, zero past a row's end
    dh: jax.Array | None  # [time, batch, projected], the same; with a projection only
    initial: LstmState  # cotangents, both wide


class Backend(NamedTuple):
    """Two sweeps, see xla.py for their arguments; None where jax differentiates all."""

    supports: Callable[[Case], str | None]  # None, or why it cannot
    forward: Callable[..., Swept] | None
    backward: Callable[..., SweptBack] | None
    residuals: str  # the policy it prefers
    # Whether it wants to work x·wx out step by step, for a case: None is never.
    streams: Callable[[Case], bool] | None = None
    # Its own form of gradients.weight_gradients; None takes that one.
    weight_gradients: Callable[..., tuple] | None = None
    # Why it is not taken unless it is named, for a case that it supports; None: it is.
    hesitates: Callable[[Case], str | None] | None = None
    # What slows a case down that it does support, to tell who asks; None: nothing.
    slowed: Callable[[Case], str | None] | None = None
