//! What the crate does in the process that runs the cells of the course's own kernel: here a thread
//! called `main` plays the one that runs a cell, and the test plays the reader.

use std::any::Any;
use std::env;
use std::panic::AssertUnwindSafe;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{Runner, pretend_to_run_cells};
use helpers::prelude::*;

helpers::init_process_pools_in_tests!();

/// What takes less happens at once, even on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(20);
/// What a task takes whose end nobody waits for.
const LONG: Duration = Duration::from_secs(60);

static RUNNER: Runner = Runner::new(true, answer);

/// Answers the name of the cave to the question about it, and is nowhere to be found for others.
extern "C" fn answer(
    prompt: *const u8,
    length: usize,
    hidden: u32,
    answer: *mut u8,
    room: usize,
) -> isize {
    // SAFETY: the caller gives a text of this length.
    let prompt = unsafe { std::slice::from_raw_parts(prompt, length) };
    let name = "Lascaux".as_bytes();
    match prompt {
        b"which cave? " => {
            assert!(hidden == 0 && room >= name.len());
            // SAFETY: there is room for it.
            unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), answer, name.len()) };
            name.len() as isize
        }
        b"now? " => -2,
        _ => -1,
    }
}

/// One cell at a time.
fn kernel() -> MutexGuard<'static, ()> {
    static CELL: Mutex<()> = Mutex::new(());
    static PRETEND: Once = Once::new();
    PRETEND.call_once(|| pretend_to_run_cells(&RUNNER));
    CELL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a cell in a thread of this name, while the reader interrupts it; gives what it panicked with.
fn interrupt(thread: &str, cell: impl FnOnce() + Send) -> Result<(), Box<dyn Any + Send>> {
    RUNNER.set_interrupts(0);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            RUNNER.set_interrupts(1);
        });
        let cell = thread::Builder::new()
            .name(thread.to_owned())
            .spawn_scoped(scope, cell);
        cell.unwrap().join()
    });
    RUNNER.set_interrupts(0);
    result
}

/// The cell is ended by the interrupt, and at once.
fn ends(what: &str, cell: impl FnOnce() + Send) {
    let start = Instant::now();
    let panic = interrupt("main", cell).expect_err(what);
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    assert_eq!(message, Some("interrupted"), "{what}");
    assert!(start.elapsed() < AT_ONCE, "{what}: {:?}", start.elapsed());
}

/// A task that ends when its sender is used or dropped.
fn blocked(pool: &Pool) -> (JoinHandle<()>, Sender<()>) {
    let (release, released): (_, Receiver<()>) = mpsc::channel();
    let wait = move |()| {
        let _ = released.recv();
    };
    (pool.submit(wait, ()), release)
}

fn is_usable(pool: &Pool) {
    assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3]), [1, 4, 9]);
}

