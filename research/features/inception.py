"""The features of FID, from a file of Inception's weights that the user brings.

    --data.features inception:pt_inception-2015-12-05-6726825d.pth

It is not shipped, and nothing is downloaded. The Fréchet distance in these features
is FID and the kernel distance KID, by the network and the scaling of Heusel 2017 (see
`research.metrics.inception`). Both are against held-out pictures; published ones often
are against the training pictures, which reads lower: the floor tells by how much.

The file is a `.pth`, read where torch is installed, or an `.npz` of the same names.
"""

import dataclasses
import functools
import hashlib
import importlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from research.errors import UserError
from research.features import Seen
from research.metrics import inception
from research.sources.users import expanded

NAME = "inception"
TITLE = "Inception's features"
SIDE = inception.SIDE
CHUNK = 32  # pictures in one compiled call
CONVERT = (
    "python -c \"import numpy, torch; numpy.savez('inception.npz', "
    "**torch.load('FILE', weights_only=True))\""
)


@dataclasses.dataclass(frozen=True, eq=False)
class Inception:
    """The network with the weights of one file."""

    weights: dict[str, tuple[Any, Any]]  # on the device
    TITLE: str  # with the first digits of the file's SHA-256, as torch names its files
    NAME: str = NAME
    CLASSES: bool = False

    def see(self, images: np.ndarray) -> Seen:
        """uint8 [pictures, height, width, 1 or 3] → 2,048 features of each."""
        # A short chunk is filled up, and so few programs are compiled.
        size = min(CHUNK, 1 << (len(images) - 1).bit_length())
        chunks = np.split(images, range(size, len(images), size))
        found = [self._features(chunk, size) for chunk in chunks]
        return Seen(np.concatenate(found))

    def dimensions(self, shape: tuple[int, ...]) -> int:
        """2,048 for a picture (height, width, channels).

        Raises:
          UserError: pictures that are neither grey nor of three colours.
        """
        if shape[2] not in (1, 3):
            raise UserError(
                f"Inception sees pictures of 1 or 3 channels, these have {shape[2]}: "
                f"judge them by pixels"
            )
        return inception.FEATURES

    def _features(self, images: np.ndarray, size: int) -> np.ndarray:
        padded = np.pad(images, ((0, size - len(images)), *((0, 0),) * 3))
        return np.asarray(_features(self.weights, padded, SIDE))[: len(images)]


def configured(file: Path) -> Inception:
    """The features with the weights of a file.

    Raises:
      UserError: no file, one that cannot be read, or of another network.
    """
    return _read(expanded(file, "--data.features").resolve())


@functools.lru_cache(maxsize=1)
def _read(file: Path) -> Inception:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"--data.features inception:{file}: {error.strerror}; give "
            f"Inception's weights, pt_inception-2015-12-05-6726825d.pth or its .npz"
        ) from error
    arrays = _arrays(file)
    _check(arrays, file)
    title = f"{TITLE} (weights {hashlib.sha256(content).hexdigest()[:8]})"
    return Inception(jax.device_put(inception.folded(arrays)), title)


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, or of a `.pth` through torch, by name."""
    try:
        if file.suffix == ".npz":
            with np.load(file) as found:
                return dict(found)
        torch = importlib.import_module("torch")
        found = torch.load(file, map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in found.items()}
    except ModuleNotFoundError as error:
        raise UserError(
            f"--data.features inception:{file} is read with torch, which is not here: "
            f"install it, or where it is make an .npz: {CONVERT}"
        ) from error
    except Exception as error:  # zipfile's, pickle's, torch's: each has its own
        text = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise UserError(
            f"--data.features inception:{file} cannot be read ({text}): give weights "
            f"as .npz, or as .pth that holds tensors alone"
        ) from error


def _check(arrays: dict[str, np.ndarray], file: Path) -> None:
    """Raises UserError for a name or shape that the network does not have."""
    for name, shape in inception.layout().items():
        where = f"--data.features inception:{file}: {name}"
        if name not in arrays:
            raise UserError(
                f"{where} is missing: these are not the weights of "
                f"pt_inception-2015-12-05"
            )
        if arrays[name].shape != shape:
            raise UserError(
                f"{where} has shape {arrays[name].shape} and not {shape}: these are "
                f"not the weights of pt_inception-2015-12-05"
            )
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"{where} holds a NaN or an infinity: the file is damaged")


@functools.partial(jax.jit, static_argnames="side")
def _features(weights: Any, images: jax.Array, side: int) -> jax.Array:
    return inception.features(weights, inception.scaled(images, side))
