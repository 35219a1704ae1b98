//! Showing values in a notebook: as a cell's result, or at any place of a cell.

use std::fmt;
use std::io::{self, Write};

use crate::notebook::runner;

/// What [`display`] can show: everything that can be printed by `{}`, and figures.
///
/// A type of your own that has more to show than text, a table in HTML for example, says so here:
///
/// ```
/// use helpers::prelude::*;
///
/// struct Temperature(f64);
///
/// impl helpers::Show for Temperature {
///     fn plain(&self) -> String {
///         format!("{} °C", self.0)
///     }
///
///     fn rich(&self) -> Vec<(&'static str, String)> {
///         vec![("text/html", format!("<b>{}</b> °C", self.0))]
///     }
/// }
///
/// display(&Temperature(21.5));
/// ```
///
/// What can be printed by `{:?}` only, is printed:
///
/// ```compile_fail,E0277
/// use helpers::prelude::*;
///
/// display(&vec![1, 2, 3]); // println!("{:?}", vec![1, 2, 3]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`display` cannot show `{Self}`",
    // In a label, as notebooks show no notes.
    label = "this has no text for readers. Print it as it is with `println!(\"{{value:?}}\")`; a \
             `Result` may want `?` first; for a type of your own, implement `Display` or \
             `helpers::Show`"
)]
pub trait Show {
    /// The value in plain text, which is all that a terminal and some readers get.
    fn plain(&self) -> String;

    /// The value in other formats, each a MIME type and its content. A notebook shows the one that it
    /// likes best.
    fn rich(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

// Or the compiler would ask for `Display` alone.
#[diagnostic::do_not_recommend]
impl<T: fmt::Display + ?Sized> Show for T {
    fn plain(&self) -> String {
        self.to_string()
    }
}

/// Shows a value here and now: a figure, a timing, a text. May be called at any place of a cell, and
/// any number of times.
///
/// The last expression of a cell shows itself without it. A stock kernel, which shows nothing before
/// the end of a cell, and a program print the value's text; of a figure, what its picture tells.
///
/// ```
/// use helpers::prelude::*;
///
/// for workers in [1, 2, 4] {
///     let figure = plot::bars("Wall time", "s", &[("serial", 8), ("workers", 8 / workers)])?;
///     display(&figure);
/// }
/// # Ok::<(), plot::PlotError>(())
/// ```
pub fn display<T: Show + ?Sized>(value: &T) {
    if runner::of_cells().is_some() {
        send(&Order::Display {
            plain: &value.plain(),
            rich: &value.rich(),
            id: None,
        });
    } else {
        println!("{}", value.plain());
    }
}

/// Takes away what the cell has shown and printed so far, as soon as it shows or prints something
/// else.
///
/// Elsewhere than in the course's own kernel it does nothing: what is printed there stays.
///
/// ```
/// use helpers::prelude::*;
///
/// for second in (1..=3).rev() {
///     clear_output();
///     println!("{second} …");
/// }
/// ```
pub fn clear_output() {
    if runner::of_cells().is_some() {
        send(&Order::Clear);
    }
}

/// Shows a value as the result of its cell, for `evcxr_display`, which the kernel calls.
pub(crate) fn as_result<T: Show>(value: &T) {
    let mut formats = value.rich();
    formats.push(("text/plain", value.plain()));
    // One lock for all, so that no other thread's line falls in between.
    let mut out = io::stdout().lock();
    for (mime_type, content) in formats {
        // The kernel is gone when its pipe is: there is nobody left to tell.
        let _ = writeln!(
            out,
            "EVCXR_BEGIN_CONTENT {mime_type}\n{content}\nEVCXR_END_CONTENT"
        );
    }
}

/// What the course's kernel is told to do. Whoever sends it makes sure that there is one.
pub(crate) enum Order<'s> {
    /// Show something, if `id` is given, something that will change.
    Display {
        plain: &'s str,
        rich: &'s [(&'static str, String)],
        id: Option<&'s str>,
    },
    /// Show this in the place of what was shown with the same `id`.
    Update {
        plain: &'s str,
        rich: &'s [(&'static str, String)],
        id: &'s str,
    },
    /// Take away what the cell has shown, as soon as it shows something else.
    Clear,
}

