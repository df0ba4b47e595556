"""The supervised task against closed forms in float64 numpy."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import data, parts
from research.data import digits, temperatures
from research.errors import UserError
from research.experiment import Data, Experiment
from research.models import digit_classifier, lstm, seed_pair, stacked_lstm
from research.optimizers import Optimizer
from research.outcomes import correct, cross_entropy
from research.tasks.gan import Gan
from research.tasks.supervised import Supervised
from research.training import job, run
from research.training.axes import BATCH

PICTURES, CLASSES, RATE = 5, 10, 0.5
LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0]])
TARGETS = np.array([0, 2, 0])


def log_softmax(logits):
    logits = np.float64(logits)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def smoothed(targets, classes, share):
    """Szegedy 2016, section 7: (1 − ε) on the target, ε/K on every class."""
    return (1 - share) * np.eye(classes)[targets] + share / classes


def test_cross_entropy_golden_values():
    got = cross_entropy(jnp.float32(LOGITS), jnp.array(TARGETS))
    # −ln of e²/(e² + e⁻¹ + e^½), of 1/3, and of e⁻³/(e⁻³ + e⁴ + e)
    np.testing.assert_allclose(got, [0.2413113, np.log(3), 7.0494562], rtol=1e-6)
    want = -log_softmax(LOGITS)[range(3), TARGETS]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_label_smoothing(share):
    got = cross_entropy(jnp.float32(LOGITS), jnp.array(TARGETS), share)
    want = -(smoothed(TARGETS, 3, share) * log_softmax(LOGITS)).sum(-1)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_sure_mistake_costs_its_logit_and_no_infinity():
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4]])
    targets = jnp.array([1, 1])
    loss = jax.value_and_grad(lambda x: cross_entropy(x, targets).sum())
    value, gradient = loss(logits)
    np.testing.assert_allclose(value, 1e4)
    np.testing.assert_allclose(gradient, [[1, -1], [0, 0]], atol=1e-6)


def test_correct_is_where_the_target_has_the_largest_logit():
    got = correct(jnp.float32(LOGITS[[0, 2]]), jnp.array([0, 0]))
    np.testing.assert_array_equal(got, [1.0, 0.0])
    sequence = correct(jnp.float32(LOGITS)[None], jnp.array([[0, 1, 1]]))
    np.testing.assert_array_equal(sequence, [[1.0, 0.0, 1.0]])


# --- a step of a linear model --------------------------------------------------------


class Linear(nn.Module):
    """Logits at every row, linear in it: its gradient has a closed form."""

    @nn.compact
    def __call__(self, x, train=False):
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[-1], CLASSES))
        return x @ kernel, None


@dataclasses.dataclass(frozen=True)
class LinearModel:
    family = "lstm"

    def module(self):
        return Linear()


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    batch = {
        "image": jnp.uint8(rng.integers(0, 256, (PICTURES, 28, 28, 1))),
        "label": jnp.int32(rng.integers(0, CLASSES, PICTURES)),
        "position": jnp.arange(PICTURES, dtype=jnp.uint32),
    }
    kernel = rng.normal(scale=0.3, size=(28, CLASSES)).astype(np.float32)
    return batch, kernel


def linear_task(share=0.0):
    optimizer = Optimizer("sgd", RATE, beta1=0.0)
    return Supervised("rows", label_smoothing=share).build(LinearModel(), optimizer, 9)


def state_of(task, batch, kernel):
    state = jax.jit(task.init)(jax.random.key(0), batch)
    return state._replace(params={"kernel": jnp.asarray(kernel)})


def in_numpy(batch, kernel):
    """Rows in [0, 1], log-probabilities and targets at every row."""
    rows = np.float64(batch["image"])[..., 0] / 255
    targets = np.repeat(np.asarray(batch["label"])[:, None], 28, 1)
    return rows, log_softmax(rows @ np.float64(kernel)), targets


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_step_descends_the_mean_cross_entropy(problem, share):
    """Its gradient is xᵀ(p − y)/N over all N rows of the batch."""
    batch, kernel = problem
    task = linear_task(share)
    state = state_of(task, batch, kernel)
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=BATCH))
    one = jax.tree.map(lambda a: a[None], batch)
    new, metrics = jax.tree.map(lambda a: a[0], step(state, one, jax.random.key(1)))
    rows, logs, targets = in_numpy(batch, kernel)
    wanted = smoothed(targets, CLASSES, share)
    gradient = np.einsum("btf,btc->fc", rows, np.exp(logs) - wanted) / targets.size
    want = kernel - RATE * gradient
    np.testing.assert_allclose(new.params["kernel"], want, atol=1e-6)
    loss = -(wanted * logs).sum(-1).mean()
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    right = (logs.argmax(-1) == targets).mean()
    assert 0 < right < 1
    np.testing.assert_allclose(metrics["accuracy"], right, rtol=1e-6)
    norm = np.sqrt((gradient**2).sum())
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)
    assert new.step == state.step + 1 == 1


def test_evaluation_tells_each_example_and_never_smooths(problem):
    batch, kernel = problem
    task = linear_task(share=0.2)
    assert task.evaluate is not None
    found = jax.jit(task.evaluate)(state_of(task, batch, kernel), batch)
    _, logs, targets = in_numpy(batch, kernel)
    nats = -np.take_along_axis(logs, targets[..., None], -1)[..., 0]
    right = logs.argmax(-1) == targets
    np.testing.assert_allclose(found["loss"], nats.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], right.mean(1), rtol=1e-6)
    np.testing.assert_array_equal(found["last_step_accuracy"], right[:, -1])


def test_what_a_task_can_do_is_its_encoding_s():
    optimizer = Optimizer()
    rows = Supervised("rows").build(lstm.Model(), optimizer, 1)
    assert rows.draw is None
    assert rows.as_drawn is None
    pixels = Supervised("pixels").build(lstm.Model(), optimizer, 1)
    assert pixels.draw is not None
    assert pixels.as_drawn is not None
    assert pixels.evaluate is not None


def test_parameters_are_counted():
    task = Supervised("pictures").build(digit_classifier.Model(), Optimizer(), 1)
    batch = {
        "image": jnp.zeros((2, 28, 28, 1), jnp.uint8),
        "label": jnp.zeros(2, jnp.int32),
    }
    state = jax.eval_shape(task.init, jax.random.key(0), batch)
    assert task.parameters(state) == {"model": 435_514}
    # BatchNorm's statistics are state and no parameters.
    assert len(jax.tree.leaves(state.stats)) == 8


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_outside_of_0_and_1_is_refused(share):
    with pytest.raises(UserError, match=f"--task.label-smoothing is {share}"):
        linear_task(share)


@pytest.mark.parametrize("encoding", ["frames", "adding", "series"])
def test_smoothing_of_what_has_no_classes_is_refused(encoding):
    task = Supervised(encoding, label_smoothing=0.1)
    with pytest.raises(UserError, match=rf"is 0.1, and .* {encoding} has no classes"):
        task.build(stacked_lstm.Model(), Optimizer(), 1)


def test_an_unknown_encoding_is_refused():
    near = "research/encodings has no 'pixel'; did you mean 'pixels'"
    with pytest.raises(UserError, match=near):
        Supervised("pixel").build(LinearModel(), Optimizer(), 1)


def test_the_drawing_model_remembers(problem):
    """`draw` hands the LSTM's state on: the whole sequence at once says the same."""
    task = Supervised("pixels").build(lstm.Model(hidden=4, classes=8), Optimizer(), 1)
    assert task.draw is not None
    module = lstm.Model(hidden=4, classes=8).module()
    batch = {
        "image": jnp.zeros((1, 28, 28, 3), jnp.uint8),
        "label": jnp.zeros(1, jnp.int32),
    }
    state = jax.eval_shape(task.init, jax.random.key(0), batch)
    rng = np.random.default_rng(7)
    params = jax.tree.map(
        lambda s: jnp.float32(rng.normal(scale=2, size=s.shape)), state.params
    )
    # Logits so large that the choice is certain: the picture is a function of weights.
    params["Dense_0"]["kernel"] *= 1e5
    state = state._replace(params=params, stats={}, optimizer=None)
    (picture,) = jax.jit(task.draw)(state, jax.random.split(jax.random.key(1), 1))
    encoding = parts.find("research.encodings", "pixels")
    inputs, symbols = encoding.encode({"image": picture[None]}, None)
    logits, _ = module.apply({"params": params}, inputs)
    np.testing.assert_array_equal(jnp.argmax(logits, -1), symbols)
    assert len(np.unique(symbols)) > 2


