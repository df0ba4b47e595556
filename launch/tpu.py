"""tpu NAME --target v5e-8: trains on a Cloud TPU slice until it is done."""

import shlex
import sys
from pathlib import Path

from launch._settings import choose, take_flag, take_option
from launch.ahead import targets
from launch.clusters import queued, sources, tools, until_done
from research.errors import UserError


def main(arguments: list[str]) -> int:
    """`tpu NAME --target SLICE --zone Z --workdir gs://… [settings]`.

    --target SLICE     e.g. v5e-8, as in preflight
    --zone Z           e.g. us-west4-a; --project P if it is not gcloud's own
    --workdir gs://…   the bucket's folder for the run
    --spot             cheaper, and taken away at any time: training goes on by itself
    --code git         a commit that is pushed (default), or archive: the tree as it is
    --name NAME        of the slice
    --dry-run          shows the commands, and runs none
    --teardown yes|no  gives the slice back at the end; without it you are asked, and
                       for one that was there before
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0 if arguments else 2
    name = arguments[0]
    target, rest = take_option(arguments[1:], "--target")
    zone, rest = take_option(rest, "--zone")
    project, rest = take_option(rest, "--project")
    workdir, rest = take_option(rest, "--workdir")
    code, rest = take_option(rest, "--code")
    given, rest = take_option(rest, "--name")
    teardown, rest = take_option(rest, "--teardown")
    spot, rest = take_flag(rest, "--spot")
    dry, rest = take_flag(rest, "--dry-run")
    for option, value in (
        ("--target", target),
        ("--zone", zone),
        ("--workdir", workdir),
    ):
        if value is None:
            raise UserError(f"{option} is missing: see launch/run tpu --help")
    assert target is not None
    assert zone is not None
    assert workdir is not None
    if teardown not in (None, "yes", "no"):
        raise UserError(f"--teardown {teardown}: it must be yes or no")
    chosen = choose(name, rest)
    called = given or tools.name_for(f"{chosen.name}-{target}")
    place = queued.Slice(
        called, targets.find(target), zone, project, spot, code or "git"
    )
    queued.refuse_wrong(place, workdir)
    tools.refuse_settings(chosen.settings, place.target.devices)
    work = [name, *rest, "--workdir", workdir]
    if dry:
        shown = Path(f"{queued.FOLDER}.tar.gz")  # made when it is needed
        sent = sources.checkout() if place.code == "git" else shown
        for command in queued.commands(place, sent, work):
            print(shlex.join(command))
        return 0
    tools.needed("gcloud")
    request = until_done.Request()
    with sources.packed(place.code) as packed:  # before anything is paid for
        try:
            ended = until_done.run(place, packed, work, request)
        except KeyboardInterrupt:
            print("interrupted here; the slice may be training still")
            ended = 130
        finally:
            given_back = _give_back(place, teardown, request.ours)
    return ended if given_back else ended or 1


def _give_back(place: queued.Slice, teardown: str | None, ours: bool) -> bool:
    """Deletes the slice, if there is one and the user wants that; False: it failed.

    One that this run has not made may be another run's: it is asked for each time.
    """
    command = shlex.join(queued.delete(place))
    try:
        if until_done.state(place) == "NONE":
            return True
    except tools.ToolError as error:  # it is tried all the same
        print(f"whether {place.name} is there is not known: {error}", file=sys.stderr)
    if teardown == "yes" and not ours:
        print(f"{place.name} was there before this run: --teardown yes leaves it")
        teardown = None
    if teardown is None:
        try:
            answer = input(
                f"delete {place.name} (it costs as long as it is there)? [y/N] "
            )
        except (EOFError, KeyboardInterrupt):
            answer = ""
        teardown = "yes" if answer.strip().lower() in ("y", "yes") else "no"
    if teardown == "no":
        print(f"{place.name} stays, and costs; delete it with: {command}")
        return True
    try:
        until_done.remove(place)
    except tools.ToolError as error:
        print(
            f"{place.name} may be there still, and costs: {error}; delete it with: "
            f"{command}",
            file=sys.stderr,
        )
        return False
    print(f"{place.name} is deleted")
    return True
