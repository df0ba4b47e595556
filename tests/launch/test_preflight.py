"""`preflight`: real steps through the compilers of hardware that is not here."""

import importlib.util
import json

import pytest

from launch._settings import choose
from launch.ahead import step, targets
from research import population

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("libtpu"), reason="needs libtpu"
)
SMALL_GAN = "seed_gan --model.width 4 --model.latent 8 --batch-size 64"


@pytest.fixture(scope="module", autouse=True)
def compilers():
    """Loaded under the process's own environment: `within` puts a copy in its place,
    which C++ does not see."""
    targets.devices(targets.find("v5e-1"))


def preflight(launch, command):
    code, out, error = launch.within("preflight", *command.split())
    return code, out, error


@pytest.fixture(scope="module")
def lstm_on_a_slice(launch, tmp_path_factory):
    """Its JSON, from the file that is written beside the words."""
    file = tmp_path_factory.mktemp("found") / "lstm.json"
    command = f"seed_lstm --batch-size 96 --target v5e-8 --out {file}"
    code, out, error = preflight(launch, command)
    assert code == 0, error
    assert "fits: yes" in out
    assert "s; nothing was run" in out
    return json.loads(file.read_text())


def test_an_lstm_takes_the_tpu_kernel_and_its_gradients_are_sent(lstm_on_a_slice):
    found = lstm_on_a_slice
    assert found["fits"]
    assert (found["devices"], found["batch_per_device"]) == (8, 12)
    (kernel,) = found["kernels"]
    assert kernel["backend"] == "pallas_tpu"
    assert kernel["case"]["batch"] == 12
    # The gradient of every parameter, as float32, and four numbers of the record.
    parameters = found["memory_bytes_per_device"]["parameters"]
    hidden, wide = 128, 4 * 128
    assert parameters == 4 * (28 * wide + hidden * wide + wide + hidden * 10 + 10)
    (sums,) = found["collectives"]
    assert sums["kind"] == "all-reduce"
    assert parameters <= sums["bytes"] <= parameters + 64


def test_what_the_json_holds(lstm_on_a_slice):
    assert set(lstm_on_a_slice) == {
        "experiment", "runs", "target", "topology", "chips", "devices", "hosts",
        "batch_size", "batch_per_device", "fits", "why_not", "memory_bytes_per_device",
        "kernels", "flops_per_device", "lower_bound", "collectives", "peaks_per_device",
        "trace_seconds", "compile_seconds", "data_not_read", "largest_batch",
    }  # fmt: skip
    assert lstm_on_a_slice["compile_seconds"] > 0


def test_memory_adds_up_and_adam_has_two_moments(lstm_on_a_slice):
    used = dict(lstm_on_a_slice["memory_bytes_per_device"])
    total, available = used.pop("total"), used.pop("available")
    assert sum(used.values()) == total < available == 16 * 2**30
    assert used["optimizer"] == pytest.approx(2 * used["parameters"], abs=16)
    assert used["data"] == 4000 * (28 * 28 + 4)


def test_the_flops_of_the_lstm_by_hand(lstm_on_a_slice):
    """Products of x·wx, h·wh and the read-out, forward; of each but x's gradient two
    more backward, which for x·wx is one."""
    batch, time, hidden = 12, 28, 128
    recurrent = 2 * batch * time * hidden * 4 * hidden
    inputs = 2 * batch * time * 28 * 4 * hidden
    outputs = 2 * batch * time * hidden * 10
    wanted = 3 * (recurrent + outputs) + 2 * inputs
    # In float32 the kernel takes two steps at a time: 28 need no padding.
    assert lstm_on_a_slice["flops_per_device"] == wanted
    limit = lstm_on_a_slice["lower_bound"]
    assert limit["seconds"] == max(
        limit["matrix_unit"], limit["memory"], limit["network"]
    )


def test_a_population_is_dealt_out_as_train_deals_it(lstm_on_a_slice):
    place = targets.find("v5e-8")
    for seeds, ranks, own, places in ((8, 1, 1, 8), (3, 4, 2, 4)):
        options = ["--batch-size", "96", "--population.seeds", str(seeds)]
        experiment = choose("seed_lstm", [*options, "--on-nan", "skip"]).settings
        runs = [*population.members(experiment).values()]
        traced = step.trace(step.jobs_of("x", runs, place)[0], place)
        assert traced.ranks == ranks
        assert traced.state.skipped.shape == (own,)
        (arguments, _) = traced.lowered.args_info
        assert arguments[0].skipped.shape == (places,)
        share = 8 * own // ranks  # as much as so many of the eight devices had
        assert traced.work.flops == share * lstm_on_a_slice["flops_per_device"]


def test_a_population_of_several_programs_is_told_one_by_one(launch):
    """A float that is 0 for some of the runs may change what is traced."""
    vary = "--population.seeds 2 --population.vary task.penalties.r1=0,0.1,0.2"
    code, out, error = preflight(launch, f"ring {vary} --target v5e-1 --json")
    assert code == 0, error
    without, penalised = map(json.loads, out.splitlines())
    assert without["runs"] == ["r1_0-seed_0", "r1_0-seed_1"]
    runs = [f"r1_{weight}-seed_{seed}" for weight in (0.1, 0.2) for seed in (0, 1)]
    assert penalised["runs"] == runs
    of_one = without["memory_bytes_per_device"]["parameters"] / 2
    assert penalised["memory_bytes_per_device"]["parameters"] == 4 * of_one


