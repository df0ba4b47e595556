"""Frames as notes: an exact likelihood of whole frames, and pieces drawn by it."""

import dataclasses
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import music_lstm
from research.data import digits
from research.encodings import notes
from research.errors import UserError
from research.optimizers import Optimizer
from research.sources.piano_rolls import PianoRolls
from research.tasks.supervised import Supervised
from research.training import job

encode = jax.jit(lambda frames: notes.encode({"frames": frames}, None))
losses = jax.jit(notes.losses, static_argnums=2)

KEYS = 5  # a small piano: 31 of its 32 frames have at most VOICES keys


def all_frames(keys):
    every = np.array(list(itertools.product([False, True], repeat=keys)))
    return every[every.sum(1) <= notes.VOICES]


def weights(keys, scale):
    """A model's, linear in what a step sees: [features, symbols]."""
    shape = 3 * keys + notes.VOICES, keys + 1
    return scale * np.random.default_rng(0).normal(size=shape)


def in_loops(frames, logits, smoothing):
    """The cost of a frame, [voices, symbols] of logits in float64."""
    symbols = [*np.flatnonzero(frames)[::-1] + 1, 0, 0, 0, 0][: notes.VOICES]
    cost, above = 0.0, logits.shape[-1]
    for symbol, row in zip(symbols, np.float64(logits), strict=True):
        can = sorted({0, *range(above)})
        logs = row[can] - np.log(np.exp(row[can]).sum())
        cost -= (1 - smoothing) * logs[can.index(symbol)] + smoothing * logs.mean()
        above = symbol
    return cost


def test_the_shares_of_all_pieces_of_two_frames_sum_to_1():
    one = all_frames(KEYS)
    pieces = np.array(list(itertools.product(one, one)))
    assert len(pieces) == 31**2
    inputs, targets = encode(pieces)
    costs, scored = losses(inputs @ weights(KEYS, 1.0), targets)
    assert costs.shape == (31**2, 2)
    assert scored.all()
    shares = np.exp(-np.float64(costs.sum(1)))
    assert shares.max() > 3 / 31**2
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_cost_of_a_frame_is_that_of_its_notes_and_padding_costs_nothing(smoothing):
    rng = np.random.default_rng(1)
    frames = all_frames(KEYS)[rng.integers(31, size=(3, 4))]
    frames[1, 2] = False  # a rest is no padding
    batch = {"frames": jnp.array(frames), "lengths": jnp.array([4, 3, 0])}
    _, targets = jax.jit(notes.encode)(batch, None)
    logits = rng.normal(size=(3, 4, notes.VOICES, KEYS + 1)).astype(np.float32)

    def total(logits):
        return losses(logits, targets, smoothing)[0].sum()

    flat = jnp.array(logits.reshape(3, 4 * notes.VOICES, -1))
    costs, scored = losses(flat, targets, smoothing)
    valid = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(scored, valid)
    want = [
        [in_loops(*frame, smoothing) for frame in zip(*piece, strict=True)]
        for piece in zip(frames, logits, strict=True)
    ]
    np.testing.assert_allclose(costs, want * valid, rtol=1e-5)
    gradient = jax.grad(total)(flat).reshape(logits.shape)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.any(gradient, (2, 3)), valid)
    first = notes.measure(flat, targets)["first_frame_nats"]
    if not smoothing:
        np.testing.assert_array_equal(first, costs[:, 0])


def test_a_step_sees_the_frame_before_its_own_voice_there_and_what_is_chosen():
    before, now = [9, 4, 2, 0], [8, 5, 0, 0]
    frames = np.zeros((1, 2, 12), bool)
    for row, symbols in zip(frames[0], (before, now), strict=True):
        row[[s - 1 for s in symbols if s]] = True
    inputs, targets = encode(frames)
    np.testing.assert_array_equal(targets, [[*before, *now]])

    def step(past, voice, chosen, place):
        parts = [np.zeros(12) for _ in range(3)]
        for part, symbols in zip(parts, (past, voice, chosen), strict=True):
            part[[s - 1 for s in symbols]] = 1
        return np.concatenate([*parts, np.eye(4)[place]])

    silence = [step([], [], before[: min(p, 3)], p) for p in range(4)]
    later = [([9], [], 0), ([4], [8], 1), ([2], [8, 5], 2), ([], [8, 5], 3)]
    later = [step([9, 4, 2], *seen) for seen in later]
    np.testing.assert_array_equal(inputs[0], [*silence, *later])


def test_a_piece_is_moved_in_training_as_a_whole_and_within_the_piano():
    frames = np.zeros((100, 3, 88), bool)
    frames[:, 0, [20, 30]] = frames[:, 1, 40] = True
    frames[40:80] = np.roll(frames[40:80], -19, axis=-1)  # one key is left below
    frames[80:, 0, 87] = True
    keys = jax.random.split(jax.random.key(3), 100)
    _, targets = jax.jit(notes.encode)({"frames": frames}, keys)
    moved = np.asarray(notes.frames_of(targets.reshape(100, 3, notes.VOICES)))
    by = moved.any(1).argmax(1) - frames.any(1).argmax(1)
    want = [np.roll(piece, n, axis=1) for piece, n in zip(frames, by, strict=True)]
    np.testing.assert_array_equal(moved, want)
    assert set(by[:40]) == set(range(-notes.REACH, notes.REACH + 1))
    assert set(by[40:80]) == set(range(-1, notes.REACH + 1))
    assert set(by[80:]) == set(range(-notes.REACH, 1))


