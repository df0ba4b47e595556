"""Where the members of a group lie: all of them on every device, or each on its own.

Members of a population have nothing to tell each other, so they are dealt out: the
devices stand in rows, each row trains its own members, and the devices of a row share
every batch out. Each member is computed as by a run on one row's devices. A run alone,
and one of several processes, is spread over all devices by the strategy it names.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from research.errors import UserError
from research.experiment import Experiment
from research.training import strategies
from research.training.axes import BATCH
from research.training.devices import Bounded, repeated
from research.training.feeding import Feed
from research.training.job import Job, host_batches
from research.training.strategies import COPIED, PLAIN, Strategy
from research.training.strategies import OWN as GIVEN

MEMBERS = "members"  # the axis of the rows of devices
OWN = jax.P(MEMBERS)


class Layout(Protocol):
    """How the loop places what `Members` stacks, and compiles its step."""

    ranks: int  # devices that share a batch

    def parallel(self, step: Any, repeats: bool) -> Any:
        """`step(state, values, arrays)` compiled; `repeated` if it `repeats`."""
        ...

    def state(self, stacked: Any) -> Any:
        """The stacked states, on the devices."""
        ...

    def inputs(self, values: Any, arrays: Any) -> tuple[Any, ...]:
        """The members' values and the data's arrays, on the devices."""
        ...

    def fetch(self, tree: Any) -> Any:
        """States or metrics, stacked, as numpy arrays."""
        ...

    def share(self, stacked: Any) -> Any:
        """Shapes of a device's part of stacked states or values."""
        ...

    def shapes(self, stacked: Any, values: Any, given: Any) -> tuple[Any, ...]:
        """What the step takes, as shapes to lower it with.

        Args:
          stacked: shapes of the states, as those of the values.
          values: of the members.
          given: the data's arrays, or a device's batch where each step is given one.
        """
        ...


def of(
    experiment: Experiment,
    members: int,
    over: Sequence[Any] | None = None,
    processes: int | None = None,
) -> Layout:
    """The layout of so many members.

    Args:
      experiment: of one of them.
      members: trained at once.
      over: devices to compile for; None: those of this run.
      processes: that have these devices; None: those of this run.
    """
    devices = jax.devices() if over is None else over
    if experiment.data.placement == "host":
        return Fed(strategies.find(experiment), over)
    groups = rows(members, len(devices))
    if groups == 1 or (processes or jax.process_count()) > 1:
        return Spread(strategies.find(experiment), over)
    return Dealt(members, groups, devices)


def rows(members: int, devices: int) -> int:
    """Into how many rows of equal length devices are set: no more than members."""
    return max(n for n in range(1, devices + 1) if devices % n == 0 and n <= members)


class Spread:
    """Every device has all members and works on its share of the batch."""

    def __init__(self, strategy: Strategy, over: Sequence[Any] | None = None):
        self._strategy, self._over = strategy, over
        self.ranks = jax.device_count() if over is None else len(over)

    def parallel(self, step: Any, repeats: bool) -> Any:
        places = (PLAIN, COPIED, COPIED) if repeats else None
        step = repeated(step) if repeats else step
        return self._strategy.parallel(step, places, self._over)

    def state(self, stacked: Any) -> Any:
        return self._strategy.replicate(stacked)

    def inputs(self, values: Any, arrays: Any) -> tuple[Any, ...]:
        return self._strategy.replicate((values, arrays))

    def fetch(self, tree: Any) -> Any:
        return self._strategy.fetch(tree)

    def share(self, stacked: Any) -> Any:
        return stacked

    def shapes(self, stacked: Any, values: Any, given: Any) -> tuple[Any, ...]:
        return self._strategy.shapes((stacked, values, given), self.ranks)


class Fed(Spread):
    """As Spread, and each device is given its share of each step's batch."""

    def parallel(self, step: Any, repeats: bool) -> Any:
        assert not repeats, "each step has a batch of its own"
        return self._strategy.parallel(step, (COPIED, GIVEN), self._over)

    def inputs(self, values: Any, arrays: Any) -> tuple[Any, ...]:
        """Without the arrays, in whose place a batch is passed."""
        del arrays
        return (self._strategy.replicate(values),)

    def feed(self, jobs: Sequence[Job], start: int) -> Feed:
        """The batches from a step on.

        Raises:
          UserError: as `refuse_seeds`.
        """
        refuse_seeds(jobs)
        every = jax.devices()
        mine = [every.index(device) for device in jax.local_devices()]
        make = host_batches(jobs[0], mine, self.ranks)
        return Feed(make, self._strategy.distribute, start, jobs[0].experiment.steps)

    def shapes(self, stacked: Any, values: Any, given: Any) -> tuple[Any, ...]:
        each = jax.tree.map(lambda leaf: _rows(leaf, self.ranks), given)
        return (*self._strategy.shapes((stacked, values), self.ranks), each)


def refuse_seeds(jobs: Sequence[Job]) -> None:
    """Raises UserError for jobs of several seeds that would be given equal batches."""
    if len({job.experiment.seed for job in jobs}) > 1:
        raise UserError(
            "--data.placement host gives all members of a population the same "
            "batches, and their seeds differ: vary other settings, or train each "
            "seed alone"
        )


class Dealt:
    """Each row of devices has members of its own, the last of them once or more."""

    def __init__(self, members: int, groups: int, over: Sequence[Any]):
        self.ranks = len(over) // groups
        self._members = members
        self._own = -(-members // groups)  # members of a row
        self._places = self._own * groups
        devices = np.array(over).reshape(groups, self.ranks)
        self._mesh = Mesh(devices, (MEMBERS, BATCH))

    def parallel(self, step: Any, repeats: bool) -> Any:
        count = (jax.P(),) if repeats else ()
        # Unchecked for the reasons in strategies/jit.py.
        program = jax.shard_map(
            repeated(step) if repeats else step,
            mesh=self._mesh,
            in_specs=(OWN, *count, OWN, jax.P()),
            out_specs=OWN,
            check_vma=False,
        )
        return Bounded(jax.jit(program, donate_argnums=0))

    def state(self, stacked: Any) -> Any:
        more = self._places - self._members

        def place(leaf):
            full = np.concatenate([leaf, *[leaf[-1:]] * more])
            return jax.device_put(full, NamedSharding(self._mesh, OWN))

        return jax.tree.map(place, stacked)

    def inputs(self, values: Any, arrays: Any) -> tuple[Any, Any]:
        copied = jax.device_put(arrays, NamedSharding(self._mesh, jax.P()))
        return self.state(values), copied

    def fetch(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: self._members], tree)

    def share(self, stacked: Any) -> Any:
        return jax.tree.map(lambda leaf: _rows(leaf, self._own, 1), stacked)

    def shapes(self, stacked: Any, values: Any, given: Any) -> tuple[Any, ...]:
        own, copied = (NamedSharding(self._mesh, spec) for spec in (OWN, jax.P()))
        each = jax.tree.map(
            lambda leaf: _rows(leaf, self._places, 1, own), (stacked, values)
        )
        return (*each, jax.tree.map(lambda leaf: _rows(leaf, None, 0, copied), given))


def _rows(
    leaf: Any, rows: int | None, without: int = 0, sharding: Any = None
) -> jax.ShapeDtypeStruct:
    """A leaf's shape with so many rows before it, and without its first axes."""
    before = () if rows is None else (rows,)
    return jax.ShapeDtypeStruct(
        (*before, *leaf.shape[without:]), leaf.dtype, sharding=sharding
    )
