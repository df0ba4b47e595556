"""Two allocators that are told that a training is a long one, and large.

XLA on CPU takes and frees a step's buffers at every call. glibc returns large ones to
the system at once, and the next step pays for fresh pages: a step of the GAN bench
took 312 ms with glibc's defaults and 236 ms with these settings (2 cores). Python
looks for cycles after every 700 new objects, of which the imports alone leave hundreds
of thousands: half a second of the 4.7 s of CPU that the start of a small run takes.
"""

import contextlib
import ctypes
import gc

# <malloc.h>: parameter and value.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
SETTINGS = {
    M_TRIM_THRESHOLD: 2**31 - 1,
    M_TOP_PAD: 2**28,
    M_MMAP_MAX: 0,
    M_ARENA_MAX: 1,
}


COLLECTED_AFTER = (50_000, 20, 100)  # new objects, youngest collections, middle ones


def collect_seldom() -> None:
    """Sets Python's collector of cycles so."""
    gc.set_threshold(*COLLECTED_AFTER)


def keep_freed_memory() -> None:
    """Keeps freed memory for the next step instead of giving it back to the system.

    Sets glibc's allocator so; does nothing where there is no glibc.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in SETTINGS.items():
            mallopt(parameter, value)
