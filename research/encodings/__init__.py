"""How a batch becomes a supervised problem: one file is one encoding.

`encode(batch, keys)` → (inputs, targets): `batch` holds what the data set's has, such
as `image` uint8 [batch, height, width, channels] and `label` int32 [batch]. Targets are
what OUTCOME names in research.outcomes, or an `Outcome` of its own takes;
left out: "symbols", int32 with any axes after batch. `keys` [batch] is given while
training, None when evaluating; an encoding that augments uses it.

One whose model can draw samples has `draw(predict, start, keys)` too, or, for samples
of the data set's SHAPE, `draw_shaped(predict, start, keys, shape)`, and
`as_drawn(images)` where it can draw only some. SYMBOLS says how many outputs a model
has at least, or `outputs_needed(dataset)` exactly how many. DATA names the one data set
that it can read, by that set's `name`: others' numbers would mean nothing to it.
`refuse(arrays)` raises UserError for what a split holds that it cannot encode.
"""
