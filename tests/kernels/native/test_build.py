"""Compiling at first use: what is kept, and what is said where it cannot be done."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from kernels.native import build

DOUBLE = """
#include "xla/ffi/api/ffi.h"
namespace ffi = xla::ffi;
static ffi::Error Run(ffi::Buffer<ffi::F32> x, ffi::ResultBuffer<ffi::F32> y) {
  for (size_t i = 0; i < x.element_count(); ++i)
    y->typed_data()[i] = FACTOR * x.typed_data()[i];
  return ffi::Error::Success();
}
XLA_FFI_DEFINE_HANDLER_SYMBOL(NAME, Run, ffi::Ffi::Bind()
    .Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>());
"""

COMPILER = next(filter(shutil.which, build.COMPILERS), "")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C++ compiler here")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(build.SWITCH, raising=False)
    monkeypatch.delenv("CXX", raising=False)


def source(folder: Path, name: str, factor: int = 2) -> Path:
    file = folder / "scaled.cc"
    file.write_text(DOUBLE.replace("NAME", name).replace("FACTOR", str(factor)))
    return file


@needs_compiler
def test_a_source_is_compiled_once_and_called(tmp_path):
    file = source(tmp_path, "NativeTwice")
    assert build.missing(file, ("NativeTwice",)) is None
    kept = list((tmp_path / "cache").rglob("*.so"))
    assert len(kept) == 1
    shape = jax.ShapeDtypeStruct((3,), np.float32)
    y = jax.ffi.ffi_call("NativeTwice", shape)(np.float32([1, 2, 3]))
    np.testing.assert_array_equal(y, [2, 4, 6])
    made = kept[0].stat().st_mtime_ns
    build.missing.__wrapped__(file, ())  # as another process would
    assert [so.stat().st_mtime_ns for so in kept] == [made]


@needs_compiler
@pytest.mark.parametrize("harm", ["damaged", "for reading only"])
def test_a_kept_library_is_used_or_mended(tmp_path, monkeypatch, harm):
    file = source(tmp_path, "NativeKept")
    kept = build._compiled(COMPILER, file)
    if harm == "damaged":
        kept.write_bytes(b"")
    else:
        monkeypatch.setattr(build, "_folder", None)
    assert build.missing.__wrapped__(file, ()) is None
    assert kept.stat().st_size


def test_without_a_home_each_process_has_its_own(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(build.Path, "home", homeless)
    assert build._folder(build._cache()) == build._own_folder()


@needs_compiler
def test_another_source_is_another_library(tmp_path):
    for factor in (2, 3):
        build.missing.__wrapped__(source(tmp_path, "NativeScaled", factor), ())
    (tmp_path / "beside.h").write_text("")  # it may be what the source includes
    build.missing.__wrapped__(source(tmp_path, "NativeScaled", 3), ())
    assert len(list((tmp_path / "cache").rglob("*.so"))) == 3


@needs_compiler
def test_a_source_that_does_not_compile_is_told_in_one_line(tmp_path):
    file = tmp_path / "broken.cc"
    file.write_text("int main( {")
    reason = build.missing.__wrapped__(file, ("Broken",))
    assert "could not make broken.cc" in reason
    assert "\n" not in reason
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_without_a_compiler_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "COMPILERS", ("no-such-compiler",))
    assert "install g++" in build.missing.__wrapped__(source(tmp_path, "None"), ())


def test_the_switch_leaves_everything_to_xla(tmp_path, monkeypatch):
    monkeypatch.setenv(build.SWITCH, "off")
    assert build.missing.__wrapped__(source(tmp_path, "Off"), ()) == (
        "NATIVE_KERNELS is off"
    )


@needs_compiler
def test_a_cache_that_cannot_be_written_is_no_obstacle_and_leaves_nothing(tmp_path):
    code = (
        "from pathlib import Path; from kernels.native import build;"
        f"print(build.missing(Path({str(source(tmp_path, 'NativeElse'))!r}), ()))"
    )
    cache = tmp_path / "file"
    cache.write_text("not a folder")
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(build.__file__).parents[2],
        env={
            "XDG_CACHE_HOME": str(cache), "TMPDIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
    )  # fmt: skip
    assert run.stdout.strip() == "None"
    assert not list(tmp_path.rglob("*.so"))
