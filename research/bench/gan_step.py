# pyright: reportMissingImports=false
"""The article's GAN, one update of each net, beside the same networks in PyTorch.

Both compute the same: the article's pair with its non-saturating losses, from pictures
on the device to the updated weights of both, Adam included. `fresh` takes new noise
for D's update, as the article does; `shared` uses G's pass for both updates.

How much of the machine that uses is told beside it: the step's multiplications at the
pace of a product of two 2048 × 2048 matrices, timed in the same rounds.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.conv_transpose import native
from kernels.measure import interleaved, row, torch_on_all_cores
from research.experiment import Data, Experiment
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.job import Job, prepare, step_function
from research.training.members import Members
from research.training.strategies import pmap

BATCH_SIZE = 64
LEARNING_RATE, BETA1 = 2e-4, 0.5
RUNS = 12
# PyTorch's default layout, and the one that its CPU kernels are quicker in.
TORCH_LAYOUTS = ("torch", "torch channels_last")


MATRIX = 2048  # rows and columns of the product that stands for the machine's peak


def rows() -> Iterator[dict[str, Any]]:
    """Milliseconds a step at batch 64, full width, ours and PyTorch's in turn."""
    for noise in ("shared", "fresh"):
        calls = {"ours": our_step(noise)}
        calls |= {name: torch_step(noise, name) for name in TORCH_LAYOUTS}
        calls["matrix"] = matrix_product()
        case = f"seed_pair batch {BATCH_SIZE}, {noise} noise"
        taken = interleaved(calls, RUNS)
        yield row("gan", case, "ours", "step", taken, TORCH_LAYOUTS)
        yield share_of_peak(case, noise, taken)


def share_of_peak(
    case: str, noise: str, taken: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """The row of the step's pace as a share of the matrix product's, in each round."""
    work = multiplications(noise)
    share = 100 * work / MATRIX**3 * taken["matrix"] / taken["ours"]
    what = f"{2 * work / 1e9:.1f} GFLOP, of peak"
    return row("gan", case, "share", what, {"share": share}) | {"unit": "%"}


def multiplications(noise: str) -> int:
    """Of a step: what the maps of kernels/conv_transpose make of its layers on CPU.

    Padding is left out, and the layer of few positions goes by way of its Fourier
    transform. A layer costs as much backward to its weights, and again to its input, as
    forward; G's first layer has no gradient to its input, nor has D's where D learns.
    """
    settings = seed_pair.Model()
    width, wide, colours = settings.width, 2 * settings.width, settings.channels

    def layer(size, inputs, outputs, stride):
        shape = (BATCH_SIZE, size, size, inputs)
        return native.multiplications(shape, (5, 5), outputs, (stride, stride))

    dense = BATCH_SIZE * settings.latent * 49 * 2 * wide
    # Of a transposed convolution the larger picture is the plain one's input.
    grown = (
        layer(7, wide, 2 * wide, 1)
        + layer(14, width, wide, 2)
        + layer(28, colours, width, 2)
    )
    read = layer(28, colours, width, 2)
    judged = read + layer(14, width, wide, 2) + BATCH_SIZE * 49 * wide
    drawing = dense + grown
    learning_g = drawing + drawing + grown
    learning_d = 2 * (judged + judged + judged - read)  # of real and of fake
    again = drawing if noise == "fresh" else 0
    return learning_g + again + learning_d + 2 * judged


def matrix_product() -> Callable[[], None]:
    """One call multiplies two matrices of MATRIX rows, float32, by jax."""
    one = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    multiply = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(multiply(one, one))


def job(noise: Any) -> Job:
    """The article's pair, on noise: what pictures show takes no time."""
    experiment = Experiment(
        steps=1,
        batch_size=BATCH_SIZE,
        data=Data("research.bench.random_digits"),
        model=seed_pair.Model(),
        task=Gan(noise=noise),
        optimizer=Optimizer(learning_rate=LEARNING_RATE, beta1=BETA1),
    )
    return prepare("bench", experiment)


def our_step(noise: Any) -> Callable[[], None]:
    """One call is one step of the project's own compiled training step."""
    ours = job(noise)
    step = pmap.parallel(step_function(ours, jax.device_count()))
    arrays = pmap.replicate(ours.train.arrays)
    (state,) = Members([ours]).initial_states()
    held = [pmap.replicate(state)]

    def call() -> None:
        held[0], metrics = step(held[0], arrays)
        jax.block_until_ready(metrics)

    return call


def torch_step(noise: str, layout: str) -> Callable[[], None]:
    """The same step as a PyTorch user writes it, in one of `TORCH_LAYOUTS`."""
    torch = torch_on_all_cores()
    from torch import nn
    from torch.nn.functional import softplus

    settings = seed_pair.Model()
    width, slope = settings.width, settings.slope
    up: dict[str, Any] = {"kernel_size": 5, "padding": 2, "bias": False}
    generator = nn.Sequential(
        nn.Linear(settings.latent, 49 * 4 * width, bias=False),
        nn.ReLU(),
        nn.Unflatten(1, (4 * width, 7, 7)),
        nn.ConvTranspose2d(4 * width, 2 * width, stride=1, **up),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, stride=2, output_padding=1, **up),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 3, stride=2, output_padding=1, **up),
        nn.BatchNorm2d(3),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(3, width, 5, 2, 2),
        nn.LeakyReLU(slope),
        nn.Conv2d(width, 2 * width, 5, 2, 2),
        nn.LeakyReLU(slope),
        nn.Flatten(),
        nn.Linear(49 * 2 * width, 1),
    )
    # On the GPU where there is one, as ours is.
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator.to(device)
    discriminator.to(device)
    rates: dict[str, Any] = {"lr": LEARNING_RATE, "betas": (BETA1, 0.999)}
    update_g = torch.optim.Adam(generator.parameters(), **rates)
    update_d = torch.optim.Adam(discriminator.parameters(), **rates)
    real = torch.rand(BATCH_SIZE, 3, 28, 28, device=device) * 2 - 1
    if layout == TORCH_LAYOUTS[1]:
        last: Any = {"memory_format": torch.channels_last}
        generator.to(**last)
        discriminator.to(**last)
        real = real.to(**last)

    def draw():
        return generator(torch.randn(BATCH_SIZE, settings.latent, device=device))

    def train_discriminator(fake):
        update_d.zero_grad()
        losses = softplus(-discriminator(real)), softplus(discriminator(fake.detach()))
        (losses[0].mean() + losses[1].mean()).backward()
        update_d.step()

    def train_generator(fake):
        update_g.zero_grad()
        softplus(-discriminator(fake)).mean().backward()
        update_g.step()

    def call() -> None:
        fake = draw()
        if noise == "shared":
            train_discriminator(fake)
            train_generator(fake)
        else:
            train_generator(fake)
            train_discriminator(draw())
        if device == "cuda":
            torch.cuda.synchronize()

    return call
