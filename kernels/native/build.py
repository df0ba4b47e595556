"""Compiling a C++ file at its first use and telling XLA of what it holds."""

import atexit
import ctypes
import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax

# -march=native: the file is used where it is made, and its name tells the processor.
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-w")
COMPILERS = ("c++", "g++", "clang++")
SWITCH = "NATIVE_KERNELS"  # environment variable: "off" leaves everything to XLA

_log = logging.getLogger(__name__)


@functools.cache
def missing(source: Path, targets: tuple[str, ...]) -> str | None:
    """None once XLA knows the targets of a source on CPU; else why it cannot.

    The first call compiles, or finds what an earlier process compiled: in
    $XDG_CACHE_HOME (~/.cache) under gan-lstm-lab/native, by a hash of everything that
    goes into it.

    Args:
      source: a C++ file that defines one XLA FFI handler symbol for each target.
      targets: names of the symbols, and of the FFI targets.
    """
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH} is off"
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        return "no C++ compiler was found: install g++ or clang++, or set CXX"
    try:
        try:
            library = ctypes.CDLL(str(_compiled(compiler, source)))
        except OSError:  # what is kept may be damaged: a disk that was full, say
            library = ctypes.CDLL(str(_compiled(compiler, source, afresh=True)))
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return f"{compiler} could not make {source.name}: {(said or ['no word'])[0]}"
    for target in targets:
        handler = jax.ffi.pycapsule(getattr(library, target))
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
    return None


def _compiled(compiler: str, source: Path, afresh: bool = False) -> Path:
    """The shared library of a source, compiled if it is not there yet or `afresh`."""
    name = f"{source.parent.name}-{_fingerprint(compiler, source)}.so"
    cache = _cache()
    if cache is not None and not afresh and os.access(cache / name, os.R_OK):
        return cache / name  # before any writing: it may be a cache for reading only
    library = _folder(cache) / name
    if afresh or not library.exists():
        _log.info("compiling %s for this processor, once", source)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            made = Path(scratch) / name
            include = f"-I{jax.ffi.include_dir()}"
            command = [compiler, *FLAGS, include, str(source), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            made.replace(library)  # at once: another process may be looking for it
    return library


def _cache() -> Path | None:
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor an entry for this user
        return None
    return cache / "gan-lstm-lab" / "native"


def _folder(cache: Path | None) -> Path:
    """The cache if it can be written, else a folder for this process alone."""
    if cache is None:
        return _own_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return cache
    except OSError:
        return _own_folder()


@functools.cache
def _own_folder() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _fingerprint(compiler: str, source: Path) -> str:
    """Of the sources, the compiler, the processor and XLA's headers."""
    beside = (Path(__file__).parent, source.parent)
    headers = [file for folder in beside for file in sorted(folder.glob("*.h"))]
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, text=True
    )
    parts = [file.read_text() for file in (source, *headers)]
    parts += [version.stdout, " ".join(FLAGS), _processor()]
    parts += [importlib.metadata.version("jaxlib")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What the processor can do, as Linux tells it; its name elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    told = [line for line in lines if line.startswith(("flags", "Features"))]
    return (told or [platform.machine()])[0]
