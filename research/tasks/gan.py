"""Training a generator and a discriminator against each other (Goodfellow 2014)."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from research import parts
from research.errors import UserError
from research.media import pictures
from research.optimizers import Optimizer
from research.task import (
    Batch,
    Metrics,
    Task,
    count,
    example_keys,
    refuse_model_without,
)
from research.training.axes import BATCH


@dataclasses.dataclass(frozen=True)
class Gan:
    """Settings of the game."""

    loss: str = "non_saturating"
    """a file in research/losses, or package.module of a fork"""
    penalties: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """files in research/penalties and their weights γ, e.g. r1 1.0 r2 1.0"""
    noise: Literal["fresh", "shared"] = "fresh"
    """fresh: update G on noise, then D on the new G's pictures of new noise, as the
    article does; shared: D, then G, on the same pictures, which saves one pass of G"""
    discriminator_learning_rate: float | None = None
    """None: as the generator's; two time scales otherwise (TTUR, Heusel 2017)"""
    ema: float = 0.0
    """decay of the moving average of G, weights and BatchNorm statistics, that draws
    the pictures; it rises to this from 0 as (1 + step) / (10 + step); 0: G itself"""

    def build(
        self,
        model: Any,
        optimizer: Optimizer,
        steps: int,
        medium: ModuleType = pictures,
    ) -> Task:
        """The task for a model part with `generator()` and `discriminator()`."""
        refuse_wrong(self)
        refuse_model_without(model, "generator", "discriminator")
        rate = self.discriminator_learning_rate
        if rate is None:
            rate = optimizer.learning_rate
        slower = dataclasses.replace(optimizer, learning_rate=rate)
        game = Game(
            self,
            model.latent,
            model.generator(),
            model.discriminator(),
            parts.find("research.losses", self.loss),
            tuple(
                (weight, parts.find("research.penalties", name).penalty)
                for name, weight in self.penalties.items()
            ),
            optimizer.build(steps),
            slower.build(steps),
            medium,
        )
        return Task(game.init, game.step, None, game.draw, None, game.parameters)


def refuse_wrong(config: Gan) -> None:
    """Raises UserError for settings that no run could mean."""
    if not 0 <= config.ema < 1:
        raise UserError(f"--task.ema is {config.ema}: a decay lies in [0, 1)")
    for name, weight in config.penalties.items():
        if weight < 0:
            raise UserError(
                f"--task.penalties {name} {weight}: a weight below 0 rewards steep "
                f"gradients; give 0 or more"
            )


class Net(NamedTuple):
    """One network while it trains."""

    params: Any
    stats: Any  # BatchNorm's running statistics, {} without any
    optimizer: optax.OptState


class GanState(NamedTuple):
    """Everything that a step reads and changes."""

    step: jax.Array  # steps done, uint32
    generator: Net
    discriminator: Net
    average: Any  # moving average of G's (params, stats); None without


