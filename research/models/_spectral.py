"""Spectral normalisation (Miyato 2018): a kernel divided by its largest singular value.

The value is that of the kernel read as a matrix [inputs, outputs], estimated by power
iteration. Its vector u [outputs] lies in a collection of its own, `spectral`, so that
nothing takes it for a statistic of BatchNorm. A step applies D several times, with the
same u each time; `advance` moves it on once an update. Gradients flow through the
kernel in σ = vᵀWu, not through u and v.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

COLLECTION = "spectral"
WARM_UP = 15  # iterations on fresh kernels: from a random u, σ would be too small


def normalized(module: nn.Module, kernel: jax.Array) -> jax.Array:
    """The kernel [..., outputs] over its estimated σ; u is a variable of `module`.

    The module names its kernel `kernel`, which is how `advance` finds it.
    """
    u = module.variable(
        COLLECTION,
        "u",
        lambda: _unit(jax.random.normal(module.make_rng("params"), kernel.shape[-1:])),
    )
    return kernel / largest_singular_value(kernel, u.value)


def largest_singular_value(kernel: jax.Array, u: jax.Array) -> jax.Array:
    """σ = vᵀWu with v = Wu/‖Wu‖, differentiable in the kernel alone."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    v = jax.lax.stop_gradient(_unit(matrix @ u))
    return v @ (matrix @ jax.lax.stop_gradient(u))


def advance(params: Any, vectors: Any) -> Any:
    """The vectors after one power iteration with these kernels; {} stays {}.

    Args:
      params: of a network, nested dicts by module.
      vectors: its collection `spectral`, the same modules with a `u` each.
    """
    if "u" in vectors:
        matrix = params["kernel"].reshape(-1, len(vectors["u"]))
        return {"u": _unit(matrix.T @ _unit(matrix @ vectors["u"]))}
    return {name: advance(params[name], below) for name, below in vectors.items()}


def warmed(params: Any, vectors: Any) -> Any:
    """The vectors of fresh kernels after `WARM_UP` iterations."""
    for _ in range(WARM_UP):
        vectors = advance(params, vectors)
    return vectors


def _unit(vector: jax.Array) -> jax.Array:
    return vector / (jnp.linalg.norm(vector) + 1e-12)
