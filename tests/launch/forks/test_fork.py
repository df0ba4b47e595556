"""A fork: a package elsewhere, one file for each part, and no edit here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# One file each, in the shape that the README's table asks for.
FILES = {
    "mylab/lab.py": '"""A lab of its own."""\n',
    "mylab/models/tiny.py": '''\
"""A recurrent classifier whose LSTM runs on the lab's own kernel."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from kernels import LstmWeights, lstm


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings."""

    hidden: int = 6
    """cells"""
    classes: int = 2
    """classes"""

    family = "lstm"

    def module(self):
        return Net(self.hidden, self.classes)


class Net(nn.Module):
    hidden: int
    classes: int

    @nn.compact
    def __call__(self, frames, train):
        del train
        init = nn.initializers.lecun_normal()
        features = frames.shape[-1]
        weights = LstmWeights(
            self.param("wx", init, (features, 4 * self.hidden)),
            self.param("wh", init, (self.hidden, 4 * self.hidden)),
            self.param("b", nn.initializers.zeros, (4 * self.hidden,)),
        )
        y, last = lstm(frames, weights, backend="mylab.backends.own")
        return nn.Dense(self.classes)(y.mean(axis=1)), last
''',
    "mylab/backends/own.py": '''\
"""A kernel: the reference's arithmetic, called by another name."""

from kernels.lstm import xla
from kernels.lstm.backend import Backend

BACKEND = Backend(xla.supports, xla.forward, xla.backward, "store")
''',
    "mylab/data/ramps.py": '''\
"""Ramps: eight numbers that go up or down, and noise; made here, nothing to read."""

import numpy as np

from research.sources import order
from research.sources.split import Split, fingerprint

MEDIUM = "mylab.media.lines"
LABELS = 2


def load(split, data_dir=None):
    source = np.random.default_rng({"train": 0, "test": 1}[split])
    label = source.integers(0, 2, 400)
    slope = np.where(label, 1.0, -1.0)[:, None] * np.linspace(-1, 1, 8)
    frames = (slope + source.normal(0, 0.3, (400, 8)))[..., None].astype(np.float32)
    arrays = {"frames": frames, "label": label.astype(np.int32)}
    return Split(arrays, 400, fingerprint(arrays))


batch = order.batch
''',
    "mylab/media/judged.py": '''\
"""Pictures, judged by the lab's own metric."""

import numpy as np

from research.media.pictures import (
    ENTRY, SHOWN, SUFFIX, from_network, sheet, to_network, write,
)
from research.metrics.measured import Measured


def score(generated, reference, again, dataset):
    del dataset
    value, floor = (np.abs(np.diff(x.astype(float), axis=1)).mean()
                    for x in (generated, again))
    return {"roughness": Measured(value, floor, samples=len(generated))}
''',
    "mylab/media/lines.py": '''\
"""Lines: numbers in a row, kept as an array."""

import numpy as np

ENTRY = "frames"
SHOWN = 4
SUFFIX = ".npy"


def write(samples, file, dataset):
    del dataset
    np.save(file, samples)


def sheet(samples, dataset):
    del samples, dataset


def score(generated, reference, again, dataset):
    del generated, reference, again, dataset
    return {}
''',
    "mylab/data/dots.py": '''\
"""Dots: noise of two colours, for GANs; made here."""

import numpy as np

from research.sources import order
from research.sources.split import Split, fingerprint

MEDIUM = "mylab.media.judged"
IMAGE_SHAPE = (28, 28, 3)


def load(split, data_dir=None):
    source = np.random.default_rng({"train": 0, "test": 1}[split])
    image = source.integers(0, 2, (1000, 28, 28, 3)).astype(np.uint8) * 255
    arrays = {"image": image}
    return Split(arrays, 1000, fingerprint(arrays))


batch = order.batch
''',
    "mylab/encodings/labelled.py": '''\
"""An encoding: frames as they are, and one label for all of them."""


def encode(batch, keys):
    del keys
    return batch["frames"], batch["label"]
''',
    "mylab/losses/squares.py": '''\
"""A GAN loss: squares, whose ends are the lab's own."""

import jax.numpy as jnp


def discriminator(real_logits, fake_logits):
    return jnp.mean((real_logits - 1) ** 2) + jnp.mean((fake_logits + 1) ** 2)


