"""Settings that JAX must see before it is imported, and what all tests share."""

import gc
import os
import tempfile
from pathlib import Path

# Four CPU devices, so that data parallelism is tested on any machine; several of them
# starve XLA's thread pool unless it has threads to spare (four for each device).
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("NPROC", "16")
# Compiling takes most of the tests' time, and LLVM's optimizations most of that; the
# LSTM kernels' tests turn them on again, and so does `launch/run test chaos`.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Nobody reads where each operation came from; to note it is 6 % of tracing.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
CACHE = Path(tempfile.gettempdir()) / "gan-lstm-lab-tests" / "xla"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# Looking for cycles among what JAX has traced took 140 of 1,000 s of CPU.
gc.set_threshold(50_000, 20, 100)
# First what starts processes and waits for them, so that it is not what is left at the
# end, when the others have nothing to do.
WAITS = ("chaos", "launch")


def pytest_collection_modifyitems(items):
    def others(item):
        return item.path.relative_to(Path(__file__).parent).parts[0] not in WAITS

    items.sort(key=others)