def test_series_are_drawn_as_long_as_the_data_s_and_by_a_model_that_remembers():
    """Drawn without noise to speak of, the whole series at once says the same."""
    sets = data.find(Data("sorting", length=7))  # one channel
    how = Experiment(
        steps=1,
        batch_size=2,
        data=Data("sorting", length=7),
        model=lstm.Model(hidden=4, classes=2),
        task=Supervised("series"),
        optimizer=Optimizer(),
    )
    task = job.task_of(how, sets)
    rng = np.random.default_rng(7)
    batch = {"frames": jnp.zeros((1, 7, 1))}
    state = jax.eval_shape(task.init, jax.random.key(0), batch)
    params = jax.tree.map(
        lambda s: jnp.float32(rng.normal(scale=2, size=s.shape)), state.params
    )
    params["Dense_0"]["kernel"] *= jnp.array([1, 0])
    params["Dense_0"]["bias"] = jnp.array([0.5, -1e4])  # the least deviation, 0.001
    state = state._replace(params=params, stats={}, optimizer=None)
    drawn = jax.jit(task.draw)(state, jax.random.split(jax.random.key(1), 3))
    assert drawn.shape == (3, 7, 1)
    inputs, _ = parts.find("research.encodings", "series").encode(
        {"frames": drawn}, None
    )
    outputs, _ = how.model.module().apply({"params": params}, inputs)
    np.testing.assert_allclose(drawn, outputs[..., :1], atol=5e-3)
    assert np.ptp(drawn[0]) > 0.1


