"""Networks: one file is one model part.

A GAN's part is a frozen dataclass with `latent`, `generator()` and `discriminator()`,
each a Flax module. A generator with `anneals = True` also takes `progress` in training,
the share of the run's steps that are done, in [0, 1). A supervised part has `module()`.
The fields of either are the command line's `--model.*`. One that not all training data
fits may have `refuse_data(arrays)`, which raises UserError.

A sequence model's module maps (inputs, train, state, lengths, resets) to (logits
[batch, time, classes], last state) and has `start(batch)`, the zero state; inputs are
vectors [batch, time, features] or, but for lstm.py, symbols [batch, time]; dropout is
drawn from `rngs={"dropout": key}`. research/layers/__init__.py says what state, lengths
and resets are.
"""
