"""Names of slices are Google's: chips for v5e and v6e, TensorCores for the others."""

import importlib.util

import pytest

from launch.ahead import targets
from launch.ahead.chips import CHIPS
from research.errors import UserError

# From Cloud TPU's pages of each generation: name, chips, topology.
DOCUMENTED = [
    ("v4-8", 4, "2x2x1"),
    ("v4-32", 16, "2x2x4"),
    ("v4-4096", 2048, "8x16x16"),
    ("v5e-1", 1, "1x1"),
    ("v5e-8", 8, "2x4"),
    ("v5e-256", 256, "16x16"),
    ("v5p-8", 4, "2x2x1"),
    ("v5p-128", 64, "4x4x4"),
    ("v5p-12288", 6144, "16x16x24"),
    ("v6e-16", 16, "4x4"),
    ("v7x-8", 4, "2x2x1"),
    ("h100-8", 8, "8"),
]


@pytest.mark.parametrize(("name", "chips", "topology"), DOCUMENTED)
def test_a_name_means_what_the_cloud_means(name, chips, topology):
    found = targets.find(name)
    assert (found.chips, found.topology) == (chips, topology)
    assert found.devices == chips * (2 if name.startswith("v7x") else 1)


def test_the_clouds_other_names_are_taken():
    assert targets.find("v5litepod-8").name == "v5e-8"
    assert targets.find("tpu7x-8").name == "v7x-8"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("v5e-9", "did you mean 'v5e-8'? (v5e comes in 1, 4, 8,"),
        ("v5e-300", "did you mean 'v5e-256'?"),
        ("v4-4", "did you mean 'v4-8'? (v4 comes in 8, 16,"),
        ("v5p-24", "no such slice"),
        ("v5-8", "did you mean 'v5"),
        ("h100-3", "(h100 comes in 1, 8 cards)"),
        ("v5e", "did you mean 'v5e-1'?"),
        ("v5e-0", "did you mean 'v5e-1'?"),
        ("$(reboot)", "--target $(reboot) (known:"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_nearest(name, says):
    with pytest.raises(UserError) as refused:
        targets.find(name)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_half_a_v7x_chip_is_a_device():
    whole, half = CHIPS["v7x"], CHIPS["v7x"].of_device()
    assert half.memory * 2 == whole.memory == 192 * 2**30
    assert half.flops * 2 == whole.flops == 2307e12
    assert CHIPS["v5e"].of_device() == CHIPS["v5e"]


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu")
@pytest.mark.parametrize("name", ["v4-8", "v4-16", "v5e-1", "v5e-256", "v5p-16",
                                  "v6e-8", "v7x-8"])  # fmt: skip
def test_the_compiler_shows_as_many_devices(name):
    found = targets.find(name)
    assert len(targets.devices(found)) == found.devices


@pytest.mark.skipif(
    not importlib.util.find_spec("jax_cuda13_plugin"), reason="needs CUDA's compiler"
)
@pytest.mark.parametrize("name", ["h100-1", "h100-8"])
def test_cards_are_shown_without_a_card(name):
    found = targets.find(name)
    shown = targets.devices(found)
    assert len(shown) == found.devices
    assert "H100" in shown[0].device_kind
