"""The game: state, step and draws of a GAN (Goodfellow 2014, algorithm 1)."""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from research.errors import UserError
from research.gan.player import Net, Player
from research.task import Batch, Metrics, count, example_keys

# What a step draws random numbers for; each is folded into the step's key.
GENERATOR_NOISE, DISCRIMINATOR_NOISE, PENALTY = range(3)


class GanState(NamedTuple):
    """Everything that a step reads and changes."""

    step: jax.Array  # steps done, uint32
    generator: Net
    discriminator: Net
    average: Any  # moving average of G's (params, stats); None without


@dataclasses.dataclass(frozen=True)
class Game:
    """The pure functions of a GAN; its fields are settings, never state."""

    generator: Player
    discriminator: Player
    latent: int
    loss: Any
    penalties: tuple[tuple[float, Callable], ...]
    noise: Literal["fresh", "shared"]
    ema: float
    medium: ModuleType

    def init(self, key: jax.Array, batch: Batch) -> GanState:
        """Fresh networks for samples of this shape."""
        keys = jax.random.split(key)
        real = self._real(batch)
        noise = jnp.zeros((len(real), self.latent))
        generator = self.generator.init(keys[0], noise)
        discriminator = self.discriminator.init(keys[1], real)
        drawn = jax.eval_shape(self.generator.evaluate, generator, noise)
        if drawn.shape != real.shape:
            raise UserError(
                f"the generator draws samples of shape {drawn.shape[1:]}, the data "
                f"has {real.shape[1:]}: choose a --model or --data that fits"
            )
        average = (generator.params, generator.stats) if self.ema else None
        # A copy: the loop donates the state, and no buffer may be donated twice.
        average = jax.tree.map(jnp.copy, average)
        return GanState(jnp.uint32(0), generator, discriminator, average)

    def step(
        self, state: GanState, batch: Batch, key: jax.Array
    ) -> tuple[GanState, Metrics]:
        """One update of each network."""

        def keys(role):
            return example_keys(jax.random.fold_in(key, role), batch["position"])

        real = self._real(batch)
        first = self._noise(keys(GENERATOR_NOISE))
        second = self._noise(keys(DISCRIMINATOR_NOISE))
        places = keys(PENALTY)
        fake, pull_back, stats = self._generate(state.generator, first)
        if self.noise == "shared":
            state, metrics = self._update_discriminator(state, real, fake, places)
            state, more = self._update_generator(state, real, fake, pull_back, stats)
        else:
            state, more = self._update_generator(state, real, fake, pull_back, stats)
            fake, _, stats = self._generate(state.generator, second)
            state = state._replace(generator=state.generator._replace(stats=stats))
            state, metrics = self._update_discriminator(state, real, fake, places)
        state = state._replace(step=state.step + 1, average=self._average(state))
        return state, metrics | more

    def draw(self, state: GanState, keys: jax.Array) -> jax.Array:
        """One sample for each key, by the averaged generator where there is one."""
        params, stats = state.average or state.generator[:2]
        net = state.generator._replace(params=params, stats=stats)
        outputs = self.generator.evaluate(net, self._noise(keys))
        return self.medium.from_network(outputs)

    def parameters(self, state: GanState) -> dict[str, int]:
        """Trained parameters of each network."""
        return {
            "generator": count(state.generator.params),
            "discriminator": count(state.discriminator.params),
        }

    def _real(self, batch: Batch) -> jax.Array:
        return self.medium.to_network(batch[self.medium.ENTRY])

    def _noise(self, keys: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: jax.random.normal(key, (self.latent,)))(keys)

    def _generate(self, net: Net, noise: jax.Array):
        """Samples, the map from their gradient to the weights', new statistics."""
        return jax.vjp(
            lambda params: self.generator.train(net._replace(params=params), noise),
            net.params,
            has_aux=True,
        )

    def _discriminate(self, net: Net, params: Any, samples: jax.Array) -> jax.Array:
        return self.discriminator.train(net._replace(params=params), samples)[0]

    def _update_generator(self, state: GanState, real, fake, pull_back, stats):
        net = state.discriminator
        real_logits = self._discriminate(net, net.params, real)
        real_logits = jax.lax.stop_gradient(real_logits)

        def loss(fake):
            fake_logits = self._discriminate(net, net.params, fake)
            return self.loss.generator(real_logits, fake_logits)

        value, toward_fake = jax.value_and_grad(loss)(fake)
        (gradient,) = pull_back(toward_fake)
        net, norm = self.generator.descend(state.generator, gradient)
        net = net._replace(stats=stats)
        metrics = {"generator_loss": value, "generator_gradient_norm": norm}
        return state._replace(generator=net), metrics

    def _update_discriminator(self, state: GanState, real, fake, keys):
        net = state.discriminator

        def loss(params):
            def discriminate(samples):
                return self._discriminate(net, params, samples)

            # One pass for each, not one over both: the penalties make the same two
            # passes, and the compiler then merges them.
            real_logits, fake_logits = discriminate(real), discriminate(fake)
            value = self.loss.discriminator(real_logits, fake_logits)
            penalty = sum(
                weight * penalty(discriminate, real, fake, keys)
                for weight, penalty in self.penalties
            )
            return value + penalty, (value, penalty, real_logits, fake_logits)

        gradient, (value, penalty, real_logits, fake_logits) = jax.grad(
            loss, has_aux=True
        )(net.params)
        net, norm = self.discriminator.descend(net, gradient)
        metrics = {
            "discriminator_loss": value,
            "discriminator_penalty": jnp.asarray(penalty, jnp.float32),
            "discriminator_gradient_norm": norm,
            # Of pairs, so that it means the same for losses with no zero point.
            "discriminator_accuracy": jnp.mean(real_logits > fake_logits),
            "real_logit": jnp.mean(real_logits),
            "fake_logit": jnp.mean(fake_logits),
        }
        return state._replace(discriminator=net), metrics

    def _average(self, state: GanState) -> Any:
        if state.average is None:
            return None
        step = state.step.astype(jnp.float32)
        decay = jnp.minimum(self.ema, (1 + step) / (10 + step))
        new = (state.generator.params, state.generator.stats)
        return optax.incremental_update(new, state.average, 1 - decay)
