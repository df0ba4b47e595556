"""Long short-term memory over whole sequences.

Read spec.py (equations, shapes, gate order), then reference.py (the meaning in one
loop). A fast call is: gradients.input_gates (one GEMM), a backend's forward sweep;
for the gradient its backward sweep and gradients.deferred (GEMMs). op.py checks a call,
dispatch.py picks the backend, derivatives.py ties the sweeps together, once and twice
differentiated; cell.py is the arithmetic inside both loops.
"""

from kernels.lstm.op import explain, lstm, lstm_cell
from kernels.lstm.spec import LstmState, LstmWeights, UnsupportedCase

__all__ = [
    "LstmState",
    "LstmWeights",
    "UnsupportedCase",
    "explain",
    "lstm",
    "lstm_cell",
]
