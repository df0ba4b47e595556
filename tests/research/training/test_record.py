"""What a run writes, who may write it, and what happens when a write is cut short."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research.data import stacked_digits
from research.errors import UserError
from research.media import pictures
from research.training import files, stamp
from research.training.record import FREE_FIELDS, Record

ROOT = Path(__file__).resolve().parents[3]
ABOUT = {
    "experiment": "seed_gan",
    "claim": "It collapses.",
    "family": "gan",
    "config": {"steps": 9, "checkpoint_every": 3, "task": {"loss": "hinge"}},
    "data": {"train": "abc", "held_out": "def"},
    "stamp": {"commit": "1"},
}


def about(**changes):
    return ABOUT | {"config": ABOUT["config"] | changes}


@pytest.fixture
def run(tmp_path):
    made = Record(tmp_path / "run", ABOUT)
    yield made
    made.close()


@pytest.fixture
def resumed(run):
    """Ends a run and takes its workdir again, as its next start does."""
    opened = []

    def again():
        run.close()
        opened.append(Record(run.workdir, ABOUT))
        return opened[-1]

    yield again
    for made in opened:
        made.close()


def lines(workdir):
    return (workdir / "metrics.jsonl").read_text().splitlines()


def test_a_new_run_writes_its_settings(run):
    assert json.loads((run.workdir / "config.json").read_text()) == ABOUT


def test_metrics_are_lines_of_json_and_events(run):
    assert run.rewind(0) == 0.0
    run.metrics(3, 1.23456, {"loss": 0.5, "accuracy": 1.0})
    run.metrics(6, 2.5, {"loss": 0.25})
    want = ['{"step": 3, "seconds": 1.235, "loss": 0.5, "accuracy": 1.0}']
    want += ['{"step": 6, "seconds": 2.5, "loss": 0.25}']
    assert lines(run.workdir) == want
    (events,) = (run.workdir / "tensorboard").iterdir()
    assert "tfevents" in events.name


def test_a_line_is_on_the_disk_at_once(run):
    """A kill after it loses nothing: what is read is what another process would."""
    run.rewind(0)
    run.metrics(1, 0.1, {"loss": 1.0})
    assert len(lines(run.workdir)) == 1


def test_rewind_drops_what_came_later(run, resumed):
    run.rewind(0)
    for step in (2, 4, 4, 6):
        run.metrics(step, step / 2, {"loss": 1 / step})
    run = resumed()
    assert run.rewind(4) == 2.0
    run.metrics(5, 9.0, {"loss": 0.0})
    steps = [json.loads(line)["step"] for line in lines(run.workdir)]
    assert steps == [2, 4, 4, 5]


@pytest.mark.parametrize("torn", ['{"step": 6, "sec', "{", '{"step": 6,'])
def test_a_last_line_that_a_kill_cut_short_is_dropped(run, resumed, torn):
    run.rewind(0)
    run.metrics(2, 1.0, {"loss": 1.0})
    with (run.workdir / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert files.read_metrics(run.workdir) == [{"step": 2, "seconds": 1, "loss": 1}]
    run = resumed()
    assert run.rewind(10) == 1.0
    run.metrics(3, 2.0, {"loss": 2.0})
    assert [json.loads(line)["step"] for line in lines(run.workdir)] == [2, 3]


def test_without_a_run_there_are_no_metrics(tmp_path):
    assert files.read_metrics(tmp_path) == []


# --- the lock ------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from research.training.record import Record
import json
held = Record(Path(sys.argv[1]), json.loads(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_refused_until_the_first_process_dies(tmp_path):
    workdir = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workdir), json.dumps(ABOUT)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another run is writing to"):
            Record(workdir, ABOUT)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    Record(workdir, ABOUT).close()


def test_a_second_writer_in_the_same_process_is_refused(run):
    with pytest.raises(UserError, match="another run is writing to"):
        Record(run.workdir, ABOUT)
    run.close()
    Record(run.workdir, ABOUT).close()


def test_a_refused_run_gives_the_workdir_back(run):
    run.close()
    with pytest.raises(UserError, match="other settings"):
        Record(run.workdir, about(steps=10))
    Record(run.workdir, ABOUT).close()


# --- whose workdir it is -------------------------------------------------------------


def test_other_settings_are_refused_naming_the_field(run):
    run.close()
    with pytest.raises(UserError) as refusal:
        Record(run.workdir, about(steps=10, task={"loss": "wasserstein"}))
    text = str(refusal.value)
    assert "steps 9 → 10" in text
    assert "task.loss 'hinge' → 'wasserstein'" in text
    assert str(run.workdir) in text
    assert "--workdir" in text
    assert "\n" not in text
    # The first run's settings stay.
    assert json.loads((run.workdir / "config.json").read_text()) == ABOUT


def test_another_experiment_and_other_data_are_refused(run):
    run.close()
    with pytest.raises(UserError, match="experiment 'seed_gan' → 'steady_gan'"):
        Record(run.workdir, ABOUT | {"experiment": "steady_gan"})
    other = ABOUT | {"data": {"train": "xyz", "held_out": "def"}}
    with pytest.raises(UserError, match=r"data.train 'abc' → 'xyz'"):
        Record(run.workdir, other)


def test_fields_that_leave_every_step_as_it_is_may_change(run):
    run.close()
    assert "checkpoint_every" in FREE_FIELDS
    for field in FREE_FIELDS:
        Record(run.workdir, about(**{field: 12345})).close()
    # A field of the same name deeper down is another field.
    with pytest.raises(UserError, match=r"task\.log_every"):
        Record(run.workdir, about(task={"loss": "hinge", "log_every": 2}))


def test_another_stamp_is_the_same_run(run):
    run.close()
    Record(run.workdir, ABOUT | {"stamp": {"commit": "2"}, "claim": "New."}).close()


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot be written"):
            Record(workdir, ABOUT)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", '{"experiment": ', "\x00\x01"])
def test_a_damaged_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        Record(tmp_path, ABOUT)


def test_bytes_that_are_no_text_are_damage(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is damaged"):
        files.read_json(tmp_path / "config.json")


def test_a_folder_without_a_run_is_said_to_be_one(tmp_path):
    with pytest.raises(UserError, match=r"holds no run: it has no config\.json"):
        files.read_json(tmp_path / "config.json")


# --- pictures ------------------------------------------------------------------------


def test_a_grid_lays_pictures_out_in_reading_order():
    images = np.random.default_rng(0).integers(0, 255, (7, 4, 3, 3), np.uint8)
    sheet = pictures.grid(images, columns=3, gap=2)
    assert sheet.shape == (3 * 4 + 2 * 2, 3 * 3 + 2 * 2, 3)
    inside = np.zeros(sheet.shape[:2], bool)
    for i in range(7):
        top, left = (i // 3) * 6, (i % 3) * 5
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 3], images[i])
        inside[top : top + 4, left : left + 3] = True
    assert (sheet[~inside] == 255).all()


def test_a_grid_of_25_is_five_by_five_and_a_grey_one_has_two_axes():
    images = np.zeros((25, 28, 28, 1), np.uint8)
    assert pictures.grid(images).shape == (5 * 28 + 8, 5 * 28 + 8)
    assert pictures.grid(images[:1]).shape == (28, 5 * 28 + 8)


def test_pictures_are_a_png_of_the_step_and_the_last_ones_as_an_array(run):
    images = np.random.default_rng(1).integers(0, 256, (25, 28, 28, 3), np.uint8)
    run.samples(40, images, stacked_digits)
    with Image.open(run.workdir / "samples" / "step_00000040.png") as sheet:
        np.testing.assert_array_equal(np.asarray(sheet), pictures.grid(images))
    np.testing.assert_array_equal(
        np.load(run.workdir / "samples" / "final.npy"), images
    )


def test_a_picture_is_whole_or_not_there(run, monkeypatch):
    """Cut short like one that is killed: a half-written one would never be mended."""
    images = np.zeros((25, 28, 28, 3), np.uint8)
    whole, folder = pictures.write, run.workdir / "samples"

    def cut_short(samples, file, dataset):
        file.write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "write", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run.samples(40, images, stacked_digits)
    assert not run.has_samples(40, stacked_digits)
    monkeypatch.setattr(pictures, "write", whole)
    run.samples(43, images, stacked_digits)
    names = {file.name for file in folder.iterdir()}
    assert names == {"final.npy", "step_00000043.png"}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "cut short by what UTF-8 cannot hold: \udc80")
    assert json.loads(path.read_text()) == {"a": 1}


def test_what_later_starts_were_made_with_is_kept_for_the_steps_that_they_made(run):
    run.rewind(0)
    run.close()
    known = []
    # Commit, and the step that it goes on from; which steps are whose after that.
    for commit, step, whose in [
        ("1", 3, {0: "1"}),
        ("2", 5, {0: "1", 5: "2"}),
        ("2", 6, {0: "1", 5: "2"}),
        ("1", 7, {0: "1", 5: "2", 7: "1"}),
        ("3", 5, {0: "1", 5: "3"}),
        ("1", 4, {0: "1"}),
    ]:
        record = Record(run.workdir, ABOUT | {"stamp": {"commit": commit}})
        record.rewind(step)
        record.close()
        found = files.read_starts(run.workdir)
        assert {it["step"]: it["stamp"]["commit"] for it in found} == whose
        known.append(stamp.changes_on_the_way(found))
    assert known[0] == known[-1] == []
    assert known[3] == ["from step 5 on: commit 1 → 2", "from step 7 on: commit 2 → 1"]
