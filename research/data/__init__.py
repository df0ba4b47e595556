"""The data sets: one file each, found by its name.

A file here has

  MEDIUM  what its samples are, a file in research/media; left out: "pictures"
  IMAGE_SHAPE  of pictures: (height, width, channels); LABELS, how many classes
  load(split, data_dir=None) -> research.sources.split.Split, for "train" or "test"
  batch(arrays, seed, positions) -> named arrays, examples on the first axis: pure,
      traceable, the only thing that a training step calls. `arrays` are the split's,
      on the device; positions, uint32 [batch], count examples since the start.

The names that a batch may hold, all optional but the medium's own; a task takes what
it needs and leaves the others:

  image   uint8 [batch, height, width, channels]
  point   float32 [batch, coordinates]
  tokens  int32 [batch, time]; frames float32 or bool [batch, time, features]
  lengths int32 [batch], valid steps of `tokens` or `frames`
  label   int32 [batch], from 0 to LABELS − 1

Another set that tensorflow-datasets knows is a copy of `mnist` with its name; one that
ships in a package is like `digits`; one that is put together from others is like
`stacked_digits`. What they share lives in `research.sources`.
"""
