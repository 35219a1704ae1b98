"""A Slurm of one's own: a login node and two nodes that work, all on this machine. It is there in a
second, and goes when it is closed. Only its installation needs an administrator.

A node is a set of namespaces: it has a host name, processes, `/tmp` and `/dev/shm` of its own. They share
this machine's network and all other files, and what says which of the network's ports are taken.
"""

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels import ports

# Only what hangs takes so long.
LIMIT = 300.0
# The CPUs of each node that works. Slurm believes what it is told.
CPUS = 4
LOGIN = "login"
NODES = ("n1", "n2")

# Named by `.ci/run` as well.
PACKAGES = "slurmctld slurmd slurm-client libpmix-dev libopenmpi3 openmpi-common"
REMEDY = f"apt-get install --yes --no-install-recommends {PACKAGES}"

CONFIGURATION = """\
ClusterName=course
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
KillWait=30
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
PartitionName=all Nodes=ALL Default=YES MaxTime=10 State=UP
"""

# The first process of a node, which also buries those that lose their parents. It gets the node's name, a folder
# to make its own `/tmp` in, and the locks of ports, which it puts there: all nodes have the same ports.
BEGIN = """\
own=$1 locks=$2 && shift 2
hostname "$0" && mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs "$own" || exit
case $locks in
/tmp/*) mkdir -p "$own/${locks#/tmp/}" && mount --bind "$locks" "$own/${locks#/tmp/}" || exit;;
esac
mount --rbind "$own" /tmp || exit
"$@" & wait
"""
# Runs a command in a folder.
IN_FOLDER = 'cd "$0" && exec "$@"'


