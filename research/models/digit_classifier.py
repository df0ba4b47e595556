"""A small convolutional classifier of single digits, and the project's feature map.

Four 3×3 convolutions (16, 32 with stride 2, 32, 64 with stride 2), each followed by
BatchNorm and ReLU, then a dense layer of 128 (the features) and one of 10 (the logits):
435,514 parameters. Its features stand where Inception's stand in other projects.
"""

import dataclasses

import flax.linen as nn
import jax

from research.models._counts import refuse_fewer
from research.training.axes import BATCH

STRIDES = (1, 2, 1, 2)


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the classifier."""

    widths: tuple[int, int, int, int] = (16, 32, 32, 64)
    """channels of the four convolutions"""
    features: int = 128
    """units of the last hidden layer, whose outputs are the features"""
    classes: int = 10
    """labels to choose from"""

    family = "classifier"

    def module(self) -> nn.Module:
        refuse_fewer(self, 1, "widths", "features", "classes")
        return DigitClassifier(self.widths, self.features, self.classes)


class DigitClassifier(nn.Module):
    """Pictures [batch, height, width, channels] in [0, 1] → logits and features."""

    widths: tuple[int, int, int, int]
    features: int
    classes: int

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Classifies.

        Args:
          images: float [batch, height, width, channels] in [0, 1].
          train: BatchNorm takes the statistics of the batch, over all devices, and
            moves its running ones (collection `batch_stats`); otherwise it takes the
            running ones.

        Returns:
          logits [batch, classes] and features [batch, features], not negative.
        """
        x = images
        for width, stride in zip(self.widths, STRIDES, strict=True):
            # No bias: BatchNorm's mean would take it off again.
            x = nn.Conv(width, (3, 3), stride, use_bias=False)(x)
            # 0.9: a run of this model is some 900 steps, 0.99 would lag behind it.
            x = nn.BatchNorm(not train, momentum=0.9, axis_name=BATCH)(x)
            x = nn.relu(x)
        features = nn.relu(nn.Dense(self.features)(x.reshape(len(x), -1)))
        return nn.Dense(self.classes)(features), features
