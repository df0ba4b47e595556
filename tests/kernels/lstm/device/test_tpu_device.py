"""The TPU kernels on a real TPU: the whole protocol, at sizes that fill its tiles.

On a machine with one: `python -m pytest -m tpu tests/kernels/lstm/device`.
"""

import functools

import jax
import pytest

from kernels import lstm_cell
from kernels.lstm import pallas_cell, pallas_tpu
from kernels.lstm.cases import Shape, tagged

pytestmark = [
    pytest.mark.tpu,
    pytest.mark.skipif(
        jax.default_backend() != "tpu",
        reason=f"needs a real TPU, and this is a {jax.default_backend()}",
    ),
]

HERE = "pallas_tpu"
SWEEPS = pallas_tpu.BACKEND
# reference/lstm.md's gates for a real device, as those of the GPU.
GATES = {"float32": (1e-5, 1e-5, 5e-5), "bfloat16": (8e-3, 8e-3, 2e-2)}
# Blocks of eight steps, of which time ends inside the last; tiles of the batch, of
# which rows end inside the last; more reset flags than a register holds.
LARGE = (
    *tagged("tpu"),
    Shape("eights", 101, 64, 1, 512),
    Shape("tiles", 37, 300, 1, 384, peephole=True, resets=True, h_mask=True),
    Shape("flags", 300, 16, 1, 128, resets=True, reverse=True),
)
# A v6e reads wh in pairs of rows, and takes many rows in blocks of twenty or 16 steps.
UNKEPT = (
    Shape("pairs", 9, 64, 1, 512),
    Shape("twenties", 41, 256, 1, 512),
    Shape("sixteens", 64, 256, 1, 512, resets=True),
)
CELLS = tagged("gpu_cell")  # wh streamed, of any size
BEYOND = Shape("beyond", 2, 8, 1, 4096)  # no VMEM holds it in 16 bits


def unkept(backend, shape: Shape, xp, core, *_):
    """y and the last state of a sweep that keeps nothing for the way back."""
    swept = backend.forward(xp, core, shape.reverse, None)
    return swept.y, swept.last


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("case", tagged("test"), ids=str)
def test_values_and_gradients(case, dtype, protocol):
    protocol.values_and_gradients(HERE, case, dtype, GATES[dtype])


@pytest.mark.parametrize("policy", ["recompute", "checkpoint"])
def test_every_policy(policy, protocol):
    protocol.gradients_by_policy(HERE, policy)


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_sizes_beside_xla(shape, dtype, protocol):
    protocol.beside_xla(SWEEPS, shape, dtype, 2 * GATES[dtype][2])


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("shape", UNKEPT, ids=str)
def test_without_kept_gates_beside_xla(shape, dtype, protocol):
    protocol.beside_xla(SWEEPS, shape, dtype, 2 * GATES[dtype][2], unkept)


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("shape", CELLS, ids=str)
def test_the_fused_cell_beside_xla(shape, dtype, protocol):
    protocol.beside_xla(pallas_cell.BACKEND, shape, dtype, 2 * GATES[dtype][2])


def test_what_vmem_cannot_hold_is_streamed(protocol):
    protocol.beside_xla(SWEEPS, BEYOND, "bfloat16", 2 * GATES["bfloat16"][2])


@pytest.mark.parametrize("time", [1, 2, 2048])
def test_short_and_long(time, protocol):
    shape = Shape("time", time, 16, 1, 256)
    protocol.beside_xla(SWEEPS, shape, "bfloat16", 5e-2)


@pytest.mark.parametrize("dtype", GATES)
def test_one_step_is_that_of_the_oracle(dtype, oracle):
    p = oracle.problem(Shape("one_step", 1, 12, 3, 200), dtype, scale=0.4)
    (x, weights, state, _), _ = oracle.on_device(p, dtype)
    _, last = jax.jit(lstm_cell)(x[:, 0], state, weights)
    want, (far_h, far_c, _) = oracle.forward(p), GATES[dtype]
    oracle.near(last.h, want.h, far_h)
    oracle.near(last.c, want.c, far_c)


@pytest.mark.parametrize("dtype", GATES)
def test_what_is_past_a_rows_end_is_never_read(dtype, protocol):
    protocol.past_is_never_read(HERE, dtype)


def test_vmap_is_a_loop(protocol):
    protocol.vmap_is_a_loop(HERE)


@pytest.mark.parametrize("dtype", GATES)
def test_gradient_of_the_gradient_norm(dtype, protocol):
    relative = 2 * GATES[dtype][2]
    protocol.gradient_of_the_gradient_norm(HERE, dtype, relative)


def test_every_launch_gives_the_same_bits(protocol):
    """As many programs in flight as the queue holds."""
    shape = Shape("bits", 101, 64, 1, 512)
    given = protocol.sweeps(shape, "bfloat16")
    run = jax.jit(functools.partial(protocol.both, SWEEPS, shape))
    first = jax.device_get(run(*given))
    for again in [run(*given) for _ in range(20)]:
        protocol.same_bits(first, again)