def linear(scale, only=None):
    """Predicts by `weights`; of symbols not in `only` never."""
    never = np.zeros(notes.SYMBOLS)
    if only is not None:
        never[np.setdiff1d(np.arange(notes.SYMBOLS), only)] = -1e4
    of = jnp.float32(weights(88, scale))
    return lambda inputs, state: (inputs @ of + never, state)


def test_what_is_drawn_is_what_the_model_says_of_it():
    """With logits so large that the choice is certain; read back, each is the best."""
    predict = linear(1e5)
    keys = jax.random.split(jax.random.key(1), 2)
    drawn = jax.jit(lambda keys: notes.draw(predict, None, keys))(keys)
    assert drawn.shape == (2, notes.DRAWN, 88)
    assert 1 <= drawn.sum(-1).max() <= notes.VOICES
    assert len(np.unique(drawn[0], axis=0)) > 2
    inputs, targets = encode(drawn)
    costs, _ = losses(predict(inputs, None)[0], targets)
    np.testing.assert_allclose(costs, 0, atol=1e-3)


def test_frames_are_drawn_as_often_as_they_are_likely_and_by_its_own_key(monkeypatch):
    heard = [29, 39, 43]
    predict = linear(0.5, [0, 30, 40, 44])
    keys = jax.random.split(jax.random.key(2), 3_000)
    monkeypatch.setattr(notes, "DRAWN", 2)
    draw = jax.jit(lambda keys: notes.draw(predict, None, keys))
    drawn = np.asarray(draw(keys))
    np.testing.assert_array_equal(draw(keys[::-1])[::-1], drawn)
    assert drawn.sum() == drawn[..., heard].sum()
    bits = np.array(list(itertools.product([0, 1], repeat=6)))
    pieces = np.zeros((64, 2, 88), bool)
    pieces[..., heard] = bits.reshape(64, 2, 3)
    inputs, targets = encode(pieces)
    costs, _ = losses(predict(inputs, None)[0], targets)
    likely = np.exp(-np.float64(costs.sum(1)))
    number = drawn[..., heard].reshape(len(keys), 6) @ (1 << np.arange(6)[::-1])
    counted = np.bincount(number, minlength=64) / len(keys)
    error = np.sqrt(likely * (1 - likely) / len(keys))
    np.testing.assert_array_less(np.abs(counted - likely), 4.5 * error)


class Even(nn.Module):
    """Every symbol as likely, whatever was before."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(notes.SYMBOLS, kernel_init=nn.initializers.zeros)(x), None


@dataclasses.dataclass(frozen=True)
class EvenModel:
    classes: int = notes.SYMBOLS

    def module(self):
        return Even()


def test_a_task_s_loss_is_of_a_frame_not_of_a_note():
    """A closed form: of symbols below n there are n, and any of 89 comes first."""
    frames = np.zeros((2, 3, 88), bool)
    frames[0, 0, [10, 20]], frames[0, 1, [5, 30, 50, 87]] = True, True
    batch = {"frames": jnp.array(frames), "lengths": jnp.array([3, 2])}
    task = Supervised("notes").build(EvenModel(), Optimizer(), 1)
    state = jax.jit(task.init)(jax.random.key(0), batch)
    found = jax.jit(task.evaluate)(state, batch)
    np.testing.assert_array_equal(found["targets"], [3, 2])
    below = np.log([21, 11]).sum(), np.log([88, 51, 31]).sum()
    costs = [3 * np.log(89) + sum(below), 2 * np.log(89)]
    np.testing.assert_allclose(found["loss"] * found["targets"], costs, rtol=1e-6)
    want = np.log(89) + below[0], np.log(89)
    np.testing.assert_allclose(found["first_frame_nats"], want, rtol=1e-6)


def chord(*keys: int) -> np.ndarray:
    frames = np.zeros((3, 88), bool)
    frames[1, list(keys)] = True
    return frames


@pytest.mark.parametrize("split", ["train", "test"])
def test_music_of_more_keys_at_once_is_refused(split, monkeypatch):
    """Once it is read: settings are checked often, and by who reads no data."""
    four, five = chord(0, 30, 60, 87), chord(0, 30, 40, 60, 87)
    pieces = {"train": [four] * 4, "test": [four] * 4}
    mine = PianoRolls("mine", lambda: pieces)
    monkeypatch.setattr(job.data, "find", lambda *_: mine)
    change = {"batch_size": 4, "score_pictures": 0}
    settings = dataclasses.replace(music_lstm.experiment("minutes"), **change)
    assert job.prepare("mine", settings).train.examples == 4
    pieces[split] = [four, four, four, five]
    with pytest.raises(UserError, match=r"5 keys sound at once .* at most 4: .* 88,"):
        job.prepare("mine", settings)


def test_what_is_no_music_is_refused_unread():
    task = Supervised("notes").build(EvenModel(), Optimizer(), 1)
    with pytest.raises(UserError, match="notes writes music, which the data is not"):
        task.check(digits)
    few = Supervised("notes").build(EvenModel(88), Optimizer(), 1)
    with pytest.raises(UserError, match=r"--model.classes 88: .* give .* 89"):
        few.check(PianoRolls("mine", dict))
