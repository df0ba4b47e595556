"""Which backend a call takes: the first that supports it, unless one is named."""

import importlib

from kernels.lstm import native, pallas_gpu, pallas_tpu, reference, xla
from kernels.lstm.backend import Backend
from kernels.lstm.spec import POLICIES, Case, UnsupportedCase

# In the order of preference: without a name the first that supports the case is taken.
BACKENDS: dict[str, Backend] = {
    "pallas_tpu": pallas_tpu.BACKEND,
    "pallas_gpu": pallas_gpu.BACKEND,
    "native": native.BACKEND,
    "xla": Backend(xla.supports, xla.forward, xla.backward, "store", xla.streams),
    "reference": Backend(reference.supports, None, None, "store"),
}


def find(name: str) -> Backend:
    """The backend of that name, or the one that a `package.module` holds.

    Raises:
      ValueError: neither.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    if "." in name:
        try:
            return importlib.import_module(name).BACKEND
        except (AttributeError, ImportError, TypeError) as error:
            raise ValueError(
                f"backend {name!r} is no package.module that holds a BACKEND: {error}"
            ) from error
    raise ValueError(
        f"backend {name!r} is not one of {', '.join(BACKENDS)}, nor a package.module"
    )


def able(case: Case) -> list[str]:
    """The backends that can do a case, in order of preference."""
    return [n for n, backend in BACKENDS.items() if backend.supports(case) is None]


def passed_over(backend: Backend, case: Case) -> str | None:
    """Why a backend is not taken without its name; None if it may be."""
    reason = backend.supports(case)
    if reason is None and backend.hesitates is not None:
        return backend.hesitates(case)
    return reason


def told(backend: Backend, case: Case, taken: bool) -> str:
    """What `explain` says of a backend."""
    if not taken:
        return passed_over(backend, case) or "able"
    slowed = None if backend.slowed is None else backend.slowed(case)
    return "taken" if slowed is None else f"taken, {slowed}"


def chosen(case: Case, name: str | None) -> str:
    """The backend that a call takes.

    Raises:
      UnsupportedCase: it is named, and cannot.
    """
    if name is None:
        return next(n for n, b in BACKENDS.items() if passed_over(b, case) is None)
    reason = find(name).supports(case)
    if reason is not None:
        raise UnsupportedCase(
            f"backend {name!r} cannot do this: {reason}; {', '.join(able(case))} can"
        )
    return name


def policy(residuals: str | None, backend: str) -> str:
    """What is kept for the gradient: what is asked for, or what the backend prefers.

    Raises:
      ValueError: there is no such policy.
    """
    wanted = find(backend).residuals if residuals is None else residuals
    if wanted not in POLICIES:
        raise ValueError(f"residuals is {wanted!r}, not one of {', '.join(POLICIES)}")
    return wanted
