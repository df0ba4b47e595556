"""Every verb as a user sees it, and every mistake ends in one line and code 2."""

import json
import math
import resource
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launch.evaluate import told
from research import parts
from research.metrics.measured import Measured
from research.sources import network

ROOT = Path(__file__).resolve().parents[2]


# --- mistakes ------------------------------------------------------------------------

# A command, and what its one line says; {file} is a file, {empty} an empty folder.
MISTAKES = {
    "verb": ("trian", "no such verb; did you mean 'train'?"),
    "no experiment": ("train", "which experiment?"),
    "experiment": (
        "train seed_gann",
        "experiments has no 'seed_gann'; did you mean 'seed_gan'?",
    ),
    "loss": (
        "train seed_gan --task.loss hinj",
        "research/losses has no 'hinj'",
    ),
    "near loss": (
        "train seed_gan --task.loss relativstic",
        "did you mean 'relativistic'?",
    ),
    "model": ("train seed_gan --model nope", "research/models has no 'nope'"),
    "task": ("train seed_gan --task nope", "research/tasks has no 'nope'"),
    "family": ("train seed_gan --model lstm", "models.lstm has no `generator`"),
    "data": (
        "train seed_gan --data.name digit",
        "research/data has no 'digit'; did you mean 'digits'?",
    ),
    "budget": ("train seed_gan --budget minute", "did you mean 'minutes'?"),
    "devices": (
        "train seed_gan --batch-size 30",
        "--batch-size 30 does not divide over 4 devices: take 28 or 32",
    ),
    "large batch": (
        "train seed_lstm --batch-size 4004",
        "--batch-size 4004 exceeds the 4000 training examples of digits",
    ),
    "packing": (  # the networks refuse it, and the workdir stays empty
        "train seed_gan --task.packing 3 --workdir {empty}",
        "--task.packing 3 does not divide the 32 samples of a device",
    ),
    "a later run": (  # before the first of a comparison's runs is trained
        "train dirac_gan --r1.task.packing 2 --workdir {empty}",
        "train: r1: --task.packing 2: the D of research.models.dirac judges",
    ),
    "a later member": (  # its program is another than the first member's
        "train dirac_gan --r1.population.vary task.ema=0,1.5 --workdir {empty}",
        "train: r1: --task.ema is 1.5",
    ),
    "steps": ("train seed_gan --steps 0", "--steps is 0: give 1 or more"),
    "workdir is a file": (
        "train seed_lstm --batch-size 8 --workdir {file}",
        "{file} cannot be written (File exists)",
    ),
    "workdir below a file": (
        "train seed_lstm --batch-size 8 --workdir {file}/run",
        "cannot be written (Not a directory)",
    ),
    "workdir not writable": (
        "train seed_lstm --batch-size 8 --workdir /proc/no_run",
        "/proc/no_run cannot be written",
    ),
    "option without value": (
        "train seed_gan --workdir",
        "--workdir asks for a value: --workdir VALUE",
    ),
    "evaluate no run": ("evaluate {empty}", "{empty} holds no run"),
    "sample no run": ("sample {empty}", "{empty} holds no run"),
    "inspect no run": ("inspect {empty}", "{empty} holds no run"),
    "inspect a file": ("inspect {file}", "{file} holds no run"),
    "fork": ("test --fork no.such", "--fork no.such: no such package"),
    "report no run": ("report {empty}", "{empty} holds no run"),
    "evaluate nowhere": ("evaluate {empty}/x", "{empty}/x holds no run"),
    "report nowhere": ("report {empty}/x", "{empty}/x is no folder"),
    "report a file": ("report {file}", "{file} is no folder"),
    "evaluate another model": (
        "evaluate {gan} --seed 3",
        "--seed is of what the run was trained with: evaluate takes --score-pictures",
    ),
    "evaluate too few": (
        "evaluate {gan} --score-pictures -1",
        "--score-pictures is -1",
    ),
    "evaluate a step": (
        "evaluate {gan} --step 3",
        "no checkpoint 3 (kept: 32, 36, 40)",
    ),
    "sample step 0": ("sample {gan} --step 0", "no checkpoint 0 (kept: 32, 36, 40)"),
    "sample none": ("sample {gan} --count 0", "--count is 0: give 1 or more"),
    "sample into a bucket": ("sample {gan} --out gs://a/b", "this may not"),
    "sample as another kind": (  # a walk's strip would be the film, and lost
        "sample {gan} --walk 2 --out {empty}/walk.gif",
        "--out {empty}/walk.gif: samples are written as .png: name a file that ends so",
    ),
    "report into a bucket": ("report {gan} --out gs://a/b", "this may not"),
    "sample over a file": ("sample {gan} --out {file}", "{file} exists: name a new"),
    "sample of labels": ("sample {lstm}", "labels and draws nothing"),
    "report of two": ("report {gan} {lstm}", "--out FOLDER"),
    "field": (
        "train seed_gan --optimizer.learning-rat 1",
        "did you mean --optimizer.learning-rate?",
    ),
    "number": ("train seed_gan --steps many", "'many'"),
    "value": ("train seed_gan --steps", "--steps"),
    "choice": ("train seed_gan --task.noise loud", "'shared'"),
}

