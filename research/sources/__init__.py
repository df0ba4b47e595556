"""Where the data sets of `research.data` come from, and in which order they are read.

`order` draws a batch from a position in training, `split` is what a data set gives
out. The rest finds, makes and checks the files: `source` is the way in, `embedded`
makes data that ships inside a package, `stock` makes the well-known sets of
tensorflow-datasets without TensorFlow, from the files that `idx` and `cifar_binary`
read.
"""
