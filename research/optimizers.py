"""Optimizers: clip or normalise the gradient, then Adam or RMSprop, on a schedule."""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from research.errors import UserError

EPOCHS, HELD = 39, 6  # of Zaremba's medium model: in all, and before the rate falls


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of one optimizer."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    """update rule; the article trains with Adam and names RMSprop"""
    learning_rate: float = 1e-3
    """step size (Keras' default for Adam)"""
    schedule: Literal["constant", "cosine", "one_cycle", "zaremba"] = "constant"
    """course of the learning rate over the run's steps; one_cycle rises over the first
    30 % and falls to nearly nothing (Smith 2018); zaremba takes the run as 39 epochs,
    is constant for 6 and falls to 1/1.2 in each after (Zaremba 2014's medium model)"""
    beta1: float = 0.9
    """decay of the mean of gradients; DCGAN takes 0.5; momentum of sgd"""
    beta2: float = 0.999
    """decay of adam's mean of squared gradients"""
    epsilon: float = 1e-7
    """added to the root of the mean squares (Keras' default)"""
    weight_decay: float = 0.0
    """decoupled weight decay, times the learning rate at each step (Loshchilov 2017)"""
    clip_norm: float | None = None
    """largest global L2 norm of the gradient (Pascanu 2013); None leaves it alone"""
    normalize: bool = False
    """divide the gradient by its global L2 norm"""
    decay: float = 0.9
    """of rmsprop's mean of squared gradients (Keras' default, and Hinton's)"""
    accumulate: int = 1
    """shares of a device's batch whose gradients are computed one after another, in the
    memory of one, for one update; BatchNorm takes each share for a batch, but in a D,
    where it is refused"""

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of so many steps.

        Raises:
          UserError: a number that no run could mean.
        """
        self._refuse_ranges()
        parts = []
        if self.clip_norm is not None:
            parts.append(optax.clip_by_global_norm(self.clip_norm))
        if self.normalize:
            parts.append(optax.normalize_by_update_norm())
        parts.append(self._rule())
        if self.weight_decay:
            parts.append(optax.add_decayed_weights(self.weight_decay))
        parts.append(optax.scale_by_learning_rate(self._rate(steps)))
        return optax.chain(*parts)

    def _refuse_ranges(self) -> None:
        for field in ("beta1", "beta2", "decay"):
            if not 0 <= getattr(self, field) < 1:
                raise _wrong(field, getattr(self, field), "a decay lies in [0, 1)")
        for field in ("learning_rate", "epsilon", "weight_decay"):
            if not 0 <= getattr(self, field) < math.inf:
                raise _wrong(field, getattr(self, field), "give 0 or more")
        if self.clip_norm is not None and not self.clip_norm > 0:
            says = "nothing is left of the gradient; give more than 0, or None"
            raise _wrong("clip_norm", self.clip_norm, says)

    def _rule(self) -> optax.GradientTransformation:
        if self.name == "adam":
            return optax.scale_by_adam(self.beta1, self.beta2, self.epsilon)
        if self.name == "rmsprop":
            return optax.scale_by_rms(self.decay, self.epsilon, eps_in_sqrt=False)
        return optax.trace(self.beta1) if self.beta1 else optax.identity()

    def _rate(self, steps: int) -> optax.ScalarOrSchedule:
        if self.schedule == "cosine":
            return optax.cosine_decay_schedule(self.learning_rate, steps)
        if self.schedule == "one_cycle":
            return optax.cosine_onecycle_schedule(steps, self.learning_rate)
        if self.schedule == "zaremba":
            return zaremba(self.learning_rate, steps)
        return self.learning_rate


def zaremba(learning_rate: float | jax.Array, steps: int) -> optax.Schedule:
    """The learning rate of a run of 39 epochs (Zaremba 2014, section 4.1)."""

    def rate(step):
        epoch = jnp.asarray(step) * EPOCHS // steps
        return learning_rate * 1.2 ** -jnp.maximum(epoch - HELD + 1, 0).astype(float)

    return rate


def _wrong(field: str, value: float, says: str) -> UserError:
    return UserError(f"--optimizer.{field.replace('_', '-')} is {value}: {says}")
