"""The numbers of texts, counted by hand on a few short ones and on sets of a kind."""

import numpy as np
import pytest

from research.metrics import text


def as_array(*texts):
    return np.array([list(t.encode()) for t in texts], np.uint8)


def test_bleu_by_hand():
    """abcab with abcd, abab: pairs 4 of 4 (ab twice), 3: abc, 4, 5: none, so ½."""
    (got,) = text.bleu([b"abcab"], [b"abcd", b"abab", b"cab"])
    precisions = [4 / 4, 2 / 3, 0.5 / 2, 0.5 / 1]  # ab×2 bc ca; abc cab; –; –
    np.testing.assert_allclose(got, np.prod(precisions) ** 0.25)
    (once,) = text.bleu([b"abcab"], [b"abcd", b"cab"])  # ab counts once only
    precisions[0] = 3 / 4
    np.testing.assert_allclose(once, np.prod(precisions) ** 0.25)


def test_self_bleu_is_bleu_with_the_others_as_references():
    rng = np.random.default_rng(0)
    texts = [bytes(rng.integers(97, 101, 12, np.uint8)) for _ in range(9)]
    each = [text.bleu([one], texts[:i] + texts[i + 1 :]) for i, one in enumerate(texts)]
    np.testing.assert_allclose(text.self_bleu(texts), np.mean(each), rtol=1e-12)
    assert text.self_bleu([b"same text"] * 3) == 1


def test_words_that_an_end_may_have_cut_are_left_out():
    found = text.known_words([b"e cat sat. Qz the d"], [b" the cat ", b" sat"])
    # cat, sat, Qz, the: of the reference's words sat is at an end
    np.testing.assert_array_equal(found, [1, 0, 0, 1])


def test_pairs_are_the_reference_s_commonest_and_counted():
    assert text.common_pairs([b"abab", b"ba"]) == [b"ab", b"ba"]
    counts = text.pair_counts([b"abab", b"bbb"], [b"ab", b"ba", b"bb"])
    np.testing.assert_array_equal(counts, [[2, 1, 0], [0, 0, 2]])


def test_diversity_is_1_without_repetition_and_falls_with_it():
    assert text.diversity(as_array("abcdefgh", "ijklmnop")) == 1
    assert text.diversity(as_array("abcdefgh", "abcdefgh")) == 0.5


@pytest.fixture(scope="module")
def scores():
    """Real: words of two kinds in a random order; made: the same, one text, noise."""
    rng = np.random.default_rng(1)
    words = np.array([b"light", b"water", b"earth", b"night", b"grass", b"beast"])

    def real(count):
        lines = (b" ".join(rng.choice(words, 8)) for _ in range(count))
        return np.array([list(line) for line in lines], np.uint8)

    reference, again = real(150), real(150)
    made = {
        "as real": real(150),
        "one text": np.repeat(again[:1], 150, axis=0),
        "noise": rng.integers(97, 123, again.shape, np.uint8),
    }
    return {name: text.score(t, reference, again) for name, t in made.items()}


def test_text_of_the_same_kind_scores_its_floors(scores):
    for name, found in scores["as real"].items():
        assert found.floor is not None, name
        # The distance is that of 150 texts in 64 dimensions, and the loosest.
        near = 0.6 if name == "pair_frechet" else 0.1
        np.testing.assert_allclose(found.value, found.floor, rtol=near, err_msg=name)
    assert scores["as real"]["known_words"].value == 1


def test_one_text_repeated_is_precise_and_has_no_recall(scores):
    found = scores["one text"]
    assert found["ngram_precision"].value > 0.95
    assert found["ngram_recall"].value < 0.8 * found["ngram_recall"].floor
    assert found["bleu_backward"].value < 0.8 * found["bleu_backward"].floor
    assert found["self_bleu"].value == 1


def test_noise_has_neither(scores):
    found, real = scores["noise"], scores["as real"]
    for name in ("ngram_precision", "ngram_recall", "bleu_forward", "bleu_backward"):
        assert found[name].value < 0.2, name
    assert found["pair_frechet"].value > 5 * real["pair_frechet"].value
    assert "known_words" not in found  # it has no spaces