# This runs in a process of its own, the others in this one: the same function.
REAL = ("verb",)


@pytest.fixture(scope="module")
def mistake(launch, gan_run, lstm_run, tmp_path_factory):
    """Makes a mistake by its name: exit code, output, errors and what they must say."""
    folder = tmp_path_factory.mktemp("mistakes")
    places = {"file": folder / "file", "empty": folder / "empty"}
    places["file"].write_text("mine")
    places["empty"].mkdir()
    places |= {"gan": gan_run[0], "lstm": lstm_run[0]}
    before = set(ROOT.glob("runs/*"))

    def make(name):
        command, says = MISTAKES[name]
        arguments = [word.format(**places) for word in command.split()]
        if name in REAL:
            ended = launch(*arguments)
            found = ended.returncode, ended.stdout, ended.stderr
        else:
            found = launch.within(*arguments)
        assert places["file"].read_text() == "mine"
        assert not list(places["empty"].iterdir())
        assert set(ROOT.glob("runs/*")) == before
        return *found, says.format(**places)

    return make


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_and_code_2(mistake, name):
    code, out, error, says = mistake(name)
    assert code == 2, error
    (line,) = error.splitlines()
    assert line.startswith(MISTAKES[name][0].split()[0] + ": ")
    assert says in line
    assert out == ""


@pytest.mark.parametrize("answers", ["closed", "silent"])
def test_without_a_network_a_tfds_name_ends_within_ten_seconds(
    launch, tmp_path, answers
):
    """Behind a proxy that is closed, and one that never answers."""
    command = ("train", "seed_gan", "--data.name", "mnist")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if answers == "closed":
            listener.close()
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        asked = dict.fromkeys(names, proxy) | {"TFDS_DATA_DIR": str(tmp_path / "data")}
        began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        with launch.start(*command, "--workdir", tmp_path / "run", **asked) as process:
            out, error = process.communicate(timeout=120)
    # Other tests run beside it, so: its own time, and the longest that it waits.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began
    assert spent + network.WITHIN < 10
    assert (process.returncode, out) == (2, "")
    (line,) = error.splitlines()
    assert line.startswith("train: mnist is not in ")
    reason = {"closed": "ProxyError", "silent": "ReadTimeout"}[answers]
    assert f"storage.googleapis.com: no connection, {reason}" in line
    assert line.endswith("or use digits or stacked_digits, which need no network")
    assert not (tmp_path / "run").exists()


# --- list and help -------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(launch):
    _, as_json, _ = launch.within("list", "--json")
    return launch("list"), as_json


def test_list_names_every_experiment_with_its_claim(listed):
    text, as_json = listed
    assert text.returncode == 0
    found = json.loads(as_json)
    assert set(found["experiments"]) == set(parts.names("experiments"))
    for name, claim in found["experiments"].items():
        module = parts.find("experiments", name)
        assert claim == (module.__doc__ or "").splitlines()[0]
        assert claim in text.stdout
    for family in ("data", "encodings", "losses", "models", "penalties", "tasks"):
        assert found[family] == parts.names(f"research.{family}")
        assert f"{family}: {', '.join(found[family])}" in text.stdout


def test_without_a_verb_they_are_told(launch):
    found = launch()
    assert found.returncode == 2
    for verb in ("list", "train", "evaluate", "sample", "report", "inspect", "test"):
        assert f"  {verb} " in found.stdout
    assert launch.within("--help") == (0, found.stdout, "")


def test_help_shows_every_field_with_its_meaning(launch):
    code, out, error = launch.within("train", "steady_gan", "--help")
    assert code == 0, error
    shown = " ".join(out.replace("│", " ").split())
    for text in (
        "--steps",
        "--optimizer.learning-rate",
        "--task.penalties",
        "--workdir FOLDER",
        "examples of a step, over all devices",
        "The article's GAN with remedies holds",
    ):
        assert text in shown


# --- verbs over a run ----------------------------------------------------------------


