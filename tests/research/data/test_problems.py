"""Problems made by a rule: what they ask, their answers, and what a guess scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import data
from research.data import copy_memory
from research.encodings import adding as asked_sum
from research.encodings import addition, pixel_steps, sorting
from research.encodings import copy_memory as asked_copy
from research.errors import UserError
from research.experiment import Data
from research.outcomes import OUTCOMES

COUNT = 2_000


def drawn(name, length=None, split="train", seed=0, count=COUNT):
    part = data.find(Data(name, length=length))
    arrays = part.load(split).arrays
    positions = jnp.arange(count, dtype=jnp.uint32)
    found = jax.jit(part.batch)(arrays, jnp.uint32(seed), positions)
    return part, {name: np.asarray(array) for name, array in found.items()}


@pytest.mark.parametrize("name", ["adding", "copy_memory", "sorting", "addition"])
def test_splits_and_seeds_are_independent_and_a_position_is_one_example(name):
    part, found = drawn(name)
    ((entry, train),) = found.items()
    assert train.shape == (COUNT, *part.SHAPE)
    np.testing.assert_array_equal(drawn(name, count=9)[1][entry], train[:9])
    for other in (drawn(name, split="test"), drawn(name, seed=1)):
        assert (other[1][entry] != train).mean() > 0.1


@pytest.mark.parametrize("length", [2, 7])
def test_adding_marks_a_number_of_each_half(length):
    part, batch = drawn("adding", length)
    marks, half = batch["frames"][..., 1], length // 2
    assert batch["frames"].shape == (COUNT, length, 2)
    np.testing.assert_array_equal(marks[:, :half].sum(1), 1)
    np.testing.assert_array_equal(marks[:, half:].sum(1), 1)
    assert (marks.sum(0) > 0).all()  # every place is marked at times
    inputs, targets = asked_sum.encode(batch, None)
    want = [frames[frames[:, 1] == 1, 0].sum() for frames in batch["frames"]]
    np.testing.assert_allclose(targets[:, 0], want, rtol=1e-6)
    np.testing.assert_array_equal(inputs, batch["frames"])
    # One, whatever was read; its error's standard deviation over 2,000 is 0.004.
    losses, _ = OUTCOMES["numbers"].losses(jnp.ones((COUNT, 1, 1)), targets, 0)
    floor = part.memoryless(length)["memoryless_squared_error"].value
    assert abs(float(losses.mean()) - floor) < 0.02


def test_copy_memory_is_the_format_of_the_papers_and_its_guess_costs_what_it_says():
    part, batch = drawn("copy_memory", 5)
    inputs, targets = asked_copy.encode(batch, None)
    said = np.asarray(inputs.argmax(-1))
    assert said.shape == targets.shape == (COUNT, 25)
    assert set(said[:, :10].ravel()) == set(range(1, 9))
    assert (said[:, 10:14] == 0).all()
    assert (said[:, 14:] == 9).all()
    np.testing.assert_array_equal(targets[:, -10:], said[:, :10])
    assert (np.asarray(targets[:, :-10]) == 0).all()
    # Blanks for sure, then a guess among eight.
    logits = np.full((COUNT, 25, 10), -50.0, np.float32)
    logits[:, :-10, 0] = logits[:, -10:, 1:9] = 50
    losses, _ = OUTCOMES["symbols"].losses(jnp.asarray(logits), targets, 0)
    floor = part.memoryless(5)["memoryless_nats"].value
    assert float(losses.mean()) == pytest.approx(floor, rel=1e-4)
    logits[:, -10:, 3] += 1  # three, for all
    share = asked_copy.measure(jnp.asarray(logits), targets)["recalled"]
    want = (np.asarray(targets)[:, -10:] == 3).mean(1)
    np.testing.assert_allclose(share, want, rtol=1e-6)
    assert copy_memory.RECALLED == 10


def test_sorting_s_targets_bring_the_numbers_in_rising_order():
    _, batch = drawn("sorting", 6)
    (numbers, before), places = sorting.encode(batch, None)
    written = np.take_along_axis(np.asarray(numbers[..., 0]), np.asarray(places), 1)
    assert (np.diff(written, axis=1) > 0).all()
    np.testing.assert_array_equal(before[:, 1:], places[:, :-1])
    assert (before[:, 0] == -1).all()
    right = jax.nn.one_hot(places, 6)
    wrong = right.at[0, 2].set(right[0, 3])
    np.testing.assert_array_equal(sorting.measure(right, places)["exact"], 1)
    assert sorting.measure(wrong, places)["exact"][0] == 0


def test_addition_is_written_in_digits_and_right():
    part, batch = drawn("addition", 3)
    lines = [bytes(row.astype(np.uint8)).decode() for row in batch["tokens"]]
    for line in lines:
        left, right = int(line[:3]), int(line[4:7])
        assert line == f"{left:03}+{right:03}={left + right:04}"
    (source, before), targets = addition.encode(batch, None)
    symbols = np.array(list("+,-./0123456789:;<="))
    assert "".join(symbols[source[5]]) == lines[5][:7]
    for row in range(50):  # from the lowest digit
        total = lines[row][:7:-1]
        assert "".join(symbols[before[row]]) == "=" + total[:-1]
        assert "".join(map(str, np.asarray(targets[row]))) == total
    assert max(source.max(), before.max()) < addition.READ
    # The entropy of the first digit, a carry or none, and of even ones after it.
    shares = np.bincount(np.asarray(targets[:, -1]), minlength=2) / COUNT
    first = -(shares * np.log(shares)).sum()
    want = (first + 3 * np.log(10)) / 4
    assert part.memoryless(3)["memoryless_nats"].value == pytest.approx(want, abs=2e-3)


def test_pixels_come_one_by_one_and_the_label_is_asked_for_once():
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 1), np.uint8)
    batch = {"image": jnp.asarray(image), "label": jnp.array([7, 1])}
    inputs, targets = pixel_steps.encode(batch, None)
    assert inputs.shape == (2, 12, 1)
    np.testing.assert_allclose(inputs[1, 6, 0], image[1, 1, 2, 0] / 255, rtol=1e-6)
    np.testing.assert_array_equal(targets, [[7], [1]])


@pytest.mark.parametrize(
    ("name", "length", "limits"),
    [
        ("adding", 0, "from 2 to 100,000"),
        ("copy_memory", 0, "from 1 to 100,000"),
        ("copy_memory", 100_001, "from 1 to 100,000"),
        ("sorting", 1_001, "from 2 to 1,000"),
        ("sorting", 0, "from 2 to 1,000"),
        ("addition", 0, "from 1 to 9"),
        ("addition", 10, "from 1 to 9"),
    ],
)
def test_a_length_that_a_problem_does_not_have_is_refused(name, length, limits):
    with pytest.raises(UserError, match=f"length {length}: {name} has .*{limits}"):
        data.find(Data(name, length=length))
