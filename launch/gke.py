"""gke NAME --target v5e-8: a JobSet that trains on Kubernetes, on TPUs or GPUs."""

import json
from functools import partial

from launch._settings import choose, take_flag, take_number, take_option
from launch.ahead import targets
from launch.clusters import jobset, sources, tools
from research.errors import UserError


def main(arguments: list[str]) -> int:
    """`gke NAME --target SLICE --workdir gs://… [--submit] [settings]`.

    --target SLICE     e.g. v5e-16 or h100-8, as in preflight
    --workdir gs://…   the bucket's folder for the run
    --image IMAGE      with this repository as its working folder; without it an init
                       step clones the pushed commit and installs the packages
    --spot             nodes that may be taken away: the set starts again by itself
    --restarts N       how often (default 20)
    --name NAME, --namespace NAME, --out FILE
    --submit           hands it to kubectl; without it the manifest is printed (JSON,
                       which kubectl reads as it reads YAML)
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0 if arguments else 2
    name = arguments[0]
    target, rest = take_option(arguments[1:], "--target")
    workdir, rest = take_option(rest, "--workdir")
    image, rest = take_option(rest, "--image")
    given, rest = take_option(rest, "--name")
    namespace, rest = take_option(rest, "--namespace")
    out, rest = take_option(rest, "--out")
    restarts, rest = take_number(rest, "--restarts", 20)
    spot, rest = take_flag(rest, "--spot")
    submit, rest = take_flag(rest, "--submit")
    if target is None or workdir is None:
        raise UserError("--target and --workdir are needed: see launch/run gke --help")
    tools.refuse_disk(workdir, "pod")
    place = targets.find(target)
    chosen = choose(name, rest)
    tools.refuse_settings(chosen.settings, place.devices)
    wanted = jobset.Wanted(
        given or tools.name_for(f"{chosen.name}-{place.name}"),
        place,
        ("train", name, *rest, "--workdir", workdir),
        image,
        None if image else sources.checkout("name an --image that has the code"),
        spot,
        restarts or 0,
        namespace,
    )
    text = json.dumps(jobset.manifest(wanted), indent=2) + "\n"
    create = partial(tools.output, ["kubectl", "create", "-f", "-"], text)
    tools.deliver(text, out, create if submit else None)
    return 0
