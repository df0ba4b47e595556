import numpy as np
from PIL import Image

from research.training import animation


def saved(folder, steps):
    """A sheet a step, each of one grey."""
    for step in steps:
        grey = np.full((148, 148), step % 256, np.uint8)
        Image.fromarray(grey).save(folder / f"step_{step:08d}.png")


def greys(film):
    with Image.open(film) as opened:
        for frame in range(opened.n_frames):
            opened.seek(frame)
            pixels = np.asarray(opened.convert("RGB"))
            assert pixels.shape == (2 * 148 + animation.BAND, 2 * 148, 3)
            assert (pixels[-animation.BAND :] < 128).any()  # the words
            yield int(pixels[7, 7, 0])


def test_a_film_has_a_frame_a_checkpoint_in_their_order(tmp_path):
    saved(tmp_path, (9, 40, 200))
    Image.new("L", (9, 9)).save(tmp_path / "drawn_step_00000009_seed_0.png")
    film = animation.of_checkpoints(tmp_path)
    assert film == tmp_path / "training.gif"
    assert list(greys(film)) == [9, 40, 200]


def test_of_many_checkpoints_the_first_the_last_and_some_between_are_shown(tmp_path):
    saved(tmp_path, range(250))
    film = animation.of_checkpoints(tmp_path)
    shown = list(greys(film))
    assert len(shown) == animation.FRAMES
    assert (shown[0], shown[-1]) == (0, 249)
    assert set(np.diff(shown)) <= {2, 3}


def test_what_is_no_picture_is_no_frame(tmp_path):
    saved(tmp_path, (9, 40))
    (tmp_path / "step_00000020.png").touch()
    film = animation.of_checkpoints(tmp_path)
    assert list(greys(film)) == [9, 40]


def test_one_picture_is_no_film(tmp_path):
    saved(tmp_path, (9,))
    assert animation.of_checkpoints(tmp_path) is None
    assert not (tmp_path / "training.gif").exists()
