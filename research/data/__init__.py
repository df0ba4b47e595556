"""The data sets: one file each, found by its name.

A file here has

  IMAGE_SHAPE  (height, width, channels); LABELS, how many classes there are
  load(split, data_dir=None) -> research.sources.split.Split, for "train" or "test"
  batch(arrays, seed, positions) -> {"image": uint8 [batch, height, width, channels],
      "label": int32 [batch]}: pure, traceable, the only thing that a training step
      calls. `arrays` are the split's, on the device; positions, uint32 [batch], count
      examples since the start of training.

Another set that tensorflow-datasets knows is a copy of `mnist` with its name; one that
ships in a package is like `digits`; one that is put together from others is like
`stacked_digits`. What they share lives in `research.sources`.
"""
