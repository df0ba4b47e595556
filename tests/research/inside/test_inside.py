"""Gates, cells and gradients of a small stack, against loops and other routes."""

import dataclasses
import functools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.experiment import Data, Experiment
from research.inside import gates, memory, page
from research.models import baseline_rnn, stacked_lstm
from research.optimizers import Optimizer
from research.tasks.language import Language
from research.training.job import initial_state, prepare
from research.training.trained import Trained

SETTINGS = stacked_lstm.Model(hidden=4, layers=3, classes=256)
TEXTS = jnp.asarray(np.random.default_rng(0).integers(97, 101, (2, 7)), jnp.int32)


@pytest.fixture(scope="module")
def model():
    """A module and weights that are far from their beginning."""
    module = SETTINGS.module()
    params = jax.jit(module.init)(jax.random.key(0), TEXTS)["params"]
    return module, jax.tree.map(lambda leaf: 2 * leaf, params)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_gates_and_cells_are_those_of_a_loop_over_layers_and_steps(model):
    module, params = model
    found = gates.read(module, params, TEXTS[0])
    assert len(found) == 3
    bottom, upper = (params["layers"][name] for name in ("bottom", "upper"))
    above = [jax.tree.map(lambda a, n=n: a[n], upper["layer"]) for n in range(2)]
    x = np.eye(256)[np.asarray(TEXTS[0])]
    for layer, inside in zip([bottom, *above], found, strict=True):
        wx, wh, b = (np.float64(layer[name]) for name in ("wx", "wh", "b"))
        h, c, y = np.zeros(4), np.zeros(4), []
        for step, row in enumerate(x):
            i, f, g, o = np.split(row @ wx + h @ wh + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            want = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(c)
            got = [part[step] for part in inside]
            np.testing.assert_allclose(got, want, atol=1e-5)
            y.append(h)
        x = np.stack(y)
    logits = x @ np.float64(params["logits"]["kernel"]) + params["logits"]["bias"]
    want, _ = module.apply({"params": params}, TEXTS[:1], train=False)
    np.testing.assert_allclose(logits, want[0], atol=1e-4)


def test_the_gradient_by_distance_is_that_of_the_one_hot_vectors(model):
    """Without an embedding the lowest layer reads one-hots, which can be given."""
    module, params = model

    def loss(x):
        logits = module.apply({"params": params}, x, train=False)[0][:, -1]
        shares = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(shares, TEXTS[:, -1:], axis=1).sum()

    gradient = jax.grad(loss)(jax.nn.one_hot(TEXTS[:, :-1], 256))
    want = jnp.linalg.norm(gradient, axis=-1).mean(0)[::-1]
    got = memory.by_distance(module, params, TEXTS)
    assert got.shape == (6,)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_reach_is_the_distance_that_holds_a_share():
    norms = np.array([4.0, 2.0, 1.0, 1.0])
    assert [memory.reach(norms, share) for share in (0.4, 0.6, 0.95)] == [1, 2, 4]


def test_saturation_counts_the_ends():
    gate = jnp.array([0.95, 0.91, 0.5, 0.05])
    assert gates.saturation(gate) == (0.5, 0.25)


def test_a_model_without_an_lstm_is_refused():
    module = baseline_rnn.Model(hidden=3, classes=256).module()
    params = module.init(jax.random.key(0), TEXTS)["params"]
    with pytest.raises(UserError, match="no LSTM layer"):
        gates.read(module, params, TEXTS[0])
    for option in ({"projection": 2}, {"layer_norm": True}, {"zoneout_c": 0.1}):
        module = dataclasses.replace(SETTINGS, **option).module()
        params = jax.eval_shape(module.init, jax.random.key(0), TEXTS)["params"]
        flag = next(iter(option)).replace("_", "-")
        with pytest.raises(UserError, match=f"--model.{flag} .* LSTM layers without"):
            jax.eval_shape(functools.partial(gates.layer_input, module), params, TEXTS)


def test_the_page_shows_the_text_and_says_what_the_numbers_say(tmp_path):
    file = tmp_path / "abc.txt"
    letters = np.frombuffer(b"<sum> & total\n", np.uint8)
    file.write_bytes(np.random.default_rng(1).choice(letters, 12_000))
    job = prepare(
        "small",
        Experiment(
            steps=1,
            batch_size=4,
            data=Data("text", path=file, length=16),
            model=stacked_lstm.Model(hidden=5, layers=2, classes=256),
            task=Language(),
            optimizer=Optimizer(),
        ),
    )
    state = jax.jit(lambda: initial_state(job))()
    place = page.write(Trained(job, 7, state), tmp_path, "<sum> & total\n")
    told = place.read_text(encoding="utf-8")
    assert told.count("<h3>unit") == 5
    letters = re.findall(
        r'<span style="background:rgb\([\d,]+\)">(.+?|\n)</span>', told
    )
    assert "".join(letters[:14]) == "&lt;sum&gt; &amp; total\n"
    assert told.count("data:image/png;base64,") == 1 + 2
    inside = gates.read(
        job.experiment.model.module(), state.params, page._bytes("<sum> & total\n")
    )
    with pytest.raises(UserError, match="--inside holds 'z', which text never does"):
        page.write(Trained(job, 7, state), tmp_path, "sum z")
    with pytest.raises(UserError, match="--inside holds 'ÿ', which text never"):
        page.write(Trained(job, 7, state), tmp_path, os.fsdecode(b"sum \xff"))
    share = 100 * float(np.mean([one.f > 0.9 for one in inside]))
    assert f"{share:.0f}\u00a0% of the forget gates" in told


def test_colours():
    assert page.colour(0.0) == "rgb(255,255,255)"
    assert page.colour(1.0) == "rgb(31,131,214)"
    assert page.colour(-1.0) == "rgb(224,123,31)"
