"""Both ops against loops in float64 numpy, in value and in every derivative.

And against golden/keras.json, what Keras' layers gave: it says which version.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import conv, conv_transpose
from kernels.conv_transpose import native, reference
from kernels.conv_transpose.cases import Case, tagged

OPS = {"conv": conv, "conv_transpose": conv_transpose}
CASES = tagged("test")
KERAS = json.loads((Path(__file__).parent / "golden/keras.json").read_text())
LAYERS = {"Conv2D": conv, "Conv2DTranspose": conv_transpose}
GOLDEN = [name for name in KERAS if name != "version"]


def loops(case: Case, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The defining sum of both ops, index by index, in float64."""
    size = case.size * case.stride if case.op == "conv_transpose" else case.size
    small = -(-size // case.stride)
    pad = max((small - 1) * case.stride + case.taps - size, 0) // 2
    sizes = {"conv": small, "conv_transpose": size}
    y = np.zeros((case.batch, sizes[case.op], sizes[case.op], case.outputs))
    places = np.ndindex(small, small, case.taps, case.taps)
    for row, column, i, j in places:
        far = (row * case.stride + i - pad, column * case.stride + j - pad)
        if not (0 <= far[0] < size and 0 <= far[1] < size):
            continue
        if case.op == "conv":
            y[:, row, column] += x[:, far[0], far[1]] @ kernel[i, j]
        else:
            y[:, far[0], far[1]] += x[:, row, column] @ kernel[i, j].T
    return y


def arrays(case: Case, dtype: str = "float32") -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng(len(case.name))
    x = random.normal(size=(case.batch, case.size, case.size, case.inputs))
    ends = (case.inputs, case.outputs)
    ends = ends if case.op == "conv" else ends[::-1]
    kernel = random.normal(size=(case.taps, case.taps, *ends))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def close(got, want, tolerance):
    got, want = np.asarray(got, "float64"), np.asarray(want, "float64")
    np.testing.assert_allclose(got, want, atol=tolerance * (1 + np.abs(want).max()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_is_the_defining_sum(case, dtype):
    x, kernel = arrays(case, dtype)
    y = OPS[case.op](x, kernel, (case.stride, case.stride))
    want = loops(case, np.asarray(x, "float64"), np.asarray(kernel, "float64"))
    assert y.dtype == x.dtype
    assert y.shape == want.shape
    close(y, want, {"float32": 1e-6, "bfloat16": 8e-3}[dtype])


@pytest.mark.parametrize("name", GOLDEN)
def test_value_is_that_of_keras(name):
    """Taps, then the stride, of a picture of an odd and an even side."""
    layer, _, stride = name.split()
    x, kernel, want = (
        jnp.asarray(KERAS[name][part], "float32") for part in ("x", "kernel", "y")
    )
    y = LAYERS[layer](x, kernel, (int(stride),) * 2)
    assert y.shape == want.shape
    close(y, want, 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_first_and_second_derivatives_are_those_of_the_reference(case):
    x, kernel = arrays(case)
    strides = (case.stride, case.stride)
    plain = getattr(reference, case.op)
    aim = jnp.sin(jnp.arange(plain(x, kernel, strides).size, dtype="float32"))

    def gradients(op):
        def loss(x, kernel):
            y = op(x, kernel, strides)
            return jnp.vdot(jnp.tanh(y.ravel() / 8), aim)

        def penalty(x, kernel):  # as R1: the gradient's norm, differentiated again
            return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

        return [jax.grad(f, (0, 1))(x, kernel) for f in (loss, penalty)]

    got, want = jax.jit(lambda: (gradients(OPS[case.op]), gradients(plain)))()
    jax.tree.map(lambda a, b: close(a, b, 1e-5), got, want)


def test_third_order_through_the_weight_gradient():
    x, kernel = arrays(CASES[1])

    def third(op):
        def weight_norm(x, kernel):
            return jnp.sum(
                jax.grad(lambda k: jnp.sum(op(x, k, (2, 2)) ** 3))(kernel) ** 2
            )

        return jax.grad(lambda x: jnp.sum(jax.grad(weight_norm)(x, kernel) ** 2))(x)

    want = third(reference.conv_transpose)
    close(third(conv_transpose), want, 1e-5)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)], ids=str)
@pytest.mark.parametrize("case", [CASES[1], CASES[5]], ids=str)
def test_vmap_is_a_loop(case, axes):
    arguments = arrays(case)
    many = [
        jnp.stack([a, 2 * a, -a]) if axis == 0 else a
        for a, axis in zip(arguments, axes, strict=True)
    ]

    def gradients(x, kernel):
        def loss(x, kernel):
            return jnp.sum(OPS[case.op](x, kernel, (case.stride, case.stride)) ** 3)

        return loss(x, kernel), jax.grad(loss, (0, 1))(x, kernel)

    got = jax.vmap(gradients, axes)(*many)
    for i in range(3):
        one = [m[i] if a == 0 else m for m, a in zip(many, axes, strict=True)]
        jax.tree.map(lambda g, w: close(g[i], w, 1e-5), got, gradients(*one))  # noqa: B023


def test_the_second_derivative_avoids_the_slow_convolution(monkeypatch):
    """No weight gradient ("f" where the batch lies) slides over a dilated input."""
    monkeypatch.setattr(native, "refuses", lambda *_: "left to XLA for this test")
    x, kernel = arrays(Case("up", "conv_transpose", 2, 7, 8, 4, 5, 2, ("test",)))

    def slow_ones(op):
        def penalty(x, kernel):
            first = jax.grad(lambda x: jnp.sum(op(x, kernel, (2, 2)) ** 2))(x)
            return jnp.sum(first**2)

        text = jax.jit(jax.grad(penalty, (0, 1))).lower(x, kernel).as_text()
        lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        assert len(lines) == 6
        signs = ("dim_numbers = [f,", "lhs_dilate = [2, 2]")
        return [line for line in lines if all(sign in line for sign in signs)]

    def plain(x, kernel, strides):
        return jax.lax.conv_transpose(x, kernel, strides, "SAME", transpose_kernel=True)

    assert slow_ones(plain)
    assert not slow_ones(conv_transpose)


@pytest.mark.parametrize(
    ("x", "kernel", "strides", "said"),
    [
        ((2, 4, 4), (5, 5, 3, 2), (2, 2), r"\(2, 4, 4\)"),
        ((2, 4, 4, 3), (5, 5, 3, 2), (2, 2), "has 3 channels.*takes 2"),
        ((2, 4, 4, 2), (5, 5, 3, 2), (2, 0), r"strides are \(2, 0\)"),
        ((2, 4, 4, 2), (5, 5, 3, 2), (1.5, 1.5), r"strides are \(1.5, 1.5\)"),
        ((2, 4, 4, 2), (5, 5, 3, 2), 2, "strides are 2"),
    ],
)
def test_wrong_shapes_are_named(x, kernel, strides, said):
    with pytest.raises(ValueError, match=said):
        conv_transpose(jnp.zeros(x), jnp.zeros(kernel), strides)


def test_mixed_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"bfloat16.*float32"):
        conv(jnp.zeros((1, 4, 4, 1), "bfloat16"), jnp.zeros((3, 3, 1, 1)))