def test_a_model_of_another_family_is_refused():
    with pytest.raises(UserError, match=r"models\.seed_pair has no `module`"):
        Supervised().build(seed_pair.Model(), Optimizer(), 1)
    with pytest.raises(UserError, match=r"models\.lstm has no `generator`"):
        Gan().build(lstm.Model(), Optimizer(), 1)


@pytest.mark.parametrize(
    ("encoding", "classes", "why"),
    [("rows", 9, "data's labels: give 10"), ("pixels", 7, "symbols: give 8")],
)
def test_fewer_classes_than_the_targets_have_are_refused(encoding, classes, why):
    task = Supervised(encoding).build(lstm.Model(classes=classes), Optimizer(), 1)
    with pytest.raises(UserError, match=f"--model.classes {classes} is fewer.*{why}"):
        task.check(digits)
    enough = Supervised(encoding).build(lstm.Model(classes=classes + 1), Optimizer(), 1)
    enough.check(digits)


@pytest.mark.parametrize(
    ("encoding", "dataset", "needed"),
    [("series", temperatures, 5), ("frames", SimpleNamespace(MEDIUM="music"), 88)],
)
def test_outputs_of_another_number_than_vectors_have_are_refused(
    encoding, dataset, needed
):
    for classes in (needed - 1, needed + 1):
        task = Supervised(encoding).build(lstm.Model(classes=classes), Optimizer(), 1)
        says = f"--model.classes {classes}: .* give --model.classes {needed}"
        with pytest.raises(UserError, match=says):
            task.check(dataset)
    task = Supervised(encoding).build(lstm.Model(classes=needed), Optimizer(), 1)
    task.check(dataset)


@pytest.mark.parametrize(
    ("encoding", "dataset", "says"),
    [
        ("series", digits, r"SHAPE of \(steps, channels\): take --data"),
        ("frames", temperatures, r"88 keys, the data has frames of 2: take --data"),
        (
            "addition",
            data.find(Data("text", path=Path("a"))),
            "makes, and nothing else",
        ),
    ],
)
def test_data_of_another_medium_than_vectors_have_are_refused(encoding, dataset, says):
    task = Supervised(encoding).build(lstm.Model(classes=88), Optimizer(), 1)
    with pytest.raises(UserError, match=says):
        task.check(dataset)


def test_data_without_what_an_encoding_reads_is_refused():
    """Pictures of the user's own may have no labels."""
    task = Supervised("pictures").build(digit_classifier.Model(), Optimizer(), 1)
    images = {"image": jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.uint8)}
    says = r"encodings\.pictures reads 'label' .* hold 'image' alone: take"
    with pytest.raises(UserError, match=says):
        jax.eval_shape(task.init, jax.random.key(0), images)


def test_a_backend_that_cannot_is_told_before_training():
    model = lstm.Model(backend="pallas_gpu")
    rows = Experiment(1, 8, Data("digits"), model, Supervised(), Optimizer())
    with pytest.raises(UserError, match=r"backend .pallas_gpu. cannot do this:"):
        run.refuse("rows", rows)


@pytest.mark.parametrize("encoding", ["pixels", "frames", "notes", "series"])
def test_a_model_that_reads_ahead_predicts_nothing_that_follows(encoding):
    model = stacked_lstm.Model(bidirectional=True)
    with pytest.raises(UserError, match=r"--model.bidirectional reads what follows"):
        Supervised(encoding).build(model, Optimizer(), 1)
    Supervised("rows").build(model, Optimizer(), 1)  # labels may be read from both ends
