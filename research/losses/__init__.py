"""GAN losses: one file is one loss, of two functions from logits to a scalar.

`discriminator(real_logits, fake_logits)` and `generator(real_logits, fake_logits)`;
both logits are [batch], float32, and each returns the mean over the batch. Never
through a sigmoid and a log: softplus keeps its gradient at any logit.

A loss in which D aims at a value for real samples may take it as a third argument of
`discriminator`, `real_target=1.0`; one-sided label smoothing sets it below 1.
"""
