"""An experiment's configuration: one frozen tree, made by a file in experiments/."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from research.optimizers import Optimizer

Budget = Literal["minutes", "full"]  # two CPU cores for minutes, or the whole run


@dataclasses.dataclass(frozen=True)
class Data:
    """Where the examples come from."""

    name: str = "digits"
    """a file in research/data, or package.module of a fork"""
    folder: Path | None = None
    """where data sets are prepared; None: TFDS_DATA_DIR, else ~/tensorflow_datasets"""
    placement: Literal["device", "host"] = "device"
    """where the training data lies; host: it is too large for a device, batches are
    made on the host, some steps ahead"""
    path: Path | None = None
    """a file or folder of the user's own, for a data set that reads one"""
    length: int | None = None
    """steps of a sequence, for a data set that leaves it open; None: its own choice"""
    held_out: Literal["valid", "test"] | None = None
    """what is measured on, of a data set with both: valid while settings are chosen,
    test (None) for the number that is reported"""
    size: int | None = None
    """pixels along both sides that your pictures are scaled to; None: as they are"""
    crop: Literal["none", "centre"] | None = None
    """centre: the largest square in the middle of each of your pictures"""
    value_range: tuple[float, float] | None = None
    """values of black and of white in an array of yours; None: bytes, 0 to 255"""
    features: str | None = None
    """what pictures are judged by, a file in research/features, inception:FILE for FID
    with weights of yours; None: the data set's own choice"""

    def length_or(self, own: int) -> int:
        """Steps of a sequence, of a data set whose own choice is this one."""
        return own if self.length is None else self.length


@dataclasses.dataclass(frozen=True)
class Population:
    """Runs that one compiled program trains at once, each with its own workdir."""

    seeds: int = 1
    """runs of the seeds from `seed` on"""
    vary: tuple[str, ...] = ()
    """float settings and their values, every combination of which is a run for every
    seed: optimizer.learning_rate=1e-3,1e-4 task.ema=0.9,0.99"""


@dataclasses.dataclass(frozen=True)
class Training:
    """How the steps are computed."""

    strategy: str = "pmap"
    """how a step is spread over the devices, a file in research/training/strategies:
    pmap or jit, with the same numbers to rounding"""
    compute: Literal["float32", "bfloat16"] = "float32"
    """what networks compute in; bfloat16 is for the matrix units of TPUs and GPUs:
    weights, optimizers and losses stay float32. What adds up over time, LSTMs and GRUs,
    multiplies float32 in full; other layers as jax's default precision has it, which
    shortens factors on TPUs and GPUs: JAX_DEFAULT_MATMUL_PRECISION=highest does not"""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that a run is made from; with the device count it fixes the result."""

    steps: int
    """updates of every network"""
    batch_size: int
    """examples of a step, over all devices"""
    data: Data
    model: Any
    task: Any
    optimizer: Optimizer
    seed: int = 0
    """of the initial weights, the noise and the order of the data"""
    checkpoint_every: int = 500
    """steps between checkpoints and sample pictures; the last step always has one"""
    log_every: int = 20
    """steps between records in metrics.jsonl"""
    validation_examples: int = 1_000
    """held-out examples of each validation, at every checkpoint; all where fewer"""
    score_pictures: int = 5_000
    """pictures drawn for the final metrics; 0 leaves them out"""
    on_nan: Literal["stop", "skip", "rewind"] = "stop"
    """what becomes of a number that is not finite: the run ends; the update is left
    out; or the run goes back to its last checkpoint and on in another order"""
    profile: tuple[int, int] | None = None
    """first and last step of a trace that goes into the workdir's profile/, and of a
    table of the ops that took longest"""
    population: Population = Population()
    """runs that are trained at once"""
    training: Training = Training()
    """how the steps are computed"""


def members(config: Any) -> dict[str, Experiment] | None:
    """The runs of a comparison by name; None for a single experiment.

    A comparison is a frozen dataclass whose fields are experiments.
    """
    if isinstance(config, Experiment):
        return None
    return {
        field.name: getattr(config, field.name) for field in dataclasses.fields(config)
    }
