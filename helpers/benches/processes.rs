//! `ProcessPool`, and what it is held against: one measurement, named on the command line with
//! its workers and its size.
//!
//! `cargo xtask bench processes` lets it take turns with Python's pools:
//! `xtask/python/bench/peers/pools.py`.
//!
//! What bounds the rows:
//! - A round trip is two wake-ups of a sleeping process, by the system's scheduler. Whoever waits
//!   looks for 50 µs before it sleeps, and a worker as well; a ping-pong that spins for ever never
//!   sleeps, and cannot be had without a core of its own for each worker.
//! - Tiny items in default chunks cost their serialization, and the call to it.
//! - The start in a notebook is that of the kernel's own program, which a worker has to be: of its
//!   33 MB a thousand pages are touched one by one while its addresses are set, and 2 ms more go
//!   into loading this crate and Rust's standard library.
//! - What is sent is copied into memory that both processes see, and out of it again. Much of the
//!   time are page faults: memory that is touched for the first time is handed out page by page.
//!   While a pool is busy it uses its memory again; a second after, it gives it back.
//! - In a `SharedArray` nothing is copied, and the memory's bandwidth is the bound, as for threads.

mod serve;

use std::hint::{black_box, spin_loop};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, iter};

use helpers::prelude::*;
use serve::{Given, Measure, Result, SetUp};

const PARTS: usize = 8;
/// Sums in shared memory take so little time that one alone says nothing.
const SUMS: usize = 20;

const MEASUREMENTS: &[(&str, SetUp<f64>)] = &[
    ("round-trip", round_trip),
    ("ping-pong", |given| ping_pong(Receiver::Blocks, given)),
    ("ping-pong-spinning", |given| {
        ping_pong(Receiver::Spins, given)
    }),
    ("map-one", map_one),
    ("map-default", map_default),
    ("start", start),
    ("sum-sent", sum_sent),
    ("sum-shared", sum_shared),
    ("sum-threads", sum_threads),
    ("there-and-back", there_and_back),
    ("copies", copies),
];

/// How this program is told to be the other end of [`ping_pong`]; a [`Receiver`] follows.
const ECHO: &str = "echo";

fn main() -> ExitCode {
    helpers::init_process_pools();
    let arguments: Vec<String> = env::args().skip(1).collect();
    serve::end(match &arguments[..] {
        [echoes, how] if echoes == ECHO => echo(how),
        _ => serve::run(MEASUREMENTS),
    })
}

fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

fn round_trip(
    Given {
        workers,
        size: calls,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    Ok(Box::new(move |_| {
        let start = Instant::now();
        for x in 0..calls {
            black_box(pool.submit(|x: usize| x + 1, x).join()?);
        }
        Ok(seconds_since(start) / calls as f64)
    }))
}

fn map_one(
    Given {
        workers,
        size: items,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    Ok(Box::new(move |_| {
        let single = pool.chunk_size(1)?;
        seconds_per_item(items, || single.map(|x: usize| x + 1, 0..items))
    }))
}

fn map_default(
    Given {
        workers,
        size: items,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    Ok(Box::new(move |_| {
        seconds_per_item(items, || pool.map(|x: usize| x + 1, 0..items))
    }))
}

fn seconds_per_item(
    items: usize,
    map: impl FnOnce() -> Result<Vec<usize>, PoolError>,
) -> Result<f64> {
    let start = Instant::now();
    let results = map()?;
    let seconds = seconds_since(start);
    assert!(results.into_iter().eq(1..=items));
    Ok(seconds / items as f64)
}

fn start(
    Given {
        workers,
        size: items,
    }: Given,
) -> Result<Measure<f64>> {
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let pool = ProcessPool::new(workers)?;
        let results = pool.map(|x: usize| x + 1, 0..items)?;
        let seconds = seconds_since(start);
        assert!(results.into_iter().eq(1..=items));
        Ok(seconds)
    }))
}

/// Multiples of a half, so that their sum is exact in any order.
fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|i| (i % 1000) as f64 * 0.5).collect()
}

fn sum_sent(
    Given {
        workers,
        size: count,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    let numbers = numbers(count);
    let expected: f64 = numbers.iter().sum();
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let parts = numbers.chunks(count / PARTS).map(<[f64]>::to_vec);
        let sums = pool.map(|part: Vec<f64>| part.iter().sum::<f64>(), parts)?;
        let sum: f64 = sums.iter().sum();
        let seconds = seconds_since(start);
        assert_eq!(sum, expected);
        Ok(seconds)
    }))
}

