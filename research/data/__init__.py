"""The data sets: one file each, found by its name.

A file here has

  MEDIUM  what its samples are, a file in research/media; left out: "pictures"
  IMAGE_SHAPE  of pictures: (height, width, channels); LABELS, how many classes;
      EXAMPLES, by split: with it `preflight` needs no data
  SHAPE  of series: (steps, channels)
  ENDLESS  whether positions past an epoch give other samples, not the same ones again
      in another order; left out: they do not
  FEATURES  what its pictures are judged by, a file in research/features; left out:
      "pixels"
  load(split, data_dir=None) -> research.sources.split.Split, for "train" or "test"
  batch(arrays, seed, positions) -> named arrays, examples on the first axis: pure,
      traceable, the only thing that a training step calls. `arrays` are the split's,
      on the device; positions, uint32 [batch], count examples since the start.

One that has settings has `configured(data, batch_size)` instead, which gives an object
with the members above: `data` is the experiment's `research.experiment.Data`, and of
its fields the set takes those that it names in TAKES.

The names that a batch may hold, all optional but the medium's own; a task takes what
it needs and leaves the others:

  image   uint8 [batch, height, width, channels]
  point   float32 [batch, coordinates]
  tokens  int32 [batch, time]; frames float32 or bool [batch, time, features]
  lengths int32 [batch], valid steps of `tokens` or `frames`
  block   int32 [batch], of windows of a record, which overlap: the stretch of it that
          each was cut from, counted in the order of time
  label   int32 [batch], from 0 to LABELS − 1

Another set that tensorflow-datasets knows is a copy of `mnist` with its name; one that
ships in a package is like `digits`; one that is put together from others is like
`stacked_digits`. What they share lives in `research.sources`.
"""

import dataclasses
from types import ModuleType
from typing import Any

from research import parts
from research.errors import UserError
from research.experiment import Data

ALL = ("name", "folder", "placement")  # fields of Data that every set takes
PICTURES = ("features",)  # that every set of pictures takes


def find(data: Data, batch_size: int = 1) -> Any:
    """The data set that a configuration names, with its settings.

    Args:
      data: the configuration.
      batch_size: examples of a step over all devices, for those that read a file as
        so many streams.

    Raises:
      UserError: no such data set, or a setting that it does not take.
    """
    module = parts.find("research.data", data.name)
    own = hasattr(module, "configured")  # its settings: then they are all in TAKES
    pictures = not own and getattr(module, "MEDIUM", "pictures") == "pictures"
    taken = (*ALL, *getattr(module, "TAKES", ()), *(PICTURES if pictures else ()))
    for field in dataclasses.fields(data):
        value = getattr(data, field.name)
        if value is not None and field.name not in taken:
            name = field.name.replace("_", "-")
            raise UserError(
                f"--data.{name} {value}: {data.name} has no {name} of its own; leave "
                f"it out, or take another --data.name"
            )
    if own:
        return module.configured(data, batch_size)
    return module if data.features is None else _judged_by(module, data.features)


def _judged_by(module: ModuleType, features: str) -> ModuleType:
    """The same data set, its pictures judged by other features than its own."""
    found = ModuleType(module.__name__)
    vars(found).update(vars(module), FEATURES=features)
    return found
