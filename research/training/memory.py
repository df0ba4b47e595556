"""How much memory a run holds: the process, and its fullest device."""

import resource
import sys
from pathlib import Path

import jax

GB = 1e9
STATUS = Path("/proc/self/statm")  # Linux: pages, the second number those in memory


def process_bytes() -> int:
    """Bytes of this process that are in memory; its peak where that is unknown."""
    if STATUS.exists():
        return int(STATUS.read_text().split()[1]) * resource.getpagesize()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_bytes() -> tuple[int, int] | None:
    """Bytes in use on the fullest local device, and its limit; None on a CPU."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    used = [(s["bytes_in_use"], s.get("bytes_limit", 0)) for s in stats if s]
    return max(used, default=None)


def told() -> str:
    """ "1.3 GB", or "1.3 GB, device 3.1 of 15.8 GB"."""
    text = f"{process_bytes() / GB:.1f} GB"
    if on_device := device_bytes():
        used, limit = on_device
        text += f", device {used / GB:.1f} of {limit / GB:.1f} GB"
    return text