#[test]
fn loops_and_measurements_are_interrupted() {
    let _kernel = kernel();
    ends("progress", || {
        for _ in progress(0..u64::MAX) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    ends("timeit", || {
        timeit!(thread::sleep(Duration::from_millis(200)));
        timeit!(thread::sleep(Duration::from_millis(800)));
    });
}

#[test]
fn calls_of_threads_begin_nothing_more() {
    let _kernel = kernel();
    let pool = Pool::new(2).unwrap();
    let short = |n: u64| {
        thread::sleep(Duration::from_millis(2));
        n
    };
    let view = pool.chunk_size(1).unwrap();
    ends("map", || {
        let borrowed: Vec<u64> = (0..100_000).collect();
        view.map(|&n| short(n), &borrowed);
    });
    is_usable(&pool);
    ends("imap", || pool.imap(short, 0..100_000).for_each(drop));
    ends("imap_unordered", || {
        pool.imap_unordered(short, 0..100_000).for_each(drop)
    });
    is_usable(&pool);
}

#[test]
fn who_waits_for_threads_is_interrupted() {
    let _kernel = kernel();
    let pool = Pool::new(1).unwrap();
    let (running, release) = blocked(&pool);
    ends("join", || {
        let _ = pool.submit(|()| unreachable!("nobody wants it"), ()).join();
    });
    ends("as_completed", || {
        let handles = [1, 2].map(|n| pool.submit(|_| unreachable!("nobody wants it"), n));
        for (_, result) in as_completed(handles) {
            let () = result.unwrap();
        }
    });
    let mut handle = pool.submit(|()| 7, ());
    ends("join_timeout", || {
        let _ = handle.join_timeout(LONG);
    });
    let handles = [handle];
    ends("wait", || {
        wait(&handles, Until::All, None);
    });
    ends("wait with a limit", || {
        wait(&handles, Until::All, LONG);
    });
    drop(release);
    assert_eq!(running.join(), Ok(()));
    let [handle] = handles;
    assert_eq!(handle.join(), Ok(7), "this one is still wanted");
    is_usable(&pool);
}

#[test]
fn a_pool_that_goes_with_the_cell_is_not_waited_for() {
    let _kernel = kernel();
    ends("drop", || {
        let pool = Pool::new(1).unwrap();
        let _ = pool.submit(|()| thread::sleep(LONG), ()).join();
    });
}

#[test]
fn who_waits_for_processes_is_interrupted() {
    let _kernel = kernel();
    let pool = ProcessPool::new(2).unwrap();
    let long = |_: u32| thread::sleep(LONG);
    ends("map", || {
        let _ = pool.map(long, [1, 2, 3]);
    });
    assert_eq!(pool.map(|x: u64| x + 1, [1, 2]), Ok(vec![2, 3]));
    ends("map of much", || {
        let _ = pool.map(|_: u32| thread::sleep(Duration::from_millis(5)), 0..100_000);
    });
    ends("imap", || pool.imap(long, [1, 2, 3]).for_each(drop));
    drop(pool);
    ends("join", || {
        let pool = ProcessPool::new(1).unwrap();
        let _ = pool.submit(long, 1).join();
    });
    ends("the start", || {
        let slow = |()| thread::sleep(LONG);
        let _ = ProcessPool::builder(1).initializer(slow, ()).build();
    });
}

#[test]
fn other_threads_are_not_interrupted() {
    let _kernel = kernel();
    let pool = Pool::new(1).unwrap();
    let result = interrupt("somebody else", || {
        let slow = |()| thread::sleep(Duration::from_millis(300));
        assert_eq!(pool.submit(slow, ()).join(), Ok(()));
        let slow = |_: u8| thread::sleep(Duration::from_millis(300));
        assert_eq!(progress(pool.map(slow, [1])).count(), 1);
    });
    assert!(result.is_ok());
}

#[test]
fn nothing_is_interrupted_while_the_cell_unwinds() {
    let _kernel = kernel();
    struct Last<'p>(&'p Pool, &'p mut Vec<u32>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            *self.1 = self.0.map(|n: u32| n + 1, progress([1, 2, 3]));
        }
    }
    let pool = Pool::new(2).unwrap();
    let mut results = Vec::new();
    ends("unwinding", || {
        let _last = Last(&pool, &mut results);
        let _ = pool.map(|_: u8| thread::sleep(Duration::from_millis(200)), [1, 2]);
    });
    assert_eq!(results, [2, 3, 4]);
}

#[test]
fn the_reader_is_asked() {
    let _kernel = kernel();
    assert_eq!(input("which cave? ").unwrap(), "Lascaux");
    let told = input("what else? ").unwrap_err().to_string();
    assert!(
        told.starts_with("cannot ask “what else?”: nobody is there"),
        "{told}"
    );
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| input("now? "))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"interrupted"));
}

/// Runs an ignored test of this program in a process of its own, and gives what it has told the kernel,
/// and in between what it has printed.
fn shown_by(test: &str) -> Vec<serde_json::Value> {
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", test, "--ignored", "--nocapture"]);
    let output = program.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{problem}");
    let (_, text) = text.split_once("running 1 test\n").unwrap();
    let (text, _) = text.rsplit_once("test result:").unwrap();
    let mut shown = Vec::new();
    for part in text.split("\x1b_course ") {
        let (order, printed) = part.split_once("\x1b\\").unwrap_or(("", part));
        if !order.is_empty() {
            shown.push(serde_json::from_str(order).unwrap());
        }
        // What the test program itself says is not looked at.
        let printed = printed
            .replace(&format!("test {test} ... "), "")
            .replace("ok\n", "");
        if !printed.trim().is_empty() {
            shown.push(printed.into());
        }
    }
    shown
}

