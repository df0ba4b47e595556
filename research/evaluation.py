"""The numbers of a trained model: held-out losses, and the worth of its samples."""

import math
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research import media
from research.metrics.measured import Measured, mean
from research.sources.split import Split
from research.task import Task

CHUNK = 250  # held-out examples of one evaluation
DRAWN_AT_ONCE = 1_000
COPIED_FROM = 10_000  # training samples that a copy is looked for among, if there are
WATCHED = 250  # samples of a checkpoint that are watched, or the medium's SHOWN
HELD_OUT_SEED = 0  # held-out samples are the same for every run


class Drawn(NamedTuple):
    """Samples of a model and how long it took to draw them."""

    samples: np.ndarray  # of the data set's medium, samples on the first axis
    seconds_per_1000: float  # median over draws of 1,000, without compilation


class Evaluator:
    """Compiled functions that measure states of one task."""

    def __init__(
        self,
        task: Task,
        dataset: ModuleType,
        train: Split,
        held_out: Split,
        examples: int,
    ):
        """Takes the task, its data set and splits, and how many to validate on."""
        self._examples = min(examples, held_out.examples)
        self._dataset = dataset
        self.medium = media.of(dataset)
        self._train, self._held_out = train, held_out
        self._arrays = jax.device_put(held_out.arrays)
        evaluate, batch = task.evaluate, dataset.batch

        def held_out_metrics(state, arrays, positions):
            assert evaluate is not None
            return evaluate(state, batch(arrays, HELD_OUT_SEED, positions))

        self._evaluate = jax.jit(held_out_metrics) if evaluate else None
        self._dynamic = jax.jit(task.dynamic) if task.dynamic else None
        self._draw = jax.jit(task.draw) if task.draw else None
        self._walk = jax.jit(task.walk, static_argnums=2) if task.walk else None

        def real(arrays, positions):
            return batch(arrays, HELD_OUT_SEED, positions)[self.medium.ENTRY]

        def block(arrays, positions):
            return batch(arrays, HELD_OUT_SEED, positions).get("block")

        self._block = jax.jit(block)
        as_drawn = task.as_drawn
        self._real = jax.jit(real)
        self._real_as_drawn = (
            jax.jit(lambda *of: as_drawn(real(*of))) if as_drawn else self._real
        )
        self._watched_real: dict[int, dict[str, float]] = {}  # by number of samples

    @property
    def draws(self) -> bool:
        """Whether the task draws samples."""
        return self._draw is not None

    @property
    def walks(self) -> bool:
        """Whether the task can walk from sample to sample."""
        return self._walk is not None

    def held_out(self, state: Any) -> dict[str, np.ndarray]:
        """Each metric of each held-out example, [examples]; {} without any."""
        if self._evaluate is None:
            return {}
        found = [
            self._evaluate(state, self._arrays, positions)
            for positions in _chunks(self._examples)
        ]
        return {
            name: np.concatenate([metrics[name] for metrics in found])
            for name in found[0]
        }

    def read_in_order(self, state: Any) -> dict[str, Measured]:
        """Of a model that goes on learning from held-out text; {} if none does."""
        if self._dynamic is None:
            return {}
        seen, text = self._dataset.in_order(self._train, self._held_out)
        nats = np.asarray(self._dynamic(state, seen, text))
        return self.medium.read_in_order(nats, text.shape[1] - 1)

    def draw(self, state: Any, seed: int, count: int) -> np.ndarray:
        """Samples whose noise depends on (seed, number) alone."""
        assert self._draw is not None
        return np.asarray(self._draw(state, sample_keys(seed, count)))

    def walk(self, state: Any, seed: int, ways: int, steps: int) -> np.ndarray:
        """Samples [ways, steps, …] between those that `draw` gives for this seed."""
        assert self._walk is not None
        keys = sample_keys(seed, ways + 1)
        return np.asarray(self._walk(state, keys, steps))

    def draw_many(self, state: Any, seed: int, count: int) -> Drawn:
        """`count` samples, timed by the thousand."""
        self.draw(state, seed, DRAWN_AT_ONCE)  # compiles
        samples, seconds = [], []
        for i in range(-(-count // DRAWN_AT_ONCE)):
            start = time.perf_counter()
            samples.append(self.draw(state, seed + 1 + i, DRAWN_AT_ONCE))
            seconds.append(time.perf_counter() - start)
        return Drawn(np.concatenate(samples)[:count], float(np.median(seconds)))

    def scored(self, generated: np.ndarray) -> dict[str, Measured]:
        """Final numbers of generated samples against held-out real ones.

        Of held-out ones as many as were generated, or all where there are fewer: a
        sample that comes twice is nearer to itself than any two of the data are.

        The floor is what a perfect copy of the training data would score: as many real
        training samples, thresholded if the task's are. Held-out ones would not do:
        they are the reference's own digits, and score better than any model could.
        """
        count = len(generated)
        real = _samples(self._real, self._arrays, self._once(count))
        again = _samples(self._real_as_drawn, self._train.arrays, count)
        blocks = self.blocks(len(real))
        return self.medium.score(generated, real, again, self._dataset, **blocks)

    def watched(self, samples: np.ndarray) -> dict[str, float]:
        """A checkpoint's samples beside as many real ones: shares of what these have.

        Returns:
          sample_diversity, sample_modes, …: what the medium watches, but for what real
          samples have none of, as the one point of `dirac` has no diversity; {} if
          nothing, or beside a single held-out sample: one does not differ.
        """
        count = self._once(min(len(samples), max(self.medium.SHOWN, WATCHED)))
        if count < 2 or not hasattr(self.medium, "watch"):
            return {}
        samples = samples[:count]
        if count not in self._watched_real:
            real = _samples(self._real_as_drawn, self._arrays, count)
            self._watched_real[count] = self.medium.watch(real, self._dataset)
        found = self.medium.watch(samples, self._dataset)
        real = self._watched_real[count]
        return {
            f"sample_{name}": value / real[name]
            for name, value in found.items()
            if real[name] and math.isfinite(real[name])
        }

    def blocks(self, count: int | None = None) -> dict[str, np.ndarray]:
        """The `blocks` of the first held-out samples; {} where each stands alone.

        Args:
          count: of how many; None: of those that `held_out` measures.
        """
        count = self._examples if count is None else count
        one = jnp.zeros(1, jnp.uint32)
        if jax.eval_shape(self._block, self._arrays, one) is None:
            return {}
        return {"blocks": _samples(self._block, self._arrays, count)}

    def _once(self, count: int) -> int:
        """So many held-out samples, or as many as there are before one comes again."""
        endless = getattr(self._dataset, "ENDLESS", False)
        return count if endless else min(count, self._held_out.examples)

    def copying(self, generated: np.ndarray) -> dict[str, Measured]:
        """Whether generated samples repeat training samples; {} if unknown.

        Real samples are thresholded if the task's are: else the model's would be nearer
        to the training data, or further, for that alone.
        """
        if not hasattr(self.medium, "copying"):
            return {}
        held_out, training = (
            _samples(
                self._real_as_drawn, split.arrays, min(split.examples, COPIED_FROM)
            )
            for split in (self._held_out, self._train)
        )
        return self.medium.copying(generated, held_out, training, self._dataset)


def _samples(real: Callable, arrays: Any, count: int) -> np.ndarray:
    """The first `count` real samples of a split, made some at a time."""
    arrays = jax.device_put(arrays)
    chunks = [np.asarray(real(arrays, positions)) for positions in _chunks(count)]
    return np.concatenate(chunks)


def sample_keys(seed: int, count: int) -> jax.Array:
    """The keys of samples 0 to count − 1 of a seed."""
    key = jax.random.key(seed)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))


