"""Pictures of a run, one after another, as an animated GIF."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from research.training.files import replacing

FRAMES = 100  # at most; evenly chosen of more
MILLISECONDS = 250  # a frame; the last stays for ten
SIDE = 320  # pixels that the shorter side has at least
BAND = 14  # pixels below a frame, for its words


def of_checkpoints(folder: Path) -> Path | None:
    """training.gif of a run's sample pictures, a frame a checkpoint; None below two.

    Args:
      folder: with step_N.png files, as `record` leaves them; one that cannot be read
        is no frame.
    """
    pictures = {}
    for file in _evenly(sorted(folder.glob("step_*.png"))):
        words = f"step {int(file.stem.removeprefix('step_')):,}"
        with contextlib.suppress(OSError), Image.open(file) as picture:
            pictures[words] = picture.copy()
    if len(pictures) < 2:
        return None
    out = folder / "training.gif"
    write([*pictures.values()], out, [*pictures])
    return out


def write(
    pictures: Sequence[Image.Image], out: Path, words: Sequence[str] | None = None
) -> None:
    """A GIF of pictures of one size, enlarged by whole pixels, each over its words."""
    told = words or [""] * len(pictures)
    frames = [_frame(*one) for one in zip(pictures, told, strict=True)]
    times = [MILLISECONDS] * (len(frames) - 1) + [10 * MILLISECONDS]
    how = {"format": "GIF", "duration": times, "loop": 0}
    with replacing(out) as new:
        frames[0].save(new, save_all=True, append_images=frames[1:], **how)


def _frame(picture: Image.Image, words: str) -> Image.Image:
    times = max(1, SIDE // min(picture.size))
    width, height = (times * side for side in picture.size)
    paper = Image.new("RGB", (width, height + (BAND if words else 0)), "white")
    large = picture.convert("RGB").resize((width, height), Image.Resampling.NEAREST)
    paper.paste(large, (0, 0))
    ImageDraw.Draw(paper).text((2, height + 1), words, fill="black")
    return paper.quantize(256, dither=Image.Dither.NONE)


def _evenly(files: list[Path]) -> list[Path]:
    if len(files) <= FRAMES:
        return files
    return [files[i * (len(files) - 1) // (FRAMES - 1)] for i in range(FRAMES)]
