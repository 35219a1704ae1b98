//! What can travel between processes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that can travel to another process, and back.
///
/// All types are that [`serde`] can turn into bytes and make again from bytes alone: numbers,
/// text, tuples, arrays, and lists, options and maps of them. There is nothing to implement; a
/// type of your own becomes one by two lines above it (a program that names `serde` among its
/// dependencies does without the second):
///
/// ```
/// use helpers::prelude::*;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// #[serde(crate = "helpers::serde")]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::new(2)?;
/// let lengths = pool.map(|p: Point| p.x.hypot(p.y), [Point { x: 3.0, y: 4.0 }])?;
/// assert_eq!(lengths, [5.0]);
/// # Ok::<(), PoolError>(())
/// ```
///
/// Without these lines it does not compile:
///
/// ```compile_fail,E0277
/// use helpers::prelude::*;
///
/// struct Point {
///     x: f64,
/// }
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::new(2).unwrap();
/// pool.map(|p: Point| p.x, [Point { x: 3.0 }]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between processes",
    // In a label, as notebooks show no notes.
    label = "items, arguments and results must become bytes. What `&` lends stays in this process: \
             send the value itself, as in `numbers.clone()`. Above a type of your own write \
             `#[derive(serde::Serialize, serde::Deserialize)]` and \
             `#[serde(crate = \"helpers::serde\")]`; of any other type, send what it is made of. `!` \
             is what a closure gives that never comes to its end, as it does not behind `abort()`, \
             `exit()` or `panic!()`: say what it would give, as in `|x: u64| -> u64 …`"
)]
pub trait Portable: Serialize + DeserializeOwned {}

// Or the compiler would tell of serde's traits, one by one.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Portable for T {}