fn sum_shared(
    Given {
        workers,
        size: count,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    let numbers = SharedArray::from_slice(&numbers(count))?;
    seconds_per_sum(count, move || {
        let parts = numbers.chunks(count / PARTS);
        let sums = pool.map(|part: SharedSlice<f64>| part.iter().sum::<f64>(), parts)?;
        Ok(sums.iter().sum())
    })
}

fn sum_threads(
    Given {
        workers,
        size: count,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = Pool::new(workers)?;
    let numbers = numbers(count);
    seconds_per_sum(count, move || {
        let parts = numbers.chunks(count / PARTS);
        let sums = pool.map(|part: &[f64]| part.iter().sum::<f64>(), parts);
        Ok(sums.iter().sum())
    })
}

fn seconds_per_sum(
    count: usize,
    mut sum: impl FnMut() -> Result<f64> + 'static,
) -> Result<Measure<f64>> {
    let expected: f64 = numbers(count).iter().sum();
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let sums: Vec<f64> = iter::repeat_with(&mut sum)
            .take(SUMS)
            .collect::<Result<_>>()?;
        let seconds = seconds_since(start);
        assert_eq!(sums, [expected; SUMS]);
        Ok(seconds / SUMS as f64)
    }))
}

fn there_and_back(
    Given {
        workers,
        size: count,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = ProcessPool::new(workers)?;
    let source = numbers(count);
    Ok(Box::new(move |_| {
        let sent = source.clone();
        let start = Instant::now();
        let returned = pool.submit(|numbers: Vec<f64>| numbers, sent).join()?;
        let seconds = seconds_since(start);
        assert!(returned == source);
        Ok(seconds)
    }))
}

/// Four copies into fresh memory: two for each way is the least when two processes share none.
fn copies(Given { size: count, .. }: Given) -> Result<Measure<f64>> {
    let source = numbers(count);
    Ok(Box::new(move |_| {
        Ok((0..4)
            .map(|_| {
                let start = Instant::now();
                let copy = black_box(&source).to_vec();
                let seconds = seconds_since(start);
                drop(black_box(copy));
                seconds
            })
            .sum())
    }))
}

/// How both ends of a socket wait for a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Receiver {
    Blocks,
    Spins,
}

impl Receiver {
    const ALL: [Receiver; 2] = [Receiver::Blocks, Receiver::Spins];

    fn name(self) -> &'static str {
        match self {
            Receiver::Blocks => "blocks",
            Receiver::Spins => "spins",
        }
    }
}

/// The limit of what two processes can do: a message through a socket and back, and no pool.
fn ping_pong(receiver: Receiver, Given { size: calls, .. }: Given) -> Result<Measure<f64>> {
    Ok(Box::new(move |_| {
        let (mut near, far) = UnixStream::pair()?;
        // A new process each time: one that spins would be in the way of the others' turns.
        let mut other = Command::new(env::current_exe()?)
            .args([ECHO, receiver.name()])
            .stdin(OwnedFd::from(far))
            .spawn()?;
        near.set_nonblocking(receiver == Receiver::Spins)?;
        exchange(&mut near)?;
        let start = Instant::now();
        for _ in 0..calls {
            exchange(&mut near)?;
        }
        let seconds = seconds_since(start);
        drop(near);
        other.wait()?;
        Ok(seconds / calls as f64)
    }))
}

fn exchange(socket: &mut UnixStream) -> Result<()> {
    socket.write_all(&[1])?;
    match receive(socket)? {
        Some(_) => Ok(()),
        None => Err("the other end of the socket is gone".into()),
    }
}

/// The other end: sends back what comes, until nothing will.
fn echo(how: &str) -> Result<()> {
    let receiver = Receiver::ALL.into_iter().find(|known| known.name() == how);
    let receiver = receiver.ok_or("a receiver blocks or spins")?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(receiver == Receiver::Spins)?;
    while let Some(byte) = receive(&mut socket)? {
        socket.write_all(&[byte])?;
    }
    Ok(())
}

fn receive(socket: &mut UnixStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match socket.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => spin_loop(),
            Err(error) => return Err(error),
        }
    }
}