@dataclasses.dataclass(frozen=True)
class Game:
    """The pure functions of a GAN; its fields are settings, never state."""

    config: Gan
    latent: int
    generator: nn.Module
    discriminator: nn.Module
    loss: Any
    penalties: tuple[tuple[float, Callable], ...]
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    medium: ModuleType

    def init(self, key: jax.Array, batch: Batch) -> GanState:
        """Fresh networks for pictures of this shape."""
        keys = jax.random.split(key)
        real = self._real(batch)
        noise = jnp.zeros((len(real), self.latent))
        generator = _net(self.generator, self.generator_optimizer, keys[0], noise)
        discriminator = _net(
            self.discriminator, self.discriminator_optimizer, keys[1], real
        )
        drawn = jax.eval_shape(partial(self._generate, train=False), generator, noise)
        if drawn.shape != real.shape:
            raise UserError(
                f"the generator draws samples of shape {drawn.shape[1:]}, the data "
                f"has {real.shape[1:]}: choose a --model or --data that fits"
            )
        average = (generator.params, generator.stats) if self.config.ema else None
        # A copy: the loop donates the state, and no buffer may be donated twice.
        average = jax.tree.map(jnp.copy, average)
        return GanState(jnp.uint32(0), generator, discriminator, average)

    def step(
        self, state: GanState, batch: Batch, key: jax.Array
    ) -> tuple[GanState, Metrics]:
        """One update of each network."""
        real = self._real(batch)
        first, second = (
            self._noise(example_keys(jax.random.fold_in(key, role), batch["position"]))
            for role in (0, 1)
        )
        if self.config.noise == "shared":
            fake, pull_back, stats = self._generate_for_update(state.generator, first)
            state, metrics = self._update_discriminator(state, real, fake)
            state, more = self._update_generator(state, real, fake, pull_back, stats)
        else:
            fake, pull_back, stats = self._generate_for_update(state.generator, first)
            state, more = self._update_generator(state, real, fake, pull_back, stats)
            fake, _, stats = self._generate_for_update(state.generator, second)
            state = state._replace(generator=state.generator._replace(stats=stats))
            state, metrics = self._update_discriminator(state, real, fake)
        state = state._replace(step=state.step + 1, average=self._average(state))
        return state, metrics | more

    def draw(self, state: GanState, keys: jax.Array) -> jax.Array:
        """One sample for each key, by the averaged generator where there is one."""
        params, stats = state.average or state.generator[:2]
        net = state.generator._replace(params=params, stats=stats)
        outputs = self._generate(net, self._noise(keys), train=False)
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

    def _generate(self, net: Net, noise: jax.Array, train: bool) -> jax.Array:
        variables = {"params": net.params, "batch_stats": net.stats}
        return self.generator.apply(variables, noise, train=train)  # type: ignore[return-value]

    def _generate_for_update(self, net: Net, noise: jax.Array):
        """Pictures, the map from their gradient to the weights', new statistics."""

        def generate(params):
            variables = {"params": params, "batch_stats": net.stats}
            fake, updated = self.generator.apply(
                variables, noise, train=True, mutable=["batch_stats"]
            )
            return fake, updated.get("batch_stats", {})

        return jax.vjp(generate, net.params, has_aux=True)

    def _discriminate(self, params: Any, images: jax.Array) -> jax.Array:
        return self.discriminator.apply({"params": params}, images, train=True)  # type: ignore[return-value]

    def _update_generator(self, state: GanState, real, fake, pull_back, stats):
        params = state.discriminator.params
        real_logits = jax.lax.stop_gradient(self._discriminate(params, real))

        def loss(fake):
            return self.loss.generator(real_logits, self._discriminate(params, fake))

        value, toward_fake = jax.value_and_grad(loss)(fake)
        (gradient,) = pull_back(toward_fake)
        net, norm = _update(state.generator, gradient, self.generator_optimizer)
        net = net._replace(stats=stats)
        metrics = {"generator_loss": value, "generator_gradient_norm": norm}
        return state._replace(generator=net), metrics

    def _update_discriminator(self, state: GanState, real, fake):
        def loss(params):
            # One pass for each, not one over both: the penalties make the same two
            # passes, and the compiler then merges them.
            real_logits = self._discriminate(params, real)
            fake_logits = self._discriminate(params, fake)
            value = self.loss.discriminator(real_logits, fake_logits)
            penalty = sum(
                weight * penalty(lambda x: self._discriminate(params, x), real, fake)
                for weight, penalty in self.penalties
            )
            return value + penalty, (value, penalty, real_logits, fake_logits)

        gradient, (value, penalty, real_logits, fake_logits) = jax.grad(
            loss, has_aux=True
        )(state.discriminator.params)
        net, norm = _update(state.discriminator, gradient, self.discriminator_optimizer)
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
        decay = jnp.minimum(self.config.ema, (1 + step) / (10 + step))
        new = (state.generator.params, state.generator.stats)
        return optax.incremental_update(new, state.average, 1 - decay)


def _net(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    example: jax.Array,
) -> Net:
    variables = module.init(key, example, train=False)
    params = variables["params"]
    return Net(params, variables.get("batch_stats", {}), optimizer.init(params))


def _update(
    net: Net, gradient: Any, optimizer: optax.GradientTransformation
) -> tuple[Net, jax.Array]:
    """The network after one step along the devices' mean gradient, and its norm."""
    gradient = jax.lax.pmean(gradient, BATCH)
    updates, optimizer_state = optimizer.update(gradient, net.optimizer, net.params)
    params = optax.apply_updates(net.params, updates)
    net = net._replace(params=params, optimizer=optimizer_state)
    return net, optax.tree.norm(gradient)
