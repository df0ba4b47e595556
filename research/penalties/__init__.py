"""Penalties on the discriminator: one file is one penalty.

`penalty(discriminate, real, fake, keys)` → scalar, float32, the mean over the batch.
`discriminate` maps samples to logits [batch]; real and fake are [batch, …]; keys
[batch] hold a random key for each sample, for penalties that pick places between or
around the samples: from its own key a sample's place does not depend on the number of
devices. It runs under the axis `research.training.axes.BATCH`. A configuration gives
each its weight γ or λ.

They take gradients of D with respect to its input, so training differentiates D twice;
they need logits that depend on their own sample alone, so D has no BatchNorm.
"""
