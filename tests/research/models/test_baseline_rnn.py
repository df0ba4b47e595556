"""The GRU and the tanh cell beside PyTorch's, in values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models.baseline_rnn import Model

BATCH, TIME, FEATURES, HIDDEN, CLASSES = 3, 7, 5, 4, 6
LENGTHS = np.array([7, 1, 4])
rng = np.random.default_rng(17)
X = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
COTANGENT = rng.normal(size=(BATCH, TIME, CLASSES)).astype(np.float32)
COTANGENT *= (np.arange(TIME) < LENGTHS[:, None])[..., None]


def ready(model: Model):
    module = model.module()
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)
    random = np.random.default_rng(1)
    fill = lambda leaf: random.normal(scale=0.6, size=leaf.shape).astype(np.float32)  # noqa: E731
    return module, jax.tree.map(fill, shapes["params"])


def torch_state(params, cell: str):
    """Our weights, or gradients, under PyTorch's names."""
    layers = [params["layers"]["bottom"]]
    layers += [jax.tree.map(lambda a: a[0], params["layers"]["upper"]["layer"])]
    state = {}
    for n, layer in enumerate(layers):
        b_hh = np.zeros_like(layer["b"])
        if cell == "gru":
            b_hh[2 * HIDDEN :] = layer["b_h"]
        state[f"weight_ih_l{n}"], state[f"weight_hh_l{n}"] = (
            layer["wx"].T,
            layer["wh"].T,
        )
        state[f"bias_ih_l{n}"], state[f"bias_hh_l{n}"] = layer["b"], b_hh
    return state


@pytest.mark.parametrize("cell", ["gru", "tanh"])
def test_values_and_gradients_are_torch_s(cell):
    torch = pytest.importorskip("torch", reason="the yardstick, extra `bench`")
    module, params = ready(Model(cell, HIDDEN, 2, CLASSES))
    kind = {"gru": torch.nn.GRU, "tanh": torch.nn.RNN}[cell]
    theirs = kind(FEATURES, HIDDEN, 2, batch_first=True, dtype=torch.float64)
    state = torch_state(params, cell)
    theirs.load_state_dict({n: torch.tensor(np.array(a)) for n, a in state.items()})

    def value(params, x):
        logits, _ = module.apply({"params": params}, x, lengths=LENGTHS)
        return jnp.sum(logits * COTANGENT), logits

    both = jax.jit(jax.value_and_grad(value, (0, 1), has_aux=True))
    (_, logits), (d_params, dx) = both(params, X)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False)
    y = rnn.pad_packed_sequence(theirs(packed)[0], True, total_length=TIME)[0]
    dense = {n: torch.tensor(np.array(a)).double() for n, a in params["logits"].items()}
    want = y @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(logits, want.detach(), atol=3e-6)
    (want * torch.tensor(COTANGENT)).sum().backward()
    np.testing.assert_allclose(dx, x.grad, atol=1e-5)
    for name, got in torch_state(d_params, cell).items():
        slope = getattr(theirs, name).grad.numpy().copy()
        if cell == "gru" and "bias_hh" in name:  # r's and z's are in bias_ih alone
            slope[: 2 * HIDDEN] = 0
        if cell == "gru" or "bias_hh" not in name:
            np.testing.assert_allclose(got, slope, atol=2e-5)


@pytest.mark.parametrize("cell", ["gru", "tanh"])
def test_padding_resets_and_pieces(cell):
    module, params = ready(Model(cell, HIDDEN, 2, CLASSES))
    apply = jax.jit(module.apply)
    run = lambda x, **options: apply({"params": params}, x, **options)  # noqa: E731
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)  # noqa: E731
    padding = np.arange(TIME) >= LENGTHS[:, None]
    poisoned = np.where(padding[..., None], np.nan, X)
    logits, last = run(poisoned, lengths=LENGTHS)
    near(logits[0], run(X)[0][0])
    assert np.isfinite(logits).all()
    near(last[0][2], run(X[2:, :4])[1][0][0])
    slope = jax.grad(lambda x: run(x, lengths=LENGTHS)[0].sum())(poisoned)
    assert not np.asarray(slope)[padding].any()
    resets = np.zeros((BATCH, TIME), bool)
    resets[:, 3] = True
    parts = [run(x)[0] for x in (X[:, :3], X[:, 3:])]
    near(run(X, resets=resets)[0], np.concatenate(parts, 1))
    _, between = run(X[:, :3])
    near(run(X[:, 3:], state=between)[0], run(X)[0][:, 3:])


def test_no_layers_are_named():
    with pytest.raises(UserError, match=r"--model\.layers is 0"):
        Model(layers=0).module()
