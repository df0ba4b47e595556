"""Arithmetic counted from a trace, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from launch.ahead import products


def counted(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return products.work(jax.make_jaxpr(function)(*arrays).jaxpr).flops


def test_a_product_of_matrices():
    assert counted(jnp.matmul, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert counted(jnp.matmul, (4, 3, 5), (4, 5, 7)) == 4 * 2 * 3 * 5 * 7


def test_products_of_16_bits_are_counted_apart():
    wide, narrow = jnp.zeros((6, 6)), jnp.zeros((6, 3), jnp.bfloat16)

    def step(x, y):
        return x @ x @ y, y.T @ y

    jaxpr = jax.make_jaxpr(step)(wide, narrow).jaxpr
    assert products.work(jaxpr) == (2 * 6**3 + 2 * 6 * 6 * 3, 2 * 3 * 6 * 3)


def test_a_loop_counts_every_turn():
    def loop(h, w):
        return lax.scan(lambda h, _: (h @ w, None), h, None, length=9)[0]

    assert counted(loop, (2, 6), (6, 6)) == 9 * 2 * 2 * 6 * 6
    # Backwards two products a turn more.
    gradient = jax.grad(lambda h, w: loop(h, w).sum(), argnums=(0, 1))
    assert counted(gradient, (2, 6), (6, 6)) == 3 * 9 * 2 * 2 * 6 * 6


def test_a_convolution_and_its_transpose():
    def conv(x, k):
        return lax.conv_general_dilated(
            x, k, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    forward = 2 * (2 * 4 * 4 * 16) * 5 * 5 * 3
    assert counted(conv, (2, 8, 8, 3), (5, 5, 3, 16)) == forward

    def transposed(x, k):
        return lax.conv_transpose(
            x, k, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    # Three of four inputs are zeros put in between.
    wanted = 2 * (2 * 16 * 16 * 16) * 5 * 5 * 3 / 4
    assert counted(transposed, (2, 8, 8, 3), (5, 5, 3, 16)) == wanted


def test_inside_jit_vmap_and_checkpoint():
    double = jax.jit(jax.checkpoint(jnp.matmul))
    assert counted(jax.vmap(double), (4, 3, 5), (4, 5, 7)) == 4 * 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("stack", "name"),
    [
        ("jvp(Generator)/BatchNorm_0", "Generator/BatchNorm_0"),
        ("transpose(jvp(Lstm))/Dense_1", "Lstm/Dense_1"),
        ("jit(step)/vmap(jvp())", ""),
    ],
)
def test_a_layer_is_named_by_its_modules(stack, name):
    assert products.layer_name(stack) == name


def test_the_largest_array_and_its_layer():
    import flax.linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="Small")(nn.Dense(4000, name="Wide")(x))

    net = Net()
    params = net.init(jax.random.key(0), jnp.zeros((1, 2)))
    found = products.largest(jax.make_jaxpr(net.apply)(params, jnp.zeros((7, 2))).jaxpr)
    assert found.name == "Net/Wide"
    assert found.bytes == 7 * 4000 * 4
    assert found.shape == "f32[7,4000]"


def test_a_branch_for_one_platform_is_counted_there_alone():
    def step(x):
        return lax.platform_dependent(x, cpu=lambda x: x, default=lambda x: x @ x)

    jaxpr = jax.make_jaxpr(step)(jnp.zeros((6, 6))).jaxpr
    assert products.work(jaxpr, "cpu") == (0, 0)
    assert products.work(jaxpr, "gpu") == products.work(jaxpr, "tpu") == (2 * 6**3, 0)
