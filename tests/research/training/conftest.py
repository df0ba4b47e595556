"""A small experiment and its training, in this process and with a real workdir."""

import dataclasses

import pytest

from research import parts
from research.training import loop
from research.training.checkpoints import Checkpoints
from research.training.goodput import Goodput
from research.training.record import Record
from research.training.stop import StopRequest
from research.training.summary import evaluator_of


@pytest.fixture(scope="session")
def twelve_steps():
    """An LSTM of four units, logged at each step and saved at every third."""
    full = parts.find("experiments", "seed_lstm").experiment("minutes")
    model = dataclasses.replace(full.model, hidden=4)
    return dataclasses.replace(
        full,
        steps=12,
        batch_size=8,
        model=model,
        log_every=1,
        checkpoint_every=3,
        validation_examples=8,
    )


@pytest.fixture(scope="session")
def trained():
    """Trains a job in a workdir, its record of a kind of one's own: the outcome.

    Until `stop` is asked for, if it is given.
    """

    def train(job, workdir, kind=Record, stop=None):
        record = kind(workdir, {"config": {}})
        checkpoints = Checkpoints(workdir / "checkpoints")
        one = loop.Run(job, record, checkpoints, evaluator_of(job))
        try:
            (outcome,) = loop.train(job.name, [one], stop or StopRequest(), Goodput())
        finally:
            checkpoints.close()
            record.close()
        return outcome

    return train
