"""Training a generator and a discriminator against each other (Goodfellow 2014)."""

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

from research import parts
from research.errors import UserError
from research.gan.game import Game
from research.gan.player import Player
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
            generator=Player(model.generator(), optimizer.build(steps)),
            discriminator=Player(model.discriminator(), slower.build(steps)),
            latent=model.latent,
            loss=parts.find("research.losses", self.loss),
            penalties=tuple(
                (weight, parts.find("research.penalties", name).penalty)
                for name, weight in self.penalties.items()
            ),
            noise=self.noise,
            ema=self.ema,
            medium=medium,
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
