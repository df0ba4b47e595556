"""What a compiler says when a step does not fit, as a sentence with a way out."""

import re

from launch.ahead.products import Layer, layer_name
from launch.ahead.targets import Target

SMALLER = "a smaller --batch-size, or more devices"


def sentence(
    message: str, layer: Layer, target: Target, largest_help: str
) -> str | None:
    """The sentence; None if the message is of another matter.

    Args:
      message: the compiler's.
      layer: the largest array of the step.
      target: compiled for.
      largest_help: the command that finds what fits.
    """
    if not re.search(r"RESOURCE_EXHAUSTED|[Oo]ut of memory|Oom|would exceed", message):
        return None
    if re.search(r"vmem", message, re.IGNORECASE):
        named = _layer(message)  # the largest array may be another layer's
        return (
            f"a kernel {f'of {named} ' if named else ''}does not fit into the on-chip "
            f"memory (VMEM) of {target.name}{_asked(message)}; fewer examples a "
            f"device, fewer units in its layer, or backend 'xla' for that, would help"
        )
    return (
        f"out of memory on {target.name}{_asked(message)}: the largest array is "
        f"{layer.shape}, {layer.bytes / 2**30:.2f} GiB, of {layer.name}; {SMALLER}, "
        f"would help: {largest_help}"
    )


def _asked(message: str) -> str:
    """The figures, in whatever words the compiler has for them."""
    pattern = r"\(?([\d.]+[GMK])\)?[^\d]{1,40}?exceeds[^\d]{1,60}?\(?([\d.]+[GMK])"
    if found := re.search(pattern, message):
        return f" (it asks for {found[1]} of {found[2]})"
    if found := re.search(r"size ([\d.]+[GMK]) and limit ([\d.]+[GMK])", message):
        return f" (it asks for {found[1]} of {found[2]})"
    if found := re.search(r"Used ([\d.]+[GMK]) of ([\d.]+[GMK])", message):
        return f" (it asks for {found[1]} of {found[2]})"
    if found := re.search(r"size=(\d+).{0,40}exceed memory \(size=(\d+)", message):
        mib = [int(n) / 2**20 for n in found.groups()]
        return f" (it asks for {mib[0]:.0f} MiB of {mib[1]:.0f})"
    return ""


def _layer(message: str) -> str:
    found = re.search(r'op_name="([^"]+)"', message)
    return layer_name(found[1]) if found else ""
