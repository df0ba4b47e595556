"""Settings that JAX must see before it is imported, and what all tests share."""

import functools
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

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
# What compares whole runs whose programs differ in form, bit for bit.
RUNS = (*WAITS, "research/training", "research/tasks")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not _is_of(item, WAITS))


@pytest.fixture(scope="module", autouse=True)
def fused_loops(request):
    """XLA's older way to make fused loops, where whole runs are not compared.

    The newer one is a third of the CPU time of kernels' and models' tests. In the older
    one programs of one meaning round differently. A flag would be the whole process's.
    """
    takes_newer = _is_of(request.node, RUNS)
    if takes_newer and "jax" not in sys.modules:
        return
    import jax
    from jax._src import compiler

    if jax.__version_info__ >= (0, 11):
        return  # its XLA knows the newer way alone
    now: Any = compiler.get_compile_options
    if takes_newer != (getattr(now, "func", None) is _with_older_loops):
        return
    jax.clear_caches()  # they do not ask how a program was compiled
    compiler.get_compile_options = (
        now.args[0] if takes_newer else functools.partial(_with_older_loops, now)
    )


def _with_older_loops(newer, *args, env_options_overrides=None, **named):
    flags = {"xla_cpu_use_fusion_emitters": False} | (env_options_overrides or {})
    return newer(*args, env_options_overrides=flags, **named)


def _is_of(item, folders):
    below = item.path.relative_to(Path(__file__).parent).as_posix()
    return below.startswith(folders)
