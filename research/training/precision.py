"""Networks that compute in bfloat16, with all that is kept in float32.

Weights and inputs are rounded on their way into a network, outputs and gradients are
float32 again; weights, optimizers, running statistics and losses never leave float32
(Micikevicius 2018, section 3.1: half precision needs a float32 copy of the weights).
bfloat16 has float32's range, so that no loss has to be scaled.
"""

from typing import Any

import jax
import jax.numpy as jnp

from kernels import LstmState

NETWORKS = ("generator", "discriminator", "module")  # what a model part may have


def of(model: Any, compute: str) -> Any:
    """The model part, its networks computing in `compute`, "float32" or "bfloat16"."""
    return model if compute == "float32" else _Rounded(model)


class _Rounded:
    """A model part; its networks round."""

    def __init__(self, model: Any):
        self._model = model

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        return (lambda: Network(found())) if name in NETWORKS else found


class Network:
    """A Flax module that computes in bfloat16; in all else it is the module."""

    def __init__(self, module: Any):
        """Takes the module."""
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        """As the module's; floats of the result are float32."""
        variables = {**variables, "params": _narrow(variables["params"])}
        if "state" in options:
            options = options | {"state": _narrow(options["state"])}
        return _wide(self._module.apply(variables, *_narrow(inputs), **options))


def _narrow(tree: Any) -> Any:
    """float32 rounded to bfloat16, but for an LSTM's c, which the op has in float32."""

    def one(leaf):
        if isinstance(leaf, LstmState):
            return leaf._replace(h=one(leaf.h))
        narrow = getattr(leaf, "dtype", None) == jnp.float32
        return leaf.astype(jnp.bfloat16) if narrow else leaf

    return jax.tree.map(one, tree, is_leaf=lambda node: isinstance(node, LstmState))


def _wide(tree: Any) -> Any:
    def one(leaf):
        narrow = getattr(leaf, "dtype", None) == jnp.bfloat16
        return leaf.astype(jnp.float32) if narrow else leaf

    return jax.tree.map(one, tree)
