"""The yardstick beside the LSTM of `bible`: a Transformer of as many parameters.

The same text, windows, steps and optimizer; two blocks of width 120 that see 128 bytes
back instead of one layer of 256 units: 410,776 parameters beside 410,880.

After 1,000 steps of either, each on a schedule of that length, the Transformer was at
2.40 bits a held-out byte (2.35 to 2.44) and had 0.511 of the bytes, the LSTM at 2.30
(2.26 to 2.35) and 0.534. That Transformer's windows all went on; those of this
experiment start anew one time in a hundred, as the LSTM's did.

Cost: 331 s of CPU time for 1,000 steps and all that is measured after; `bible` 116 s.
Expected: as above with --steps 1000; the 7,000 of `--budget minutes` were not run.
Run:  python -m launch train bible_transformer --budget minutes
"""

import dataclasses

from experiments import bible
from research.experiment import Budget, Experiment
from research.models import transformer


def experiment(budget: Budget = "full") -> Experiment:
    """`bible` with another model; full: six blocks, 4,575,608 beside 4,739,328."""
    full = budget == "full"
    model = transformer.Model(
        hidden=248 if full else 120,
        layers=6 if full else 2,
        heads=4,
        context=256 if full else 128,
        classes=bible.BYTES,
        dropout=0.2 if full else 0.0,
    )
    lstm = bible.experiment(budget)
    # Its rate of learning on while it is measured was chosen for the LSTM.
    task = dataclasses.replace(lstm.task, dynamic_rate=0.0)
    return dataclasses.replace(lstm, model=model, task=task)
