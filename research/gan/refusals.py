"""Combinations that no run could mean, each with its reason."""

import inspect
import math
from types import ModuleType
from typing import Any

import jax

from research.errors import UserError
from research.gan.player import Net, Player

Shape = tuple[int, ...]
MOST = 10_000  # updates in a step or samples in a pack: memory grows with them


def refuse_settings(config: Any, loss: Any, classes: int, medium: ModuleType) -> None:
    """Raises UserError for settings of the game that contradict themselves.

    Args:
      config: a `research.tasks.gan.Gan`.
      loss: its loss's module.
      classes: that the model is conditioned on, 0 for none.
      medium: of the data set.
    """
    _refuse_ranges(config)
    if config.augmentations and medium.ENTRY != "image":
        raise UserError(
            f"--task.augmentations change pictures, this data set is of "
            f"{medium.__name__.rpartition('.')[2]}: leave them out"
        )
    if config.real_target != 1 and "real_target" not in _arguments(loss):
        raise UserError(
            f"--task.real-target {config.real_target}: in the loss {config.loss} D has "
            f"no target for real samples; take 1, or a loss such as non_saturating"
        )
    several = max(config.generator_steps, config.discriminator_steps) > 1
    if several and (config.noise == "shared" or config.order == "simultaneous"):
        raise UserError(
            "several updates of one network in a step come one after another and each "
            "on noise of its own: take --task.noise fresh and --task.order alternating"
        )
    if config.penalty_interval > 1 and not config.penalties:
        raise UserError(
            f"--task.penalty-interval {config.penalty_interval} without "
            f"--task.penalties: there is nothing to do lazily"
        )
    if config.packing > 1 and classes:
        raise UserError(
            f"--task.packing {config.packing} with a conditional model: a pack of "
            f"samples has no one label; take --task.packing 1 or --model.classes 0"
        )
    by_sample = bool(config.penalties) or config.gradient_normalization
    if config.discriminator_batches == "joint" and by_sample:
        raise UserError(
            "--task.discriminator-batches joint is for a D with BatchNorm, whose "
            "logits have no gradient of their own sample's: leave out the penalties "
            "and the gradient normalisation, or take separate"
        )


def refuse_classes(classes: int, dataset: Any) -> None:
    """Raises UserError for a conditional model of other classes than the data's.

    JAX takes an index past the end for the last one: those classes would be learned
    as one.
    """
    found = getattr(dataset, "LABELS", 0)
    if not classes or classes == found:
        return
    if not found:
        raise UserError(
            f"--model.classes {classes}: the data names no classes (LABELS) to tell "
            f"the networks; give --model.classes 0, or take --data that has some"
        )
    raise UserError(
        f"--model.classes {classes}: the data has {found} classes; give "
        f"--model.classes {found}, or 0 to tell the networks none"
    )


def refuse_pack(packing: int, samples: jax.Array, discriminator: Player) -> None:
    """Raises UserError for packs that a device's share has not, or D cannot read."""
    if packing > 1 and not getattr(discriminator.module, "packs", True):
        raise UserError(
            f"--task.packing {packing}: the D of {_model(discriminator)} judges "
            f"samples one by one; take --task.packing 1, or another --model"
        )
    if len(samples) % packing:
        raise UserError(
            f"--task.packing {packing} does not divide the {len(samples)} samples of "
            f"a device: choose a --batch-size that is a multiple of packing × devices"
        )


def refuse_drawn(drawn: Shape, real: Shape, generator: Player) -> None:
    """Raises UserError for a generator that does not fit the data."""
    if drawn != real:
        raise UserError(
            f"the data has samples of shape {real[1:]}, the generator of "
            f"{_model(generator)} draws {drawn[1:]}: choose a --model, or --model.* "
            f"of its, or a --data.name that fits"
        )


