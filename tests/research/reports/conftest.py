"""Workdirs as runs leave them, with pictures made from real digits."""

import json
import math
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from research.data import stacked_digits
from research.metrics.measured import Measured

STAMP = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "command": "python -m launch train gan_vs_lstm",
    "started": "2026-01-02T03:04:05+00:00",
    "python": "3.11.9",
    "versions": {"jax": "0.10.2", "flax": "0.12.8"},
    "device": "CPU",
    "devices": 1,
}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def digits(data_folder) -> np.ndarray:
    """uint8 [25, 28, 28, 3], training pictures."""
    arrays = jax.tree.map(jnp.asarray, stacked_digits.load("train", data_folder).arrays)
    batch = stacked_digits.batch(arrays, 1, jnp.arange(25, dtype=jnp.uint32))
    return np.asarray(batch["image"])


@pytest.fixture(scope="session")
def write_run(data_folder):
    """A function that writes a workdir: (folder, name, family, steps, batch, …)."""

    def write(
        folder, name, family, steps, batch, history, metrics, pictures, **summary
    ):
        folder.mkdir(parents=True)
        config = {
            "steps": steps,
            "batch_size": batch,
            "seed": 0,
            "data": {"name": "stacked_digits", "folder": str(data_folder)},
            "model": {"part": "research.models.seed_pair:Model", "width": 16},
        }
        about = {
            "experiment": name,
            "claim": f"{name} was trained.",
            "family": family,
            "config": config,
            "stamp": STAMP,
        }
        (folder / "config.json").write_text(json.dumps(about))
        lines = [json.dumps(line) + "\n" for line in history]
        (folder / "metrics.jsonl").write_text("".join(lines))
        if pictures is not None:
            (folder / "samples").mkdir()
            np.save(folder / "samples" / "final.npy", pictures)
        fields = {
            "experiment": name,
            "family": family,
            "verdict": "done",
            "steps": steps,
            "metrics": {key: value.to_dict() for key, value in metrics.items()},
            **summary,
        }
        (folder / "summary.json").write_text(json.dumps(fields))
        return folder

    return write


@pytest.fixture(scope="session")
def compared(tmp_path_factory, digits, write_run) -> Path:
    """Three runs: one that collapsed, one that did not, one with a likelihood."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(0)
    one = digits[:1].astype(int) + rng.integers(-9, 9, size=digits.shape)
    write_run(
        folder / "seed_gan",
        "seed_gan",
        "gan",
        600,
        64,
        gan_history(600, rng, won=True),
        scores(2, 996, 6.45, 1_640.0, 0.011, 0.93),
        np.clip(one, 0, 255).astype(np.uint8),
        seconds=58.3,
        step_seconds={"median": 0.0912, "q25": 0.0884, "q75": 0.0961, "runs": 27},
        draw_seconds=0.31,
        parameters={"generator": 1_270_342, "discriminator": 55_361},
    )
    blurred = scipy.ndimage.gaussian_filter(digits.astype(float), (0, 0.8, 0.8, 0))
    write_run(
        folder / "steady_gan",
        "steady_gan",
        "gan",
        1_700,
        64,
        gan_history(1_700, rng, won=False),
        scores(871, 996, 0.42, 263.0, 0.341, 0.871),
        np.clip(1.3 * blurred, 0, 255).astype(np.uint8),
        seconds=201.7,
        step_seconds={"median": 0.1151, "q25": 0.1102, "q75": 0.1218, "runs": 80},
        draw_seconds=0.305,
        parameters={"generator": 1_270_340, "discriminator": 55_361},
    )
    flipped = (digits > 127) ^ (rng.uniform(size=digits.shape) < 0.03)
    bits = Measured(0.4873, None, 0.4811, 0.4935, 1_000, "bits a pixel")
    write_run(
        folder / "pixel_lstm",
        "pixel_lstm",
        "lstm",
        200,
        32,
        lstm_history(200, rng),
        scores(803, 995, 0.71, 402.0, 0.402, 0.79) | {"bits_per_pixel": bits},
        (255 * flipped).astype(np.uint8),
        seconds=96.4,
        step_seconds={"median": 0.4402, "q25": 0.4311, "q75": 0.4518, "runs": 8},
        draw_seconds=37.8,
        parameters={"model": 120_456},
    )
    return folder


@pytest.fixture
def comparison(compared, tmp_path) -> Path:
    """`compared`, to be changed."""
    return shutil.copytree(compared, tmp_path, dirs_exist_ok=True)


def scores(modes, floor, kl, frechet, pair, confidence):
    """Metrics of 5,000 scored pictures."""

    def measured(value, floor, reach, unit):
        return Measured(value, floor, max(value - reach, 0), value + reach, 5_000, unit)

    return {
        "modes_captured": measured(modes, floor, 0.01 * modes, "of 1,000"),
        "modes_with_5": measured(modes // 2, 559, 0.02 * modes, "of 1,000"),
        "kl_to_uniform": measured(kl, 0.1062, 0.02, "nats"),
        "digit_frechet": measured(frechet, 3.02, 0.03 * frechet, "squared units"),
        "confidence": measured(confidence, 0.939, 0.002, "probability"),
        "pair_distance": measured(pair, 0.363, 0.002, "of the pixel range"),
    }


def gan_history(steps, rng, won):
    """A discriminator that wins outright, or one that is kept up with."""
    lines = []
    for step in range(20, steps + 1, 20):
        level = math.exp(-step / 90) + 0.004 if won else 0.55 - 0.1 * step / steps
        lines.append(
            {
                "step": step,
                "seconds": 0.1 * step,
                "generator_loss": (1 / level if won else 0.9) + rng.normal(0, 0.08),
                "discriminator_loss": level * (1 + abs(rng.normal(0, 0.08))),
                "discriminator_accuracy": 1.0 if won else 0.74 + rng.normal(0, 0.02),
            }
        )
    return lines


def lstm_history(steps, rng):
    """A loss that falls from ln 8 and is still falling at the end."""
    lines = []
    for step in range(10, steps + 1, 10):
        loss = 0.33 + 1.75 * math.exp(-step / 25) + 6 / (step + 30)
        noisy = {"loss": loss + rng.normal(0, 0.01), "accuracy": 0.8}
        lines.append({"step": step, "seconds": 0.5 * step} | noisy)
        if step % 100 == 0:
            lines.append(
                {"step": step, "seconds": 0.5 * step, "validation_loss": loss + 0.005}
            )
    return lines
