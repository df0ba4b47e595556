"""Truncated BPTT: the carried state, on any number of devices, and after a restart."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState
from research import parts
from research.errors import UserError
from research.experiment import Data, Experiment
from research.media import pictures
from research.models import baseline_rnn, stacked_lstm
from research.models.lstm import Lstm
from research.optimizers import Optimizer
from research.sampling import Sampling
from research.sources.streams import Text
from research.tasks._streams import restarted
from research.tasks.language import Language
from research.training.axes import BATCH
from research.training.job import Job, prepare, with_settings
from research.training.members import Members
from research.training.not_finite import guarded
from research.training.summary import evaluator_of, measure

SYMBOLS, HIDDEN, ROWS, LENGTH = 256, 5, 4, 6


class Small(nn.Module):
    """One-hot bytes → LSTM → logits."""

    @nn.compact
    def __call__(self, symbols, train=False, state=None):
        x = jax.nn.one_hot(symbols, SYMBOLS)
        y, h, c = Lstm(HIDDEN, "xla")(x, state)
        return nn.Dense(SYMBOLS)(y), LstmState(h, c)

    def start(self, streams):
        zeros = jnp.zeros((streams, HIDDEN))
        return LstmState(zeros, zeros)


@dataclasses.dataclass(frozen=True)
class Model:
    family = "lstm"

    def module(self):
        return Small()


@pytest.fixture(scope="module")
def text():
    written = np.random.default_rng(1).integers(97, 107, 6_000, np.uint8).tobytes()
    return Text("letters", lambda: written, ROWS, LENGTH)


@functools.cache
def task_of(rate=0.0, **settings):
    return Language(**settings).build(Model(), Optimizer("sgd", rate, beta1=0.0), 9)


@functools.cache
def compiled(task, devices):
    """A step over so many devices, those of vmap."""
    del devices  # the shapes tell

    def step(state, batch):
        many = jax.vmap(task.step, (None, 0, None), axis_name=BATCH)
        new, metrics = many(state, batch, jax.random.key(0))
        return jax.tree.map(lambda a: a[0], (new, metrics["loss"].mean()[None]))

    return jax.jit(step)


def trained(task, text, steps, devices, state=None):
    """The state after `steps` more, on so many devices, and the losses."""
    arrays = jax.tree.map(jnp.asarray, text.load("train").arrays)
    local = ROWS // devices

    @jax.jit
    def batch_of(number):
        return jax.vmap(share, (0, None))(jnp.arange(devices), number)

    def share(rank, number):
        first = number * ROWS + rank * local
        positions = first.astype(jnp.uint32) + jnp.arange(local, dtype=jnp.uint32)
        return text.batch(arrays, 0, positions) | {"position": positions}

    if state is None:
        example = jax.eval_shape(share, jnp.uint32(0), jnp.uint32(0))
        example = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), example)
        state = task.init(jax.random.key(0), example)
        rows = ROWS  # init counts the real devices
        state = state._replace(
            memory=jax.tree.map(lambda a: a[:1].repeat(rows, 0), state.memory)
        )

    step = compiled(task, devices)
    losses = []
    for _ in range(steps):
        state, loss = step(state, batch_of(state.step))
        losses.append(float(loss))
    return state, losses


def test_windows_with_a_carried_state_are_one_long_reading(text):
    """At rate 0 the losses of 5 windows are those of one window 5 times as long."""
    task = task_of()
    state, losses = trained(task, text, 5, 1)
    arrays = jax.tree.map(jnp.asarray, text.load("train").arrays)
    tokens = text.batch(arrays, 0, jnp.arange(5 * ROWS, dtype=jnp.uint32))["tokens"]
    windows = tokens.reshape(5, ROWS, LENGTH + 1)
    inputs = jnp.concatenate(list(windows[:, :, :-1]), axis=1)
    targets = jnp.concatenate(list(windows[:, :, 1:]), axis=1)
    logits, last = Small().apply({"params": state.params}, inputs)
    logs = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], 2)
    want = -logs.reshape(ROWS, 5, LENGTH).mean((0, 2))
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    np.testing.assert_allclose(state.memory.c, last.c, atol=1e-6)
    # Without the carried state the later windows are read anew.
    _, cold = trained(task_of(carry=False), text, 5, 1)
    np.testing.assert_allclose(cold[0], losses[0], rtol=1e-6)
    assert np.abs(np.subtract(cold, losses))[1:].min() > 1e-6
    _, always = trained(task_of(restart=1.0), text, 5, 1)
    np.testing.assert_allclose(always, cold, rtol=1e-6)


def test_the_gradient_stops_at_the_window(text):
    """A step from a carried state takes that state as it is."""
    task = task_of(rate=0.5)
    two, _ = trained(task, text, 2, 1)
    one, _ = trained(task, text, 1, 1)
    arrays = jax.tree.map(jnp.asarray, text.load("train").arrays)
    positions = jnp.arange(ROWS, 2 * ROWS, dtype=jnp.uint32)
    tokens = text.batch(arrays, 0, positions)["tokens"]

    def loss(params):
        logits, _ = Small().apply({"params": params}, tokens[:, :-1], False, one.memory)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, tokens[:, 1:, None], 2).mean()

    gradient = jax.grad(loss)(one.params)
    want = jax.tree.map(lambda p, g: p - 0.5 * g, one.params, gradient)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), two.params, want
    )


@pytest.mark.parametrize(("devices", "restart"), [(2, 0.5), (4, 0.0)])
def test_the_number_of_devices_changes_nothing(text, devices, restart):
    task = task_of(rate=0.5, restart=restart)
    one, losses = trained(task, text, 4, 1)
    many, others = trained(task, text, 4, devices)
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), many, one)
    # A run goes on with another number of devices where it stood.
    half, _ = trained(task, text, 2, devices)
    rest, _ = trained(task, text, 2, 1, state=half)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), rest, one)


def test_windows_start_at_zero_as_often_as_is_said():
    first, second = (
        restarted(jax.random.key(n), jnp.arange(4_000), 0.3) for n in (0, 1)
    )
    error = np.sqrt(0.3 * 0.7 / 4_000)
    np.testing.assert_allclose([first.mean(), second.mean()], 0.3, atol=4 * error)
    np.testing.assert_allclose((first & second).mean(), 0.09, atol=4 * error)
    with pytest.raises(UserError, match=r"--task.restart is 1.5: a share lies"):
        task_of(restart=1.5)


def test_a_restarted_run_is_the_same_to_the_bit(text):
    task = task_of(rate=0.5)
    whole, _ = trained(task, text, 6, 2)
    half, _ = trained(task, text, 3, 2)
    saved = jax.tree.map(np.asarray, half)
    rest, _ = trained(task, text, 3, 2, state=jax.tree.map(jnp.asarray, saved))
    jax.tree.map(np.testing.assert_array_equal, rest, whole)


def test_an_epoch_whose_first_step_is_left_out_begins_at_zero(text):
    """Weights of NaN: every update is left out, the streams go on or begin."""
    splits = text.load("train"), text.load("test")
    how = Experiment(9, ROWS, Data(), Model(), None, Optimizer(), on_nan="skip")
    job = Job("letters", how, task_of(), text, *splits)
    state, _ = trained(task_of(), text, 1, 1)
    state = state._replace(
        params=jax.tree.map(lambda p: np.full_like(p, np.nan), state.params),
        memory=jax.tree.map(np.ones_like, state.memory),
    )
    of_two = Members([job]).step(2)
    step = jax.jit(jax.vmap(of_two, (None,) * 3, axis_name=BATCH, axis_size=2))
    an_epoch = splits[0].examples // ROWS
    for number, want in ((an_epoch - 1, 1), (an_epoch, 0)):
        before = guarded(state._replace(step=np.uint32(number)), 0, 0)
        after, metrics = step(before, {}, job.train.arrays)
        assert (metrics["skipped_updates"] == 1).all()
        assert (after.state.step == number + 1).all()
        for leaf in jax.tree.leaves(after.state.memory):
            assert (leaf == want).all()


def test_held_out_windows_are_scored_after_their_context(text):
    task = task_of()
    state, _ = trained(task, text, 1, 1)
    arrays = jax.tree.map(jnp.asarray, text.load("test").arrays)
    batch = text.batch(arrays, 0, jnp.arange(3, dtype=jnp.uint32))
    assert task.evaluate is not None
    found = jax.jit(task.evaluate)(state, batch)
    tokens = batch["tokens"]
    logits, _ = Small().apply({"params": state.params}, tokens[:, :-1])
    logs = np.asarray(jax.nn.log_softmax(logits))
    nats = -np.take_along_axis(logs, np.asarray(tokens)[:, 1:, None], 2)[..., 0]
    np.testing.assert_allclose(found["loss"], nats[:, -LENGTH:].mean(1), rtol=1e-5)


def test_a_text_is_drawn_with_its_own_key_and_the_model_s_state(text):
    """Temperature 0 is a function of the weights: reading what was drawn agrees."""
    task = task_of(sampling=Sampling(temperature=0), draw_length=12)
    assert task.suited is not None
    task = task.suited({"text": np.array([98, 97, 97], np.uint8)})
    state, _ = trained(task, text, 1, 1)
    rng = np.random.default_rng(5)
    params = jax.tree.map(lambda p: jnp.float32(rng.normal(size=p.shape)), state.params)
    state = state._replace(params=params)
    assert task.draw is not None
    drawn = jax.jit(task.draw)(state, jax.random.split(jax.random.key(0), 2))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    inputs = jnp.concatenate([jnp.full((2, 1), 97), drawn[:, :-1]], axis=1)
    logits, _ = Small().apply({"params": params}, inputs)
    np.testing.assert_array_equal(jnp.argmax(logits, -1), drawn)
    assert len(np.unique(drawn)) >= 2
    hot = task_of(draw_length=12).draw
    assert hot is not None
    keys = jax.random.split(jax.random.key(0), 3)
    drawn = np.asarray(jax.jit(hot)(state, keys))
    assert drawn[0].tolist() != drawn[1].tolist()
    np.testing.assert_array_equal(jax.jit(hot)(state, keys[::-1])[::-1], drawn)


def test_a_text_without_line_ends_is_written_after_a_byte_that_it_holds(tmp_path):
    """Of byte 10 nothing is learned from it."""
    full = parts.find("experiments", "text_lstm").experiment("minutes")
    for content, begin in ((b"a cab", "a"), (b"a cab\n", "\n")):
        (tmp_path / "text").write_bytes(content * 3_000)
        short = dataclasses.replace(full, data=Data("text", path=tmp_path / "text"))
        job = prepare("text_lstm", short)
        again = with_settings(job, short)
        assert job.task.begin == again.task.begin == ord(begin)


def test_settings_that_draw_nothing_and_data_that_is_no_text_are_refused():
    with pytest.raises(UserError, match=r"--task.draw-length is 0"):
        task_of(draw_length=0)
    with pytest.raises(UserError, match=r"--task.sampling.temperature is -1"):
        task_of(sampling=Sampling(temperature=-1))
    with pytest.raises(UserError, match="reads symbols, the data is of pictures"):
        Language().build(Model(), Optimizer(), 1, pictures)


@pytest.mark.parametrize(
    ("sizes", "flag"),
    [({}, "classes 10"), ({"classes": 256, "symbols": 255}, "symbols 255")],
)
def test_a_model_of_fewer_symbols_than_bytes_is_refused(text, sizes, flag):
    """A target without a logit would cost 0 nats."""
    task = Language().build(baseline_rnn.Model(**sizes), Optimizer(), 1)
    with pytest.raises(UserError, match=f"--model.{flag} is fewer .*: give 256"):
        task.check(text)
    Language().build(baseline_rnn.Model(classes=256), Optimizer(), 1).check(text)


def test_a_model_that_reads_ahead_is_refused():
    model = stacked_lstm.Model(classes=256, bidirectional=True)
    with pytest.raises(UserError, match=r"--model.bidirectional reads what follows"):
        Language().build(model, Optimizer(), 1)


def test_a_text_without_streams_is_refused():
    """A sum is an example of its own: no row goes on from a step to the next."""
    full = parts.find("experiments", "text_lstm").experiment("minutes")
    wrong = dataclasses.replace(full, data=Data("addition"))
    with pytest.raises(UserError, match=r"--data.name addition has no 'row' in its"):
        prepare("text_lstm", wrong)


def test_a_summary_tells_what_the_whole_held_out_text_costs_read_in_order(text):
    """At a rate of nearly 0 that of one long reading; at a real one less."""
    splits = text.load("train"), text.load("test")
    how = Experiment(1, ROWS, Data(), Model(), None, Optimizer(), score_pictures=0)
    state, _ = trained(task_of(), text, 1, 1)

    def told(rate):
        job = Job("letters", how, task_of(dynamic_rate=rate), text, *splits)
        metrics = measure(job, state, evaluator_of(job))["metrics"]
        return metrics["dynamic_bits_per_byte"]["value"] if rate else metrics

    assert "dynamic_bits_per_byte" not in told(0.0)
    tokens = splits[1].arrays["held_out"].astype(np.int32)[None]
    read = (tokens.shape[1] - 1) // LENGTH * LENGTH
    logits, _ = Small().apply({"params": state.params}, tokens[:, :read])
    logs = np.asarray(jax.nn.log_softmax(logits))
    nats = -np.take_along_axis(logs, tokens[:, 1 : read + 1, None], 2)
    np.testing.assert_allclose(told(1e-9), nats.mean() / np.log(2), rtol=1e-5)
    assert told(0.05) < 0.9 * told(1e-9)


def test_a_text_without_an_order_is_not_read_in_it():
    task = task_of(dynamic_rate=0.1)
    assert task.check is not None
    with pytest.raises(UserError, match=r"--task.dynamic-rate 0.1 reads a text in"):
        task.check(object())
    for rate in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"--task.dynamic-rate is .*: give a f"):
            Language(dynamic_rate=rate).build(Model(), Optimizer(), 1)
