"""An LSTM of 36 units reads Bach's chorales: nats a frame, beside keys counted apart.

Chung 2014's model on the 365 chorales that ship with the project, a frame at every
quarter note. The final metrics state the cost of a held-out frame by the averages of
Chung 2014 and of Bai 2018, beside that of the keys' frequencies (11.5 and 11.4 nats).

A file of yours in the layout of JSB Chorales is read by --data.name piano_rolls
--data.path FILE, with --data.held-out valid while settings are chosen. On that set the
76 pieces of valid cost 8.98, 8.58, 8.50 and 8.53 nats a frame after 1,000, 2,000, 3,000
and 4,000 steps, so 3,000 were taken; the 77 of test then cost 8.54, 8.53 and 8.59 with
seeds 0 to 2, and 8.60, 8.59 and 8.65 as Bai averages (frequencies 11.00 and 11.09;
Chung 2014's own LSTM 8.67).

Cost: `--budget minutes` takes half a minute on two CPU cores, `full` twice that.
Expected: at least 2 nats a frame below the frequencies: 9.23 and 9.15 after minutes.
Run:  python -m launch train chorales
"""

from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.sources.piano_rolls import KEYS
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """162 epochs, or 81 for minutes."""
    full = budget == "full"
    return Experiment(
        steps=3_000 if full else 1_500,
        batch_size=16,
        data=Data("chorales"),
        model=lstm.Model(hidden=36, classes=KEYS),
        task=Supervised("frames"),
        optimizer=Optimizer(learning_rate=1e-2, schedule="cosine", clip_norm=1.0),
        checkpoint_every=500,
        score_pictures=1_000,
    )
