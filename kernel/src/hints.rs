//! What a beginner needs to hear besides the compiler's words.

use std::collections::BTreeMap;

use evcxr::CompilationError;

/// Variables that a cell of this number has taken over or lost.
pub type Gone = BTreeMap<String, usize>;

/// Further advice on errors, if there is any.
pub fn of(errors: &[CompilationError], code: &str, gone: &Gone) -> Option<String> {
    errors.iter().find_map(|error| {
        let said = Said {
            number: error.code().unwrap_or_default(),
            message: &error.message(),
            all: &error.rendered(),
        };
        hint(said, code, gone)
    })
}

/// An error of the compiler's: its number, its first line, and all its lines.
#[derive(Clone, Copy)]
struct Said<'a> {
    number: &'a str,
    message: &'a str,
    all: &'a str,
}

impl Said<'_> {
    /// What the message puts between the first two backquotes.
    fn name(&self) -> Option<&str> {
        self.message.split('`').nth(1)
    }
}

fn hint(said: Said, code: &str, gone: &Gone) -> Option<String> {
    match said.number {
        "E0425" => {
            let name = said.name()?;
            let cell = gone.get(name)?;
            Some(format!(
                "`{name}` was moved or lost by the cell with number [{cell}]. Run the cell again that \
                 makes it; to keep it, lend it there (`&{name}`) or copy it (`{name}.clone()`)"
            ))
        }
        "E0592" | "E0119" | "E0034" => Some(
            "an `impl` that stands in one cell with its type is replaced when that cell is run \
             again: edit it there"
                .to_owned(),
        ),
        "E0382" | "E0507" if code.contains("timeit!") => Some(
            "`timeit!` runs its work many times, and the first run would use this value up. Make \
             a fresh one for each: `timeit!(let list = values.clone(); work(list))`"
                .to_owned(),
        ),
        "E0373" | "E0597" | "E0521" | "E0716" if outlives_the_line(code) => {
            Some(
                "what outlives this line must own what it uses: write `move` before the closure, and \
                 clone what you still need"
                    .to_owned(),
            )
        }
        "E0463" => Some(load(said.name()?.trim_start_matches('_'))),
        "E0432" | "E0433"
            if said.message.contains("unresolved") || said.message.contains("undeclared") =>
        {
            let name = said.name()?.split("::").next()?;
            Some(format!("if `{name}` is a crate, {}", load(name)))
        }
        _ if lacks_question_mark(said, code) => Some(
            "`Pool::new(…)` and its likes give a `Result`: put a `?` behind it, as in `Pool::new(2)?`"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether there are calls whose functions go on when the line is over.
fn outlives_the_line(code: &str) -> bool {
    let calls = ["submit", "spawn", "map_async", "deadline", "imap"];
    calls.iter().any(|call| code.contains(call))
}

fn load(name: &str) -> String {
    format!("load it in a line of its own at the top of a cell: :dep {name} = \"*\"")
}

/// Whether a pool's maker, whose result may be an error, is used as if it were the pool.
fn lacks_question_mark(said: Said, code: &str) -> bool {
    let makes_pool = ["Pool::new(", "ProcessPool::new(", "MpiPool::new("];
    let mut makers = makes_pool
        .iter()
        .flat_map(|maker| code.match_indices(maker));
    let lacks = makers.any(|(at, maker)| {
        let rest = &code[at + maker.len()..];
        let end = rest.find(')').unwrap_or(rest.len());
        !rest[end..].trim_start_matches(')').starts_with('?')
    });
    let numbers = [
        "E0599", "E0631", "E0369", "E0308", "E0277", "E0282", "E0061",
    ];
    lacks && numbers.contains(&said.number) && said.all.contains("Pool")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(number: &'a str, message: &'a str) -> Said<'a> {
        Said {
            number,
            message,
            all: message,
        }
    }

    #[test]
    fn a_moved_variable_is_told_with_its_cell() {
        let gone = Gone::from([("items".to_owned(), 4)]);
        let told = |message| hint(said("E0425", message), "", &gone);
        let of_moved = told("cannot find value `items` in this scope").unwrap();
        assert!(
            of_moved.contains("[4]") && of_moved.contains("&items"),
            "{of_moved}"
        );
        assert_eq!(told("cannot find value `itmes` in this scope"), None);
    }

    #[test]
    fn what_runs_many_times_or_later_is_told_how_to_own() {
        let told = |number, code| hint(said(number, "use of moved value: `v`"), code, &Gone::new());
        let moved = told("E0382", "timeit!(total(v))").unwrap();
        assert!(moved.contains("let list ="), "{moved}");
        assert_eq!(told("E0382", "total(v); total(v)"), None);
        for call in [
            "pool.map_async(|x| x * by, v)",
            "pool.deadline(t)?.map(|x| x * by, v)",
        ] {
            assert!(told("E0373", call).unwrap().contains("`move`"));
        }
        assert_eq!(told("E0373", "let f = |x| x * by;"), None);
    }

    #[test]
    fn a_missing_question_mark_is_named() {
        let error = said("E0369", "cannot multiply `Pool` by `Pool`");
        let told = |code| hint(error, code, &Gone::new());
        assert!(
            told("Pool::new(2).map(|x| x * x, [1])")
                .unwrap()
                .contains('?')
        );
        assert_eq!(told("Pool::new(2)?.map(|x| x * x, [1])"), None);
    }
}
