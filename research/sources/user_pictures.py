"""Pictures of the user's own: a folder of files, an npz, npy or idx file, a tfds set.

Nothing is guessed: sizes that differ, a value range that is not declared and a file
that cannot be read are refused in one line with the way out. A picture is held out by
its own content (the first bytes of its SHA-256), so equal pictures never lie on both
sides, and adding files moves none from one side to the other. A set that
tensorflow-datasets has prepared keeps its own split "test", where it has one.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from research.errors import UserError
from research.sources import idx, order, silence
from research.sources.split import Split, fingerprint, refuse_unknown

SUFFIXES = (".png", ".jpg", ".jpeg")
HELD_OUT = 0.1  # share of the pictures
LEAST = 20  # pictures; of fewer, both splits can hardly have some


@dataclasses.dataclass(frozen=True)
class UserPictures:
    """A data set of the user's pictures."""

    path: Path
    size: int | None = None
    crop: str = "none"
    value_range: tuple[float, float] | None = None
    features: str | None = None

    batch = staticmethod(order.batch)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        height, width, channels = self.IMAGE_SHAPE
        count = len(_read(self)[0])
        size = f"{height}×{width}×{channels}"
        return (
            f"The {count:,} pictures of {self.path.name}, {size}; a tenth is held out."
        )

    @property
    def IMAGE_SHAPE(self) -> tuple[int, int, int]:  # noqa: N802
        """(height, width, channels) of every picture."""
        return _read(self)[0].shape[1:]

    @property
    def LABELS(self) -> int:  # noqa: N802
        """Classes; 1 where none are known."""
        labels = _read(self)[1]
        return 1 if labels is None else int(labels.max()) + 1

    @property
    def FEATURES(self) -> str:  # noqa: N802
        """What the pictures are judged by."""
        return self.features or "pixels"

    def load(self, split: str, data_dir: Path | None = None) -> Split:
        """The pictures of "train", or of "test": the tenth that is held out.

        Args:
          split: "train" or "test".
          data_dir: not used: the pictures are read where they lie.

        Raises:
          UserError: an unknown split, or pictures that cannot be used.
        """
        del data_dir
        refuse_unknown(self.path, split)
        images, labels, test = _read(self)
        rows = test == (split == "test")
        if not rows.any():
            raise UserError(
                f"--data.path {self.path}: too few of its {len(images)} pictures "
                f"differ, none falls to the split {split!r}"
            )
        arrays = {"image": images[rows]}
        if labels is not None:
            arrays["label"] = labels[rows]
        return Split(arrays, int(rows.sum()), fingerprint(arrays, "images"))


def held_out(images: np.ndarray) -> np.ndarray:
    """Whether each picture is held out, bool [pictures]: by its content alone."""
    heads = [hashlib.sha256(image.tobytes()).digest()[:8] for image in images]
    places = np.array([int.from_bytes(head, "big") for head in heads], np.uint64)
    return places < np.uint64(HELD_OUT * 2**64)


