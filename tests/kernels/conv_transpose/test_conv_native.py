"""The C++ ops are really run, and mean what XLA's do; the values are tested beside.

test_conv_transpose.py holds the cases tagged "native" to the defining sum.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import conv, conv_transpose
from kernels.conv_transpose import native
from kernels.conv_transpose.cases import Case, tagged

OPS = {"conv": conv, "conv_transpose": conv_transpose}
CASES = tagged("native")
ABSENT = native.build.missing(native.SOURCE, native.TARGETS)

pytestmark = pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))


def operands(case: Case, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    x = random.normal(size=(case.batch, case.size, case.size, case.inputs))
    ends = (case.inputs, case.outputs)
    ends = ends if case.op == "conv" else ends[::-1]
    kernel = random.normal(size=(case.taps, case.taps, *ends))
    return jnp.asarray(x, "float32"), jnp.asarray(kernel, "float32")


def all_three(case: Case):
    """The op's value and both first gradients."""

    def run(x, kernel):
        op = OPS[case.op]
        y, pull = jax.vjp(lambda x, k: op(x, k, (case.stride, case.stride)), x, kernel)
        return y, pull(jnp.sin(jnp.arange(y.size, dtype="float32")).reshape(y.shape))

    return run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradients_run_native_code(case):
    text = jax.jit(all_three(case)).lower(*operands(case)).as_text()
    called = {name for name in native.TARGETS if name in text}
    spectral = set(native.TARGETS[3:])
    assert called == (spectral if "spectral" in case.name else called - spectral)
    assert len(called) == (2 if called == spectral else 3)
    assert "stablehlo.convolution" not in text


@pytest.mark.parametrize("case", CASES, ids=str)
def test_xla_gives_the_same(case, monkeypatch):
    x, kernel = operands(case)
    got = jax.jit(all_three(case))(x, kernel)
    monkeypatch.setattr(native, "refuses", lambda *_: "left to XLA for this test")
    want = jax.jit(all_three(case))(x, kernel)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_every_run_gives_the_same_bits(case):
    run, given = jax.jit(all_three(case)), operands(case)
    first = jax.tree.map(np.asarray, run(*given))
    for _ in range(5):
        again = jax.tree.map(np.asarray, run(*given))
        jax.tree.map(np.testing.assert_array_equal, first, again)


def test_devices_of_one_process_share_the_threads():
    """All four devices' calls are in flight at once, on one pool of threads."""
    case = CASES[0]
    x, kernel = operands(case)
    devices = jax.device_count()
    many = jnp.stack([x * (i + 1) for i in range(devices)])
    run = jax.pmap(lambda x: conv(x, kernel, (2, 2)))
    for _ in range(20):
        got = run(many)
    want = conv(x, kernel, (2, 2))
    for i in range(devices):
        np.testing.assert_allclose(got[i], (i + 1) * want, rtol=1e-5, atol=1e-4)


def test_other_dtypes_and_small_batches_are_left_to_xla():
    x = jnp.zeros((8, 4, 4, 2))
    assert "bfloat16" in str(native.refuses(x.astype("bfloat16"), x))
    assert "batch 3" in str(native.refuses(x[:3], x[:3]))
    assert native.refuses(x, x) is None
