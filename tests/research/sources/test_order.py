"""The order of the examples: each epoch a permutation, all of them well mixed."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from research.errors import UserError
from research.sources.order import ROUNDS, batch, shuffled

MASK = 0xFFFFFFFF


@partial(jax.jit, static_argnames=("examples", "stream"))
def draw(seed, positions, examples, stream=0):
    return shuffled(seed, positions, examples, stream)


def epochs(seed, examples, number, stream=0):
    """The orders of the first epochs, int [number, examples]."""
    positions = jnp.arange(number * examples, dtype=jnp.uint32)
    return np.asarray(draw(seed, positions, examples, stream)).reshape(number, examples)


def hashed(x):
    x = (x ^ x >> 16) * 0x85EBCA6B & MASK
    x = (x ^ x >> 13) * 0xC2B2AE35 & MASK
    return x ^ x >> 16


def by_hand(seed, position, examples, stream):
    """The same order in Python integers, written from the docstring."""
    golden = 0x9E3779B9
    epoch, value = divmod(position, examples)
    key = hashed(hashed(hashed((seed + golden) & MASK) ^ stream) ^ epoch)
    columns = next(c for c in itertools.count(1) if c * c >= examples)
    rows = next(r for r in itertools.count(1) if r * columns >= examples)
    while True:
        row, column = divmod(value, columns)
        for number in range(ROUNDS):
            round_key = hashed((key + golden * (number + 1)) & MASK)
            if number % 2 == 0:
                row = (row + hashed((column + round_key) & MASK)) % rows
            else:
                column = (column + hashed((row + round_key) & MASK)) % columns
        value = row * columns + column
        if value < examples:
            return value


@pytest.mark.parametrize("examples", [1, 2, 3, 7, 1000, 4000, 4001, 60_000])
def test_each_epoch_visits_every_example_once(examples):
    orders = epochs(5, examples, 3)
    np.testing.assert_array_equal(
        np.sort(orders, axis=1), np.tile(np.arange(examples), (3, 1))
    )


@pytest.mark.parametrize("examples", [1, 2, 5, 4000, 60_000, 2**31 - 1])
@pytest.mark.parametrize("seed", [0, 17, MASK])
def test_the_values_are_those_of_integers_without_a_word_size(examples, seed):
    positions = [0, 1, examples - 1, examples, 2 * examples + 1, 2**31 + 5, MASK]
    got = draw(np.uint32(seed), jnp.array(positions, jnp.uint32), examples, 2)
    assert got.dtype == jnp.int32
    assert got.tolist() == [by_hand(seed, p, examples, 2) for p in positions]


def test_the_order_does_not_depend_on_the_size_of_the_batch():
    whole = epochs(3, 4000, 2).ravel()
    for size in (1, 7, 128):
        parts = [
            draw(3, jnp.arange(start, start + size, dtype=jnp.uint32), 4000)
            for start in range(3990, 3990 + 20 * size, size)
        ]
        drawn = np.concatenate(parts)
        np.testing.assert_array_equal(drawn, whole[3990 : 3990 + 20 * size])


def test_the_order_is_the_same_under_vmap_and_scan():
    positions = jnp.arange(3900, 4100, dtype=jnp.uint32).reshape(10, 20)
    want = draw(3, positions, 4000)
    mapped = jax.vmap(lambda p: shuffled(3, p, 4000))(positions)
    _, scanned = jax.lax.scan(
        lambda _, p: (None, shuffled(3, p, 4000)), None, positions
    )
    np.testing.assert_array_equal(mapped, want)
    np.testing.assert_array_equal(scanned, want)


def test_four_devices_draw_the_batch_of_one():
    program = """
import jax, jax.numpy as jnp, numpy as np
from research.sources.order import shuffled
assert jax.local_device_count() == 4
positions = jnp.arange(3936, 4064, dtype=jnp.uint32)
draw = lambda p: shuffled(9, p, 4000)
whole = jax.jit(draw)(positions)
ranks = jax.pmap(draw)(positions.reshape(4, 32))
np.testing.assert_array_equal(np.asarray(ranks).ravel(), whole)
automatic = (jax.sharding.AxisType.Auto,)
mesh = jax.make_mesh((4,), ("batch",), axis_types=automatic)
spec = jax.sharding.PartitionSpec("batch")
shards = jax.shard_map(draw, mesh=mesh, in_specs=spec, out_specs=spec)
np.testing.assert_array_equal(jax.jit(shards)(positions), whole)
"""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_every_example_is_as_likely_at_every_place():
    """Chi-square of (place, example) over many epochs: 50 × 50 cells, 4,000 epochs."""
    orders = epochs(1, 50, 4000)
    counts = np.zeros((50, 50))
    np.add.at(counts, (np.tile(np.arange(50), 4000), orders.ravel()), 1)
    statistic = ((counts - 80) ** 2 / 80).sum()
    low, high = scipy.stats.chi2.ppf([1e-4, 1 - 1e-4], 49 * 49)
    assert low < statistic < high


def test_all_orders_of_four_examples_are_as_likely():
    counts = Counter(map(tuple, epochs(1, 4, 24_000).tolist()))
    assert len(counts) == 24
    statistic = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert statistic < scipy.stats.chi2.ppf(1 - 1e-4, 23)


@pytest.mark.parametrize("examples", [1000, 4000])
def test_neighbours_epochs_seeds_and_streams_are_independent(examples):
    """Agreements between two independent permutations are Poisson with mean 1."""
    number = 300
    orders, other_seed = epochs(1, examples, number), epochs(2, examples, number)
    other_stream = epochs(1, examples, number, stream=1)
    pairs = {
        "identity": (orders, np.arange(examples)),
        "epochs": (orders[1:], orders[:-1]),
        "seeds": (orders, other_seed),
        "streams": (orders, other_stream),
        "neighbours": (orders[:, 1:], orders[:, :-1] + 1),
    }
    for name, (left, right) in pairs.items():
        agreements = (left == right).sum()
        expected = len(left)
        assert abs(agreements - expected) < 4.5 * np.sqrt(expected), name
        values = np.broadcast_to(right, left.shape).ravel()
        if name == "neighbours":  # chance alone gives 1 / √n
            values = values - 1
        correlation = np.corrcoef(left.ravel(), values)[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(left.size), name


def test_a_batch_indexes_every_array_alike():
    arrays = {"image": jnp.arange(30).reshape(10, 3), "label": jnp.arange(10) * 3}
    drawn = batch(arrays, 4, jnp.arange(8, dtype=jnp.uint32))
    np.testing.assert_array_equal(drawn["image"][:, 0], drawn["label"])
    with pytest.raises(ValueError, match="different lengths"):
        batch({"a": jnp.ones(3), "b": jnp.ones(4)}, 0, jnp.uint32([0]))


def test_what_cannot_be_ordered_is_refused():
    positions = jnp.arange(4, dtype=jnp.uint32)
    with pytest.raises(UserError, match="cannot order 0 examples"):
        shuffled(0, positions, 0)
    with pytest.raises(UserError, match="seed is -1"):
        shuffled(-1, positions, 4)