def missing() -> str | None:
    """What a Slurm lacks here, and how to get it."""
    for program in ("slurmctld", "slurmd", "srun"):
        if not shutil.which(program, path=search_path()):
            return f"there is no {program}; as an administrator: {REMEDY}"
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(
            [*begin("try", Path(folder)), "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    if made.returncode:
        return f"this machine has no namespaces to make nodes of: {made.stderr.strip()}"
    return None


def search_path() -> str:
    # Daemons lie where not everybody's PATH leads.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def unshare() -> list[str]:
    """Starts a node. With it ends all that runs on it."""
    command = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # Slurm's daemon will not be the administrator of a namespace only.
    if os.geteuid() != 0:
        command += ["--user", "--map-current-user", "--keep-caps"]
    return command


def begin(name: str, own: Path) -> list[str]:
    """Runs the command behind it as a node of this name; makes the node's `/tmp` in a folder of its own."""
    ports.LOCKS.mkdir(mode=0o700, exist_ok=True)
    return [*unshare(), "sh", "-c", BEGIN, name, str(own), str(ports.LOCKS)]


@dataclass
class Done:
    """What came of a command."""

    status: int
    text: str


class Node:
    """A computer that is none."""

    def __init__(self, name: str, own: Path, command: Sequence[str], **options: Any) -> None:
        self.name = name
        self.process = subprocess.Popen(
            # It must not outlive a test that is killed.
            ["setpriv", "--pdeathsig", "KILL", *begin(name, own), *command],
            stdin=subprocess.DEVNULL,
            **options,
        )

    @property
    def first(self) -> int:
        """Its first process."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        deadline = time.monotonic() + LIMIT
        while not (found := children.read_text().split()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"node {self.name} does not begin")
            time.sleep(0.005)
        return int(found[0])

    def enter(self) -> list[str]:
        """Has a command run on this node."""
        command = ["nsenter", f"--target={self.first}", "--mount", "--uts", "--pid"]
        if os.geteuid() != 0:
            command += ["--user", "--preserve-credentials"]
        return command

    def processes(self) -> dict[int, str]:
        """All that run on it now, but for those that make the node, with their command lines."""
        space = os.readlink(f"/proc/{self.first}/ns/pid")
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                # Those without words have ended.
                if words and os.readlink(folder / "ns/pid") == space:
                    found[int(folder.name)] = words.strip()
        found.pop(self.first, None)
        own = ("slurmd -D", "sleep infinity")
        return {pid: words for pid, words in found.items() if not words.startswith(own)}

    def signal_all(self, number: signal.Signals) -> None:
        """To all that run on it, with Slurm's own daemon."""
        space = os.readlink(f"/proc/{self.first}/ns/pid")
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(folder / "ns/pid") == space:
                    os.kill(int(folder.name), number)

    def files(self) -> list[str]:
        """What lies in its own folders."""
        root = Path(f"/proc/{self.first}/root")
        # What is mounted there is not its own: the locks of ports.
        found = [
            file
            for place in (root / "tmp", root / "dev/shm")
            for file in place.rglob("*")
            if file.lstat().st_dev == place.stat().st_dev
        ]
        # Open MPI leaves empty folders.
        found = [file for file in found if not (file.is_dir() and is_of_open_mpi(file))]
        return sorted(f"/{file.relative_to(root)}" for file in found)

    def tidy_up(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        delete = ["find", "/tmp", "/dev/shm", "-mindepth", "1", "-xdev", "-delete"]
        subprocess.run([*self.enter(), *delete], stderr=subprocess.DEVNULL, timeout=LIMIT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Slurm:
    """As `with Slurm(folder) as slurm:`. The folder must be seen by all nodes, so not in `/tmp`."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        self.environment = environment | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([environment.get("PATH", ""), "/usr/sbin", "/sbin"]),
        }
        self.open = contextlib.ExitStack()
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> "Slurm":
        with contextlib.ExitStack() as opened:
            log = opened.enter_context((self.folder / "log").open("w"))
            self.options: dict[str, Any] = {"env": self.environment, "stdout": log, "stderr": log}
            first, *others = free_ports(1 + len(NODES))
            (self.folder / "slurm.conf").write_text(self.configuration(first, others))
            (self.folder / "state").mkdir()
            controller = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "slurmctld", "-D"],
                stdin=subprocess.DEVNULL,
                **self.options,
            )
            opened.callback(end, controller)
            for name in (LOGIN, *NODES):
                (self.folder / name / "tmp").mkdir(parents=True)
                self.switch_on(name)
                opened.callback(self.switch_off, name)
            self.wait_for(self.is_ready, "the nodes are idle", every=0.05)
            self.open = opened.pop_all()
        return self

    def __exit__(self, *ending: object) -> None:
        self.open.close()

    def switch_off(self, name: str) -> None:
        self.nodes[name].end()

    def switch_on(self, name: str) -> None:
        daemon = ["slurmd", "-D", "-N", name] if name in NODES else ["sleep", "infinity"]
        self.nodes[name] = Node(name, self.folder / name / "tmp", daemon, **self.options)

    def set_down(self, name: str) -> None:
        """What Slurm does with a node that has not answered for minutes."""
        self.ask("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")

    def resume(self, name: str) -> None:
        """Waits until the node works again."""
        self.ask("scontrol", "update", f"NodeName={name}", "State=RESUME")
        self.wait_for(self.is_ready, "the nodes are idle")

    def configuration(self, port: int, ports: Sequence[int]) -> str:
        text = CONFIGURATION.format(
            host=socket.gethostname(), port=port, user=getpass.getuser(), folder=self.folder
        )
        for name, port in zip(NODES, ports):
            text += f"NodeName={name} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS}\n"
        return text

    def is_ready(self) -> bool:
        return self.ask("sinfo", "-h", "-t", "idle", "-o", "%D") == str(len(NODES))

    def ask(self, *command: str) -> str:
        """A command of Slurm's, which is brief."""
        return self.run(*command, node=None).text.strip()

    def start(
        self,
        *command: str,
        folder: Path | None = None,
        node: str | None = LOGIN,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Starts a command on a node, or beside them all. Its output is to be read."""
        enter = self.nodes[node].enter() if node else []
        return subprocess.Popen(
            [*enter, "sh", "-c", IN_FOLDER, str(folder or self.folder), *command],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self,
        *command: str,
        folder: Path | None = None,
        node: str | None = LOGIN,
        limit: float = LIMIT,
        **environment: str,
    ) -> Done:
        """Runs a command on a node, or beside them all."""
        with self.start(*command, folder=folder, node=node, **environment) as process:
            try:
                text, _ = process.communicate(timeout=limit)
            except BaseException:
                process.kill()
                raise
        return Done(process.returncode, text)

    def submit(self, *words: str, folder: Path | None = None, **environment: str) -> str:
        """Hands a batch script in; gives the job's number."""
        done = self.run("sbatch", "--parsable", *words, folder=folder, limit=LIMIT, **environment)
        if done.status:
            raise RuntimeError(done.text)
        return done.text.strip()

    def state(self, job: str) -> str:
        """As `RUNNING`; nothing when the job is over."""
        return self.ask("squeue", "-h", "-j", job, "-t", "all", "-o", "%T")

    def wait_for_end(self, job: str) -> str:
        """Its last state, as `COMPLETED`."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        self.wait_for(lambda: self.state(job) in ended, f"job {job} has ended")
        return self.state(job)

    def wait_for(self, condition: Callable[[], object], what: str, every: float = 0.1, patience: float = LIMIT) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {patience:.0f} s: {what}")
            time.sleep(every)

    def tidy_up(self) -> None:
        """Takes away what a test that failed has left."""
        for node in self.nodes.values():
            node.tidy_up()

    def left(self) -> list[str]:
        """What runs or lies on a node, beside what is always there."""
        found = []
        for name, node in self.nodes.items():
            found += [f"{name}: process {pid}: {words}" for pid, words in node.processes().items()]
            found += [f"{name}: {file}" for file in node.files()]
        return found


# Files of what Open MPI's launchers start on nodes, in version 4 and 5. A launcher that is told to end may end it
# while it tidies up, and so may Slurm; nobody else knows when they may be deleted.
OF_LAUNCHERS = re.compile(r"\w+: /tmp/(ompi\.\w+\.\d+|prted\.\d+)(/|$)")


def is_of_open_mpi(file: Path) -> bool:
    return any(part.startswith("ompi.") for part in file.parts)


def end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]


# What compiles with Debian's Open MPI, from where it is only unpacked. Its data and the library are installed.
MPICC = """\
#!/bin/sh
OPAL_PREFIX={usr} exec {usr}/bin/mpicc.openmpi "$@"
"""


def debian_open_mpi(folder: Path) -> dict[str, str]:
    """The variables with which programs and notebooks run with Debian's Open MPI, an older one than the course's.

    Its launcher and what compiles with it are only unpacked: installed, they would be the system's, and the course would
    take them in place of its own.
    Programs are those that were built with Open MPI 5, which run with version 4 as well: both are `libmpi.so.40`.
    """
    bin = folder / "usr/bin"
    [library] = Path("/usr/lib").glob("*/libmpi.so.40")
    if not (bin / "mpicc").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for package in "openmpi-bin", "libopenmpi-dev":
            download = ["apt-get", "download", package]
            for command in download, ["sh", "-c", f"dpkg -x {package}_*.deb ."]:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LIMIT)
        (folder / "usr/share/openmpi").symlink_to("/usr/share/openmpi")
        (folder / library.relative_to("/")).symlink_to(library)
        (bin / "mpiexec").symlink_to("orterun")
        script = bin / "mpicc.new"
        script.write_text(MPICC.format(usr=folder.resolve() / "usr"))
        script.chmod(0o755)
        # Last, so that a folder with it is a whole one.
        script.rename(bin / "mpicc")
    path = os.environ["PATH"]
    return {
        "PATH": f"{bin}{os.pathsep}{path}",
        "LD_LIBRARY_PATH": str(library.parent),
        # UCX knows a computer by what all nodes here have in common, and would share memory.
        "OMPI_MCA_pml": "ob1",
    }


if __name__ == "__main__":
    # For `cargo xtask test`: why there can be no Slurm here, if so.
    print(missing() or "")
