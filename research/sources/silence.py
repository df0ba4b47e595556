"""Keeping libraries from printing: a run's output is its own."""

import contextlib
import io
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Runs tensorflow-datasets without its banner, progress bars and absl warnings."""
    from absl import logging
    from tensorflow_datasets.core.utils import tqdm_utils

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # else: "OpenCV is not installed ..."
    tqdm_utils.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tqdm_utils.enable_progress_bar()
        logging.set_verbosity(verbosity)
