"""Training a generator and a discriminator against each other (Goodfellow 2014)."""

import dataclasses
import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

from research import parts
from research.gan.drawing import Drawing
from research.gan.game import Game
from research.gan.judging import Judge
from research.gan.player import Player
from research.gan.refusals import refuse_classes, refuse_settings, refuse_shares
from research.gan.view import View
from research.media import pictures
from research.optimizers import Optimizer
from research.task import Task, refuse_model_without


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
    order: Literal["alternating", "simultaneous"] = "alternating"
    """simultaneous: both updates start from the same two networks"""
    generator_steps: int = 1
    """updates of G in a step, each on new noise (PacGAN: 2)"""
    discriminator_steps: int = 1
    """updates of D in a step, each on new real samples and new noise (WGAN-GP: 5)"""
    discriminator_batches: Literal["separate", "joint"] = "separate"
    """whether BatchNorm in D sees real and generated samples apart or as one batch"""
    generator_objective: Literal["loss", "features"] = "loss"
    """features: G matches the mean of D's last hidden layer (feature matching, Salimans
    2016) instead of descending the loss"""
    real_target: float = 1.0
    """what D aims at for real samples; 0.9 is one-sided label smoothing (Salimans
    2016); the target for generated ones stays 0"""
    penalty_interval: int = 1
    """updates of D from one penalty to the next, which counts that many times (lazy R1,
    Karras 2020: 16)"""
    gradient_normalization: bool = False
    """D(x) / (‖∇D(x)‖ + |D(x)|) as the logit (GN-GAN, Wu 2021)"""
    clip_weights: float | None = None
    """largest magnitude of D's weights after an update (WGAN, Arjovsky 2017: 0.01)"""
    historical_averaging: float = 0.0
    """weight of ‖θ − mean of all θ so far‖² in both players' losses (Salimans 2016)"""
    packing: int = 1
    """samples that D judges together, along the last axis (PacGAN, Lin 2018: 2 to 4)"""
    instance_noise: float = 0.0
    """standard deviation of noise on all that D sees, in units of its input (Sønderby
    2016)"""
    instance_noise_share: float = 1.0
    """share of the run's steps in which that noise falls to 0, on a line"""
    augmentations: tuple[str, ...] = ()
    """files in research/augmentations, applied in this order to all that D sees: color
    translation cutout (Zhao 2020)"""

    def build(
        self,
        model: Any,
        optimizer: Optimizer,
        steps: int,
        medium: ModuleType = pictures,
    ) -> Task:
        """The task for a model part with `generator()` and `discriminator()`."""
        refuse_model_without(model, "generator", "discriminator")
        loss = parts.find("research.losses", self.loss)
        classes = getattr(model, "classes", 0)
        refuse_settings(self, loss, classes, medium)
        refuse_shares(self, optimizer.accumulate)
        generator, discriminator = self._players(model, optimizer, steps)
        game = Game(
            generator=generator,
            discriminator=discriminator,
            judge=Judge(
                discriminator,
                self.discriminator_batches == "joint",
                self.gradient_normalization,
            ),
            view=self._view(steps),
            loss=loss,
            penalties=tuple(
                (weight, parts.find("research.penalties", name).penalty)
                for name, weight in self.penalties.items()
            ),
            drawing=Drawing(generator, medium, model.latent, classes),
            real_target=self.real_target,
            penalty_interval=self.penalty_interval,
            match_features=self.generator_objective == "features",
            simultaneous=self.order == "simultaneous",
            shared=self.noise == "shared",
            generator_steps=self.generator_steps,
            discriminator_steps=self.discriminator_steps,
            ema=self.ema,
            shares=optimizer.accumulate,
            steps=steps,
        )
        return Task(
            game.init,
            game.step,
            None,
            game.draw,
            None,
            game.parameters,
            batches=self.discriminator_steps,
            walk=game.walk,
            check=functools.partial(refuse_classes, classes),
        )

    def _players(
        self, model: Any, optimizer: Optimizer, steps: int
    ) -> tuple[Player, Player]:
        """G and D."""
        rate = self.discriminator_learning_rate
        if rate is None:
            rate = optimizer.learning_rate
        own = dataclasses.replace(optimizer, learning_rate=rate)
        averaging = self.historical_averaging
        return (
            Player(model.generator(), optimizer.build(steps), averaging),
            Player(
                model.discriminator(), own.build(steps), averaging, self.clip_weights
            ),
        )

    def _view(self, steps: int) -> View:
        """What lies between samples and D."""
        augmentations = tuple(
            parts.find("research.augmentations", name).augment
            for name in self.augmentations
        )
        fades = self.instance_noise_share * steps
        return View(augmentations, self.instance_noise, fades, self.packing)
