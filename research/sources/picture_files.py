"""Readers of the user's pictures: a folder, numpy's files, idx, tensorflow-datasets.

Each returns uint8 pictures [pictures, height, width, channels] and int32 labels
[pictures], None where no classes are known.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps

from research.errors import UserError
from research.sources import idx, silence

SUFFIXES = (".png", ".jpg", ".jpeg")


class Wanted(NamedTuple):
    """What `Data` of research/experiment.py asks of pictures."""

    size: int | None
    crop: str
    value_range: tuple[float, float] | None


def read_folder(folder: Path, wanted: Wanted) -> tuple[np.ndarray, np.ndarray | None]:
    """Every picture below a folder; folders right below it are the classes, if all."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"--data.path {folder} holds no file ending in .png or .jpg")
    pictures = [_fitted(_opened(file), wanted, file.name) for file in files]
    _refuse_unlike(folder, pictures, [file.name for file in files])
    parents = [file.relative_to(folder).parts[:-1] for file in files]
    if not all(len(parent) == 1 for parent in parents):
        return np.stack(pictures), None
    classes = sorted(set(parents))
    labels = np.array([classes.index(parent) for parent in parents], np.int32)
    return np.stack(pictures), labels


def read_prepared(
    folder: Path, wanted: Wanted
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The `image` and `label` of a set of tensorflow-datasets, by its version's folder.

    Raises:
      UserError: no images, sizes that differ, or files that cannot be read here.
    """
    import tensorflow_datasets as tfds

    pictures, labels, splits = [], [], []
    with silence.quiet():
        try:
            builder: Any = tfds.builder_from_directory(folder)
            names = [name for name in ("train", "test") if name in builder.info.splits]
            for name in names or list(builder.info.splits):
                for record in builder.as_data_source(name):
                    picture = PIL.Image.fromarray(np.squeeze(record["image"]))
                    pictures.append(_fitted(picture, wanted, f"{folder.parent.name}"))
                    labels.append(record.get("label"))
                    splits.append(name)
        except UserError:
            raise
        except Exception as error:  # tfds', protobuf's, Riegeli's: each has its own
            text = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(
                f"--data.path {folder}: cannot be read without TensorFlow ({text}): it "
                f"must hold a feature `image`, prepared with file_format array_record"
            ) from error
    _refuse_unlike(folder, pictures, [f"one of {name}" for name in splits])
    known = None if None in labels else np.array(labels, np.int32)
    test = np.array([name == "test" for name in splits]) if "test" in splits else None
    return np.stack(pictures), known, test


def _refuse_unlike(path: Path, pictures: list[np.ndarray], names: list[str]) -> None:
    """Raises UserError for a picture that is not of the first one's size and kind."""
    for picture, name in zip(pictures, names, strict=True):
        if picture.shape != pictures[0].shape:
            raise UserError(
                f"--data.path {path}: {names[0]} is {_shape(pictures[0])} and {name} "
                f"{_shape(picture)}; make them alike, sizes with --data.size N "
                f"--data.crop centre"
            )


def _opened(file: Path) -> PIL.Image.Image:
    """A picture as grey or RGB, turned as its EXIF says.

    Raises:
      UserError: damaged, of more than 8 bits, or transparent.
    """
    try:
        with PIL.Image.open(file) as opened:
            opened.load()
            picture = PIL.ImageOps.exif_transpose(opened)
    except (
        OSError,
        ValueError,
        SyntaxError,
        PIL.Image.DecompressionBombError,
    ) as error:
        raise UserError(
            f"{file} cannot be read ({error}): mend or remove it"
        ) from error
    if picture.mode in ("1", "P"):
        transparent = "transparency" in picture.info
        picture = picture.convert("RGBA" if transparent else "RGB")
    if picture.mode not in ("L", "RGB"):
        raise UserError(
            f"{file} is of kind {picture.mode} (transparent, of 16 bits, or CMYK): "
            f"save it as 8-bit grey or RGB"
        )
    return picture


def _fitted(picture: PIL.Image.Image, wanted: Wanted, name: str) -> np.ndarray:
    """uint8 [height, width, channels], cropped and scaled as is wanted."""
    width, height = picture.size
    if wanted.crop == "centre":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    size = wanted.size
    if size is not None and picture.size != (size, size):
        if picture.size[0] != picture.size[1]:
            raise UserError(
                f"{name} is {width}×{height} and --data.size {size} asks for a square: "
                f"add --data.crop centre"
            )
        picture = picture.resize((size, size), PIL.Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def read_array_file(path: Path, wanted: Wanted) -> tuple[np.ndarray, np.ndarray | None]:
    """The one array of three or four axes in a file of numpy's, and its labels."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = dict(found) if path.suffix == ".npz" else {"array": found}
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        text = str(error).partition("\n")[0]
        raise UserError(f"--data.path {path} cannot be read ({text})") from error
    except Exception as error:  # zipfile and zlib each have their own
        raise UserError(f"--data.path {path} is damaged ({error})") from error
    images = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    if len(images) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise UserError(
            f"--data.path {path} holds {shapes or 'nothing'}: one array of pictures "
            f"[pictures, height, width, channels] is needed"
        )
    labels = [a for a in arrays.values() if a.shape == arrays[images[0]].shape[:1]]
    known = labels[0] if labels and labels[0].dtype.kind in "iu" else None
    pixels = _bytes(arrays[images[0]], wanted, path)
    return _sized(pixels, wanted, path), _labels(known, path)


def read_idx(path: Path, wanted: Wanted) -> tuple[np.ndarray, np.ndarray | None]:
    """An idx file of pictures; labels from the file of the same name with `labels`."""
    if not path.exists():
        raise UserError(f"--data.path {path} is not there")
    beside = path.name.replace("images", "labels").replace("idx3", "idx1")
    labels = path.with_name(beside)
    pixels = _bytes(idx.read(path), wanted, path)
    known = idx.read(labels) if beside != path.name and labels.exists() else None
    if known is not None and len(known) != len(pixels):
        raise UserError(
            f"{labels} holds {len(known)} labels for {len(pixels)} pictures"
        )
    return _sized(pixels, wanted, path), _labels(known, path)


def _bytes(pixels: np.ndarray, wanted: Wanted, path: Path) -> np.ndarray:
    """uint8 [pictures, height, width, channels] of values in the declared range."""
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or not len(pixels):
        raise UserError(
            f"--data.path {path} holds an array {pixels.shape}: pictures are "
            f"[pictures, height, width, channels] with 1 or 3 channels"
        )
    low, high = float(pixels.min()), float(pixels.max())
    found = f"--data.path {path} holds {pixels.dtype} from {low:g} to {high:g}"
    if wanted.value_range is None:
        if pixels.dtype == np.uint8 and high > 1:
            return pixels
        raise UserError(
            f"{found}: say which values are black and white, --data.value-range 0 1 "
            f"for one"
        )
    black, white = wanted.value_range
    if not black < white:
        raise UserError(
            f"--data.value-range {black:g} {white:g}: the first value must be the less"
        )
    if not (black <= low and high <= white):  # false for a NaN, too
        raise UserError(
            f"{found}, outside --data.value-range {black:g} {white:g}: declare the "
            f"range that it has"
        )
    scaled = (pixels.astype(np.float64) - black) / (white - black)
    return np.round(255 * scaled).astype(np.uint8)


def _sized(pixels: np.ndarray, wanted: Wanted, path: Path) -> np.ndarray:
    if wanted.size is None and wanted.crop == "none":
        return pixels
    grey = pixels.shape[-1] == 1
    pictures = (PIL.Image.fromarray(p[..., 0] if grey else p) for p in pixels)
    return np.stack([_fitted(picture, wanted, path.name) for picture in pictures])


def _labels(labels: np.ndarray | None, path: Path) -> np.ndarray | None:
    if labels is not None and labels.min() < 0:
        raise UserError(f"--data.path {path} has a label below 0: count from 0")
    return None if labels is None else labels.astype(np.int32)


def _shape(picture: np.ndarray) -> str:
    height, width, channels = picture.shape
    return f"{width}×{height} {'grey' if channels == 1 else 'in colour'}"
