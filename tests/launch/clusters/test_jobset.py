"""`gke`: the manifest for slices and GPU nodes, and kubectl as a fake."""

import json

import pytest

from launch.__main__ import main
from launch.ahead import targets
from launch.clusters import jobset, sources

COMMIT = ("https://example.com/a b.git", "0" * 40)
BUCKET = "gs://mine/runs/a"


@pytest.fixture(autouse=True)
def pushed(monkeypatch):
    monkeypatch.setattr(sources, "checkout", lambda _: COMMIT)


def manifest(capsys, *more):
    command = ["gke", "seed_gan", "--workdir", BUCKET, *more]
    assert main(command) == 0
    return json.loads(capsys.readouterr().out)


def job_of(made):
    (replicated,) = made["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


# What Google's pages of each slice ask for: pods, chips of a pod, labels.
SLICES = {
    "v5e-1": (1, "google.com/tpu", 1, "tpu-v5-lite-podslice", "1x1"),
    "v5e-8": (1, "google.com/tpu", 8, "tpu-v5-lite-podslice", "2x4"),
    "v5e-16": (4, "google.com/tpu", 4, "tpu-v5-lite-podslice", "4x4"),
    "v4-32": (4, "google.com/tpu", 4, "tpu-v4-podslice", "2x2x4"),
    "v5p-8": (1, "google.com/tpu", 4, "tpu-v5p-slice", "2x2x1"),
    "v6e-256": (64, "google.com/tpu", 4, "tpu-v6e-slice", "16x16"),
    "v7x-16": (2, "google.com/tpu", 4, "tpu7x", "2x2x2"),
}


@pytest.mark.parametrize("name", SLICES)
def test_a_pod_for_each_machine_of_a_slice(name):
    pods, resource, chips, accelerator, topology = SLICES[name]
    wanted = jobset.Wanted("a", targets.find(name), ("train", "x"), None, COMMIT)
    job = job_of(jobset.manifest(wanted))
    assert job["parallelism"] == job["completions"] == pods
    pod = job["template"]["spec"]
    (train,) = pod["containers"]
    assert train["resources"]["limits"] == {resource: str(chips)}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": accelerator,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    assert {"name": "JAX_PLATFORMS", "value": "tpu,cpu"} in train["env"]
    several = {"name": "LAUNCH_DISTRIBUTED", "value": "tpu"} in train["env"]
    assert several == (pods > 1)


def test_gpu_nodes(capsys):
    pod = job_of(manifest(capsys, "--target", "h100-8"))["template"]["spec"]
    (train,) = pod["containers"]
    assert train["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    variables = {v["name"]: v["value"] for v in train["env"]}
    assert variables["LAUNCH_ACCELERATOR"] == "cuda"
    assert variables["JAX_PLATFORMS"] == "cuda,cpu"
    assert "/usr/local/nvidia/lib64" in variables["LD_LIBRARY_PATH"].split(":")
    shared = {"name": "memory", "emptyDir": {"medium": "Memory"}}
    assert shared in pod["volumes"]
    assert {"name": "memory", "mountPath": "/dev/shm"} in train["volumeMounts"]


def test_without_an_image_an_init_step_makes_the_code(capsys):
    pod = job_of(manifest(capsys, "--target", "v5e-8"))["template"]["spec"]
    (code,), (train,) = pod["initContainers"], pod["containers"]
    assert code["image"] == train["image"] == jobset.PYTHON
    # The address and the commit are arguments, and no text of the script.
    assert code["command"][-2:] == list(COMMIT)
    assert COMMIT[0] not in code["command"][2]
    assert "--environment" in code["command"][2]
    assert code["volumeMounts"] == train["volumeMounts"]
    assert pod["volumes"] == [{"name": "code", "emptyDir": {}}]
    assert train["command"] == [
        *("launch/run", "train", "seed_gan", "--workdir", BUCKET)
    ]


def test_with_an_image_and_spot_nodes(capsys):
    made = manifest(
        capsys, "--target", "v5e-8", "--image", "eu.gcr.io/p/i:1", "--spot",
        "--restarts", "3", "--name", "mine",
    )  # fmt: skip
    pod = job_of(made)["template"]["spec"]
    assert "initContainers" not in pod
    assert pod["containers"][0]["image"] == "eu.gcr.io/p/i:1"
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert made["metadata"] == {"name": "mine"}
    assert made["spec"]["failurePolicy"]["maxRestarts"] == 3


def test_a_mistake_ends_it_and_a_preemption_does_not(capsys):
    made = manifest(capsys, "--target", "v5e-8")
    (rule,) = job_of(made)["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [2, 3]
    (above,) = made["spec"]["failurePolicy"]["rules"]
    assert above["action"] == "FailJobSet"
    assert above["onJobFailureReasons"] == ["PodFailurePolicy"]


@pytest.fixture(scope="module")
def published():
    """The models that Kubeflow generates from the schema that JobSet publishes."""
    models = "kubeflow_trainer_api.models.jobset_v1alpha2_job_set"
    return pytest.importorskip(models, reason="of the extra dev").JobsetV1alpha2JobSet


@pytest.mark.parametrize("name", [*SLICES, "h100-8"])
@pytest.mark.parametrize("image", [None, "eu.gcr.io/p/i:1"])
def test_the_published_schema_takes_the_set(published, name, image):
    wanted = jobset.Wanted(
        "a", targets.find(name), ("train", "x"), image, COMMIT, True, namespace="b"
    )
    made = jobset.manifest(wanted)
    # Types are checked; a field that the schema does not have would not come back.
    assert published.from_dict(made).to_dict() == made


def test_the_published_schema_refuses_a_field_and_a_type(published):
    wanted = jobset.Wanted("a", targets.find("v5e-8"), ("train", "x"), None, COMMIT)
    made = jobset.manifest(wanted)
    job_of(made)["parallelisms"] = 3
    assert published.from_dict(made).to_dict() != made
    del job_of(made)["parallelisms"]
    job_of(made)["template"]["spec"]["containers"][0]["command"] = "launch/run"
    with pytest.raises(ValueError, match="command"):
        published.from_dict(made)


def test_submitted_through_kubectl(capsys, fake):
    kubectl = fake("kubectl")
    kubectl.answer("create", out="jobset.jobset.x-k8s.io/seed-gan-v5e-8 created\n")
    command = ["gke", "seed_gan", "--workdir", BUCKET, "--target", "v5e-8"]
    assert main([*command, "--submit"]) == 0
    assert "created" in capsys.readouterr().out
    assert kubectl.calls == [["create", "-f", "-"]]
    (sent,) = kubectl.stdin
    assert json.loads(sent) == manifest(capsys, "--target", "v5e-8")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("Error from server (Forbidden): jobsets is forbidden", "ask for the role"),
        ('error: no matches for kind "JobSet"', "no matches for kind"),
    ],
)
def test_a_refusal_is_a_line_and_leaves_nothing(capsys, tmp_path, fake, error, says):
    fake("kubectl").answer("create", err=error, code=1)
    assert_refused(capsys, tmp_path / "job.json", says)


def test_without_kubectl_it_says_so_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(capsys, tmp_path / "job.json", "no `kubectl` on PATH: install")


def assert_refused(capsys, file, says):
    command = ["gke", "seed_gan", "--workdir", BUCKET, "--target", "v5e-8"]
    assert main([*command, "--submit", "--out", str(file)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert says in line
    assert said.out == ""
    assert not file.exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--target", "v5e-9"], "did you mean 'v5e-8'?"),
        (["--target", "v5e-8", "--name", "A b"], "such as a-b"),
        (
            ["--target", "v5e-8", "--batch-size", "33"],
            "does not divide over 8 devices: take 32 or 40",
        ),
        (["--target", "v5e-8", "--task.loss", "hinj"], "did you mean 'hinge'?"),
        (["--target", "v5e-8", "--image", "a;b"], "--image 'a;b'"),
        (["--target", "v5e-8", "--workdir", "runs/a"], "give a bucket"),
        (["--target", "v5e-8", "--out", __file__], "name a new file"),
        ([], "are needed"),
    ],
)
def test_mistakes(capsys, more, says):
    command = ["gke", "seed_gan"]
    command += [] if "--workdir" in more else ["--workdir", BUCKET]
    assert main([*command, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
