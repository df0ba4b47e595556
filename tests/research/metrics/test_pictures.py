import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.data import stacked_digits
from research.metrics import digit_features, frechet, modes, pictures

DRAWS = 1_000


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Three independent draws of held-out stacked digits."""
    split = stacked_digits.load("test", tmp_path_factory.mktemp("data"))
    arrays = jax.tree.map(jnp.asarray, split.arrays)
    positions = jnp.arange(DRAWS, dtype=jnp.uint32)
    batches = (stacked_digits.batch(arrays, seed, positions) for seed in range(3))
    return [np.asarray(batch["image"]) for batch in batches]


@pytest.fixture(scope="module")
def honest(real):
    return pictures.score(*real)


@pytest.fixture(scope="module")
def collapsed(real):
    return pictures.score(np.repeat(real[0][:1], DRAWS, axis=0), *real[1:])


def test_real_pictures_score_their_own_floor(honest):
    for name, found in honest.items():
        # Five of one class are luck at this size; the kernel distance is 0 on average.
        few = {"modes_with_5": 4, "digit_kernel": 0.06}.get(name, 0)
        assert found.value == pytest.approx(found.floor, rel=0.1, abs=few), name
        assert found.low < found.value < found.high, name
    assert honest["modes_captured"].value == pytest.approx(632, abs=40)
    assert honest["kl_to_uniform"].value == pytest.approx(0.575, abs=0.06)


def test_one_picture_for_ever_is_seen_as_such(collapsed, honest):
    assert collapsed["modes_captured"].value == 1
    assert collapsed["modes_with_5"].value == 1
    assert collapsed["kl_to_uniform"].value == pytest.approx(np.log(1_000))
    assert collapsed["pair_distance"].value == 0
    assert collapsed["digit_frechet"].low > 20 * honest["digit_frechet"].value


def test_the_numbers_are_those_of_the_metrics_on_the_features(real, honest):
    seen = [digit_features.features(images) for images in real]
    labels = modes.measure(seen[0].labels, seen[2].labels)
    assert honest["modes_captured"] == labels["modes_captured"]
    assert honest["kl_to_uniform"] == labels["kl_to_uniform"]
    assert honest["digit_frechet"] == frechet.measure(*(one.features for one in seen))
    assert honest["confidence"].value == pytest.approx(seen[0].confidence.mean())
    assert honest["confidence"].floor == pytest.approx(seen[2].confidence.mean())


def test_the_distance_of_pairs_of_black_and_white_pictures():
    """Half black, half white: a pair differs with probability ½, and then by 1."""
    images = np.zeros((2_000, 28, 28, 1), np.uint8)
    images[:1_000] = 255
    distances = pictures.pair_distances(images)
    assert distances.shape == (1_000,)
    assert set(np.unique(distances)) == {0, 1}
    assert distances.mean() == pytest.approx(0.5, abs=0.05)


def test_unequal_numbers_are_refused(real):
    with pytest.raises(ValueError, match="999 against 1000"):
        pictures.score(real[0], real[1], real[2][1:])
