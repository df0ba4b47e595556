"""Networks: one file is one model part.

A GAN's part is a frozen dataclass with `generator()` and `discriminator()`, each a
Flax module; a supervised part has `module()`. Its fields are the command line's
`--model.*`.

A sequence model's module maps (inputs, train, state, lengths, resets) to (logits
[batch, time, classes], last state) and has `start(batch)`, the zero state; inputs are
vectors [batch, time, features] or, but for lstm.py, symbols [batch, time]; dropout is
drawn from `rngs={"dropout": key}`. research/layers/__init__.py says what state, lengths
and resets are.
"""
