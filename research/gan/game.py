"""The game: state, step and draws of a GAN (Goodfellow 2014, algorithm 1)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from research.accumulation import accumulated
from research.gan import refusals
from research.gan.drawing import Drawing
from research.gan.judging import Judge
from research.gan.player import Net, Player
from research.gan.view import View
from research.task import Batch, Metrics, count, example_keys

# What an update draws random numbers for; each is folded into the step's key.
GENERATOR_NOISE, DISCRIMINATOR_NOISE, PENALTY = range(3)
GENERATOR_VIEWS, DISCRIMINATOR_VIEWS = (4, 5), (6, 7)  # of real and of generated ones
ROLES = 8


class GanState(NamedTuple):
    """Everything that a step reads and changes."""

    step: jax.Array  # steps done, uint32
    generator: Net
    discriminator: Net
    average: Any  # moving average of G's (params, stats); None without


class Round(NamedTuple):
    """The real samples of one update, and what its random numbers are made from."""

    number: Any  # of this update within the step
    real: jax.Array
    labels: tuple  # (int [batch],), () where nothing is conditioned on them
    positions: jax.Array


class Drawn(NamedTuple):
    """Generated samples that can be traced back."""

    fake: jax.Array
    pull_back: Callable  # gradient for them → gradient for G's weights
    stats: Any  # G's new running statistics


@dataclasses.dataclass(frozen=True)
class Game:
    """The pure functions of a GAN; its fields are settings, never state."""

    generator: Player
    discriminator: Player
    judge: Judge
    view: View
    loss: Any
    penalties: tuple[tuple[float, Callable], ...]
    drawing: Drawing
    real_target: float
    penalty_interval: int
    match_features: bool
    simultaneous: bool
    shared: bool
    generator_steps: int
    discriminator_steps: int
    ema: float
    shares: int  # of a device's batch, see research.accumulation
    steps: int  # of the run, for a G that anneals

    def init(self, key: jax.Array, batch: Batch) -> GanState:
        """Fresh networks for samples of this shape."""
        keys = jax.random.split(key)
        example = jax.tree.map(lambda leaf: leaf[0], self._rounds(batch))
        noise = jnp.zeros((len(example.real), self.drawing.latent))
        share = example.real[: len(example.real) // self.shares]
        refusals.refuse_pack(self.view.packing, share, self.discriminator)
        packed = self.view.pack(example.real)
        generator = self.generator.init(keys[0], noise, *example.labels)
        drawn = self.generator.output_shape(generator, noise, *example.labels)
        # Before D reads the data: what it does with a shape not its own is no advice.
        refusals.refuse_drawn(drawn, example.real.shape, self.generator)
        discriminator = self.discriminator.init(keys[1], packed, *example.labels)
        logits = self.discriminator.output_shape(discriminator, packed, *example.labels)
        refusals.refuse_logits(logits, packed.shape)
        refusals.refuse_coupled(self, discriminator)
        average = (generator.params, generator.stats) if self.ema else None
        # A copy: the loop donates the state, and no buffer may be donated twice.
        average = jax.tree.map(jnp.copy, average)
        return GanState(jnp.uint32(0), generator, discriminator, average)

    def step(
        self, state: GanState, batch: Batch, key: jax.Array
    ) -> tuple[GanState, Metrics]:
        """The updates of each network, in turn or both at once."""
        rounds = self._rounds(batch)
        first = jax.tree.map(lambda leaf: leaf[0], rounds)
        if self.shared:
            drawn = self._generate(state, first, key, GENERATOR_NOISE)
            new, metrics = self._update_discriminator(state, first, drawn.fake, key)
            against = state if self.simultaneous else new
            moved, more = self._update_generator(against, first, drawn, key)
            state = new._replace(generator=moved.generator)
        elif self.simultaneous:
            new, more = self._turn_of_generator(state, first, key)
            moved, metrics = self._turn_of_discriminator(state, first, key)
            state = new._replace(discriminator=moved.discriminator)
        else:
            again = jax.tree.map(
                lambda leaf: jnp.stack([leaf] * self.generator_steps), first
            )._replace(number=jnp.arange(self.generator_steps))
            state, more = _in_turn(self._turn_of_generator, state, again, key)
            state, metrics = _in_turn(self._turn_of_discriminator, state, rounds, key)
        state = state._replace(step=state.step + 1, average=self._average(state))
        return state, metrics | more

    def draw(self, state: GanState, keys: jax.Array) -> jax.Array:
        """See `Drawing.draw`."""
        return self.drawing.draw(_shown(state), keys)

    def walk(self, state: GanState, keys: jax.Array, steps: int) -> jax.Array:
        """See `Drawing.walk`."""
        return self.drawing.walk(_shown(state), keys, steps)

    def parameters(self, state: GanState) -> dict[str, int]:
        """Trained parameters of each network."""
        return {
            "generator": count(state.generator.params),
            "discriminator": count(state.discriminator.params),
        }

    def _rounds(self, batch: Batch) -> Round:
        """The batch as one share for each update of D, on a leading axis."""
        rounds = self.discriminator_steps

        def shares(leaf):
            return leaf.reshape(rounds, -1, *leaf.shape[1:])

        real = self.drawing.medium.to_network(shares(batch[self.drawing.medium.ENTRY]))
        labels = (shares(batch["label"]),) if self.drawing.classes else ()
        positions = batch.get("position", jnp.zeros(real.shape[0] * real.shape[1]))
        return Round(jnp.arange(rounds), real, labels, shares(positions))

    def _turn_of_generator(self, state: GanState, its: Round, key: jax.Array):
        def gradient_of(number, stats, examples):
            del number
            now = state._replace(generator=state.generator._replace(stats=stats))
            share = its._replace(**examples)
            drawn = self._generate(now, share, key, GENERATOR_NOISE)
            gradient, metrics = self._toward_generator(now, share, drawn, key)
            return 1.0, gradient, drawn.stats, metrics

        gradient, stats, metrics = accumulated(
            self.shares, gradient_of, state.generator.stats, _examples(its)
        )
        return self._move_generator(state, gradient, stats, metrics)

    def _turn_of_discriminator(self, state: GanState, its: Round, key: jax.Array):
        def gradient_of(number, stats, examples):
            del number
            now = state._replace(
                generator=state.generator._replace(stats=stats[0]),
                discriminator=state.discriminator._replace(stats=stats[1]),
            )
            share = its._replace(**examples)
            drawn = self._generate(now, share, key, DISCRIMINATOR_NOISE)
            gradient, own, metrics = self._toward_discriminator(
                now, share, drawn.fake, key
            )
            return 1.0, gradient, (drawn.stats, own), metrics

        before = state.generator.stats, state.discriminator.stats
        gradient, (stats, own), metrics = accumulated(
            self.shares, gradient_of, before, _examples(its)
        )
        state = state._replace(generator=state.generator._replace(stats=stats))
        return self._move_discriminator(state, gradient, own, metrics)

    def _generate(self, state: GanState, its: Round, key: jax.Array, role: int):
        net, noise = state.generator, self.drawing.noise(_keys(key, role, its))
        how = {}
        if getattr(self.generator.module, "anneals", False):
            how["progress"] = state.step.astype(jnp.float32) / self.steps
        fake, pull_back, stats = jax.vjp(
            lambda params: self.generator.train(
                net._replace(params=params), noise, *its.labels, **how
            ),
            net.params,
            has_aux=True,
        )
        return Drawn(fake, pull_back, stats)

    def _update_generator(self, state: GanState, its: Round, drawn: Drawn, key):
        gradient, metrics = self._toward_generator(state, its, drawn, key)
        return self._move_generator(state, gradient, drawn.stats, metrics)

    def _toward_generator(self, state: GanState, its: Round, drawn: Drawn, key):
        net = state.discriminator
        of_real, of_fake = (_keys(key, role, its) for role in GENERATOR_VIEWS)
        real = self.view(its.real, of_real, state.step)

        def loss(fake):
            fake = self.view(fake, of_fake, state.step)
            if self.match_features:
                return self.judge.feature_distance(net, real, fake, its.labels)
            judged = self.judge.both(net, real, fake, its.labels)
            real_logits = jax.lax.stop_gradient(judged.real)
            return self.loss.generator(real_logits, judged.fake)

        value, toward_fake = jax.value_and_grad(loss)(drawn.fake)
        (gradient,) = drawn.pull_back(toward_fake)
        return gradient, {"generator_loss": value}

    def _move_generator(self, state: GanState, gradient, stats, metrics):
        moved, norm = self.generator.descend(state.generator, gradient)
        state = state._replace(generator=moved._replace(stats=stats))
        return state, metrics | {"generator_gradient_norm": norm}

    def _update_discriminator(self, state: GanState, its: Round, fake, key):
        gradient, stats, metrics = self._toward_discriminator(state, its, fake, key)
        return self._move_discriminator(state, gradient, stats, metrics)

    def _toward_discriminator(self, state: GanState, its: Round, fake, key):
        net = state.discriminator
        of_real, of_fake = (_keys(key, role, its) for role in DISCRIMINATOR_VIEWS)
        real = self.view(its.real, of_real, state.step)
        fake = self.view(fake, of_fake, state.step)
        places = _keys(key, PENALTY, its)[:: self.view.packing]
        number = state.step * self.discriminator_steps + its.number

        def loss(params):
            mine = net._replace(params=params)
            judged = self.judge.both(mine, real, fake, its.labels)
            value = self._discriminator_loss(judged.real, judged.fake)
            discriminate = self.judge.function(mine, its.labels)
            penalty = self._penalty(number, discriminate, real, fake, places)
            return value + penalty, (value, penalty, judged)

        gradient, (value, penalty, judged) = jax.grad(loss, has_aux=True)(net.params)
        metrics = {
            "discriminator_loss": value,
            "discriminator_penalty": jnp.asarray(penalty, jnp.float32),
            # Of pairs, so that it means the same for losses with no zero point.
            "discriminator_accuracy": jnp.mean(judged.real > judged.fake),
            "real_logit": jnp.mean(judged.real),
            "fake_logit": jnp.mean(judged.fake),
        }
        return gradient, judged.stats, metrics

    def _move_discriminator(self, state: GanState, gradient, stats, metrics):
        moved, norm = self.discriminator.descend(state.discriminator, gradient)
        state = state._replace(discriminator=moved._replace(stats=stats))
        return state, metrics | {"discriminator_gradient_norm": norm}

    def _discriminator_loss(self, real_logits, fake_logits):
        target = () if self.real_target == 1 else (self.real_target,)
        return self.loss.discriminator(real_logits, fake_logits, *target)

    def _penalty(self, number, discriminate, real, fake, keys):
        """The weighted sum; lazy: every k-th update, k times as much (Karras 2020)."""

        def total():
            return sum(
                weight * penalty(discriminate, real, fake, keys)
                for weight, penalty in self.penalties
            )

        every = self.penalty_interval
        if every == 1:
            return total()
        return jax.lax.cond(
            number % every == 0, lambda: every * total(), lambda: jnp.float32(0)
        )

    def _average(self, state: GanState) -> Any:
        if state.average is None:
            return None
        step = state.step.astype(jnp.float32)
        decay = jnp.minimum(self.ema, (1 + step) / (10 + step))
        new = (state.generator.params, state.generator.stats)
        return optax.incremental_update(new, state.average, 1 - decay)


def _shown(state: GanState) -> Net:
    """G as it is drawn by: its moving average where there is one."""
    params, stats = state.average or state.generator[:2]
    return state.generator._replace(params=params, stats=stats)


def _keys(key: jax.Array, role: int, its: Round) -> jax.Array:
    """A key for each example, another for each role and each update of a step."""
    key = jax.random.fold_in(key, role + ROLES * its.number)
    return example_keys(key, its.positions)


def _examples(its: Round) -> dict[str, Any]:
    """What of a round has the examples on its first axis."""
    return {name: getattr(its, name) for name in ("real", "labels", "positions")}


def _in_turn(update: Callable, state: GanState, rounds: Round, key: jax.Array):
    """The state after each round's update, and the last one's metrics."""
    if len(rounds.real) == 1:
        return update(state, jax.tree.map(lambda leaf: leaf[0], rounds), key)
    state, metrics = jax.lax.scan(lambda s, its: update(s, its, key), state, rounds)
    return state, jax.tree.map(lambda leaf: leaf[-1], metrics)
