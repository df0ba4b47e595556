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
    tolerations = [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}]
    if wanted.spot:
        spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal"}
        tolerations.append(spot | {"value": "true", "effect": "NoSchedule"})
    pod["tolerations"] = tolerations
    if wanted.image is None:
        place = [{"name": "code", "mountPath": FOLDER}]
        pod["volumes"] = [{"name": "code", "emptyDir": {}}]
        train["workingDir"] = FOLDER
        train["volumeMounts"] = place
        pod["initContainers"] = [_install(wanted, place)]
    return pod


def _install(wanted: Wanted, place: list[dict[str, str]]) -> dict[str, Any]:
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
        "volumeMounts": place,
    }


def _environment(target: Target) -> list[dict[str, str]]:
    accelerator = "tpu" if target.chip.platform == "tpu" else "cuda"
    found = {"LAUNCH_ACCELERATOR": accelerator, "HOME": "/tmp"}
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
