"""The data sets: one file each, found by its name.

A file here has

  IMAGE_SHAPE  (height, width, channels); LABELS, how many classes there are
  load(split, data_dir=None) -> research.sources.split.Split, for "train" or "test"
  batch(arrays, seed, positions) -> {"image": uint8 [batch, height, width, channels],
      "label": int32 [batch]}: pure, traceable, the only thing that a training step
      calls. `arrays` are the split's, on the device; positions, uint32 [batch], count
      examples since the start of training.

What they share lives in `research.sources`.
"""
