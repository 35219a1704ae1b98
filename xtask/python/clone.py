"""The clone that this lies in, its kernel, and copies of the clone to try things in."""

import os
import shutil
import time
from pathlib import Path

import cells
from kernels import Kernel

CLONE = Path(__file__).resolve().parents[2]
# Whoever asks the network gets no answer from here.
NO_NETWORK = {
    "CARGO_NET_RETRY": "0",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
}


def launcher(clone=CLONE):
    return clone / ".course/bin/course-kernel"


def kernel_program(clone=CLONE):
    """What the launcher becomes."""
    return clone / ".course/kernel/bin/course-kernel"


def is_kernel_program(process):
    """Whether a process is the kernel by now, and neither its launcher nor what runs its cells."""
    return process.cmdline()[1:2] in (["--control_file"], ["--standby"])


def course_kernel(clone=CLONE, **environment):
    """The kernel as Jupyter starts it."""
    environment = os.environ | environment
    argv = [str(launcher(clone)), "kernel", "{connection_file}"]
    return Kernel(argv, cwd=clone / "notebooks", env=environment)


def build_folder(kernel):
    """The lock file that the kernel holds as its standard input tells its build folder."""
    lock = Path(os.readlink(f"/proc/{kernel.manager.provisioner.pid}/fd/0"))
    return lock.with_suffix("")


def copy_of_clone(folder, warm):
    """A clone elsewhere, set up as far as the launcher needs it."""
    course = folder / ".course"
    for part in ["helpers", "helpers-mpi", "kernel", "xtask"]:
        shutil.copytree(CLONE / part, folder / part, ignore=shutil.ignore_patterns("target"))
    for file in ["Cargo.toml", "Cargo.lock"]:
        shutil.copy2(CLONE / file, folder / file)
    (folder / "notebooks").mkdir()
    shutil.copytree(CLONE / ".course/bin", course / "bin")
    (course / "kernel/bin").mkdir(parents=True)
    (course / "kernel/bin/course-kernel").symlink_to(kernel_program().resolve())
    if warm:
        shutil.copytree(CLONE / ".course/warm", course / "warm")
    return folder


def small_copy(folder):
    """A copy whose crates have one function each, so that compiling them takes no time."""
    clone = copy_of_clone(folder, warm=False)
    shutil.rmtree(clone / "helpers")
    shutil.rmtree(clone / "helpers-mpi")
    real = (CLONE / "helpers-mpi/Cargo.toml").read_text(encoding="utf-8")
    [mpi] = [line for line in real.splitlines() if line.startswith("mpi = ")]
    texts = {
        "helpers/Cargo.toml": manifest("helpers"),
        "helpers/src/lib.rs": "pub mod prelude {\n    pub fn answer(n: u32) -> u32 { n + 40 }\n}\n",
        "helpers-mpi/Cargo.toml": f"{manifest('helpers-mpi')}\n[dependencies]\n{mpi}\n",
        "helpers-mpi/src/lib.rs": "pub mod prelude {\n    pub fn library() -> String "
        "{ mpi::environment::library_version().unwrap() }\n}\n",
        "kernel/spare/warm_up.evcxr": f"{cells.LOAD}\nlet warm = answer(2);\nprintln!(\"{{warm}}\");\n",
        "xtask/python/cells.py": f"LOAD = {cells.LOAD!r}\nFIRST_POOL = 'answer(2)'\n"
        "FIRST_AWAIT = 'answer(3)'\nFIRST_CLOSURE = 'let f = || answer(4);'\n"
        f"LOAD_MPI = {cells.LOAD_MPI!r}\nFIRST_RANKS = 'library()'\n",
    }
    for name, text in texts.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text, encoding="utf-8")
    return clone


def manifest(name):
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n'


def wait_until(condition, seconds=180):
    """Waits until the condition holds, if only for a moment; tells whether it did. Only what hangs takes so long."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds
