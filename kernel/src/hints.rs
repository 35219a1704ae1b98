//! What a beginner needs to hear besides the compiler's words.

use std::collections::BTreeMap;

use evcxr::CompilationError;

/// Further advice on errors, if there is any; `gone` are variables that a cell of this number took over.
pub fn of(
    errors: &[CompilationError],
    code: &str,
    gone: &BTreeMap<String, usize>,
) -> Option<String> {
    errors.iter().find_map(|error| {
        let message = error.message();
        hint(error.code().unwrap_or_default(), &message, code, gone)
    })
}

fn hint(number: &str, message: &str, code: &str, gone: &BTreeMap<String, usize>) -> Option<String> {
    match number {
        "E0425" => {
            let name = message.split('`').nth(1)?;
            let cell = gone.get(name)?;
            Some(format!(
                "`{name}` was moved or lost by the cell with number [{cell}]. Run the cell again that makes it; to keep it, lend it \
                 there (`&{name}`) or copy it (`{name}.clone()`)"
            ))
        }
        "E0592" | "E0119" | "E0034" => Some(
            "an `impl` that stands in one cell with its type is replaced when that cell is run again: edit it there".to_owned(),
        ),
        "E0373" | "E0597" | "E0521" | "E0716" if code.contains("submit") || code.contains("spawn") => Some(
            "what outlives this line must own what it uses: write `move` before the closure, and clone what you still need"
                .to_owned(),
        ),
        "E0463" => {
            let name = message.split('`').nth(1)?;
            let name = name.trim_start_matches('_');
            Some(format!("load the crate in a line of its own at the top of a cell: :dep {name} = \"*\""))
        }
        "E0432" | "E0433" if message.contains("unresolved") || message.contains("undeclared") => {
            let name = message.split('`').nth(1)?.split("::").next()?;
            Some(format!(
                "if `{name}` is a crate, load it in a line of its own at the top of a cell: :dep {name} = \"*\""
            ))
        }
        _ if lacks_question_mark(number, message, code) => Some(
            "`Pool::new(…)` and its likes give a `Result`: put a `?` behind the closing parenthesis".to_owned(),
        ),
        _ => None,
    }
}

/// Whether a pool's maker, whose result may be an error, is used as if it were the pool.
fn lacks_question_mark(number: &str, message: &str, code: &str) -> bool {
    let makes_pool = ["Pool::new(", "ProcessPool::new(", "MpiPool::new("];
    let mut makers = makes_pool
        .iter()
        .flat_map(|maker| code.match_indices(maker));
    let lacks = makers.any(|(at, maker)| {
        let rest = &code[at + maker.len()..];
        let end = rest.find(')').unwrap_or(rest.len());
        !rest[end..].trim_start_matches(')').starts_with('?')
    });
    let speaks_of_it = message.contains("Pool") || message.contains("Result<");
    lacks
        && speaks_of_it
        && matches!(
            number,
            "E0599" | "E0369" | "E0308" | "E0277" | "E0282" | "E0061"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_variable_is_told_with_its_cell() {
        let gone = BTreeMap::from([("items".to_owned(), 4)]);
        let told = hint(
            "E0425",
            "cannot find value `items` in this scope",
            "",
            &gone,
        )
        .unwrap();
        assert!(told.contains("[4]") && told.contains("&items"), "{told}");
        assert_eq!(
            hint(
                "E0425",
                "cannot find value `itmes` in this scope",
                "",
                &gone
            ),
            None
        );
    }

    #[test]
    fn a_missing_question_mark_is_named() {
        let gone = BTreeMap::new();
        let message = "cannot multiply `Pool` by `Pool`";
        let told = hint("E0369", message, "Pool::new(2).map(|x| x * x, [1])", &gone);
        assert!(told.unwrap().contains('?'));
        assert_eq!(
            hint("E0369", message, "Pool::new(2)?.map(|x| x * x, [1])", &gone),
            None
        );
    }
}