@functools.lru_cache(maxsize=2)
def _read(
    settings: UserPictures,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """All pictures, read once a process, labels where known, which are held out."""
    path, test = settings.path.expanduser(), None
    if (path / "dataset_info.json").exists():
        images, labels, test = _prepared(path, settings)
    elif path.is_dir():
        images, labels = _folder(path, settings)
    elif path.suffix in (".npz", ".npy"):
        images, labels = _numpy(path, settings)
    elif "idx" in path.name:
        images, labels = _idx(path, settings)
    else:
        what = "is not there" if not path.exists() else "is of another kind"
        raise UserError(
            f"--data.path {path} {what}: name a folder of PNG or JPEG files, an .npz "
            f"or .npy file, or an idx file (with idx in its name)"
        )
    if len(images) < LEAST:
        raise UserError(
            f"--data.path {path} holds {len(images)} pictures: {LEAST} or more are "
            f"needed"
        )
    return images, labels, held_out(images) if test is None else test


def _folder(
    folder: Path, settings: UserPictures
) -> tuple[np.ndarray, np.ndarray | None]:
    """Every picture below a folder; folders right below it are the classes, if all."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"--data.path {folder} holds no file ending in .png or .jpg")
    pictures = [_fitted(_opened(file), settings, file.name) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise UserError(
                f"--data.path {folder}: {files[0].name} is {_shape(pictures[0])} and "
                f"{file.name} {_shape(picture)}; make them alike, sizes with "
                f"--data.size N --data.crop centre"
            )
    parents = [file.relative_to(folder).parts[:-1] for file in files]
    if not all(len(parent) == 1 for parent in parents):
        return np.stack(pictures), None
    classes = sorted(set(parents))
    labels = np.array([classes.index(parent) for parent in parents], np.int32)
    return np.stack(pictures), labels


def _prepared(
    folder: Path, settings: UserPictures
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
                    pictures.append(_fitted(picture, settings, f"{folder.parent.name}"))
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
    different = next((p for p in pictures if p.shape != pictures[0].shape), None)
    if different is not None:
        raise UserError(
            f"--data.path {folder}: pictures are {_shape(pictures[0])} and "
            f"{_shape(different)}; make them alike, sizes with --data.size N "
            f"--data.crop centre"
        )
    known = None if None in labels else np.array(labels, np.int32)
    test = np.array([name == "test" for name in splits]) if "test" in splits else None
    return np.stack(pictures), known, test


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


def _fitted(picture: PIL.Image.Image, settings: UserPictures, name: str) -> np.ndarray:
    """uint8 [height, width, channels], cropped and scaled as the settings say."""
    width, height = picture.size
    if settings.crop == "centre":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    size = settings.size
    if size is not None and picture.size != (size, size):
        if picture.size[0] != picture.size[1]:
            raise UserError(
                f"{name} is {width}×{height} and --data.size {size} asks for a square: "
                f"add --data.crop centre"
            )
        picture = picture.resize((size, size), PIL.Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _numpy(path: Path, settings: UserPictures) -> tuple[np.ndarray, np.ndarray | None]:
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
    pixels = _bytes(arrays[images[0]], settings, path)
    return _sized(pixels, settings, path), _labels(known, path)


def _idx(path: Path, settings: UserPictures) -> tuple[np.ndarray, np.ndarray | None]:
    """An idx file of pictures; labels from the file of the same name with `labels`."""
    if not path.exists():
        raise UserError(f"--data.path {path} is not there")
    beside = path.name.replace("images", "labels").replace("idx3", "idx1")
    labels = path.with_name(beside)
    pixels = _bytes(idx.read(path), settings, path)
    known = idx.read(labels) if beside != path.name and labels.exists() else None
    if known is not None and len(known) != len(pixels):
        raise UserError(
            f"{labels} holds {len(known)} labels for {len(pixels)} pictures"
        )
    return _sized(pixels, settings, path), _labels(known, path)


def _bytes(pixels: np.ndarray, settings: UserPictures, path: Path) -> np.ndarray:
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
    if settings.value_range is None:
        if pixels.dtype == np.uint8 and high > 1:
            return pixels
        raise UserError(
            f"{found}: say which values are black and white, --data.value-range 0 1 "
            f"for one"
        )
    black, white = settings.value_range
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


def _sized(pixels: np.ndarray, settings: UserPictures, path: Path) -> np.ndarray:
    if settings.size is None and settings.crop == "none":
        return pixels
    grey = pixels.shape[-1] == 1
    pictures = (PIL.Image.fromarray(p[..., 0] if grey else p) for p in pixels)
    return np.stack([_fitted(picture, settings, path.name) for picture in pictures])


def _labels(labels: np.ndarray | None, path: Path) -> np.ndarray | None:
    if labels is not None and labels.min() < 0:
        raise UserError(f"--data.path {path} has a label below 0: count from 0")
    return None if labels is None else labels.astype(np.int32)


def _shape(picture: np.ndarray) -> str:
    height, width, channels = picture.shape
    return f"{width}×{height} {'grey' if channels == 1 else 'in colour'}"