/// Tells the kernel, in the middle of what the cell prints, so that the order is kept.
pub(crate) fn send(order: &Order<'_>) {
    let message = message(order);
    let mut out = io::stdout().lock();
    // The kernel is gone when its pipe is: there is nobody left to tell.
    let _ = out.flush();
    let _ = out.write_all(message.as_bytes());
    let _ = out.flush();
}

/// The order between the marks that tell it from what is printed.
fn message(order: &Order<'_>) -> String {
    let json = match order {
        Order::Display { plain, rich, id } => {
            let id = id.map_or(String::new(), |id| format!(",\"id\":{}", json(id)));
            format!("{{\"do\":\"display\",\"data\":{}{id}}}", data(plain, rich))
        }
        Order::Update { plain, rich, id } => {
            let id = json(id);
            format!(
                "{{\"do\":\"update\",\"data\":{},\"id\":{id}}}",
                data(plain, rich)
            )
        }
        Order::Clear => "{\"do\":\"clear\",\"wait\":true}".to_owned(),
    };
    format!("\x1b_course {json}\x1b\\")
}

fn data(plain: &str, rich: &[(&'static str, String)]) -> String {
    let formats = rich
        .iter()
        .map(|(mime_type, content)| (*mime_type, content.as_str()));
    let pairs: Vec<String> = formats
        .chain([("text/plain", plain)])
        .map(|(mime_type, content)| format!("{}:{}", json(mime_type), json(content)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// A text as JSON writes it (RFC 8259, section 7).
fn json(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", control as u32)),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(order: &Order<'_>) -> Value {
        let message = message(order);
        let inner = message
            .strip_prefix("\x1b_course ")
            .and_then(|rest| rest.strip_suffix("\x1b\\"))
            .unwrap();
        assert!(!inner.contains(|c: char| c.is_control()), "{inner:?}");
        serde_json::from_str(inner).unwrap()
    }

    #[test]
    fn orders_are_json_whatever_is_shown() {
        let every_control: String = (0..0x20).map(char::from).collect();
        for text in [
            "",
            "a \"b\" \\ c/d",
            "ü ☂ \u{1f600} \u{2028}\u{7f}x",
            &every_control,
        ] {
            let read: Value = serde_json::from_str(&super::json(text)).unwrap();
            assert_eq!(read, json!(text));
        }
        let rich = [("text/html", "<b title=\"x\">\u{1b}[31m</b>\n".to_owned())];
        let mut order = Order::Display {
            plain: "two\nlines",
            rich: &rich,
            id: None,
        };
        let data = json!({ "text/plain": "two\nlines", "text/html": rich[0].1 });
        assert_eq!(told(&order), json!({ "do": "display", "data": data }));
        if let Order::Display { id, .. } = &mut order {
            *id = Some("a-1");
        }
        let wanted = json!({ "do": "display", "data": data, "id": "a-1" });
        assert_eq!(told(&order), wanted);
        let update = Order::Update {
            plain: "x",
            rich: &[],
            id: "a-1",
        };
        let wanted = json!({ "do": "update", "data": { "text/plain": "x" }, "id": "a-1" });
        assert_eq!(told(&update), wanted);
        assert_eq!(told(&Order::Clear), json!({ "do": "clear", "wait": true }));
    }

    #[test]
    fn what_can_be_printed_can_be_shown() {
        fn plain(value: &(impl Show + ?Sized)) -> String {
            assert_eq!(value.rich(), []);
            value.plain()
        }
        assert_eq!(plain("text"), "text");
        assert_eq!(plain(&1.5), "1.5");
        let by_reference: &dyn fmt::Display = &7;
        assert_eq!(plain(by_reference), "7");
    }
}
