//! Unpacking a tuple into a function's arguments.

/// A function that can be called with the values of a tuple as its arguments.
///
/// All functions and closures of 1 to 8 parameters are; there is nothing to implement.
///
/// A tuple of the wrong length is an error when the cell is compiled, not when it runs:
///
/// ```compile_fail,E0271
/// use helpers::prelude::*;
///
/// fn area(width: f64, height: f64) -> f64 {
///     width * height
/// }
/// let pool = Pool::new(2).unwrap();
/// pool.starmap(area, [(1.0, 2.0, 3.0)]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`starmap` cannot unpack `{Args}` into the parameters of this function",
    label = "this function's parameters differ from the tuple's values in number or type",
    note = "each tuple must hold one value for each parameter, in order and of the same type",
    note = "a function of one parameter that is no tuple wants `map`, or tuples such as `(x,)`"
)]
pub trait StarFn<Args> {
    /// What the function returns.
    type Output;

    /// Calls the function with the values of `args` as its arguments.
    fn call_star(&self, args: Args) -> Self::Output;
}

/// A function that can be called with a value that goes along, and the values of a tuple.
///
/// All functions and closures are whose first parameter is a reference, with 1 to 8 more.
#[diagnostic::on_unimplemented(
    message = "`starmap` cannot call this function with `&{V}` and the values of `{Args}`",
    label = "its first parameter must be `&{V}`, and the others those of the tuple, in order",
    note = "write the types of a closure's parameters: `|value: &f64, x: u64, y: u64| …`"
)]
pub trait StarFnWith<V, Args> {
    /// What the function returns.
    type Output;

    /// Calls the function with the value and the values of `args` as its arguments.
    fn call_star_with(&self, value: &V, args: Args) -> Self::Output;
}

macro_rules! impl_star_fn {
    ($($arg:ident)+) => {
        impl<F, R, $($arg),+> StarFn<($($arg,)+)> for F
        where
            F: Fn($($arg),+) -> R,
        {
            type Output = R;

            #[allow(non_snake_case)]
            fn call_star(&self, ($($arg,)+): ($($arg,)+)) -> R {
                self($($arg),+)
            }
        }

        impl<Fun, Val, R, $($arg),+> StarFnWith<Val, ($($arg,)+)> for Fun
        where
            Fun: Fn(&Val, $($arg),+) -> R,
        {
            type Output = R;

            #[allow(non_snake_case)]
            fn call_star_with(&self, value: &Val, ($($arg,)+): ($($arg,)+)) -> R {
                self(value, $($arg),+)
            }
        }
    };
}

impl_star_fn!(A);
impl_star_fn!(A B);
impl_star_fn!(A B C);
impl_star_fn!(A B C D);
impl_star_fn!(A B C D E);
impl_star_fn!(A B C D E G);
impl_star_fn!(A B C D E G H);
impl_star_fn!(A B C D E G H I);
