"""Arrays in, arrays out: the operations that are worth writing by hand."""

from kernels.conv_transpose import conv, conv_transpose

__all__ = ["conv", "conv_transpose"]
