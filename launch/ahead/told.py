"""A finding in words."""

from collections.abc import Iterator, Sequence

from launch.ahead.findings import Finding, Largest
from launch.ahead.step import Kernel

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
SHOWN = ("parameters", "optimizer", "other_state", "data", "padding", "activations",
         "temporaries", "program")  # fmt: skip


def lines(
    found: Finding, runs: Sequence[str], most: Largest | None = None
) -> Iterator[str]:
    """The finding, for a terminal.

    Args:
      found: what is told.
      runs: those that the step trains at once.
      most: the end of a search, if there was one.
    """
    target = found.target
    yield (
        f"{found.experiment} on {target.name} ({target.devices} devices, chips in "
        f"{target.topology}), batch {found.batch_size}: "
        f"{found.batch_size // found.ranks} a device"
    )
    if len(runs) > 1:
        yield f"  trains {len(runs)} runs at once: {runs[0]} … {runs[-1]}"
    if found.unread:
        yield f"  the data was not read, only its shapes used ({found.unread})"
    yield f"  fits: {'yes' if found.fits else 'no, ' + str(found.why_not)}"
    yield from _memory(found)
    for kernel in found.kernels:
        yield f"  LSTM {_case(kernel)}: {kernel.backend}, {kernel.calls} calls"
        for name, reason in kernel.passed_over.items():
            yield f"    not {name}: {reason}"
    if not found.kernels:
        yield "  no LSTM in this step"
    yield f"  matrix products: {found.flops:.3g} FLOP a device and step"
    if found.bound is not None:
        times = ", ".join(
            f"{name.replace('_', ' ')} {seconds * 1e6:.3g} µs"
            for name, seconds in found.bound._asdict().items()
        )
        yield (
            f"  no step is faster than {found.bound.seconds * 1e6:.3g} µs, set by the "
            f"{found.bound.set_by} ({times})"
        )
    for one in found.collectives or ():
        yield f"  {one.kind}: {one.calls} a step, {size(one.bytes)} a device"
    if found.collectives == []:
        yield "  no collectives"
    if found.compile_seconds is not None:
        yield (
            f"  traced in {found.trace_seconds:.1f} s, compiled in "
            f"{found.compile_seconds:.1f} s; nothing was run"
        )
    if most is not None:
        yield largest(most)


def largest(found: Largest) -> str:
    """The end of the search in a line."""
    how = f"{found.compiled} steps compiled"
    if not found.batch_size:
        return f"  no batch fits, not even {found.refused} ({how})"
    why = (
        "all of the training data"
        if found.refused is None
        else f"{found.refused} does not: {found.why_not}"
    )
    return f"  largest batch that fits: {found.batch_size} ({why}; {how})"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"


def _memory(found: Finding) -> Iterator[str]:
    used = found.memory
    parts = ", ".join(
        f"{name.replace('_', ' ')} {size(used[name])}" for name in SHOWN if name in used
    )
    if "total" in used:
        share = used["total"] / used["available"]
        yield (
            f"  memory of a device: {size(used['total'])} of {size(used['available'])} "
            f"({share:.1%}): {parts}"
        )
        if not used["activations"] and not used["temporaries"]:
            yield "    activations and temporaries stay in on-chip memory"
    else:
        yield f"  memory of a device, before the step's own: {parts}"


def _case(kernel: Kernel) -> str:
    case = kernel.case
    return (
        f"time {case['time']}, batch {case['batch']}, "
        f"{case['features']} → {case['hidden']}, {case['dtype']}"
    )
