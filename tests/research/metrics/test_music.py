"""Measures of music, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from research.metrics import music


def piece(*frames):
    """Frames by their sounding keys."""
    found = np.zeros((len(frames), 88), bool)
    for row, keys in zip(found, frames, strict=True):
        row[list(keys)] = True
    return found


def test_the_two_averages_differ_in_the_first_frame_and_in_long_pieces():
    first, later = np.array([12.0, 10.0]), np.array([8.0, 81.0])
    found = music.likelihood(first, later, np.array([2, 10]))
    # Chung: (20 / 2 + 91 / 10) / 2. Bai: (8 + 81) / (1 + 9).
    assert found["frame_nats_chung"].value == pytest.approx(9.55)
    assert found["frame_nats_bai"].value == pytest.approx(8.9)
    low, high = found["frame_nats_bai"].low, found["frame_nats_bai"].high
    assert low < 8.9 < high
    alone = music.likelihood(first[:1], later[:1], np.array([2]))["frame_nats_bai"]
    assert [alone.value, *np.isnan([alone.low, alone.high])] == [8, True, True]


def test_keys_counted_apart_cost_their_entropies():
    train = [piece((0,), (0, 1)), piece((0,), ())]
    held_out = 2 * [piece((0,), (1,))]
    found = music.memoryless(train, held_out)
    # With one more of each: key 0 sounds in 4/6, key 1 in 2/6, the others in 1/6.
    silent = -86 * math.log(5 / 6)
    first = -2 * math.log(4 / 6) + silent  # 0 sounds, 1 does not
    second = -2 * math.log(2 / 6) + silent
    assert found["marginal_nats_chung"].value == pytest.approx((first + second) / 2)
    assert found["marginal_nats_bai"].value == pytest.approx(second)


def test_progressions_are_those_of_any_key():
    cadence = piece((10, 14), (5, 9, 12), (10,))
    higher = np.roll(cadence, 7, axis=1)
    assert music.progressions(cadence) == music.progressions(higher)
    assert len(music.progressions(cadence)) == 2
    inverted = piece((10, 15), (5, 9, 12))
    assert music.progressions(inverted)[0] not in music.progressions(cadence)


def test_shared_progressions_are_counted_both_ways():
    made = np.stack([piece((1,), (3,), (1,)), piece((1,), (3,), (8,))])
    real = np.stack([piece((11,), (13,), (11,)), piece((9,), (9,), (9,))])
    found = music.score(made, real, real[::-1])
    # Made: up 2, down 2 (both real); up 2, up 5 (not). Real: up 2, down 2; held twice.
    assert found["progression_precision"].value == pytest.approx(0.75)
    assert found["progression_precision"].floor == 1
    assert found["progression_recall"].value == pytest.approx(0.5)
    assert "music_frechet" not in found  # two pieces have no covariance


def test_the_features_of_a_piece_are_what_they_say():
    found = music.features(piece((0, 4), (0, 16), ()))
    want = dict.fromkeys(music.FEATURES, 0.0)
    want |= {"pitch class 0": 0.5, "pitch class 4": 0.5, "notes in a frame": 4 / 3}
    want["mean pitch, octaves"] = 5 / 12
    want["spread of pitches, octaves"] = np.std([0, 4, 0, 16]) / 12
    want["notes held from the frame before, share"] = 0.5
    want["motion of the highest note, octaves a frame"] = 1.0
    np.testing.assert_allclose(found, list(want.values()))


def test_real_music_is_nearer_to_real_music_than_noise_is():
    rng = np.random.default_rng(0)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])

    def tunes(count):
        places = np.cumsum(rng.integers(-1, 2, (count, 30)), 1)
        keys = 40 + 12 * (places // 7) + scale[places % 7]
        return np.eye(88, dtype=bool)[np.clip(keys, 0, 87)]

    real, again, made = tunes(100), tunes(100), rng.random((100, 30, 88)) < 1 / 88
    found = music.score(made, real, again)
    assert found["music_frechet"].value > 10 * found["music_frechet"].floor
    assert found["progression_precision"].value < 0.5
    assert found["progression_precision"].floor > 0.9


def test_pieces_that_are_alike_repeat_each_other():
    """Self-BLEU of one piece drawn three times is 1, and no key of a pair differs."""
    one = np.stack(3 * [piece((1,), (3,), (1,), (5,), (8,), (3,))])
    rng = np.random.default_rng(0)
    others = rng.random((3, 6, 88)) < 0.05
    assert music.score(one, others, others)["self_bleu"].value == pytest.approx(1)
    assert music.score(others, one, one)["self_bleu"].value < 0.7
    assert music.pair_distances(one) == 0
    many = rng.random((200, 6, 88)) < 0.25
    # Two bits of probability ¼ differ with 2 · ¼ · ¾.
    assert music.pair_distances(many).mean() == pytest.approx(0.375, abs=0.01)
