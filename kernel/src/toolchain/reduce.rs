//! The sources of the standard library, without what rust-analyzer reads in vain.
//!
//! It reads them anew in each kernel, and most of its time goes into macros that define the methods of twelve kinds
//! of numbers: bodies, documentation and attributes, twelve times over. Nobody runs or
//! checks what is read here, so bodies go, and within macros attributes that say nothing to a reader and documentation but for its
//! first paragraph. Documentation outside of macros stays for *Shift+Tab*.

use std::fs;
use std::path::Path;

use ra_ap_syntax::ast::AstNode;
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxToken};

use crate::Result;

/// Attributes that only the compiler needs.
const OF_THE_COMPILER: [&str; 21] = [
    "allow",
    "cold",
    "diagnostic",
    "expect",
    "inline",
    "miri",
    "must_use",
    "optimize",
    "rustc_allow_const_fn_unstable",
    "rustc_allow_incoherent_impl",
    "rustc_confusables",
    "rustc_const_stable",
    "rustc_const_unstable",
    "rustc_diagnostic_item",
    "rustc_inherit_overflow_checks",
    "rustc_nounwind",
    "rustc_on_unimplemented",
    "stable",
    "track_caller",
    "warn",
    "rustc_as_ptr",
];

/// Reduces all sources in a folder, in place.
pub fn reduce_folder(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            reduce_folder(&path)?;
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && let Ok(text) = fs::read_to_string(&path)
        {
            fs::write(&path, reduced(&text))?;
        }
    }
    Ok(())
}

struct Token {
    kind: SyntaxKind,
    text: String,
    /// Whether it is given to a macro, or is part of its definition.
    is_of_macro: bool,
}

fn reduced(source: &str) -> String {
    let tokens = tokens(source);
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let end = match token.kind {
            SyntaxKind::COMMENT if !is_documentation(token) => at + 1,
            SyntaxKind::COMMENT if token.is_of_macro && !is_summary(&tokens, at) => at + 1,
            SyntaxKind::POUND => end_of_idle_attribute(&tokens, at).unwrap_or(at),
            SyntaxKind::FN_KW => match body_of_function(&tokens, at) {
                Some((begin, end)) => {
                    tokens[at..begin]
                        .iter()
                        .for_each(|token| text.push_str(&token.text));
                    text.push_str("{ loop {} }");
                    end
                }
                None => at,
            },
            _ => at,
        };
        if end == at {
            text.push_str(&token.text);
            at += 1;
        } else {
            at = end;
        }
    }
    text
}

fn tokens(source: &str) -> Vec<Token> {
    let file = SourceFile::parse(source, Edition::Edition2024);
    let is_of_macro = |token: &SyntaxToken| {
        let mut above = token.parent_ancestors();
        above.any(|node| node.kind() == SyntaxKind::TOKEN_TREE)
    };
    file.tree()
        .syntax()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .map(|token| Token {
            kind: token.kind(),
            text: token.text().to_owned(),
            is_of_macro: is_of_macro(&token),
        })
        .collect()
}

fn is_documentation(token: &Token) -> bool {
    ["///", "//!", "/**", "/*!"]
        .iter()
        .any(|begin| token.text.starts_with(begin))
}

/// Whether a line of documentation belongs to the first paragraph of its text, which attributes may be part of.
fn is_summary(tokens: &[Token], at: usize) -> bool {
    let mut depth = 0;
    for token in tokens[..at].iter().rev() {
        match token.kind {
            SyntaxKind::WHITESPACE | SyntaxKind::POUND => {}
            SyntaxKind::COMMENT if is_documentation(token) => {
                if token.text.trim_start_matches('/').trim().is_empty() {
                    return false;
                }
            }
            SyntaxKind::R_BRACK => depth += 1,
            SyntaxKind::L_BRACK => depth -= 1,
            // Of `#[doc = …]`.
            SyntaxKind::IDENT if depth == 1 && token.text == "doc" => return false,
            _ if depth > 0 => {}
            _ => break,
        }
        if depth < 0 {
            break;
        }
    }
    true
}

