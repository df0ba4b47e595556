"""Times `conv` and `conv_transpose` beside jax's own rules and torch.

"xla" is the same layer as lax writes and differentiates it, "torch" keeps its arrays
in channels_last, its faster layout on CPU. "forward+backward" is the gradient of
<y, dy> for x and the kernel; "second order" that of ‖∂<y³, dy>/∂x‖², as in R1.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kernels import measure
from kernels.conv_transpose.cases import Case, tagged
from kernels.conv_transpose.op import conv, conv_transpose

WHAT: tuple[str, ...] = ("forward", "forward+backward", "second order")
YARDSTICKS = ("torch", "xla")


def rows(names: Sequence[str] = (), runs: int = 9) -> Iterator[dict[str, Any]]:
    """One row for each case and what, as soon as it is measured.

    Args:
      names: of the cases; all those tagged "bench" if empty.
      runs: rounds of the interleaved timing.

    Raises:
      ValueError: a name that no bench case has.
      ModuleNotFoundError: torch is not installed.
    """
    known = {case.name: case for case in tagged("bench")}
    for name in names or known:
        if name not in known:
            raise ValueError(f"{name!r} is not one of the cases {', '.join(known)}")
        for what in WHAT:
            taken = measure.interleaved(contestants(known[name], what), runs)
            yield measure.row("conv", name, "adjoint", what, taken, YARDSTICKS)


def contestants(case: Case, what: str) -> dict[str, measure.Call]:
    """The calls to time, by name."""
    random = np.random.default_rng(0)
    up = case.stride if case.op == "conv_transpose" else 1
    small = -(-case.size // case.stride) if case.op == "conv" else case.size * up
    ends = (case.inputs, case.outputs)
    ends = ends if case.op == "conv" else ends[::-1]

    def normal(*size) -> np.ndarray:
        return random.normal(size=size).astype("float32")

    x = normal(case.batch, case.size, case.size, case.inputs)
    kernel = normal(case.taps, case.taps, *ends)
    dy = normal(case.batch, small, small, case.outputs)
    return {
        "adjoint": _jax(_ours(case), x, kernel, dy, what),
        "xla": _jax(_plain(case), x, kernel, dy, what),
        "torch": _torch(case, x, kernel, dy, what),
    }


def _ours(case: Case):
    op = {"conv": conv, "conv_transpose": conv_transpose}[case.op]
    return lambda x, kernel: op(x, kernel, (case.stride, case.stride))


def _plain(case: Case):
    strides, axes = (case.stride, case.stride), ("NHWC", "HWIO", "NHWC")
    if case.op == "conv":
        return lambda x, k: lax.conv_general_dilated(
            x, k, strides, "SAME", dimension_numbers=axes
        )
    return lambda x, k: lax.conv_transpose(
        x, k, strides, "SAME", dimension_numbers=axes, transpose_kernel=True
    )


def _jax(op, x, kernel, dy, what: str) -> measure.Call:
    def penalty(x, kernel):
        first = jax.grad(lambda x: jnp.vdot(op(x, kernel) ** 3, dy))(x)
        return jnp.sum(first**2)

    def gradient(x, kernel):
        y, pull = jax.vjp(op, x, kernel)
        return y, pull(dy)

    run = {WHAT[0]: op, WHAT[1]: gradient}.get(what, jax.grad(penalty, (0, 1)))
    compiled, arguments = jax.jit(run), (jnp.asarray(x), jnp.asarray(kernel))
    return lambda: jax.block_until_ready(compiled(*arguments))


def _torch(case: Case, x, kernel, dy, what: str) -> measure.Call:
    torch = measure.torch_on_all_cores()
    layer = _torch_layer(case)

    def ready(array: np.ndarray, axes: tuple[int, ...]):
        tensor = torch.tensor(np.ascontiguousarray(array.transpose(axes)))
        return tensor.contiguous(memory_format=torch.channels_last)

    inputs, cotangent = ready(x, (0, 3, 1, 2)), ready(dy, (0, 3, 1, 2))
    weight = ready(kernel, (3, 2, 0, 1))
    if what == WHAT[0]:
        return lambda: layer(inputs, weight)
    arguments = [inputs.requires_grad_(), weight.requires_grad_()]

    def run():
        if what == WHAT[1]:
            y = layer(*arguments)
            return y, torch.autograd.grad(y, arguments, cotangent)
        value = (layer(*arguments) ** 3 * cotangent).sum()
        (first,) = torch.autograd.grad(value, inputs, create_graph=True)
        return torch.autograd.grad((first**2).sum(), arguments)

    return run


def _torch_layer(case: Case):
    """The same layer in size and cost; where Keras pads one side more, torch cannot."""
    functional = measure.yardstick("torch.nn.functional")
    pad = (case.taps - 1) // 2
    if case.op == "conv":
        return lambda x, w: functional.conv2d(x, w, None, case.stride, pad)
    return lambda x, w: functional.conv_transpose2d(
        x, w, None, case.stride, pad, case.stride - 1
    )
