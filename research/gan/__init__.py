"""The game of a GAN: the networks as players, what D is shown, and the step itself.

`research.tasks.gan` has the settings; `game` is the algorithm, and each file beside it
is one piece of it.
"""
