//! Where variables stay between two cells.
//!
//! evcxr writes a module like this one into every cell, to be compiled anew in each. The kernel lets cells use this
//! one instead (see `src/toolchain/cell.rs`), which is compiled once. What does not depend on a type is
//! in functions of its own, so a cell has next to nothing to compile for a variable.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// A word to evcxr.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// A word to evcxr.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// Variables by name.
#[derive(Debug, Default)]
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any>>,
}

impl VariableStore {
    /// Keeps a variable.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Says whether a variable, if it is there, is of this type; if not, tells everybody.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Gives a variable back.
    ///
    /// # Panics
    ///
    /// There is none of this name and type.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        let value = self.take(name, TypeId::of::<T>());
        // SAFETY: `take` gives a box's own pointer, whose value is of this type.
        *unsafe { Box::from_raw(value.cast::<T>()) }
    }

    /// Gives what all cells share under a name, and makes it for the first of them.
    ///
    /// # Panics
    ///
    /// It is there and of another type.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        if self.get(name).is_none() {
            self.put(name, Box::new(Arc::new(create())));
        }
        match self
            .get(name)
            .and_then(|value| value.downcast_ref::<Arc<T>>())
        {
            Some(value) => Arc::clone(value),
            None => changed(name),
        }
    }

    // Only what these call is compiled once: a map's functions are generic, too.

    #[inline(never)]
    fn check(&self, name: &str, wanted: TypeId) -> bool {
        let is_right = self.get(name).is_none_or(|value| value.type_id() == wanted);
        if !is_right {
            tell_of_change(name);
        }
        is_right
    }

    #[inline(never)]
    fn get(&self, name: &str) -> Option<&dyn Any> {
        self.variables.get(name).map(|value| &**value)
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.variables.insert(name.to_owned(), value);
    }

    /// The pointer of a box whose value is of the type that is wanted.
    #[inline(never)]
    fn take(&mut self, name: &str, wanted: TypeId) -> *mut dyn Any {
        match self.variables.remove(name) {
            Some(value) if (*value).type_id() == wanted => Box::into_raw(value),
            Some(_) => changed(name),
            None => panic!("the variable `{name}` is missing: run the cell again that makes it"),
        }
    }
}

#[inline(never)]
fn tell_of_change(name: &str) {
    eprintln!("The type of the variable {name} was redefined, so was lost.");
    println!("{VARIABLE_CHANGED_TYPE}{name}");
}

#[inline(never)]
#[cold]
fn changed(name: &str) -> ! {
    panic!("the variable `{name}` has changed its type")
}

/// Makes a store for the first cell that has variables.
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::default())
}
