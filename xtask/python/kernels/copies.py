"""Copies of the clone, to try things in."""

import shutil
from pathlib import Path

from kernels import cells
from kernels.clone import CLONE, kernel_program


def copy_of_clone(folder: Path, warm: bool) -> Path:
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


def small_copy(folder: Path) -> Path:
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
        "kernel/spare/warm_up.evcxr": f'{cells.LOAD}\nlet warm = answer(2);\nprintln!("{{warm}}");\n',
        "xtask/python/kernels/cells.py": f"LOAD = {cells.LOAD!r}\nFIRST_POOL = 'answer(2)'\n"
        "FIRST_AWAIT = 'answer(3)'\nFIRST_CLOSURE = 'let f = || answer(4);'\n"
        f"LOAD_MPI = {cells.LOAD_MPI!r}\nFIRST_RANKS = 'library()'\n",
    }
    for name, text in texts.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text, encoding="utf-8")
    return clone


def manifest(name: str) -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n'
