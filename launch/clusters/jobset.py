"""A JobSet for Kubernetes on Google's TPU slices or GPU nodes.

JobSet (jobset.x-k8s.io/v1alpha2) starts a pod on each machine of a slice, all together,
and all again when one is lost. Code 85 of `train`, saved, and a lost node are such; 2
and 3, a mistake and a diverged run, end it.
"""

from typing import Any, NamedTuple

from launch.ahead.targets import Target
from launch.clusters import tools
from research.errors import UserError

PYTHON = "python:3.12-bookworm"  # has git; the init step makes the environment in it
TPUS = {
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
    "v7x": "tpu7x",
}
FOLDER = "/code"
# Where GKE's device plugin puts the driver's libraries into a pod, and images that are
# made on NVIDIA's have CUDA's. Without the first there is no libcuda, and no GPU.
GPU_LIBRARIES = "/usr/local/nvidia/lib64:/usr/local/cuda/lib64"


class Wanted(NamedTuple):
    """What is asked of the cluster."""

    name: str
    target: Target
    command: tuple[str, ...]  # arguments of launch/run
    image: str | None  # its working folder is the code; None: no image of one's own
    repository: tuple[str, str] | None  # address and commit, where there is no image
    spot: bool = False
    restarts: int = 20
    namespace: str | None = None


def manifest(wanted: Wanted) -> dict[str, Any]:
    """The JobSet.

    Raises:
      UserError: a name or an image that Kubernetes would refuse.
    """
    tools.checked_name(wanted.name)
    if wanted.image is not None:
        tools.checked_word("--image", wanted.image)
    metadata: dict[str, Any] = {"name": wanted.name}
    if wanted.namespace:
        metadata["namespace"] = tools.checked_word("--namespace", wanted.namespace)
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {
                "maxRestarts": wanted.restarts,
                "rules": [
                    {
                        "name": "mistakes",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {"name": "train", "replicas": 1, "template": _job(wanted)}
            ],
        },
    }


def _job(wanted: Wanted) -> dict[str, Any]:
    """The Job of one slice, without its kind: as JobSet has it."""
    hosts = wanted.target.hosts
    mistakes = {"containerName": "train", "operator": "In", "values": [2, 3]}
    return {
        "spec": {
            "parallelism": hosts,
            "completions": hosts,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onExitCodes": mistakes}]
            },
            "template": {"spec": _pod(wanted)},
        }
    }


def _pod(wanted: Wanted) -> dict[str, Any]:
    """A pod on one machine, its code from an image or made by an init step."""
    selector, resource, count = _machine(wanted.target)
    if wanted.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    train: dict[str, Any] = {
        "name": "train",
        "image": wanted.image or PYTHON,
        "command": ["launch/run", *wanted.command],
        "env": _environment(wanted.target),
        "resources": {"limits": {resource: str(count)}},
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "nodeSelector": selector,
        "terminationGracePeriodSeconds": 120,  # to save after SIGTERM
        "containers": [train],
    }
    pod["tolerations"] = _tolerations(resource, wanted.spot)
    mounted = _mounted(wanted)
    if mounted:
        pod["volumes"] = [{"name": n, "emptyDir": d} for n, (_, d) in mounted.items()]
        places = {name: path for name, (path, _) in mounted.items()}
        train["volumeMounts"] = [_mount(*place) for place in places.items()]
    if wanted.image is None:
        train["workingDir"] = FOLDER
        pod["initContainers"] = [_install(wanted)]
    return pod


def _tolerations(resource: str, spot: bool) -> list[dict[str, str]]:
    """Of the marks that keep other pods off such nodes."""
    found = [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}]
    if spot:
        mark = {"key": "cloud.google.com/gke-spot", "operator": "Equal"}
        found.append(mark | {"value": "true", "effect": "NoSchedule"})
    return found


def _mounted(wanted: Wanted) -> dict[str, tuple[str, dict[str, str]]]:
    """Folders that last as long as the pod, by name: their paths and their kinds."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    if wanted.target.chip.platform == "gpu":  # NCCL's; a pod's own has 64 MiB
        found["memory"] = "/dev/shm", {"medium": "Memory"}
    if wanted.image is None:
        found["code"] = FOLDER, {}
    return found


def _mount(name: str, path: str) -> dict[str, str]:
    return {"name": name, "mountPath": path}


def _install(wanted: Wanted) -> dict[str, Any]:
    """The commit, and the packages at the versions of .ci/constraints.txt."""
    if wanted.repository is None:
        raise UserError("without --image the code's repository has to be known")
    address, commit = wanted.repository
    # Arguments after the script, so that nothing in them is read by the shell.
    script = (
        'git clone --quiet "$1" . && git checkout --quiet "$2" && '
        "launch/run --environment"
    )
    return {
        "name": "code",
        "image": PYTHON,
        "workingDir": FOLDER,
        "command": ["bash", "-euc", script, "code", address, commit],
        "env": _environment(wanted.target),
        "volumeMounts": [_mount("code", FOLDER)],
    }


def _environment(target: Target) -> list[dict[str, str]]:
    accelerator = "tpu" if target.chip.platform == "tpu" else "cuda"
    found = {"LAUNCH_ACCELERATOR": accelerator, "HOME": "/tmp"}
    # A chip that does not start is an error, and no reason to train on the CPU.
    found["JAX_PLATFORMS"] = f"{accelerator},cpu"
    if accelerator == "cuda":
        found["LD_LIBRARY_PATH"] = GPU_LIBRARIES
    if target.hosts > 1:
        found["LAUNCH_DISTRIBUTED"] = "tpu"
    return [{"name": name, "value": value} for name, value in found.items()]


def _machine(target: Target) -> tuple[dict[str, str], str, int]:
    """Labels of the nodes, the resource that they have, and how many of it."""
    prefix = "cloud.google.com/"
    if target.chip.platform == "gpu":
        selector = {f"{prefix}gke-accelerator": "nvidia-h100-80gb"}
        return selector, "nvidia.com/gpu", target.chips
    selector = {
        f"{prefix}gke-tpu-accelerator": TPUS[target.chip.name],
        f"{prefix}gke-tpu-topology": target.topology,
    }
    return selector, "google.com/tpu", target.chips // target.hosts
