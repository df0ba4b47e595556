"""`train` of a comparison: stopped between its runs and gone on, then one page of all.

The first of them is what `train seed_gan` has left: of the same settings, the same run.
"""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

NAMES = ("seed_gan", "steady_gan", "pixel_lstm")
SMALL = "--batch-size 4 --log-every 1 --score-pictures 0"
STEADY = f"--steps 2 --model.width 2 --model.latent 5 {SMALL}"
PIXELS = f"--steps 2 --model.hidden 4 --validation-examples 8 {SMALL}"


def settings(launch):
    """Those of the three runs, each option with its run's name before it."""
    each = (launch.GAN[1:], STEADY.split(), PIXELS.split())
    for name, options in zip(NAMES, each, strict=True):
        for option in options:
            yield option.replace("--", f"--{name.replace('_', '-')}.", 1)


def kept(workdir):
    """What training would write anew, by its path."""
    names = ("metrics.jsonl", "summary.json", "config.json")
    return {f: f.read_bytes() for f in workdir.rglob("*.json*") if f.name in names}


def interrupt_once_there(file):
    """Ctrl-C; a notice would end the tests' own process if this machine is busy."""
    while not file.exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def comparison(launch, gan_run, tmp_path_factory):
    """The workdir, and of three calls the code, the output and what was there then."""
    workdir = tmp_path_factory.mktemp("comparison")
    shutil.copytree(gan_run[0], workdir / "seed_gan")
    command = ("train", "gan_vs_lstm", *settings(launch), "--workdir", workdir)
    begun = workdir / "steady_gan" / "config.json"
    stops = threading.Thread(target=interrupt_once_there, args=[begun], daemon=True)
    stops.start()
    calls = []
    for _ in range(3):
        code, out, error = launch.within(*command)
        assert error == ""
        calls.append((code, out, kept(workdir)))
    return workdir, calls


def test_it_stops_in_its_second_run_and_goes_on_to_a_page_of_all(comparison):
    workdir, calls = comparison
    (stopped, out, before), (code, rest, after), _ = calls
    trained = f"seed_gan: {workdir / 'seed_gan'} is trained to step 40 already\n"
    assert stopped == 130
    assert out.startswith(trained)
    assert "interrupted, saved; go on with: launch/run train gan_vs_lstm" in out
    assert workdir / "steady_gan" / "summary.json" not in before
    assert not any(file.parent.name == "pixel_lstm" for file in before)
    assert code == 0
    assert rest.startswith(trained)
    assert "steady_gan: 2 steps in " in rest
    assert "pixel_lstm: 2 steps in " in rest
    assert all(after[file] == before[file] for file in kept(workdir / "seed_gan"))
    headline, page = rest.splitlines()[-2:]
    assert page == f"report: {workdir / 'report.html'}"
    html, text = ((workdir / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert text.startswith(f"# {headline}\n")
    assert all(name in html and name in text for name in NAMES)
    for name in NAMES:
        summary = json.loads(after[workdir / name / "summary.json"])
        assert (summary["experiment"], summary["verdict"]) == (name, "done")


def test_once_more_it_trains_nothing(comparison):
    _, (_, (_, rest, before), (code, out, after)) = comparison
    assert code == 0
    told = out.splitlines()
    assert [line.split(":")[0] for line in told[:3]] == list(NAMES)
    assert all(line.endswith(" already") for line in told[:3])
    assert told[3:] == rest.splitlines()[-2:]
    assert after == before


def test_a_pixel_model_has_bits_and_draws(comparison):
    workdir = comparison[0] / "pixel_lstm"
    bits = json.loads((workdir / "summary.json").read_text())["metrics"]
    bits = bits["bits_per_pixel"]
    assert bits["samples"] == 8
    assert bits["low"] < bits["value"] < bits["high"]
    # Untrained: near the three bits of eight symbols, told in bits and not in nats.
    assert 2 < bits["value"] < 4
    final = np.load(workdir / "samples" / "final.npy")
    assert final.shape == (25, 28, 28, 3)
    assert set(np.unique(final)) == {0, 255}