def averages(found: dict[str, np.ndarray]) -> dict[str, float]:
    """The mean over all targets of each metric that `Evaluator.held_out` gave."""
    weights = found.get("targets")
    return {
        name: float(np.average(values, weights=weights))
        for name, values in found.items()
        if name != "targets"
    }


def held_out_measures(
    found: dict[str, np.ndarray],
    medium: ModuleType | None,
    blocks: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Final held-out numbers, each with its interval.

    Args:
      found: what `Evaluator.held_out` gave, losses in nats a target.
      medium: of a model that draws, whose loss is a likelihood of its samples: the
        medium says in which unit, and what else is worth telling.
      blocks: of the examples, where they overlap; see `measured.error_of_mean`.
    """
    if medium is not None and found and hasattr(medium, "likelihood"):
        overlap = {} if blocks is None else {"blocks": blocks}
        return medium.likelihood(found, **overlap)
    units = {"loss": "nats", "squared_error": "squared"}
    # A squared error is a loss that is no likelihood: it is told by that name alone.
    untold = ("targets", "loss" if "squared_error" in found else "")
    return {
        name: mean(values, units.get(name, "share"), blocks)
        for name, values in found.items()
        if name not in untold
    }


def _chunks(count: int) -> Iterator[jax.Array]:
    for start in range(0, count, CHUNK):
        yield jnp.arange(start, min(start + CHUNK, count), dtype=jnp.uint32)
