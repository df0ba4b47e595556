"""Weights of other libraries: to the bit there and back, and the same outputs.

The libraries' own outputs are asked for where they are installed (flax, jax's cuDNN
reference, torch), and read from golden/ otherwise (Keras, haiku, torch), which says how
they were made. Haste needs a CUDA compiler: its published equations stand for it.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmWeights, lstm
from kernels.lstm.formats import Stack, cudnn, flax, haiku, haste, keras, torch

GOLDEN = Path(__file__).parent / "golden"
BATCH, TIME, FEATURES, HIDDEN = 3, 6, 5, 4
random = np.random.default_rng(23)
X = random.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)


def drawn(features: int, hidden: int = HIDDEN, projected: int = 0) -> LstmWeights:
    def normal(*shape):
        return random.normal(scale=0.7, size=shape).astype(np.float32)

    out, columns = projected or hidden, 4 * hidden
    projection = normal(hidden, projected) if projected else None
    weights = normal(features, columns), normal(out, columns), normal(columns)
    return LstmWeights(*weights, None, projection)


def drawn_stack(layers: int, ways: int, projected: int = 0) -> Stack:
    widths = [FEATURES] + [ways * (projected or HIDDEN)] * (layers - 1)
    return tuple(
        tuple(drawn(width, projected=projected) for _ in range(ways))
        for width in widths
    )


def forward(stack: Stack, x):
    """A stack of layers, in one direction or both."""
    for directions in stack:
        ways = zip(directions, (False, True), strict=False)
        x = jnp.concatenate([lstm(x, w, reverse=back)[0] for w, back in ways], -1)
    return x


def golden(name: str):
    """A file of golden/, its lists as float32."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    assert found.pop("version")
    return arrays(found)


def arrays(value):
    if isinstance(value, dict):
        return {name: arrays(of) for name, of in value.items()}
    try:
        return np.asarray(value, np.float32)
    except ValueError:  # a list of arrays of several shapes
        return [arrays(of) for of in value]


def same(a, b):
    """The same shapes, dtypes and bits."""
    flat_a, tree_a = jax.tree.flatten(a)
    flat_b, tree_b = jax.tree.flatten(b)
    assert tree_a == tree_b
    for one, other in zip(flat_a, flat_b, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


CELLS = pytest.mark.parametrize("form", [flax, haste])
STACKS = pytest.mark.parametrize(("layers", "ways"), [(1, 1), (3, 1), (1, 2), (3, 2)])


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "bfloat16"])
@CELLS
def test_cells_come_back_to_the_bit(form, dtype):
    weights = jax.tree.map(lambda a: a.astype(dtype), drawn(FEATURES))
    same(form.load(form.save(weights)), weights)
    theirs = form.save(weights)
    same(form.save(form.load(theirs)), theirs)


@STACKS
@pytest.mark.parametrize("projected", [0, 3])
def test_torch_comes_back_to_the_bit(layers, ways, projected):
    stack = drawn_stack(layers, ways, projected)
    same(torch.load(torch.save(stack)), stack)


@STACKS
def test_the_blob_comes_back_to_the_bit(layers, ways):
    stack = drawn_stack(layers, ways)
    sizes = {"layers": layers, "bidirectional": ways == 2}
    same(cudnn.load(cudnn.save(stack), FEATURES, HIDDEN, **sizes), stack)


@pytest.mark.parametrize("ways", [1, 2])
def test_keras_comes_back_to_the_bit(ways):
    directions = drawn_stack(1, ways)[0]
    same(keras.load(keras.save(directions)), directions)


def test_haiku_comes_back_to_the_bit_but_for_rounding_of_the_1():
    weights = drawn(FEATURES)
    back = haiku.load(haiku.save(weights))
    same(back[:2], weights[:2])
    gap = np.abs(back.b - weights.b)
    assert not np.delete(gap, np.s_[HIDDEN : 2 * HIDDEN]).any()
    assert 0 < gap.max() <= 2**-23
    coarse = weights._replace(b=np.round(weights.b * 64) / 64)
    same(haiku.load(haiku.save(coarse)), coarse)


def test_keras_golden_outputs():
    found = golden("keras")
    for name in ("one", "both"):
        directions = keras.load(found[name]["weights"])
        y = forward((directions,), found["x"])
        np.testing.assert_allclose(y, found[name]["y"], atol=5e-7)


def test_haiku_golden_outputs():
    found = golden("haiku")
    weights = haiku.load(found["weights"]["lstm/linear"])
    np.testing.assert_allclose(
        forward(((weights,),), found["x"]), found["y"], atol=5e-7
    )


def test_torch_golden_outputs():
    found = golden("torch")
    for name in ("plain", "projected"):
        stack = torch.load(found[name]["weights"])
        y = forward(stack, found["x"])
        np.testing.assert_allclose(y, found[name]["y"], atol=5e-7)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@STACKS