/// The place behind an attribute that can go.
fn end_of_idle_attribute(tokens: &[Token], pound: usize) -> Option<usize> {
    let inner = tokens.get(pound + 1)?.kind == SyntaxKind::BANG;
    let open = pound + 1 + usize::from(inner);
    if tokens.get(open)?.kind != SyntaxKind::L_BRACK {
        return None;
    }
    let close = closing(tokens, open)?;
    let mut inside = tokens[open + 1..close]
        .iter()
        .filter(|token| !token.kind.is_trivia());
    let name = &inside.next()?.text;
    let is_of_compiler = OF_THE_COMPILER.contains(&name.as_str());
    // `#[doc(hidden)]` and the like say what is to be seen; `#[doc = …]` is documentation.
    let is_text = name == "doc" && inside.next().is_some_and(|token| token.text == "=");
    let can_go = is_of_compiler || (is_text && tokens[pound].is_of_macro);
    can_go.then_some(close + 1)
}

/// The places of the braces around a function's body, the second behind it.
fn body_of_function(tokens: &[Token], keyword: usize) -> Option<(usize, usize)> {
    let mut next = tokens[keyword + 1..]
        .iter()
        .filter(|token| !token.kind.is_trivia());
    // A type such as `fn(u8)` has no name; in a macro the name may be an argument.
    if !matches!(next.next()?.kind, SyntaxKind::IDENT | SyntaxKind::DOLLAR) {
        return None;
    }
    // A constant may be computed by it, and the length of an array by that.
    if is_const(tokens, keyword) && !tokens[keyword].is_of_macro {
        return None;
    }
    let mut at = keyword + 1;
    loop {
        match tokens.get(at)?.kind {
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK => at = closing(tokens, at)?,
            // `${concat($a, $b)}` is a name.
            SyntaxKind::L_CURLY if tokens[at - 1].kind == SyntaxKind::DOLLAR => {
                at = closing(tokens, at)?;
            }
            SyntaxKind::L_CURLY => return Some((at, closing(tokens, at)? + 1)),
            SyntaxKind::SEMICOLON
            | SyntaxKind::R_CURLY
            | SyntaxKind::R_PAREN
            | SyntaxKind::R_BRACK => return None,
            _ => {}
        }
        at += 1;
    }
}

fn is_const(tokens: &[Token], keyword: usize) -> bool {
    let before = tokens[..keyword].iter().rev();
    before
        .take_while(|token| {
            token.kind.is_trivia()
                || matches!(
                    token.kind,
                    SyntaxKind::CONST_KW
                        | SyntaxKind::UNSAFE_KW
                        | SyntaxKind::EXTERN_KW
                        | SyntaxKind::ASYNC_KW
                        | SyntaxKind::STRING
                )
        })
        .any(|token| token.kind == SyntaxKind::CONST_KW)
}

/// The bracket that closes another one.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY => depth += 1,
            SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_go_and_documentation_stays() {
        let source = "/// Adds.\n#[stable(feature = \"a\")]\n#[must_use]\npub fn add(a: [u8; { 1 }]) -> u8 { a[0] } // why\n";
        assert_eq!(
            reduced(source),
            "/// Adds.\n\n\npub fn add(a: [u8; { 1 }]) -> u8 { loop {} } \n"
        );
        let kept = "pub const fn size() -> usize { 3 }\ntype F = fn(u8) -> u8;\ntrait T { fn f(); }\n#[unstable(feature = \"x\")]\n#[doc(hidden)]\nstruct A { b: u8 }\n";
        assert_eq!(reduced(kept), kept);
    }

    #[test]
    fn a_name_that_a_macro_puts_together_is_no_body() {
        let source =
            "macro_rules! f { ($f:ident) => { fn ${concat($f, _small)}(a: u8) -> u8 { a } } }";
        let left = reduced(source);
        assert!(
            left.contains("fn ${concat($f, _small)}(a: u8) -> u8 { loop {} }"),
            "{left}"
        );
    }

    #[test]
    fn in_macros_only_signatures_stay() {
        let source = "macro_rules! int { ($t:ty) => { /// Sums.\n///\n/// Adds.\n#[doc = concat!(\"x\")]\n/// Adds.\n#[doc(hidden)]\npub const fn add(self) -> $t { self + 1 } } }";
        let left = reduced(source);
        assert!(
            left.contains("Sums") && !left.contains("Adds") && !left.contains("concat"),
            "{left}"
        );
        assert!(
            left.contains("#[doc(hidden)]") && left.contains("-> $t { loop {} }"),
            "{left}"
        );
    }
}
