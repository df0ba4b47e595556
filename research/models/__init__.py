"""Networks: one file is one model part.

A GAN's part is a frozen dataclass with `generator()` and `discriminator()`, each a
Flax module; a supervised part has `module()`. Its fields are the command line's
`--model.*`.
"""
