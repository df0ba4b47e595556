"""The residual pair: parameter counts, conditional norm and projection by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.models import _spectral, resnet
from research.optimizers import Optimizer
from research.task import count
from research.tasks.gan import Gan
from research.training.axes import BATCH

KEY = jax.random.key(0)
SMALL = resnet.Model((6, 5, 4), (3, 4), 1, channels=2, latent=3, classes=3)
LABELS = jnp.array([0, 2, 2, 1])


def inputs(model, size):
    labels = (LABELS,) if model.classes else ()
    z = jax.random.normal(KEY, (4, model.latent))
    x = jax.random.normal(KEY, (4, size, size, model.channels))
    return (z, *labels), (x, *labels)


def counts(model, size):
    modules = model.generator(), model.discriminator()
    return [
        count(jax.eval_shape(lambda m=m, a=a: m.init(KEY, *a, train=False))["params"])
        for m, a in zip(modules, inputs(model, size), strict=True)
    ]


def conv(a, b, taps=9):
    return taps * a * b + b


@pytest.mark.parametrize(
    ("size", "wide", "narrow", "halvings"),
    [
        (32, (256,) * 4, (128,) * 4, 2),
        (64, (1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024), 4),
        (128, (1024, 1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024, 1024), 5),
    ],
)
def test_parameter_counts_of_the_tables(size, wide, narrow, halvings):
    """Counted from Miyato 2018's tables: blocks of two 3×3 and a 1×1 shortcut."""
    model = resnet.Model(wide, narrow, halvings)
    g = 129 * 16 * wide[0] + 2 * wide[-1] + conv(wide[-1], 3)
    for a, b in itertools.pairwise(wide):
        g += 2 * a + 2 * b + conv(a, b) + conv(b, b) + conv(a, b, 1)
    d = conv(3, narrow[0]) + conv(narrow[0], narrow[0]) + conv(3, narrow[0], 1)
    for number, (a, b) in enumerate(itertools.pairwise(narrow), 1):
        d += conv(a, a) + conv(a, b)
        d += conv(a, b, 1) if number < halvings or a != b else 0
    assert counts(model, size) == [g, d + narrow[-1] + 1]


def test_sngan_s_generator_at_32_pixels_has_4_276_739_parameters():
    assert counts(resnet.Model(), 32)[0] == 4_276_739


def test_conditional_norm_is_the_plain_one_at_first_then_each_class_s():
    """γ is 1 + a parameter at 0 (compare_gan#54: without the 1 nothing is learned)."""
    x = jax.random.normal(KEY, (4, 2, 2, 5)) * 3 + 1
    layer = resnet.ClassNorm(3)
    run = jax.vmap(
        lambda v, x: layer.apply(v, x, LABELS, True, mutable=["batch_stats"])[0],
        (None, 0),
        axis_name=BATCH,
    )
    variables = layer.init(KEY, x, LABELS, False)
    moments = np.float64(x).mean((0, 1, 2)), np.float64(x).var((0, 1, 2))
    plain = (np.float64(x) - moments[0]) / np.sqrt(moments[1] + 1e-5)
    np.testing.assert_allclose(run(variables, x[None])[0], plain, atol=1e-5)
    rng = np.random.default_rng(1)
    scale, shift = rng.normal(size=(2, 3, 5)).astype(np.float32)
    params = {"scale": jnp.asarray(scale), "shift": jnp.asarray(shift)}
    got = run({**variables, "params": params}, x[None])[0]
    own = np.asarray(LABELS)
    want = plain * (1 + scale[own])[:, None, None] + shift[own][:, None, None]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_label_moves_the_logit_by_its_projection():
    """D(x, y) − D(x, y′) = φ(x)·(v_y − v_y′) / σ."""
    module = SMALL.discriminator()
    _, (x, labels) = inputs(SMALL, 16)
    variables = module.init(KEY, x, labels, train=False)

    def judge(labels):
        out, seen = module.apply(
            variables, x, labels, train=True, mutable=["intermediates"]
        )
        return np.float64(out), np.float64(seen["intermediates"]["features"][0])

    logits, features = judge(labels)
    others, _ = judge(1 + 0 * labels)
    kernel = variables["params"]["Projection_0"]["kernel"]
    u = variables["spectral"]["Projection_0"]["u"]
    v = np.float64(kernel / _spectral.largest_singular_value(kernel, u)).T
    want = (features * (v[np.asarray(labels)] - v[1])).sum(1)
    np.testing.assert_allclose(logits - others, want, rtol=1e-3, atol=1e-5)


def test_labels_reach_both_networks_through_a_step_and_a_draw():
    """G's shifts of the batch's classes move, those of the absent one do not."""
    # No spectral norm: its σ is of all classes' vectors together.
    model = resnet.Model((4, 3), (3,), 1, 1, latent=2, classes=3, spectral=False)
    task = Gan("hinge", {"r1": 0.1}).build(model, Optimizer("sgd", 0.5), 10)
    batch = {
        "image": jnp.uint8(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1))),
        "label": jnp.array([0, 2, 2, 0]),
        "position": jnp.arange(4, dtype=jnp.uint32),
    }
    state = jax.jit(task.init)(KEY, batch)
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=BATCH))
    new, _ = step(state, jax.tree.map(lambda a: a[None], batch), KEY)
    new = jax.tree.map(lambda a: a[0], new)
    shift = new.generator.params["Growing_0"]["ClassNorm_1"]["shift"]
    moved = jnp.abs(shift).max(1) > 0
    assert moved.tolist() == [True, False, True]
    kernels = [s.discriminator.params["Projection_0"]["kernel"] for s in (state, new)]
    moved = jnp.abs(kernels[1] - kernels[0]).max(0) > 0
    assert moved.tolist() == [True, False, True]
    keys = jax.random.split(KEY, 30)
    same_noise = jnp.broadcast_to(keys[0], (30,))
    assert len({p.tobytes() for p in np.asarray(task.draw(new, same_noise))}) == 1
    assert task.draw(new, keys).shape == (30, 8, 8, 1)


def test_resampling():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(
        resnet.halved(x)[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]]
    )
    np.testing.assert_array_equal(resnet.halved(resnet.doubled(x)), x)