#[test]
fn values_are_shown_where_they_are() {
    let shown = shown_by("shows_values");
    assert_eq!(shown.len(), 6, "{shown:#?}");
    assert_eq!(shown[0], "before ");
    let data = &shown[1]["data"];
    assert_eq!(shown[1]["do"], "display");
    assert!(data["text/plain"].as_str().unwrap().starts_with("Bar plot"));
    assert!(data["text/html"].as_str().unwrap().starts_with("<img alt="));
    assert_eq!(shown[2], "between\n");
    let text = serde_json::json!({ "do": "display", "data": { "text/plain": "two\nlines" } });
    assert_eq!(shown[3], text);
    assert_eq!(shown[4], serde_json::json!({ "do": "clear", "wait": true }));
    let end = shown[5]["data"]["text/plain"].as_str().unwrap();
    assert!(end.starts_with("CPU times: user "), "{end}");
}

#[test]
#[ignore = "runs in a process of its own"]
fn shows_values() {
    let _kernel = kernel();
    let figure = plot::bars("T", "s", [("a", 7)]).unwrap();
    print!("before ");
    display(&figure);
    println!("between");
    display("two\nlines");
    clear_output();
    display(&Timing::default());
}

#[test]
fn bars_move_in_place_and_at_a_pace() {
    let shown = shown_by("moves_bars");
    let of = |id: &serde_json::Value| -> Vec<&serde_json::Value> {
        shown.iter().filter(|order| &order["id"] == id).collect()
    };
    let texts = |orders: &[&serde_json::Value]| -> Vec<String> {
        let text =
            |order: &&serde_json::Value| order["data"]["text/plain"].as_str().unwrap().into();
        orders.iter().map(text).collect()
    };
    let mut ids: Vec<_> = Vec::new();
    for order in &shown {
        assert!(order["id"].is_string(), "{order}");
        if !ids.contains(&order["id"]) {
            ids.push(order["id"].clone());
            assert_eq!(order["do"], "display");
        } else {
            assert_eq!(order["do"], "update");
        }
    }
    let [quick, outer, inner, unknown, left] = ids.as_slice() else {
        panic!("{ids:?}");
    };
    let quick = of(quick);
    assert!(quick.len() >= 2 && quick.len() < 60, "{}", quick.len());
    let bars = texts(&quick);
    assert!(
        bars[0].starts_with("[ ") && bars[0].ends_with("] 0/100000   0 %"),
        "{bars:?}"
    );
    assert!(
        bars.last().unwrap().ends_with("=] 100000/100000 100 %"),
        "{bars:?}"
    );
    let html = quick[0]["data"]["text/html"].as_str().unwrap();
    assert!(
        html.contains("<progress max=\"100000\" value=\"0\""),
        "{html}"
    );
    for nested in [outer, inner] {
        assert!(texts(&of(nested)).last().unwrap().ends_with("2/2 100 %"));
    }
    assert_eq!(texts(&of(unknown)), ["0 so far", "3 in all"]);
    assert!(
        texts(&of(left)).last().unwrap().ends_with(" 3/9  33 %"),
        "{left}"
    );
}

#[test]
#[ignore = "runs in a process of its own"]
fn moves_bars() {
    let _kernel = kernel();
    assert_eq!(progress(0..100_000).count(), 100_000);
    let mut outer = progress(0..2);
    outer.next();
    progress(0..2).for_each(drop);
    outer.for_each(drop);
    assert_eq!(progress((0..9).filter(|n| n % 3 == 0)).count(), 3);
    for n in progress(0..9) {
        if n == 3 {
            break;
        }
    }
}
