"""Pictures of yours: a folder of PNG or JPEG files, an npz, npy or idx file.

`--data.path` names it, or the folder of any set of images that tensorflow-datasets has
prepared in array_record files (~/tensorflow_datasets/NAME/VERSION). Sizes, crops and
the range of values are said, never guessed.
"""

from research.errors import UserError
from research.experiment import Data
from research.sources.user_pictures import UserPictures

TAKES = ("path", "size", "crop", "value_range", "features")


def configured(data: Data, batch_size: int) -> UserPictures:
    """The pictures that `data` names.

    Raises:
      UserError: no path is named, or a size below 4 pixels.
    """
    del batch_size
    if data.path is None:
        raise UserError(
            "--data.name images reads pictures of yours: name a folder, or an npz, npy "
            "or idx file, with --data.path"
        )
    if data.size is not None and data.size < 4:
        raise UserError(f"--data.size {data.size}: give 4 pixels or more")
    return UserPictures(
        data.path, data.size, data.crop or "none", data.value_range, data.features
    )