@pytest.mark.parametrize("projected", [0, 3])
def test_torch_computes_the_same(layers, ways, projected):
    library = pytest.importorskip("torch", reason="the yardstick, extra `bench`")
    stack = drawn_stack(layers, ways, projected)
    layer = library.nn.LSTM(
        FEATURES,
        HIDDEN,
        layers,
        batch_first=True,
        bidirectional=ways == 2,
        proj_size=projected,
    )
    state = {n: library.tensor(a) for n, a in torch.save(stack).items()}
    layer.load_state_dict(state)  # refuses a wrong name or shape
    with library.no_grad():
        want = layer(library.tensor(X))[0].numpy()
    np.testing.assert_allclose(forward(stack, X), want, atol=2e-6)


@pytest.mark.parametrize("cell", ["LSTMCell", "OptimizedLSTMCell"])
def test_flax_computes_the_same(cell):
    linen = pytest.importorskip("flax.linen", reason="the yardstick")
    weights = drawn(FEATURES)
    layer = linen.RNN(getattr(linen, cell)(HIDDEN))
    params = {"params": {"cell": flax.save(weights)}}
    shapes = jax.eval_shape(layer.init, jax.random.key(0), X)
    assert jax.tree.structure(shapes) == jax.tree.structure(params)
    want = jax.jit(layer.apply)(params, X)
    np.testing.assert_allclose(forward(((weights,),), X), want, atol=2e-6)


@pytest.mark.parametrize(("layers", "ways"), [(1, 1), (2, 1), (1, 2)])
def test_the_blob_is_what_jax_reads(layers, ways):
    """jax.experimental.rnn, whose reference runs without cuDNN."""
    from jax.experimental import rnn

    stack = drawn_stack(layers, ways)
    sizes = (FEATURES, HIDDEN, layers)
    unpack = functools.partial(rnn.unpack_lstm_weights, bidirectional=ways == 2)
    found = unpack(jnp.asarray(cudnn.save(stack)), *sizes)
    start = jnp.zeros((layers * ways, BATCH, HIDDEN))
    lengths = jnp.full(BATCH, TIME)
    want, _, _ = rnn.lstm_ref(
        jnp.asarray(X), start, start, *found, lengths, *sizes, 0.0, ways == 2
    )
    np.testing.assert_allclose(forward(stack, X), want, atol=2e-6)


def test_haste_s_equations():
    """Its documented order of gates is i, g, f, o; b as given, nothing added to f."""
    weights = drawn(FEATURES)
    theirs = haste.save(weights)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    h = c = np.zeros((BATCH, HIDDEN))
    for t in range(TIME):
        z = X[:, t] @ theirs["kernel"] + h @ theirs["recurrent_kernel"]
        i, g, f, o = np.split(z + theirs["bias"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(forward(((weights,),), X)[:, -1], h, atol=2e-6)


@pytest.mark.parametrize("form", [haiku, haste])
def test_another_gate_order_is_caught(form, monkeypatch):
    """i, f, g, o where i, g, f, o is meant: the outputs must tell."""
    monkeypatch.setattr(form, "GATES", "ifgo")
    test = {
        haiku: test_haiku_golden_outputs,
        haste: test_haste_s_equations,
    }
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test[form]()


def test_layers_without_biases_have_zeros():
    state = {n: a for n, a in torch.save(drawn_stack(1, 1)).items() if "bias" not in n}
    assert not torch.load(state)[0][0].b.any()
    assert not keras.load(keras.save(drawn_stack(1, 2)[0])[:2])[0].b.any()


PEEPHOLE = drawn(FEATURES)._replace(peephole=np.zeros((3, HIDDEN)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: torch.load({}), "no 'weight_ih_l0' among the weights"),
        (lambda: torch.load(torch.save(drawn_stack(1, 1)) | {"w": X}), "'w' is not a"),
        (lambda: torch.save(((PEEPHOLE,),)), "torch has no LSTM with a peephole"),
        (lambda: keras.load([X] * 5), "5 arrays, but an LSTM has 3"),
        (
            lambda: keras.load([keras.save((drawn(2),))[i] for i in (1, 0, 2)]),
            "recurrent_kernel has shape",
        ),
        (lambda: keras.save((drawn(2, 4, 3),)), "Keras has no LSTM with a projection"),
        (lambda: flax.load({"ii": {"kernel": X}}), "no 'if' among the weights ii"),
        (
            lambda: haiku.load({"w": X[0], "b": X[0, 0, 0]}),
            r"b has shape \(\),",
        ),
        (lambda: haste.load({"kernel": X[0]}), "no 'recurrent_kernel' among"),
        (lambda: cudnn.load(X.ravel(), 5, 4), r"shape \(90,\), but 1 layers of 4"),
    ],
)
def test_wrong_weights_are_named(wrong, said):
    with pytest.raises(ValueError, match=said) as caught:
        wrong()
    assert "\n" not in str(caught.value)