def generator(real_logits, fake_logits):
    del real_logits
    return jnp.mean((fake_logits - 1) ** 2)
''',
    "mylab/experiments/ramp_lstm.py": '''\
"""The lab's LSTM tells rising ramps from falling ones in a few steps."""

from mylab.models.tiny import Model
from research.experiment import Data, Experiment
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised


def experiment(budget="full"):
    del budget
    return Experiment(
        steps=30,
        batch_size=32,
        data=Data("mylab.data.ramps"),
        model=Model(),
        task=Supervised(encoding="mylab.encodings.labelled"),
        optimizer=Optimizer(learning_rate=0.05),
        checkpoint_every=15,
        log_every=5,
        validation_examples=200,
    )
''',
}


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fork")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    return folder


@pytest.fixture(scope="module")
def run(fork):
    """Runs a verb on the fork, which PYTHONPATH alone makes known."""

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "launch", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(fork), "FORKS": "mylab"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.fixture(scope="module")
def within(fork, launch):
    """The same in this process, for what needs no start of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(fork))
        patch.setenv("FORKS", "mylab")
        yield type(launch)(launch.data).within


@pytest.fixture(scope="module")
def trained(run, fork):
    workdir = fork / "run"
    ended = run("train", "mylab.experiments.ramp_lstm", "--workdir", workdir)
    assert ended.returncode == 0, ended.stderr
    return workdir, ended


def test_it_trains_with_every_part_of_its_own(trained):
    workdir, _ = trained
    config = json.loads((workdir / "config.json").read_text())
    assert config["experiment"] == "ramp_lstm"
    assert config["claim"].startswith("The lab's LSTM tells")
    assert config["config"]["model"]["part"] == "mylab.models.tiny:Model"
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["metrics"]["accuracy"]["value"] > 0.9  # chance is a half


def test_it_is_reported(trained, within):
    workdir, _ = trained
    assert within("report", workdir)[0] == 0
    assert "ramp_lstm" in (workdir / "report.md").read_text()


def test_it_is_evaluated_and_repeated_to_the_same_numbers(trained, within):
    workdir, _ = trained
    code, out, error = within("repeat", workdir)
    assert code == 0, out + error
    assert "the numbers match" in out


def test_it_is_listed(run):
    ended = run("list")
    assert ended.returncode == 0, ended.stderr
    assert "ramp_lstm" in ended.stdout
    assert "The lab's LSTM tells rising ramps" in ended.stdout
    for part in ("models.tiny", "losses.squares", "data.ramps", "media.judged"):
        assert f"mylab.{part}" in ended.stdout


def test_it_is_swept(within, fork):
    folder = fork / "swept"
    over = ("--over", "model.hidden=2,6", "--steps", 10)
    command = ("sweep", "mylab.experiments.ramp_lstm", *over, "--workdir", folder)
    code, _, error = within(*command)
    assert code == 0, error
    assert json.loads((folder / "sweep.json").read_text())["rows"][0]["rank"] == 1


def test_its_step_is_compiled_for_a_slice(run):
    pytest.importorskip("libtpu")
    options = ("--target", "v5e-8", "--json")
    ended = run("preflight", "mylab.experiments.ramp_lstm", *options)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["fits"]
    (kernel,) = found["kernels"]
    assert kernel["backend"] == "mylab.backends.own"


def test_its_loss_data_and_metric_take_the_place_of_ours(within, fork):
    command = (
        "train seed_gan --steps 2 --batch-size 8 --model.width 2 --model.latent 5 "
        "--task.loss mylab.losses.squares --data.name mylab.data.dots "
        "--score-pictures 1000"
    )
    code, _, error = within(*command.split(), "--workdir", fork / "gan")
    assert code == 0, error
    metrics = json.loads((fork / "gan" / "summary.json").read_text())["metrics"]
    assert metrics["roughness"]["floor"] == pytest.approx(255 / 2, rel=0.02)


def test_the_contract_tests_of_this_repository_run_on_its_parts(run):
    ended = run("test", "--fork", "mylab", "-q", "-p", "no:cacheprovider")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert " passed" in ended.stdout
    (count,) = re.findall(r"(\d+) passed", ended.stdout)
    assert int(count) >= 20  # losses, data, media, encodings, experiment and kernel
