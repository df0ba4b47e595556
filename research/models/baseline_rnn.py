"""Stacked GRU or plain tanh cells, with logits at every step: the LSTM's baselines.

Built as stacked_lstm.py is, so that only the cell differs (Chung 2014).
"""

import dataclasses
import functools
from typing import Literal

import flax.linen as nn

from research.layers.dropout import check_rates
from research.layers.gru import GruLayer, TanhLayer
from research.layers.sequence import SequenceModel
from research.layers.stack import Stack
from research.models._counts import refuse_fewer

CELLS = {"gru": GruLayer, "tanh": TanhLayer}


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the stack; they mean what stacked_lstm's do."""

    cell: Literal["gru", "tanh"] = "gru"
    """the GRU of Cho 2014, or Elman's network"""
    hidden: int = 256
    """units of each layer"""
    layers: int = 1
    """layers, one above the other"""
    classes: int = 10
    """symbols to choose from at each step"""
    symbols: int | None = None
    """symbols that the input is made of, where it is whole numbers; None: `classes`"""
    embedding: int = 0
    """width of a symbol's vector; 0: one-hot"""
    dropout: float = 0.0
    """share dropped before, between and after the layers (Zaremba 2014)"""

    family = "rnn"

    def module(self) -> nn.Module:
        check_rates(dropout=self.dropout)
        refuse_fewer(self, 1, "hidden", "layers", "classes", "symbols")
        refuse_fewer(self, 0, "embedding")
        layer = functools.partial(CELLS[self.cell], self.hidden)
        stack = functools.partial(Stack, layer, self.layers, self.dropout)
        symbols = self.symbols or self.classes
        return SequenceModel(
            stack, self.classes, symbols, self.embedding, dropout=self.dropout
        )
