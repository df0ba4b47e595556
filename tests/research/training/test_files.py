"""Files that are whole or not there, whatever ends the process."""

import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from research.training import animation
from research.training.files import replacing


def test_a_kill_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from research.training.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as new:\n"
        "    new.write_bytes(b'ha')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program, path], env=here)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    with replacing(path) as new:  # what the kill left is in nobody's way
        new.write_bytes(b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]
    assert path.read_bytes() == b"whole"


def test_an_error_leaves_nothing_of_the_new_file(tmp_path):
    def fails():
        with replacing(tmp_path / "a.npz") as new:
            new.write_bytes(b"ha")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_an_animation_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    """A picture library that fails half-way, as on a full disk."""
    pictures = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    film = tmp_path / "training.gif"
    animation.write(pictures, film)
    before = film.read_bytes()

    def save(self, file, **options):
        del self, options
        file.write_bytes(b"GIF89a")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space"):
        animation.write(pictures[:1], film)
    assert film.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["training.gif"]
