"""Differentiable augmentations of what D is shown: one file is one.

`augment(key, picture)` → picture, for one of shape [height, width, channels] in
[-1, 1], differentiable in the picture. Real and generated pictures are changed alike,
in both players' updates, so that G is not taught the changes (Zhao 2020, DiffAugment).
"""
