"""Penalties on the discriminator: one file is one penalty.

`penalty(discriminate, real, fake)` → scalar, the mean over the batch; pictures are
[batch, height, width, channels], `discriminate` maps them to logits [batch]. A
configuration gives each its weight γ. They take gradients of D with respect to its
input, so training differentiates D twice; they need logits that depend on their own
picture alone, so D has no BatchNorm.
"""
