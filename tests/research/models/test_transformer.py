"""The causal Transformer beside PyTorch's functions, and its state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.layers.attention import dot_product_attention
from research.models.transformer import Model

BATCH, TIME, SYMBOLS, WIDTH, HEADS = 3, 9, 7, 16, 2
MODEL = Model(WIDTH, 2, HEADS, context=TIME, classes=SYMBOLS)
LENGTHS = np.array([9, 1, 4])
rng = np.random.default_rng(41)
TOKENS = rng.integers(0, SYMBOLS, (BATCH, TIME))


def ready(model: Model):
    module = model.module()
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    random = np.random.default_rng(2)
    fill = lambda leaf: random.normal(scale=0.4, size=leaf.shape).astype(np.float32)  # noqa: E731
    return jax.jit(module.apply, static_argnames="train"), jax.tree.map(fill, shapes)


def near(a, b, tolerance=5e-6):
    np.testing.assert_allclose(a, b, atol=tolerance)


def torch_logits(torch, params, tokens):
    """The whole model in PyTorch, attention by scaled_dot_product_attention."""
    f = torch.nn.functional
    stack = params["layers"]

    def dense(x, layer, inputs=1):
        kernel = layer["kernel"].reshape(np.prod(layer["kernel"].shape[:inputs]), -1)
        return x @ kernel + layer["bias"].reshape(-1)

    def norm(x, layer):
        return f.layer_norm(x, (WIDTH,), layer["scale"], layer["bias"], 1e-6)

    def turned(x):  # [batch, heads, time, width], as complex numbers
        half = x.shape[-1] // 2
        speed = 10_000.0 ** (-torch.arange(half) / half)
        angle = torch.arange(x.shape[2])[:, None] * speed
        pairs = torch.complex(x[..., :half], x[..., half:])
        pairs = pairs * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([pairs.real, pairs.imag], -1)

    x = dense(f.one_hot(tokens, SYMBOLS).double(), stack["input"])
    for name in ("block_0", "block_1"):
        block = stack[name]
        made = dense(norm(x, block["attention_norm"]), block["query_key_value"])
        made = made.reshape(*made.shape[:2], 3, HEADS, WIDTH // HEADS)
        q, k, v = made.permute(2, 0, 3, 1, 4)
        found = f.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        found = found.transpose(1, 2).flatten(2)
        x = x + dense(found, block["output"], 2)
        inner = f.gelu(dense(norm(x, block["norm"]), block["inner"]))
        x = x + dense(inner, block["outer"])
    return dense(norm(x, stack["norm"]), params["logits"])


def test_values_and_gradients_are_torch_s():
    torch = pytest.importorskip("torch", reason="the yardstick, extra `bench`")
    apply, variables = ready(MODEL)
    cotangent = rng.normal(size=(BATCH, TIME, SYMBOLS)).astype(np.float32)

    def value(variables):
        logits, _ = apply(variables, TOKENS)
        return jnp.sum(logits * cotangent), logits

    (_, logits), gradient = jax.value_and_grad(value, has_aux=True)(variables)
    leaf = lambda a: torch.tensor(a, dtype=torch.float64, requires_grad=True)  # noqa: E731
    params = jax.tree.map(leaf, variables["params"])
    want = torch_logits(torch, params, torch.tensor(TOKENS))
    near(logits, want.detach())
    (want * torch.tensor(cotangent)).sum().backward()
    for got, exact in zip(
        jax.tree.leaves(gradient["params"]), jax.tree.leaves(params), strict=True
    ):
        near(got / 100, exact.grad / 100)


def test_attention_is_torch_s():
    torch = pytest.importorskip("torch", reason="the yardstick, extra `bench`")
    q, k, v = rng.normal(size=(3, 2, 5, 3, 4)).astype(np.float32)
    seen = np.broadcast_to(np.tril(np.ones((5, 5), bool)), (2, 5, 5))
    got = dot_product_attention(q, k, v, seen)
    heads_first = [torch.tensor(a).transpose(1, 2) for a in (q, k, v)]
    attention = torch.nn.functional.scaled_dot_product_attention
    near(got, attention(*heads_first, is_causal=True).transpose(1, 2), 1e-6)


def test_later_symbols_change_nothing_before():
    apply, variables = ready(MODEL)
    other = TOKENS.copy()
    other[:, 5:] = (other[:, 5:] + 1) % SYMBOLS
    a, b = (np.asarray(apply(variables, tokens)[0]) for tokens in (TOKENS, other))
    np.testing.assert_array_equal(a[:, :5], b[:, :5])
    assert np.abs(a[:, 5:] - b[:, 5:]).max() > 0.1


@pytest.mark.parametrize("context", [TIME, 3])
def test_the_state_carries_everything_over(context):
    """Symbol by symbol, in pieces and at once; also when it has forgotten the start."""
    model = Model(WIDTH, 2, HEADS, context, SYMBOLS)
    apply, variables = ready(model)
    whole, last = apply(variables, TOKENS)
    state, logits = model.module().start(BATCH), []
    for t in range(TIME):
        out, state = apply(variables, TOKENS[:, t : t + 1], state=state)
        logits.append(out)
    near(np.concatenate(logits, 1), whole)
    jax.tree.map(near, state, last)
    first, between = apply(variables, TOKENS[:, :4])
    second, _ = apply(variables, TOKENS[:, 4:], state=between)
    near(np.concatenate([first, second], 1), whole)


def test_a_step_sees_its_context_and_no_more():
    model = Model(WIDTH, 1, HEADS, 3, SYMBOLS)
    apply, variables = ready(model)
    other = TOKENS.copy()
    other[:, 2] = (other[:, 2] + 1) % SYMBOLS
    a, b = (np.asarray(apply(variables, tokens)[0]) for tokens in (TOKENS, other))
    changed = np.abs(a - b).max((0, 2)) > 1e-4
    assert list(np.flatnonzero(changed)) == [2, 3, 4]


def test_lengths_and_resets():
    apply, variables = ready(MODEL)
    logits, last = apply(variables, TOKENS, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = slice(row, row + 1)
        want, end = apply(variables, TOKENS[alone, :length])
        near(logits[alone, :length], want)
        near(last.keys[alone], end.keys)
        near(last.documents[alone], end.documents)
    resets = np.zeros((BATCH, TIME), bool)
    resets[:, 4] = True
    parts = [apply(variables, tokens)[0] for tokens in (TOKENS[:, :4], TOKENS[:, 4:])]
    logits, last = apply(variables, TOKENS, resets=resets)
    near(logits, np.concatenate(parts, 1))
    # The document goes on where the state is handed over.
    first, between = apply(variables, TOKENS[:, :6], resets=resets[:, :6])
    second, _ = apply(variables, TOKENS[:, 6:], state=between)
    near(np.concatenate([first, second], 1), logits)


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match=r"hidden is 10: it must be divisible.*, 8"):
        Model(hidden=10, heads=4).module()
    for field in ("hidden", "layers", "heads", "context", "classes", "symbols"):
        with pytest.raises(UserError, match=rf"--model\.{field} is 0: give 1 or more"):
            Model(**{field: 0}).module()