@pytest.mark.parametrize(
    "command", ["ring", pytest.param(SMALL_GAN, marks=pytest.mark.wide)]
)
def test_in_words_and_on_one_chip(launch, command):
    code, out, error = preflight(launch, f"{command} --target v5e-1")
    assert code == 0, error
    assert "fits: yes" in out
    assert "no LSTM in this step" in out
    assert "no collectives" in out
    assert "set by the" in out


@pytest.mark.parametrize(
    "target",
    [
        "v6e-8",
        *(
            pytest.param(name, marks=pytest.mark.wide)
            for name in ("v4-8", "v5p-8", "v7x-8", "v5e-16")
        ),
    ],
)
def test_an_lstm_on_every_family_and_on_several_hosts(launch, target):
    small = "seed_lstm --batch-size 96 --model.hidden 8"
    code, out, error = preflight(launch, f"{small} --target {target} --json")
    assert code == 0, error
    found = json.loads(out)
    assert found["fits"]
    devices = {"v4-8": 4, "v5p-8": 4, "v5e-16": 16}.get(target, 8)
    assert (found["devices"], found["batch_per_device"]) == (devices, 96 // devices)
    assert found["hosts"] == (4 if target == "v5e-16" else 1)
    (kernel,) = found["kernels"]
    assert kernel["backend"] == "pallas_tpu"
    (sums,) = found["collectives"]
    assert sums["bytes"] >= found["memory_bytes_per_device"]["parameters"]


def test_a_gan_on_an_h100(launch):
    if not importlib.util.find_spec("jax_cuda13_plugin"):
        pytest.skip("needs CUDA's compiler")
    code, out, error = preflight(launch, f"{SMALL_GAN} --target h100-8 --json")
    assert code == 0, error
    found = json.loads(out)
    assert found["fits"]
    assert found["memory_bytes_per_device"]["temporaries"] > 0
    assert any(c["kind"] == "all-reduce" for c in found["collectives"])


def test_the_lstm_on_a_card_is_told_for_that_card(launch):
    if not importlib.util.find_spec("jax_cuda13_plugin"):
        pytest.skip("needs CUDA's compiler")
    code, out, error = preflight(launch, "seed_lstm --target h100-1 --json")
    assert code == 0, error
    (kernel,) = json.loads(out)["kernels"]
    reasons = " ".join(kernel["passed_over"].values())
    assert kernel["backend"] == "pallas_gpu" or "pallas_gpu" in kernel["passed_over"]
    assert "no card is known" not in reasons


def test_what_does_not_fit_is_told_with_its_layer(launch):
    command = "pixel_lstm --target v5e-1 --batch-size 20000"
    code, out, _ = preflight(launch, command)
    assert code == 1
    assert "fits: no, out of memory on v5e-1 (it asks for " in out
    assert "smaller --batch-size" in out
    # Gates of every time step, with their gradient the most that this model holds.
    assert "f32[784,20000,512], 29.91 GiB, of SequenceClassifier/Lstm_0/Lstm_0;" in out


def test_data_that_cannot_be_had_is_known_by_its_shapes(launch, monkeypatch, tmp_path):
    from research.data import mnist
    from research.errors import UserError

    def refuse(split, folder):
        raise UserError("no network")

    monkeypatch.setattr(mnist, "load", refuse)
    command = "seed_lstm --data.name mnist --batch-size 96 --target v5e-8 --json"
    code, out, error = preflight(launch, command)
    assert code == 0, error
    found = json.loads(out)
    assert found["data_not_read"] == "no network"
    assert found["memory_bytes_per_device"]["data"] == 60_000 * (28 * 28 + 4)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("seed_gan", "which hardware? --target v5e-8"),
        ("--target v5e-8", "which experiment?"),
        ("seed_gan --target v5e-9", "did you mean 'v5e-8'?"),
        ("seed_gan --target v5e-8 --batch-size 30", "take 24 or 32"),
        ("seed_gan --target", "--target asks for a value"),
        ("seed_lstm --batch-size 4008 --target v5e-8", "exceeds the 4000"),
        ("seed_lstm --batch-size 0 --target v5e-8", "--batch-size is 0: give 1"),
        (
            "seed_lstm --batch-size 64 --optimizer.accumulate 3 --target v5e-8",
            "--optimizer.accumulate 3 does not divide a device's 8 examples",
        ),
        (
            "ring --population.seeds 2 --data.placement host --target v5e-8",
            "the same batches, and their seeds differ",
        ),
        (f"ring --target v5e-8 --out {__file__}", "exists: name a new file"),
        ("ring --target v5e-8 --out /nowhere/a", "cannot be written (No such file"),
    ],
)
def test_mistakes(launch, command, says, tmp_path):
    file = tmp_path / "found.json"
    more = "" if "--out" in command else f" --out {file}"
    code, out, error = preflight(launch, command + more)
    assert (code, out) == (2, "")
    (line,) = error.splitlines()
    assert says in line
    assert not file.exists()
