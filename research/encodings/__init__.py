"""How a batch of pictures becomes a supervised problem: one file is one encoding.

`encode(batch, keys)` → (inputs, targets): `batch` holds `image` uint8 [batch, height,
width, channels] and `label` int32 [batch]; targets are int32 with any axes after
batch. `keys` [batch] is given while training, None when evaluating; an encoding that
augments uses it. One whose model can draw pictures has `draw(predict, start, keys)`
too, and `as_drawn(images)` where it can draw only some.
"""
