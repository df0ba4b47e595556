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

import numpy as np

from research.errors import UserError
from research.sources import order, picture_files
from research.sources.split import Split, fingerprint, refuse_unknown
from research.sources.users import expanded

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
        """Classes; 0 where none are known."""
        labels = _read(self)[1]
        return 0 if labels is None else int(labels.max()) + 1

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
    path, test = expanded(settings.path), None
    wanted = picture_files.Wanted(settings.size, settings.crop, settings.value_range)
    if (path / "dataset_info.json").exists():
        images, labels, test = picture_files.read_prepared(path, wanted)
    elif path.is_dir():
        images, labels = picture_files.read_folder(path, wanted)
    elif path.suffix in (".npz", ".npy"):
        images, labels = picture_files.read_array_file(path, wanted)
    elif "idx" in path.name:
        images, labels = picture_files.read_idx(path, wanted)
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
