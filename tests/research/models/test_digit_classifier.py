import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.models.digit_classifier import Model
from research.training.axes import BATCH


@pytest.fixture(scope="module")
def variables():
    images = jnp.zeros((2, 28, 28, 1))
    return Model().module().init(jax.random.key(0), images, train=False)


def test_parameter_count_layer_by_layer(variables):
    """3·3·in·out weights and two BatchNorm vectors a convolution, then two layers."""
    convolutions = sum(
        9 * i * o + 2 * o for i, o in ((1, 16), (16, 32), (32, 32), (32, 64))
    )
    dense = 7 * 7 * 64 * 128 + 128 + 128 * 10 + 10
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == convolutions + dense == 435_514


def test_in_evaluation_a_picture_does_not_see_its_neighbours(variables):
    images = jax.random.uniform(jax.random.key(1), (5, 28, 28, 1))
    apply = jax.jit(lambda x: Model().module().apply(variables, x, train=False))
    logits, features = apply(images)
    alone, alone_features = apply(images[3:4])
    assert logits.shape == (5, 10)
    assert features.shape == (5, 128)
    np.testing.assert_allclose(alone[0], logits[3], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(alone_features[0], features[3], rtol=1e-5, atol=1e-5)


def test_training_keeps_a_tenth_of_the_statistics_of_all_devices(variables):
    images = jax.random.uniform(jax.random.key(2), (2, 4, 28, 28, 1))

    def train(share):
        apply = Model().module().apply
        _, moved = apply(variables, share, train=True, mutable=["batch_stats"])
        return moved["batch_stats"]

    moved = jax.vmap(train, axis_name=BATCH)(images)
    kernel = variables["params"]["Conv_0"]["kernel"]
    out = jax.lax.conv_general_dilated(
        images.reshape(8, 28, 28, 1),
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    want = np.broadcast_to(0.1 * out.mean((0, 1, 2)), (2, 16))
    means = jnp.asarray(moved["BatchNorm_0"]["mean"])
    np.testing.assert_allclose(means, want, atol=1e-6)
