"""An LSTM learns to write like the Bible, byte by byte: bits a held-out byte.

The text is the American Standard Version, 4.15 million bytes that ship with the
project; the state is carried along over streams of it, the gradient goes back over 64
bytes. The final metrics state the bits of counted bytes and pairs, and of xz, beside.
xz goes on learning from what is held out; so does a second number of the model, whose
weights make a step after each window that was scored (`dynamic_rate`, of the whole
held-out text). That rate is the best of six (3e-4 to 1e-2) for a model of `--budget
minutes` on other bytes, the last twentieth of the training text, held out from it: 1.97
bits there, 1.80 learning.

One window of a hundred starts at zero: a state that only ever went on ran away in some
of the held-out windows, which start there (2.44 bits after 1,000 steps, 2.30 with it).

`--budget full`, 1,024 units and ten epochs with dropout, comes to 1.54 bits on a CPU
(1.50 to 1.59; 1.55 over 1,024 windows) and 1.53 on a GPU in bfloat16 (1.49 to 1.58),
there to 1.46 learning as it reads; so did a CPU's model of twice the learning rate and
weight dropout (1.42 to 1.49; 1.60 without learning). It learns by heart: from 11,000
steps to the end what is held out falls from 1.58, while the training text comes to
1.26, dropout and all. Twice the learning rate alone came to 1.54 on the GPU.

Cost: `--budget minutes` took 4 min 5 s on two idle CPU cores with AVX-512. `--budget
full --training.compute bfloat16` took 2 min 31 s on an H200 from nothing compiled to
the page, 42 s of it steps (their embedding's gradient was a scatter then); on two CPU
cores 1 h 57 min, other work beside, and 3 min 20 s of reading on.
Expected: 1.82 bits a held-out byte after minutes (1.77 to 1.87), 0.623 of the bytes;
1.74 (1.70 to 1.79) learning as it reads, 1.84 of the same bytes without.
Run:  python -m launch train bible --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.language import Language

BYTES = 256


def experiment(budget: Budget = "full") -> Experiment:
    """One layer: of 256 units for minutes, of 1,024 with dropout for ten epochs."""
    full = budget == "full"
    return Experiment(
        steps=20_000 if full else 7_000,
        batch_size=32,
        data=Data("bible", length=64),
        model=stacked_lstm.Model(
            hidden=1024 if full else 256,
            layers=1,
            classes=BYTES,
            embedding=64,
            dropout=0.2 if full else 0.0,
        ),
        task=Language(restart=0.01, dynamic_rate=1e-3),
        optimizer=Optimizer(
            learning_rate=2e-3 if full else 4e-3, schedule="cosine", clip_norm=1.0
        ),
        checkpoint_every=1_000,
        validation_examples=200,
        score_pictures=200,
    )
