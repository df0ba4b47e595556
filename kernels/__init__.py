"""Arrays in, arrays out: the operations that are worth writing by hand."""

from kernels.conv_transpose import conv, conv_transpose
from kernels.lstm import (
    LstmState,
    LstmWeights,
    UnsupportedCase,
    explain,
    lstm,
    lstm_cell,
)

__all__ = [
    "LstmState",
    "LstmWeights",
    "UnsupportedCase",
    "conv",
    "conv_transpose",
    "explain",
    "lstm",
    "lstm_cell",
]
