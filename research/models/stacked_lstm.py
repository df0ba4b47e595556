"""A stacked LSTM over symbols or vectors, with logits at every step.

    symbols [batch, time] → embedding  } → dropout → LSTM layers, dropout between
    vectors [batch, time, features]    }           → dropout → Dense(classes)

With `dropout` alone it is the model of Zaremba 2014; `variational` with
`recurrent_dropout` is Gal & Ghahramani 2016, `weight_dropout` with `variational` and
`tied` is AWD (Merity 2018), `projection` is LSTMP (Sak 2014, Jozefowicz 2016).
"""

import dataclasses
import functools

import flax.linen as nn

from research.layers.dropout import check_rates
from research.layers.lstm import LstmLayer
from research.layers.sequence import SequenceModel, check_symbols
from research.layers.stack import Bidirectional, Stack
from research.models._counts import refuse_fewer, refuse_kernel


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the stack."""

    hidden: int = 256
    """units of each layer"""
    layers: int = 2
    """layers, one above the other"""
    classes: int = 10
    """symbols to choose from at each step"""
    symbols: int | None = None
    """symbols that the input is made of, where it is whole numbers; None: `classes`"""
    embedding: int = 0
    """width of a symbol's vector; 0: one-hot, which is a vector for each gate"""
    tied: bool = False
    """logits by the embedding's own vectors (Press & Wolf 2017): `embedding` must be
    the width of h"""
    dropout: float = 0.0
    """share dropped before, between and after the layers (Zaremba 2014)"""
    variational: bool = False
    """each row's dropout is the same at every step (Gal & Ghahramani 2016)"""
    recurrent_dropout: float = 0.0
    """share of h hidden from the recurrence, the same at every step"""
    weight_dropout: float = 0.0
    """share of wh's entries dropped for a whole call (DropConnect, AWD)"""
    zoneout_h: float = 0.0
    """share of h that stays as it was (Krueger 2017); leaves the fused path"""
    zoneout_c: float = 0.0
    """the same for c"""
    projection: int = 0
    """columns of h; 0: no projection, h has `hidden`"""
    peephole: bool = False
    """gates see the cell"""
    layer_norm: bool = False
    """normalised sums and cell (Ba 2016); leaves the fused path"""
    bidirectional: bool = False
    """two directions in each layer: for labelling, not for predicting what comes"""
    longest: int = 0
    """steps of the longest memory, which sets the initial biases (chrono, Tallec &
    Ollivier 2018); 0: 1 for the forget gate"""
    residuals: str | None = None
    """kept for the gradient: store, recompute or, for long sequences, checkpoint"""
    backend: str | None = None
    """kernel backend; None takes the fastest that supports the case"""

    family = "lstm"

    def module(self) -> nn.Module:
        width = self.projection or self.hidden
        check_rates(
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            weight_dropout=self.weight_dropout,
            zoneout_h=self.zoneout_h,
            zoneout_c=self.zoneout_c,
        )
        refuse_fewer(self, 1, "hidden", "layers", "classes", "symbols")
        refuse_fewer(self, 0, "embedding", "projection", "longest")
        refuse_kernel(self.backend, self.residuals)
        symbols = self.symbols or self.classes
        wide = width * (2 if self.bidirectional else 1)
        check_symbols(self.tied, self.embedding, wide, symbols, self.classes)
        stack = functools.partial(
            Stack, self._layer(), self.layers, self.dropout, self.variational
        )
        return SequenceModel(
            stack,
            self.classes,
            symbols,
            self.embedding,
            self.tied,
            self.dropout,
            self.variational,
        )

    def _layer(self):
        layer = functools.partial(
            LstmLayer,
            self.hidden,
            backend=self.backend,
            residuals=self.residuals,
            projection=self.projection,
            peephole=self.peephole,
            layer_norm=self.layer_norm,
            recurrent_dropout=self.recurrent_dropout,
            weight_dropout=self.weight_dropout,
            zoneout_h=self.zoneout_h,
            zoneout_c=self.zoneout_c,
            longest=self.longest,
        )
        return functools.partial(Bidirectional, layer) if self.bidirectional else layer
