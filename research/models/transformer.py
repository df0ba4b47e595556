"""A small causal Transformer, the yardstick beside the LSTM: logits at every step.

Embedding, dropout and logits are those of stacked_lstm.py, so that only what lies
between differs. A block has 12·hidden² weights, an LSTM layer of that size 8·hidden².
"""

import dataclasses
import functools

import flax.linen as nn

from research.errors import UserError
from research.layers.dropout import check_rates
from research.layers.sequence import SequenceModel
from research.layers.transformer import Transformer
from research.models._counts import refuse_fewer


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the Transformer."""

    hidden: int = 128
    """width of every step's vector"""
    layers: int = 2
    """blocks of attention and a two-layer network"""
    heads: int = 4
    """attentions side by side; `hidden` is divided among them"""
    context: int = 128
    """steps that a step sees, its own among them; they are kept as the state"""
    classes: int = 10
    """symbols to choose from at each step"""
    symbols: int | None = None
    """symbols that the input is made of, where it is whole numbers; None: `classes`"""
    dropout: float = 0.0
    """share dropped of the input, of what each half block adds, and of the output"""

    family = "transformer"

    def module(self) -> nn.Module:
        check_rates(dropout=self.dropout)
        refuse_fewer(self, 1, "hidden", "layers", "heads", "context", "classes")
        refuse_fewer(self, 1, "symbols")
        if self.hidden % (2 * self.heads):
            raise UserError(
                f"--model.hidden is {self.hidden}: it must be divisible by twice the "
                f"--model.heads, {2 * self.heads}"
            )
        stack = functools.partial(
            Transformer,
            self.hidden,
            self.layers,
            self.heads,
            self.context,
            self.dropout,
        )
        symbols = self.symbols or self.classes
        return SequenceModel(stack, self.classes, symbols, dropout=self.dropout)
