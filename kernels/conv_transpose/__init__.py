"""SAME convolution and its transpose, fast in every derivative.

Axes: batch, height, width, channels. `conv` is Keras' Conv2D(padding="same"),
`conv_transpose` is Keras' Conv2DTranspose(padding="same"), both without a bias:

    conv(x, k)[b, y, x, o] = Σ_ijc  x[b, y·s + i − p, x·s + j − p, c] · k[i, j, c, o]

with p the smaller half of the padding that makes ceil(size / s) outputs, and
conv_transpose the adjoint of that map from [.., height·s, width·s, out] onto
[.., height, width, in]: <conv(a, k), x> = <a, conv_transpose(x, k)> for all a and x.
The kernel array [rows, columns, out, in] is the same in both readings.
`reference.py` writes the sums out; `op.py` is what to call.
"""

from kernels.conv_transpose.op import conv, conv_transpose

__all__ = ["conv", "conv_transpose"]
