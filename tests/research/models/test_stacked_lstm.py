"""The stacked LSTM beside torch.nn.LSTM, and the promises of its options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models.stacked_lstm import Model

BATCH, TIME, FEATURES, HIDDEN, CLASSES = 3, 7, 5, 4, 6
LENGTHS = np.array([7, 1, 4])
rng = np.random.default_rng(11)
X = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
SYMBOLS = rng.integers(0, CLASSES, (BATCH, TIME))
COTANGENT = rng.normal(size=(BATCH, TIME, CLASSES)).astype(np.float32)
DROPPED = {
    "dropout": Model(HIDDEN, 2, CLASSES, dropout=0.5),
    "variational": Model(HIDDEN, 2, CLASSES, dropout=0.5, variational=True),
    "recurrent": Model(HIDDEN, 2, CLASSES, recurrent_dropout=0.5),
    "weights": Model(HIDDEN, 2, CLASSES, weight_dropout=0.5),
    "zoneout_h": Model(HIDDEN, 2, CLASSES, zoneout_h=0.5),
    "zoneout_c": Model(HIDDEN, 2, CLASSES, zoneout_c=0.5),
}


def compiled(model: Model):
    return jax.jit(model.module().apply, static_argnames="train")


def ready(model: Model, inputs):
    """Its compiled `apply`, and variables whose every leaf matters."""
    module = model.module()
    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
    random = np.random.default_rng(1)
    fill = lambda leaf: random.normal(scale=0.6, size=leaf.shape).astype(np.float32)  # noqa: E731
    return compiled(model), jax.tree.map(fill, shapes)


def as_torch(params: dict, model: Model):
    """torch.nn.LSTM and the Dense layer after it with the same weights."""
    torch = pytest.importorskip("torch", reason="the yardstick, extra `bench`")
    lstm = torch.nn.LSTM(
        FEATURES,
        model.hidden,
        model.layers,
        batch_first=True,
        bidirectional=model.bidirectional,
        proj_size=model.projection,
        dtype=torch.float64,
    )
    values = {}
    for layer in range(model.layers):
        found = params["layers"]["bottom"]
        if layer:
            stacked = params["layers"]["upper"]["layer"]
            found = jax.tree.map(lambda a, n=layer - 1: a[n], stacked)
        ways = {"": found}
        if model.bidirectional:
            ways = {"": found["forward"], "_reverse": found["backward"]}
        for suffix, weights in ways.items():
            end = f"_l{layer}{suffix}"
            values["weight_ih" + end] = weights["wx"].T
            values["weight_hh" + end] = weights["wh"].T
            values["bias_ih" + end] = weights["b"]
            values["bias_hh" + end] = 0 * weights["b"]
            if model.projection:
                values["weight_hr" + end] = weights["projection"].T
    lstm.load_state_dict({k: torch.tensor(np.asarray(v)) for k, v in values.items()})
    return torch, lstm


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(
    "model",
    [
        Model(HIDDEN, 1, CLASSES),
        Model(HIDDEN, 3, CLASSES),
        Model(HIDDEN, 2, CLASSES, bidirectional=True),
        Model(HIDDEN, 3, CLASSES, projection=3),
        Model(HIDDEN, 2, CLASSES, projection=3, bidirectional=True),
    ],
    ids=["one", "three", "both_ways", "projected", "both_ways_projected"],
)
def test_values_and_gradients_are_torch_s(model, lengths):
    apply, variables = ready(model, X)
    params = variables["params"]
    torch, lstm = as_torch(params, model)
    dense = params["logits"]

    cotangent = COTANGENT.copy()
    if lengths is not None:
        cotangent[np.arange(TIME) >= LENGTHS[:, None]] = 0

    def value(params, x):
        logits, _ = apply({"params": params}, x, lengths=lengths)
        return jnp.sum(logits * cotangent), logits

    run = jax.value_and_grad(value, (0, 1), has_aux=True)
    (_, logits), (d_params, dx) = jax.jit(run)(params, X)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    given = x
    pack = torch.nn.utils.rnn
    if lengths is not None:
        given = pack.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    y, _ = lstm(given)
    if lengths is not None:
        y = pack.pad_packed_sequence(y, True, total_length=TIME)[0]
    kernel = torch.tensor(dense["kernel"], dtype=torch.float64)
    want = y @ kernel + torch.tensor(dense["bias"])
    np.testing.assert_allclose(logits, want.detach(), atol=5e-6)
    (want * torch.tensor(cotangent)).sum().backward()
    np.testing.assert_allclose(dx, x.grad, atol=2e-5)
    # The gradient of every weight: in torch's layout, our gradients are its own.
    for name, got in as_torch(d_params, model)[1].state_dict().items():
        if "bias_hh" not in name:  # ours has one bias
            scale = 1 + np.abs(got.numpy()).max()
            slope = getattr(lstm, name).grad
            np.testing.assert_allclose(slope / scale, got / scale, atol=5e-6)


def step_by_step(model, variables, inputs):
    """The logits of single-step calls, and the state after them."""
    apply, state = compiled(model), model.module().start(len(inputs))
    logits = []
    for t in range(inputs.shape[1]):
        out, state = apply(variables, inputs[:, t : t + 1], state=state)
        logits.append(out)
    return jnp.concatenate(logits, 1), state


@pytest.mark.parametrize(
    "model",
    [
        Model(HIDDEN, 2, CLASSES),
        Model(HIDDEN, 2, CLASSES, projection=3, peephole=True),
        Model(HIDDEN, 2, CLASSES, layer_norm=True, zoneout_h=0.2, zoneout_c=0.1),
    ],
    ids=["plain", "projected", "normalised"],
)
def test_the_state_carries_everything_over(model):
    """Reading in pieces is reading at once, and a reset is a fresh start."""
    apply, variables = ready(model, SYMBOLS)
    whole, last = apply(variables, SYMBOLS)
    pieces, state = step_by_step(model, variables, SYMBOLS)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)  # noqa: E731
    near(pieces, whole)
    jax.tree.map(near, state, last)
    resets = np.zeros((BATCH, TIME), bool)
    resets[:, 3] = True
    logits, last = apply(variables, SYMBOLS, resets=resets)
    first, _ = apply(variables, SYMBOLS[:, :3])
    second, end = apply(variables, SYMBOLS[:, 3:])
    near(logits, np.concatenate([first, second], 1))
    jax.tree.map(near, last, end)


def test_both_directions_begin_anew_at_a_reset():
    apply, variables = ready(Model(HIDDEN, 2, CLASSES, bidirectional=True), X)
    resets = np.zeros((BATCH, TIME), bool)
    resets[:, 3] = True
    logits, _ = apply(variables, X, resets=resets)
    parts = [apply(variables, x)[0] for x in (X[:, :3], X[:, 3:])]
    np.testing.assert_allclose(logits, np.concatenate(parts, 1), atol=2e-6)


@pytest.mark.parametrize("name", DROPPED)
def test_dropout_is_drawn_from_its_key_and_only_in_training(name):
    apply, variables = ready(DROPPED[name], X)
    plain, _ = compiled(Model(HIDDEN, 2, CLASSES))(variables, X)

    def run(key, train=True):
        rngs = {"dropout": jax.random.key(key)}
        return apply(variables, X, train=train, rngs=rngs)[0]

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-3
    if "zoneout" not in name:  # which takes the mean of its draws, not its absence
        np.testing.assert_array_equal(run(1, train=False), plain)
    zero = dataclasses.replace(
        DROPPED[name], dropout=0, recurrent_dropout=0, weight_dropout=0
    )
    none = dataclasses.replace(zero, zoneout_h=0, zoneout_c=0)
    rngs = {"dropout": jax.random.key(1)}
    np.testing.assert_array_equal(
        compiled(none)(variables, X, train=True, rngs=rngs)[0], plain
    )


def test_symbols_are_one_hot_or_vectors():
    apply, variables = ready(Model(HIDDEN, 1, CLASSES), SYMBOLS)
    vectors = np.eye(CLASSES, dtype=np.float32)[SYMBOLS]
    for a, b in zip(
        apply(variables, SYMBOLS)[0],
        apply(variables, vectors)[0],
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    model = Model(HIDDEN, 1, CLASSES, embedding=HIDDEN, tied=True)
    apply, variables = ready(model, SYMBOLS)
    params = variables["params"]
    logits, _ = apply(variables, SYMBOLS)
    table = params["embedding"]["embedding"]
    layer, vectors = compiled(Model(HIDDEN, 1, CLASSES)), table[SYMBOLS]
    dense = {"kernel": table.T, "bias": params["bias"]}
    untied = {"params": {"layers": params["layers"], "logits": dense}}
    np.testing.assert_allclose(logits, layer(untied, vectors)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(dropout=1.0), r"--model.dropout is 1.0: a share lies in \[0, 1\)"),
        (Model(zoneout_c=-0.1), r"--model\.zoneout-c is -0\.1"),
        (Model(layers=0), r"--model\.layers is 0"),
        (Model(0), r"--model\.hidden is 0: give 1 or more"),
        (Model(embedding=-1), r"--model\.embedding is -1: give 0 or more"),
        (Model(projection=-1), r"--model\.projection is -1"),
        (Model(residuals="all"), r"--model\.residuals is 'all', not one of recompute"),
        (Model(backend="fast"), r"--model\.backend 'fast' is not one of pallas_tpu"),
        (Model(8, tied=True), r"--model\.tied asks for --model\.embedding 8"),
        (
            Model(8, tied=True, embedding=8, symbols=11),
            "same symbols in and out, not 11 and 10",
        ),
    ],
)
def test_wrong_settings_are_named(model, said):
    with pytest.raises(UserError, match=said):
        model.module()


def test_a_tied_model_refuses_vectors():
    module = Model(HIDDEN, 1, CLASSES, tied=True, embedding=HIDDEN).module()
    with pytest.raises(UserError, match="inputs of symbols"):
        module.init(jax.random.key(0), X)