def test_inspect_tells_the_same_with_and_without_json(launch, gan_run):
    workdir, _ = gan_run
    plain = launch.within("inspect", workdir)[1]
    as_json = json.loads(launch.within("inspect", workdir, "--json")[1])
    assert as_json["experiment"] == "seed_gan"
    assert list(as_json["states"]) == ["32", "36", "40"]
    assert len(set(as_json["states"].values())) == 3
    for step, value in as_json["states"].items():
        assert len(value) == 64
        assert any(line.split() == ["step", step, value] for line in
                   plain.splitlines())  # fmt: skip


@pytest.mark.parametrize("family", ["gan", "lstm"])
def test_evaluate_measures_what_the_run_did(launch, request, family):
    """The newest checkpoint is the end of the run, and its noise is fixed."""
    workdir, _ = request.getfixturevalue(f"{family}_run")
    summary = json.loads((workdir / "summary.json").read_text())
    _, out, _ = launch.within("evaluate", workdir, "--json")
    found = json.loads(out)
    assert found["step"] == 40
    assert found["metrics"] == summary["metrics"]


def test_evaluate_of_more_examples_than_the_run_was_given(launch, lstm_run):
    workdir, _ = lstm_run
    before = (workdir / "config.json").read_text()
    more = ("--validation-examples", 70, "--json")
    code, out, error = launch.within("evaluate", workdir, *more)
    assert code == 0, error
    found = json.loads(out)["metrics"]["accuracy"]
    of_run = json.loads((workdir / "summary.json").read_text())["metrics"]["accuracy"]
    assert (of_run["samples"], found["samples"]) == (50, 70)
    assert found["high"] != of_run["high"]
    assert (workdir / "config.json").read_text() == before


def test_evaluate_of_an_older_checkpoint_in_words(launch, lstm_run):
    workdir, _ = lstm_run
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    (then,) = [x for x in lines if x["step"] == 36 and "validation_loss" in x]
    code, out, error = launch.within("evaluate", workdir, "--step", 36)
    assert code == 0, error
    title, *rows = out.splitlines()
    assert title == "seed_lstm at step 36"
    (loss,) = [row for row in rows if row.split()[0] == "loss"]
    assert float(loss.split()[1]) == pytest.approx(then["validation_loss"], rel=1e-3)
    assert "nats, n = 50" in loss
    alone = Measured(math.nan, 1, math.nan, math.nan, 1, "share")
    assert told(alone.to_dict()) == "none  floor 1  share, n = 1"


def test_sample_draws_pictures_that_their_seed_fixes(launch, gan_run, tmp_path):
    workdir, _ = gan_run
    sheets = []
    for name, seed in {"a": 3, "same": 3, "other": 4}.items():
        out = tmp_path / "new folder" / f"{name}.png"
        command = "sample", workdir, "--count", 7, "--out", out, "--seed", seed
        assert launch.within(*command) == (0, f"{out}\n", "")
        with Image.open(out) as sheet:
            sheets.append(np.asarray(sheet))
    # Seven pictures: a row of five, and two below.
    assert sheets[0].shape == (2 * 28 + 2, 5 * 28 + 8, 3)
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert (sheets[0] != sheets[2]).any()
    assert (sheets[0][30:, 60:] == 255).all()


def test_report_over_two_runs_goes_where_it_is_told(
    launch, gan_run, lstm_run, tmp_path
):
    out = tmp_path / "page"
    command = ("report", gan_run[0], lstm_run[0], "--out", out)
    code, printed, error = launch.within(*command)
    assert code == 0, error
    assert printed.splitlines()[-1] == f"report: {out / 'report.html'}"
    for name in ("report.html", "report.md"):
        text = (out / name).read_text()
        assert "seed_gan" in text
        assert "seed_lstm" in text


def test_a_walk_is_a_strip_and_a_film_and_its_ends_are_samples(
    launch, gan_run, tmp_path
):
    workdir, _ = gan_run
    out = tmp_path / "walk.png"
    command = ("sample", workdir, "--walk", 2, "--seed", 5, "--out", out)
    code, printed, error = launch.within(*command)
    assert code == 0, error
    assert printed.split() == [str(out), str(tmp_path / "walk.gif")]
    with Image.open(out) as strip:
        assert strip.size == (10 * 30 - 2, 2 * 30 - 2)
    with Image.open(tmp_path / "walk.gif") as film:
        assert film.n_frames > 1
    assert launch.within(*command)[0] == 2  # it is there already
    code, _, error = launch.within("sample", workdir, "--walk", 0)
    assert (code, "--walk 0: give 1 or more" in error) == (2, True)
