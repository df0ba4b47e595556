"""The GPU kernels on a real GPU: the whole protocol, and a stress test.

`launch/run bench rented-gpu` runs these in a process with a limit: blocks that wait for
ever would never end by themselves.
"""

import functools

import jax
import pytest

from kernels.lstm import gpu_bench, gpu_sweeps, gpu_tiles, pallas_gpu
from kernels.lstm.cases import Shape, tagged

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        jax.default_backend() != "gpu",
        reason=f"needs a real NVIDIA GPU, and this is a {jax.default_backend()}",
    ),
]

HERE = "pallas_gpu"
NARROW = ("bfloat16", "float16")
# reference/lstm.md's gates for a real device.
GATES = {
    "float32": (1e-5, 1e-5, 5e-5),
    "bfloat16": (8e-3, 8e-3, 2e-2),
    "float16": (1e-3, 1e-3, 5e-3),
}
# A cluster, a grid, every multiprocessor; masks of every kind where they fit.
LARGE = (
    Shape("h128", 65, 16, 1, 128),
    Shape("h256", 33, 64, 1, 256),
    Shape("h512", 33, 128, 1, 512, resets=True),
    Shape("h768", 65, 16, 1, 768, reverse=True),
    Shape("h1024", 33, 64, 1, 1024, h_mask=True),
    Shape("h650", 17, 20, 1, 650, peephole=True, resets=True),
)


def on_hopper() -> bool:
    card = gpu_tiles.present("gpu")
    return card is not None and card.capability[0] == 9


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("case", tagged("test"), ids=str)
def test_values_and_gradients(case, dtype, protocol):
    """Small sizes against the oracle; projections and float32 are the fused cell's."""
    protocol.values_and_gradients(HERE, case, dtype, GATES[dtype])


@pytest.mark.parametrize("policy", ["recompute", "checkpoint"])
def test_every_policy(policy, protocol):
    protocol.gradients_by_policy(HERE, policy)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_sizes_beside_xla(shape, dtype, protocol):
    protocol.beside_xla(pallas_gpu.BACKEND, shape, dtype, 2 * GATES[dtype][2])


@pytest.mark.parametrize("time", [1, 2, 2048])
def test_short_and_long(time, protocol):
    shape = Shape("time", time, 16, 1, 256)
    protocol.beside_xla(pallas_gpu.BACKEND, shape, "bfloat16", 5e-2)


@pytest.mark.parametrize("dtype", GATES)
def test_what_is_past_a_rows_end_is_never_read(dtype, protocol):
    protocol.past_is_never_read(HERE, dtype)


def test_vmap_is_a_loop(protocol):
    protocol.vmap_is_a_loop(HERE)


def test_gradient_of_the_gradient_norm(protocol):
    protocol.gradient_of_the_gradient_norm(HERE, "float16", 1e-2)


def test_stress_every_launch_gives_the_same_bits(protocol):
    """Two calls in each program, as many programs in flight as the queue holds."""
    if not on_hopper():
        pytest.fail("the stress test is of the persistent kernels: it needs Hopper")
    card = gpu_tiles.present("gpu")
    assert card is not None
    tall = gpu_bench.filling(card)
    given = protocol.sweeps(tall, "bfloat16")
    assert pallas_gpu.persistent(tall.case("bfloat16")) is None

    @jax.jit
    def run(*given):
        once = protocol.both(gpu_sweeps, tall, *given)
        later = jax.lax.optimization_barrier((given, once))[0]
        return once, protocol.both(gpu_sweeps, tall, *later)

    first, again = run(*given)
    protocol.same_bits(first, again)
    results = [run(*given) for _ in range(20)]
    for _ in range(10):
        results = [*results[1:], run(*given)]
    for got in (half for pair in results for half in pair):
        protocol.same_bits(first, got)


def test_stress_many_short_launches(protocol):
    """A counter that is not zero at a launch would let blocks run ahead."""
    if not on_hopper():
        pytest.fail("the stress test is of the persistent kernels: it needs Hopper")
    shape = Shape("short", 8, 16, 1, 768)
    given = protocol.sweeps(shape, "bfloat16")
    run = jax.jit(functools.partial(protocol.both, gpu_sweeps, shape))
    first = run(*given)
    for _ in range(2000):
        last = run(*given)
    protocol.same_bits(first, last)
