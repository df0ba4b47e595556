"""A language model trained on a text of the user's writes on from a prompt."""

import pytest

from research.training.trained import read

SETTINGS = (
    "bible --steps 4 --batch-size 4 --data.length 8 --model.hidden 8 --model.layers 1 "
    "--model.embedding 4 --checkpoint-every 4 --log-every 4 --validation-examples 4 "
    "--score-pictures 0 --task.draw-length 8 --data.name text"
)


@pytest.fixture(scope="module")
def run(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompt")
    (folder / "text").write_text("abcd efgh\n" * 1_000)
    settings = [*SETTINGS.split(), "--data.path", folder / "text"]
    code, _, error = launch.within("train", *settings, "--workdir", folder / "run")
    assert code == 0, error
    return folder / "run"


def test_it_writes_the_prompt_and_so_many_bytes_and_no_file(launch, run):
    before = sorted(run.rglob("*"))
    command = ("sample", run, "--prompt", "abc", "--length", 40, "--top-k", 4)
    code, out, error = launch.within(*command)
    assert code == 0, error
    assert out.startswith("abc")
    assert 20 < len(out) <= 3 + 40 + 1  # bytes that are no UTF-8 are shown as �
    assert sorted(run.rglob("*")) == before
    assert launch.within(*command)[1] == out
    assert launch.within(*command, "--seed", 1)[1] != out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--prompt", "abx"), "--prompt holds 'x', which text never does"),
        (("--prompt", "a", "--length", 0), "--length is 0: give 1 or more"),
        (("--prompt", "a", "--nucleus", 0), "--nucleus is 0.0: a share lies above 0"),
        (("--prompt", "a", "--temperature", -1), "--temperature is -1.0: give 0"),
        (("--prompt", "a", "--count", 3), "--count is not for texts that --prompt beg"),
        (("--top-k", 3), "--top-k is for texts that --prompt TEXT begins, and there"),
        (("--walk", 2, "--count", 3), "--count is not for a --walk: leave one"),
        (("--count", 2, "--seed", 2**32), "--seed is 4294967296: give 0 to 2³² − 1"),
    ],
)
def test_a_prompt_or_setting_that_cannot_be_used_is_one_line(
    launch, run, options, line
):
    code, out, error = launch.within("sample", run, *options)
    assert (code, out) == (2, "")
    assert line in error
    assert len(error.splitlines()) == 1


def test_a_text_that_has_changed_since_is_told(run, capsys):
    read(run)
    assert not capsys.readouterr().err
    text = run.parent / "text"
    before = text.read_text()
    text.write_text(before.replace("abcd", "abdc", 1))
    read(run)
    text.write_text(before)
    assert "other data than there is now (train changed" in capsys.readouterr().err


def test_an_empty_text_is_refused(launch, tmp_path):
    (tmp_path / "empty").write_text("")
    settings = [*SETTINGS.split(), "--data.path", tmp_path / "empty"]
    code, _, error = launch.within("train", *settings, "--workdir", tmp_path / "run")
    assert code == 2
    assert "is empty: name a text with --data.path" in error
