"""The yardstick beside the LSTM of `bible`: a Transformer of as many parameters.

The same text, windows, steps and optimizer; two blocks of width 120 that see 128 bytes
back instead of one layer of 256 units: 407,000 parameters beside 411,000.

Cost: `--budget minutes` takes about ten minutes on two CPU cores.
Expected: whatever it shows after as many steps; it has not been run to the end yet.
Run:  python -m launch train bible_transformer --budget minutes
"""

import dataclasses

from experiments import bible
from research.experiment import Budget, Experiment
from research.models import transformer


def experiment(budget: Budget = "full") -> Experiment:
    """`bible` with another model; for the whole run six blocks of width 480."""
    full = budget == "full"
    model = transformer.Model(
        hidden=480 if full else 120,
        layers=6 if full else 2,
        heads=4,
        context=256 if full else 128,
        classes=bible.BYTES,
        dropout=0.2 if full else 0.0,
    )
    return dataclasses.replace(bible.experiment(budget), model=model)
