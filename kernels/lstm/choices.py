"""Watching which backend each call takes while a program is traced."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from kernels.lstm.spec import Case


class Choice(NamedTuple):
    """One call: what it asked for, and the backend that it took."""

    case: Case
    backend: str


_watching: ContextVar[list[Choice] | None] = ContextVar("choices", default=None)


def note(case: Case, backend: str) -> None:
    """Tells who watches, if anybody does, of one call."""
    seen = _watching.get()
    if seen is not None:
        seen.append(Choice(case, backend))


@contextmanager
def watched() -> Iterator[list[Choice]]:
    """A list that fills with the calls traced inside, in their order."""
    seen: list[Choice] = []
    token = _watching.set(seen)
    try:
        yield seen
    finally:
        _watching.reset(token)