def refuse_logits(logits: Shape, packed: Shape) -> None:
    """Raises UserError for a discriminator that does not fit the losses."""
    if logits != packed[:1]:
        # (batch, 1) against (batch,) would broadcast to (batch, batch) in a pairing.
        raise UserError(
            f"the discriminator gives logits of shape {logits}, but the losses take "
            f"one number a sample, {packed[:1]}"
        )


def refuse_shares(config: Any, shares: int) -> None:
    """Raises UserError for gradients share by share of what is no mean over shares."""
    if shares == 1:
        return
    if config.generator_objective == "features":
        raise UserError(
            f"--optimizer.accumulate {shares} with --task.generator-objective features:"
            f" a distance of means over the batch is no mean over its shares; take "
            f"--optimizer.accumulate 1, or --task.generator-objective loss"
        )
    if config.noise == "shared":
        raise UserError(
            f"--optimizer.accumulate {shares} with --task.noise shared: the one "
            f"pass of G for both updates would be kept whole; take --task.noise fresh"
        )


def refuse_coupled(game: Any, discriminator: Net) -> None:
    """Raises UserError for what needs logits of their own sample alone, and has not."""
    module = game.discriminator.module
    if not (discriminator.stats or getattr(module, "couples_samples", False)):
        return
    by = "BatchNorm" if discriminator.stats else "minibatch discrimination"
    if game.shares > 1:
        raise UserError(
            f"--optimizer.accumulate {game.shares} with {by} in D: a logit then "
            f"depends on the whole batch, and would on a share alone; take "
            f"--optimizer.accumulate 1, or a --model.* without it in D"
        )
    asked = [
        name
        for name, on in (
            ("penalties", bool(game.penalties)),
            ("gradient_normalization", game.judge.gradient_normalization),
        )
        if on
    ]
    if asked:
        raise UserError(
            f"--task.{asked[0].replace('_', '-')} with {by} in D: it takes the "
            f"gradient of a sample's logit, which then depends on the whole batch; "
            f"choose a --model.* without it in D"
        )


def _model(player: Player) -> str:
    return type(player.module).__module__


def _arguments(loss: Any) -> list[str]:
    return list(inspect.signature(loss.discriminator).parameters)


def _refuse_ranges(config: Any) -> None:
    if not 0 <= config.ema < 1:
        raise UserError(f"--task.ema is {config.ema}: a decay lies in [0, 1)")
    for name, weight in config.penalties.items():
        if not 0 <= weight < math.inf:
            raise UserError(
                f"--task.penalties {name} {weight}: a weight below 0 rewards steep "
                f"gradients; give 0 or more"
            )
    rate = config.discriminator_learning_rate
    if rate is not None and not 0 <= rate < math.inf:
        raise UserError(
            f"--task.discriminator-learning-rate is {rate}: give 0 or more, or None"
        )
    if not 0 < config.real_target <= 1:
        raise UserError(
            f"--task.real-target is {config.real_target}: a label lies in (0, 1]"
        )
    if config.clip_weights is not None and not config.clip_weights > 0:
        raise UserError(
            f"--task.clip-weights is {config.clip_weights}: nothing is left of D; give "
            f"more than 0, or None"
        )
    counts = ("generator_steps", "discriminator_steps", "penalty_interval", "packing")
    for field in counts:
        if not 1 <= getattr(config, field) <= MOST:
            flag, value = field.replace("_", "-"), getattr(config, field)
            raise UserError(f"--task.{flag} is {value}: give 1 to {MOST:,}")
    for field in ("instance_noise", "historical_averaging"):
        if not 0 <= getattr(config, field) < math.inf:
            flag, value = field.replace("_", "-"), getattr(config, field)
            raise UserError(f"--task.{flag} is {value}: give 0 or more")
    if not 0 < config.instance_noise_share <= 1:
        raise UserError(
            f"--task.instance-noise-share is {config.instance_noise_share}: a share "
            f"of the run's steps lies in (0, 1]"
        )
