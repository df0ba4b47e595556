# pyright: reportMissingImports=false
"""The character model, training and writing, beside the same model in PyTorch.

    symbols → embedding → LSTM → logits of the next symbol

at the sizes with which experiments/bible.py trains for minutes. A training step goes
from bytes on the device to the updated weights: the state carried from step to step,
the gradient over the whole window, its norm clipped, Adam. Writing is symbol by symbol,
each drawn from the softmax of the logits after the one before: ours is one compiled
loop, PyTorch's a loop in Python around its modules, as its users write it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.measure import interleaved, row, torch_on_all_cores
from research.data.bible import read
from research.experiment import Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.sampling import Sampling, continue_streams
from research.tasks._texts import BEGIN
from research.tasks.language import Language
from research.training import devices
from research.training.job import Job, initial_state, prepare, step_function
from research.training.strategies import COPIED, PLAIN, pmap

BYTES, EMBEDDING, HIDDEN = 256, 64, 256
BATCH_SIZE, LENGTH = 32, 64
LEARNING_RATE, CLIP = 4e-3, 1.0
STEPS = 10  # of a timed call of training
SYMBOLS = 200  # of a timed call of writing
STREAMS = (1, 32)  # texts written at once
RUNS = 15


def rows() -> Iterator[dict[str, Any]]:
    """Thousands of tokens a second, ours and PyTorch's in turn."""
    job = language_job()
    model = torch_model()
    calls = {"ours": our_training(job), "torch": torch_training(model)}
    tokens = STEPS * BATCH_SIZE * LENGTH
    case = f"{HIDDEN} units, batch {BATCH_SIZE} × {LENGTH}"
    yield pace(case, "training", interleaved(calls, RUNS), tokens)
    for streams in STREAMS:
        calls = {
            "ours": our_writing(job, streams),
            "torch": torch_writing(model, streams),
        }
        case = f"{HIDDEN} units, {streams} streams"
        tokens = streams * SYMBOLS
        yield pace(case, "writing", interleaved(calls, RUNS), tokens)


def pace(
    case: str, what: str, taken: dict[str, np.ndarray], tokens: int
) -> dict[str, Any]:
    """The row of a contest, in thousands of tokens a second instead of milliseconds."""
    found = row("language", case, "ours", what, taken, ("torch",))
    ends = {name: tokens / found[name] for name in ("median", "q25", "q75")}
    # The slower quartile of the times is the lower one of the pace.
    ends["q25"], ends["q75"] = ends["q75"], ends["q25"]
    return found | ends | {"unit": "k tokens/s"}


def language_job() -> Job:
    """The project's own language model and its data."""
    return prepare(
        "bench",
        Experiment(
            steps=1,
            batch_size=BATCH_SIZE,
            data=Data("bible", length=LENGTH),
            model=stacked_lstm.Model(HIDDEN, 1, BYTES, embedding=EMBEDDING),
            task=Language(),
            optimizer=Optimizer(learning_rate=LEARNING_RATE, clip_norm=CLIP),
        ),
    )


def our_training(job: Job) -> Callable[[], None]:
    """One call is STEPS steps in one compiled call, as the training loop makes it."""
    step = devices.repeated(step_function(job, jax.device_count()))
    many = pmap.parallel(step, (PLAIN, COPIED))
    arrays = pmap.replicate(job.train.arrays)
    held = [pmap.replicate(initial_state(job))]

    def call() -> None:
        held[0], metrics = many(held[0], STEPS, arrays)
        jax.block_until_ready(metrics)

    return call


def our_writing(job: Job, streams: int) -> Callable[[], None]:
    """One call writes SYMBOLS symbols of each stream."""
    predict = job.task.predict
    assert predict is not None
    state = jax.jit(lambda: initial_state(job))()
    begin = jnp.full(streams, BEGIN, jnp.int32)

    @jax.jit
    def write(state, keys):
        start = predict(state, begin[:, None], None)[1]  # a state of the right shapes
        return continue_streams(
            lambda symbols, memory: predict(state, symbols, memory),
            keys, begin, start, 0, SYMBOLS, Sampling(),
        )[0]  # fmt: skip

    keys = jax.random.split(jax.random.key(0), streams)
    return lambda: jax.block_until_ready(write(state, keys))


def torch_model() -> Any:
    """Embedding, LSTM and logits."""
    torch = torch_on_all_cores()
    return torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(BYTES, EMBEDDING),
            "lstm": torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True),
            "logits": torch.nn.Linear(HIDDEN, BYTES),
        }
    )


def torch_training(model: Any) -> Callable[[], None]:
    """The same STEPS steps on the same text."""
    torch = torch_on_all_cores()
    text = torch.from_numpy(np.frombuffer(read(), np.uint8).copy())
    rate = {"lr": LEARNING_RATE, "eps": 1e-7}
    optimizer = torch.optim.Adam(model.parameters(), **rate)
    stream = len(text) // BATCH_SIZE
    steps = (stream - 1) // LENGTH
    held: list[Any] = [0, None]

    def step() -> None:
        number, state = held
        first = torch.arange(BATCH_SIZE)[:, None] * stream + number % steps * LENGTH
        tokens = text[first + torch.arange(LENGTH + 1)].long()
        y, state = model["lstm"](model["embedding"](tokens[:, :-1]), state)
        logits = model["logits"](y).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        held[:] = number + 1, tuple(part.detach() for part in state)

    def call() -> None:
        for _ in range(STEPS):
            step()

    return call


def torch_writing(model: Any, streams: int) -> Callable[[], Any]:
    """The loop in Python, without gradients."""
    torch = torch_on_all_cores()

    @torch.inference_mode()
    def call():
        last, state = torch.full((streams, 1), BEGIN), None
        written = []
        for _ in range(SYMBOLS):
            y, state = model["lstm"](model["embedding"](last), state)
            shares = torch.softmax(model["logits"](y[:, 0]), dim=-1)
            last = torch.multinomial(shares, 1)
            written.append(last)
        return torch.cat(written, dim=1)

    return call
