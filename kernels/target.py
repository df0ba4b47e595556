"""The platform that calls are traced for: this machine's, or one compiled for ahead.

Backends are chosen while a call is traced, by what they can do on that platform. Ask
`platform()`, never `jax.default_backend()`: a program compiled for a TPU or a GPU on a
machine without one is traced beside a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_asked: ContextVar[str | None] = ContextVar("platform", default=None)


def platform() -> str:
    """cpu, gpu or tpu."""
    return _asked.get() or jax.default_backend()


@contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Inside, calls are traced for `platform`: cpu, gpu or tpu.

    jax remembers traces by function: trace a function of its own for each platform.
    """
    token = _asked.set(platform)
    try:
        yield
    finally:
        _asked.reset(token)
