"""A SLURM of two virtual nodes on this machine: its real daemons, as root.

Nothing of it outlives `down`. Debian's packages slurmctld, slurmd, slurm-client and
munge are installed if apt may do that.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmctld", "slurmd", "sbatch", "munged")
# cred_expire is also how long a requeued job waits before it starts again.
CONFIG = """
ClusterName=t
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock,cred_expire=6
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool_%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd_%n.pid
SlurmctldLogFile={place}/slurmctld.txt
SlurmdLogFile={place}/slurmd_%n.txt
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
KillWait=10
MinJobAge=300
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{second}] {size}
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=60 State=UP OverSubscribe=FORCE:4
"""


def missing() -> str | None:
    """Why there can be no SLURM here, or None; installs it where it can."""
    if os.geteuid() != 0:
        return "its daemons want to be root"
    if all(shutil.which(tool) for tool in DAEMONS):
        return None
    if shutil.which("apt-get") is None:
        return "no slurmctld here, and no apt-get to install it"
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode or not all(shutil.which(tool) for tool in DAEMONS):
        said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
        return f"no slurmctld here, and apt-get cannot install it: {said}"
    return None


class Slurm:
    """The daemons of one cluster, in one folder."""

    def __init__(self, place: Path):
        self.place = place
        self.environment = os.environ | {"SLURM_CONF": str(place / "slurm.conf")}

    def up(self) -> None:
        """Starts all of it; raises AssertionError with what a daemon said."""
        place = self.place
        for folder in ("state", "munge"):
            (place / folder).mkdir(mode=0o700)
        place.chmod(0o755)
        key = place / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        options = {
            "key-file": key,
            "socket": place / "munge.sock",
            "pid-file": place / "munged.pid",
            "log-file": place / "munge" / "log.txt",
            "seed-file": place / "munge" / "seed",
        }
        self._start("munged", "--force", *(f"--{n}={v}" for n, v in options.items()))
        port, first = free_ports()
        config = CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            place=place,
            port=port,
            first=first,
            second=first + 1,
            size="CPUs=2 RealMemory=2000 State=UNKNOWN",
        )
        (place / "slurm.conf").write_text(config)
        self._start("slurmctld", "-f", str(place / "slurm.conf"))
        for node in ("n1", "n2"):
            self._start("slurmd", "-f", str(place / "slurm.conf"), "-N", node)
        until = time.monotonic() + 30
        while self.call("sinfo", "-h", "-o", "%T") != "idle":
            assert time.monotonic() < until, self.call("sinfo")
            time.sleep(0.2)

    def down(self) -> None:
        """Ends the daemons, by the ids that they wrote down."""
        for file in self.place.glob("*.pid"):
            if (pid := file.read_text().strip()).isdigit():
                subprocess.run(["kill", "-KILL", pid], capture_output=True)

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        words = self.call("scontrol", "show", "job", "--oneliner", number).split()
        return dict(w.split("=", 1) for w in words if "=" in w)

    def wait(self, number: str, *states: str, seconds: float = 150) -> dict[str, str]:
        """Returns once the job is in one of these states."""
        until = time.monotonic() + seconds
        while (about := self.job(number))["JobState"] not in states:
            assert time.monotonic() < until, about
            time.sleep(0.2)
        return about

    def _start(self, *command: str) -> None:
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, f"{command[0]}: {ended.stdout}{ended.stderr}"


def free_ports() -> tuple[int, int]:
    """One, and the first of two in a row."""
    while True:
        held = [socket.socket() for _ in range(3)]
        try:
            for one in held[:2]:
                one.bind(("127.0.0.1", 0))
            port, first = (one.getsockname()[1] for one in held[:2])
            held[2].bind(("127.0.0.1", first + 1))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return port, first
