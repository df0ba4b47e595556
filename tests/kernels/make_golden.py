"""Makes the golden numbers of another library: weights, inputs and outputs.

    python make_golden.py keras > lstm/golden/keras.json
    python make_golden.py haiku > lstm/golden/haiku.json
    python make_golden.py torch > lstm/golden/torch.json
    python make_golden.py keras_convolutions > conv_transpose/golden/keras.json

here, in an environment of its own that has that library (keras beside jax with
KERAS_BACKEND=jax). The file says which version it was. Numbers are float32 in full, so
that reading them back gives the same bits.
"""

import importlib
import itertools
import json
import sys
from typing import Any

import numpy as np

BATCH, TIME, FEATURES, HIDDEN = 2, 4, 3, 2


def normal(*shape: int) -> np.ndarray:
    """The same numbers for the same shape, whatever was drawn before."""
    random = np.random.default_rng(sum(n * 10**k for k, n in enumerate(shape)))
    return random.normal(scale=0.7, size=shape).astype(np.float32)


def keras() -> dict[str, Any]:
    """An LSTM, and a Bidirectional one."""
    keras = importlib.import_module("keras")
    layers, x = keras.layers, normal(BATCH, TIME, FEATURES)
    made = {}
    for name in ("one", "both"):
        layer = layers.LSTM(HIDDEN, return_sequences=True)
        layer = layers.Bidirectional(layer) if name == "both" else layer
        layer.build(x.shape)
        weights = [normal(*w.shape) for w in layer.get_weights()]
        weights = [w + np.float32(n % 3) / 4 for n, w in enumerate(weights)]
        layer.set_weights(weights)
        made[name] = {"weights": weights, "y": np.asarray(layer(x))}
    return {"version": keras.__version__, "x": x} | made


def haiku() -> dict[str, Any]:
    """hk.LSTM, step by step."""
    haiku, jax = importlib.import_module("haiku"), importlib.import_module("jax")

    def run(x):
        core = haiku.LSTM(HIDDEN)
        start = core.initial_state(BATCH)
        return haiku.dynamic_unroll(core, x, start, time_major=False)[0]

    x, module = (
        normal(BATCH, TIME, FEATURES),
        haiku.without_apply_rng(haiku.transform(run)),
    )
    params = jax.tree.map(
        lambda leaf: normal(*leaf.shape), module.init(jax.random.key(0), x)
    )
    y = np.asarray(module.apply(params, x))
    return {"version": haiku.__version__, "x": x, "weights": params, "y": y}


def torch() -> dict[str, Any]:
    """nn.LSTM: two layers, both directions, with a projection and without."""
    torch = importlib.import_module("torch")
    x = normal(BATCH, TIME, FEATURES)
    made = {}
    for name, projected in (("plain", 0), ("projected", 1)):
        options = {"proj_size": projected, "bidirectional": True, "batch_first": True}
        layer = torch.nn.LSTM(FEATURES, HIDDEN, 2, **options)
        weights = {n: normal(*w.shape) for n, w in layer.state_dict().items()}
        layer.load_state_dict({n: torch.from_numpy(w) for n, w in weights.items()})
        with torch.no_grad():
            y = layer(torch.from_numpy(x))[0].numpy()
        made[name] = {"weights": weights, "y": y}
    return {"version": torch.__version__, "x": x} | made


def keras_convolutions() -> dict[str, Any]:
    """Conv2D and Conv2DTranspose without bias, with padding "same".

    One picture is of odd height and even width, the other the other way round.
    """
    keras = importlib.import_module("keras")
    made = {}
    for name, taps, stride in itertools.product(
        ("Conv2D", "Conv2DTranspose"), (5, 4, 3), (1, 2)
    ):
        x = normal(1, 3, 4, 2) if taps % 2 else normal(1, 4, 5, 2)
        options = {"strides": stride, "padding": "same", "use_bias": False}
        layer = getattr(keras.layers, name)(3, taps, **options)
        layer.build(x.shape)
        weights = [normal(*w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        found = {"x": x, "kernel": weights[0], "y": np.asarray(layer(x))}
        made[f"{name} {taps} {stride}"] = found
    return {"version": keras.__version__} | made


def plain(value: Any) -> Any:
    """As JSON holds it; a float32 is told apart from its neighbours by 9 digits."""
    if isinstance(value, dict):
        return {name: plain(of) for name, of in value.items()}
    if isinstance(value, list):
        return [plain(of) for of in value]
    return value if isinstance(value, str) else np.asarray(value).tolist()


if __name__ == "__main__":
    makers = {made.__name__: made for made in (keras, haiku, torch, keras_convolutions)}
    sys.stdout.write(json.dumps(plain(makers[sys.argv[1]]())) + "\n")
