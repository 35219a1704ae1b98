"""The first cells of a notebook: what warms a build folder up, and what the bench times."""

LOAD = ':dep helpers = { path = "../helpers" }\nuse helpers::prelude::*;'

# Binds typed variables: that is what makes the kernel read all the crates.
FIRST_POOL = """\
let pool = Pool::new(2)?;
let squares: Vec<u64> = pool.map(|x| x * x, [1, 2, 3]);
squares"""

FIRST_RESULT = "[1, 4, 9]"

# The kernel adds a runtime for this, which takes a while to compile.
FIRST_AWAIT = "Pool::new(1)?.submit(|x: u64| x + 1, 1).await?"

# A variable whose type has no name cannot be kept. To say so, the kernel runs `cargo check` first,
# and that compiles all crates in a way of its own.
FIRST_CLOSURE = "let add_one = |x: u32| x + 1;"

# Lesson 05 loads this as well, where there is an MPI library.
LOAD_MPI = ':dep helpers-mpi = { path = "../helpers-mpi" }\nuse helpers_mpi::prelude::*;'

FIRST_RANKS = "mpi_run(2, |world| world.rank())?"
