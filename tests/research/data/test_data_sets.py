"""What holds for every data set found in the folder, a fork's too, with no network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import data, media, parts
from research.errors import UserError
from research.experiment import Data

NAMES = parts.names("research.data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty data folder; what asks for the network finds a closed door."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        yield tmp_path_factory.mktemp("data")


def attempt(part, split, folder):
    """The split or None, and the line it was refused with."""
    try:
        return part.load(split, folder), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_it_loads_or_says_what_ships_instead(name, split, folder):
    try:
        part = data.find(Data(name), batch_size=8)
    except UserError:  # one that reads a file of the user's
        return
    found, refusal = attempt(part, split, folder)
    if found is None and "pip install" in refusal:
        pytest.skip(refusal)
    if found is None:
        assert name not in ("digits", "stacked_digits"), refusal
        assert "digits or stacked_digits, which need no network" in refusal
        assert "\n" not in refusal
        return
    positions = jnp.arange(found.examples - 8, found.examples + 8, dtype=jnp.uint32)
    drawn = jax.jit(part.batch)(found.arrays, jnp.uint32(1), positions)
    entry = media.of(part).ENTRY
    assert len(drawn[entry]) == 16
    if media.name_of(part) == "pictures":
        assert drawn["image"].shape == (16, *part.IMAGE_SHAPE)
        assert drawn["image"].dtype == jnp.uint8
    if "label" in drawn:
        assert drawn["label"].shape == (16,)
        assert drawn["label"].dtype == jnp.int32
        assert 0 <= drawn["label"].min() <= drawn["label"].max() < part.LABELS
    other = jax.jit(part.batch)(found.arrays, jnp.uint32(2), positions)
    if name == "dirac":  # one point, whatever the seed
        return
    assert not np.array_equal(drawn[entry], other[entry])


@pytest.mark.parametrize("field", ["path", "length"])
def test_a_setting_that_a_data_set_does_not_take_is_refused(field):
    settings = Data("digits", **{field: 7})
    with pytest.raises(UserError, match=f"--data.{field} 7: digits has no {field}"):
        data.find(settings)
