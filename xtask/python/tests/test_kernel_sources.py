"""What the kernel knows with reduced sources of the standard library, and with all of them."""

import os
import subprocess

import pytest

from kernels import cells
from kernels.session import Session

# Each is bound to a variable, whose type rust-analyzer has to find.
EXPRESSIONS = """\
3u32.to_string()
vec![1u8].iter().map(|x| x + 1).collect::<Vec<_>>()
1i64.pow(2)
2.0f64.sqrt()
1.5f32.max(2.0)
u128::MAX.count_ones()
i8::MAX.checked_add(1)
7usize.div_ceil(2)
10i32.rem_euclid(3)
u16::from_str_radix("7", 8)
"a b".split(' ').map(str::len).sum::<usize>()
"abc".chars().rev().collect::<String>()
"x".parse::<i32>()
String::from("a") + "b"
format!("{}", 1)
std::time::Instant::now()
std::time::Duration::from_millis(3).as_secs_f64()
std::collections::HashMap::from([("a", 1)])
std::collections::BTreeMap::from([(1, "a")]).range(0..).count()
std::thread::spawn(|| 3).join()
std::sync::Arc::new(std::sync::Mutex::new(vec![0]))
std::sync::atomic::AtomicU64::new(3).into_inner()
std::sync::mpsc::channel::<u8>()
std::env::args().collect::<Vec<_>>()
std::fs::read_to_string("/x")
std::process::Command::new("x")
Some(3).map(|x| x as f64)
Ok::<u8, String>(3).and_then(|x| x.checked_mul(2).ok_or("a".to_string()))
(1..10).zip(2..).filter(|(a, b)| a < b).fold(0, |a, (b, c)| a + b * c)
[3, 1, 2].iter().copied().max()
{ let mut v = vec![3, 1]; v.sort_unstable(); v.binary_search(&3) }
[1.0, 2.0].iter().cloned().fold(f64::NEG_INFINITY, f64::max)
vec![1, 2, 3].chunks(2).map(|c| c.to_vec()).collect::<Vec<_>>()
std::rc::Rc::new(std::cell::RefCell::new(1))
char::from_digit(7, 10)
b"abc".to_vec()
i32::MAX.wrapping_add(1)
1u8.overflowing_sub(2)
std::f64::consts::PI.to_degrees()
std::num::NonZero::new(3u32)
std::iter::repeat(1).take(3).collect::<std::collections::VecDeque<_>>()
"aXb".to_lowercase().replace("x", "y")
std::path::Path::new("a").join("b")
(1u64..=3).product::<u64>()
[[1, 2], [3, 4]].concat()
vec!["a", "b"].join("-")
u32::try_from(5i64)
i64::from(3i32)
9u32.isqrt()
std::thread::available_parallelism().map(|n| n.get())
std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
1.0f64.total_cmp(&2.0)""".splitlines()

# Where a reader may press Tab, and Shift+Tab.
COMPLETED = [
    "v0.",
    "v1.",
    "v3.",
    "std::col",
    "std::collections::",
    "v15.",
    "u64::",
    "f64::",
    "pool.",
]
DOCUMENTED = [
    "vec![1].iter",
    "v0.len",
    "std::thread::spawn",
    "String::from",
    "u64::pow",
    "Pool::new",
]


class Answers:
    """What a kernel says of all of them."""

    def __init__(self, **environment: str) -> None:
        with Session(env=os.environ | environment) as kernel:
            bound = "\n".join(f"let v{n} = {code};" for n, code in enumerate(EXPRESSIONS))
            for code in [cells.LOAD, "let pool = Pool::new(1)?;", bound]:
                reply = kernel.run(code)
                assert reply.status == "ok", reply
            lines = (kernel.run(":vars").result or "").splitlines()
            self.types = dict(line.split(": ", 1) for line in lines)
            self.matches = {code: sorted(kernel.complete(code)["matches"]) for code in COMPLETED}
            self.documented = {code: kernel.inspect(code)["found"] for code in DOCUMENTED}


class Sources:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls) -> None:
        sysroot = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
        cls.reduced = Answers()
        # Of the toolchain's own sources nothing is left out, and of the crates' nothing is hidden.
        whole = f"{sysroot}/lib/rustlib/src/rust/library"
        cls.whole = Answers(COURSE_TEST_SOURCES=whole)

    def test_types_are_the_same(self) -> None:
        assert len(self.whole.types) == len(EXPRESSIONS) + 1
        assert self.reduced.types == self.whole.types

    def test_tab_offers_the_same(self, subtests: pytest.Subtests) -> None:
        for code in COMPLETED:
            with subtests.test(code):
                assert self.whole.matches[code]
                assert self.reduced.matches[code] == self.whole.matches[code]

    def test_documentation_is_found(self, subtests: pytest.Subtests) -> None:
        for code in DOCUMENTED:
            with subtests.test(code):
                assert self.reduced.documented[code]
