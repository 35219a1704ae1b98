//! What a cell's code says before it is compiled, and what must be remembered of it.
//!
//! evcxr compiles all items of earlier cells into every cell that follows. So a static begins anew in each, an `impl` that is run
//! again stands there twice, and a variable whose type has been defined anew would be read as what it is not.

use std::collections::{BTreeMap, BTreeSet};

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxNode};

/// What stands around a cell's code so that it can be parsed: statements are those of a function.
const BEFORE: &str = "fn f(){";
const AFTER: &str = "\n}";

/// Names of modules that give an `impl` a name by which evcxr replaces it.
pub const OWN_NAMES: &str = "evcxr_impl_";

/// A cell's code, ready for evcxr.
#[derive(Debug, Default)]
pub struct Prepared {
    pub code: String,
    /// Whether its first line was `%%time`.
    pub is_timed: bool,
    /// Where something was put in: the line, from 1, the column, from 1, and how many characters.
    shifts: Vec<(usize, usize, usize)>,
    /// Statics of earlier cells that it uses.
    pub statics: BTreeSet<String>,
    /// Types of earlier cells that it defines otherwise.
    pub redefined: BTreeSet<String>,
    /// How `main` would be called, if the cell defines it and nothing runs.
    pub idle_main: Option<&'static str>,
    /// Items that it defines.
    pub defined: BTreeSet<String>,
    news: Memory,
}

/// What is remembered of earlier cells.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Statics, and functions that use them: the name, and that of the static.
    statics: BTreeMap<String, String>,
    /// Types by name, with the text of their definitions.
    types: BTreeMap<String, String>,
    impls: Vec<Impl>,
    next: usize,
    /// Crates that were loaded by `:dep`.
    crates: BTreeSet<String>,
}

/// An `impl` that evcxr knows by a name of ours.
#[derive(Clone, Debug, PartialEq)]
struct Impl {
    name: String,
    /// Its text up to the brace, without spaces.
    header: String,
    /// Of what it defines.
    items: BTreeSet<String>,
    is_of_trait: bool,
}

impl Memory {
    /// Takes note of a cell that has been compiled.
    pub fn add(&mut self, cell: &Prepared) {
        for name in cell.news.types.keys().chain(cell.news.statics.keys()) {
            self.statics.remove(name);
        }
        self.statics.extend(cell.news.statics.clone());
        self.types.extend(cell.news.types.clone());
        for news in &cell.news.impls {
            self.impls.retain(|old| !old.is_replaced_by(news));
        }
        self.impls.extend(cell.news.impls.clone());
        self.crates.extend(cell.news.crates.clone());
        self.next = self.next.max(cell.news.next);
    }

    /// Types whose values hold a value of one of these types, and those types.
    pub fn types_with(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let mut found = names.clone();
        loop {
            let more = self.types.iter().filter(|(_, text)| mentions(text, &found));
            let more: Vec<_> = more.map(|(name, _)| name.clone()).collect();
            let before = found.len();
            found.extend(more);
            if found.len() == before {
                return found;
            }
        }
    }
}

impl Impl {
    fn is_replaced_by(&self, other: &Impl) -> bool {
        // A trait is implemented once for a type. Methods of a type may stand in several places.
        self.header == other.header && (self.is_of_trait || !self.items.is_disjoint(&other.items))
    }
}

/// Whether one of the names occurs in a text as a word.
pub fn mentions(text: &str, names: &BTreeSet<String>) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| names.contains(word))
}

/// Looks at a cell's code. The error names a magic of Python's and what to write instead.
pub fn prepare(code: &str, memory: &Memory) -> Result<Prepared, String> {
    let (mut code, is_timed) = without_magic(code)?;
    let start = beginning_of_rust(&code);
    let file = SourceFile::parse(
        &format!("{BEFORE}{}{AFTER}", &code[start..]),
        Edition::Edition2024,
    );
    let statements = statements(&file.tree());
    let mut prepared = Prepared {
        is_timed,
        ..Prepared::default()
    };
    let mut insertions = Vec::new();
    let mut defined = BTreeSet::new();
    prepared.news.crates = crates_in(&code[..start]);
    let is_loaded = |name| memory.crates.contains(name) || prepared.news.crates.contains(name);
    // The crate `helpers` brings serde along, whose derives look for it elsewhere.
    let lends_serde = is_loaded("helpers") && !is_loaded("serde");
    prepared.news.next = memory.next;
    for node in &statements {
        let call = node.descendants().take(2).find_map(ast::MacroCall::cast);
        if let Some(call) = call {
            prepared.news.remember_statics_in(&call);
        }
        let Some(item) = ast::Item::cast(node.clone()) else {
            continue;
        };
        if lends_serde && let Some(at) = place_for_serde(&item) {
            let at = at - BEFORE.len() + start;
            insertions.push((at, " #[serde(crate = \"helpers::serde\")]".to_owned()));
        }
        match &item {
            ast::Item::Impl(block) => {
                if let Some(news) = impl_to_name(block, &defined, memory, &mut prepared.news.next) {
                    let at = usize::from(node.text_range().start()) - BEFORE.len() + start;
                    insertions.push((at, marker(&news, memory)));
                    prepared.news.impls.push(news);
                }
            }
            ast::Item::Static(of) => prepared.news.remember_static(of.name()),
            ast::Item::Struct(of) => prepared.news.remember_type(of.name(), node),
            ast::Item::Enum(of) => prepared.news.remember_type(of.name(), node),
            ast::Item::Union(of) => prepared.news.remember_type(of.name(), node),
            _ => {}
        }
        defined.extend(name_of(&item));
    }
    // Functions that use a static begin with a new one as well.
    for function in statements.iter().cloned().filter_map(ast::Fn::cast) {
        let all = memory.statics.iter().chain(&prepared.news.statics);
        let of = used_statics(std::slice::from_ref(function.syntax()), all).next();
        let own = function.syntax().descendants().find_map(ast::Static::cast);
        let own = own.and_then(|own| Some(own.name()?.text().to_string()));
        if let (Some(of), Some(name)) = (of.or(own), function.name()) {
            prepared.news.statics.insert(name.text().to_string(), of);
        }
    }
    let of_others = memory
        .statics
        .iter()
        .filter(|(name, _)| !defined.contains(*name));
    prepared.statics = used_statics(&statements, of_others)
        .filter(|of| !prepared.news.statics.contains_key(of))
        .collect();
    let news = &prepared.news.types;
    let changed = news
        .iter()
        .filter(|(name, text)| memory.types.get(*name).is_some_and(|old| old != *text));
    prepared.redefined = changed.map(|(name, _)| name.clone()).collect();
    prepared.idle_main = idle_main(&statements);
    prepared.defined = defined;
    for (at, text) in insertions.into_iter().rev() {
        let line_start = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = code[..at].matches('\n').count() + 1;
        let column = code[line_start..at].chars().count() + 1;
        prepared.shifts.push((line, column, text.chars().count()));
        code.insert_str(at, &text);
    }
    prepared.code = code;
    Ok(prepared)
}

impl Prepared {
    /// The column in the reader's code, from that in the code which evcxr has.
    pub fn column(&self, line: usize, column: usize) -> usize {
        let before = self
            .shifts
            .iter()
            .filter(|(l, c, length)| *l == line && column >= c + length);
        column - before.map(|(_, _, length)| length).sum::<usize>()
    }
}

impl Memory {
    fn remember_static(&mut self, name: Option<ast::Name>) {
        if let Some(name) = name {
            let name = name.text().to_string();
            self.statics.insert(name.clone(), name);
        }
    }

    /// Those of `thread_local! { static NAME: … }`.
    fn remember_statics_in(&mut self, call: &ast::MacroCall) {
        let path = call.path().map(|path| path.syntax().text().to_string());
        if !path.is_some_and(|path| path.ends_with("thread_local")) {
            return;
        }
        let mut tokens = call
            .syntax()
            .descendants_with_tokens()
            .filter_map(|element| element.into_token())
            .filter(|token| !token.kind().is_trivia());
        while let Some(token) = tokens.next() {
            if token.kind() == SyntaxKind::STATIC_KW
                && let Some(name) = tokens.next()
            {
                let name = name.text().to_owned();
                self.statics.insert(name.clone(), name);
            }
        }
    }

    fn remember_type(&mut self, name: Option<ast::Name>, node: &SyntaxNode) {
        if let Some(name) = name {
            self.types.insert(name.text().to_string(), tokens(node));
        }
    }
}

/// Names an `impl` of which evcxr would only know that it is there; nothing for one that belongs to an item before it
/// in the cell, with which it is replaced.
fn impl_to_name(
    block: &ast::Impl,
    defined: &BTreeSet<String>,
    memory: &Memory,
    next: &mut usize,
) -> Option<Impl> {
    let of = block.self_ty()?;
    if identifiers(of.syntax())
        .intersection(defined)
        .next()
        .is_some()
    {
        return None;
    }
    let list = block.assoc_item_list()?;
    let text = tokens(block.syntax());
    let body = tokens(list.syntax());
    let items = list.assoc_items().filter_map(|item| match item {
        ast::AssocItem::Fn(item) => item.name(),
        ast::AssocItem::Const(item) => item.name(),
        ast::AssocItem::TypeAlias(item) => item.name(),
        ast::AssocItem::MacroCall(_) => None,
    });
    let mut news = Impl {
        name: String::new(),
        header: text.strip_suffix(&body).unwrap_or(&text).to_owned(),
        items: items.map(|name| name.text().to_string()).collect(),
        is_of_trait: block.trait_().is_some(),
    };
    let replaced = memory.impls.iter().find(|old| old.is_replaced_by(&news));
    news.name = match replaced {
        Some(old) => old.name.clone(),
        None => {
            *next += 1;
            format!("{OWN_NAMES}{next}")
        }
    };
    Some(news)
}

/// Empty modules: one gives the `impl` behind it its name, others take the place of those that it replaces.
fn marker(news: &Impl, memory: &Memory) -> String {
    let replaced = memory.impls.iter().filter(|old| old.is_replaced_by(news));
    let others = replaced.filter(|old| old.name != news.name);
    let mut text: String = others
        .map(|old| format!("mod {} {{}} ", old.name))
        .collect();
    text.push_str(&format!("mod {} {{}} ", news.name));
    text
}

/// The code without a magic in its first line. The line stays, so that others keep their numbers.
fn without_magic(code: &str) -> Result<(String, bool), String> {
    let Some(first) = code.lines().next().filter(|line| line.starts_with('%')) else {
        return Ok((code.to_owned(), false));
    };
    let rest = &code[first.len()..];
    let mut words = first.split_whitespace();
    match words.next().unwrap_or_default() {
        "%%time" if words.next().is_none() => Ok((rest.to_owned(), true)),
        magic => {
            let instead = match magic.trim_start_matches('%') {
                "time" => {
                    "write `%%time` alone in the first line of a cell, or `time!(…)` around what is to be timed"
                }
                "timeit" => "write `timeit!(…)` around what is to be timed",
                "matplotlib" => "a figure shows itself as the last line of a cell",
                "pip" | "conda" => "write `:dep name = \"version\"` to load a crate",
                "run" | "load" => "write `include!(\"file.rs\");`",
                "who" | "whos" => "write `:vars`",
                "reset" => "write `:clear`",
                "bash" | "sh" => "write `!command`",
                _ => "`:help` lists the commands that there are",
            };
            Err(format!(
                "`{magic}` is a magic of IPython's, which this kernel does not have: {instead}"
            ))
        }
    }
}

/// Where commands and comments end. evcxr takes commands only before the first line of Rust.
fn beginning_of_rust(code: &str) -> usize {
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let text = line.trim_end();
        let is_before = text.is_empty()
            || text.trim_start().is_empty()
            || line.starts_with("//")
            || line.starts_with('!')
            || text.trim_start_matches(' ').starts_with(':');
        if !is_before {
            break;
        }
        start += line.len();
    }
    start
}

/// The names of crates that a cell loads.
fn crates_in(commands: &str) -> BTreeSet<String> {
    let lines = commands.lines().map(str::trim_start);
    let named = lines.filter_map(|line| line.strip_prefix(":dep"));
    named
        .filter_map(|rest| rest.trim_start().split([' ', '=']).next())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// Where an attribute of serde's belongs: behind a derive of one of its traits, if there is none that names
/// the crate.
fn place_for_serde(item: &ast::Item) -> Option<usize> {
    use ra_ap_syntax::ast::HasAttrs;
    let attributes: Vec<ast::Attr> = match item {
        ast::Item::Struct(item) => item.attrs().collect(),
        ast::Item::Enum(item) => item.attrs().collect(),
        _ => return None,
    };
    let named = |attribute: &ast::Attr| tokens(attribute.syntax()).replace(' ', "");
    if attributes
        .iter()
        .any(|one| named(one).starts_with("#[serde(crate"))
    {
        return None;
    }
    let derive = attributes.iter().find(|one| {
        let text = named(one);
        text.starts_with("#[derive(")
            && (text.contains("Serialize") || text.contains("Deserialize"))
    })?;
    Some(derive.syntax().text_range().end().into())
}

fn statements(file: &SourceFile) -> Vec<SyntaxNode> {
    let function = file.items().next().and_then(|item| match item {
        ast::Item::Fn(function) => function.body(),
        _ => None,
    });
    let list = function.and_then(|body| body.stmt_list());
    list.map(|list| list.syntax().children().collect())
        .unwrap_or_default()
}

fn name_of(item: &ast::Item) -> Option<String> {
    let name = match item {
        ast::Item::Const(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Fn(item) => item.name(),
        ast::Item::MacroRules(item) => item.name(),
        ast::Item::Module(item) => item.name(),
        ast::Item::Static(item) => item.name(),
        ast::Item::Struct(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        _ => None,
    };
    name.map(|name| name.text().to_string())
}

fn identifiers(node: &SyntaxNode) -> BTreeSet<String> {
    node.descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| token.kind() == SyntaxKind::IDENT)
        .map(|token| token.text().to_owned())
        .collect()
}

/// The statics that code uses, itself or by a function that does.
fn used_statics<'m>(
    code: &[SyntaxNode],
    known: impl Iterator<Item = (&'m String, &'m String)>,
) -> impl Iterator<Item = String> {
    let words: BTreeSet<String> = code.iter().flat_map(identifiers).collect();
    // A function of that name is called by a path; `.count()` is something else, and so is a variable.
    let mut paths: BTreeSet<String> = code.iter().flat_map(paths).collect();
    let bindings = code.iter().flat_map(|node| node.descendants());
    for bound in bindings
        .filter_map(ast::IdentPat::cast)
        .filter_map(|bound| bound.name())
    {
        paths.remove::<str>(bound.text());
    }
    known
        .filter(move |(name, of)| {
            let place = if name == of { &words } else { &paths };
            place.contains(*name)
        })
        .map(|(_, of)| of.clone())
}

/// The first words of paths, such as names of functions that are called.
fn paths(node: &SyntaxNode) -> Vec<String> {
    let paths = node.descendants().filter_map(ast::Path::cast);
    let first = paths.filter(|path| path.qualifier().is_none());
    first
        .filter_map(|path| Some(path.segment()?.name_ref()?.text().to_string()))
        .collect()
}

/// The text of a piece of code, without what does not matter.
fn tokens(node: &SyntaxNode) -> String {
    let tokens = node
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia());
    tokens.map(|token| format!("{} ", token.text())).collect()
}

/// How `main` would be called, if it is defined and nothing runs.
fn idle_main(statements: &[SyntaxNode]) -> Option<&'static str> {
    if !statements
        .iter()
        .all(|node| ast::Item::can_cast(node.kind()))
    {
        return None;
    }
    let mut functions = statements.iter().cloned().filter_map(ast::Fn::cast);
    let main =
        functions.find(|function| function.name().is_some_and(|name| name.text() == "main"))?;
    Some(match main.ret_type() {
        Some(_) => "main()?",
        None => "main()",
    })
}

/// Whether code can be run, or more of it must follow.
#[derive(Debug, PartialEq)]
pub enum Completeness {
    Complete,
    Incomplete,
    Invalid,
}

pub fn completeness(code: &str) -> Completeness {
    let code = without_magic(code).map_or(String::new(), |(code, _)| code);
    let rust = &code[beginning_of_rust(&code)..];
    let file = SourceFile::parse(&format!("{BEFORE}{rust}{AFTER}"), Edition::Edition2024);
    let errors = file.errors();
    let end = BEFORE.len() + rust.trim_end().len();
    // What a text or a comment without an end swallows is said to be missing elsewhere.
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let ends_open = ["nterminated", "Missing trailing"];
    if texts
        .iter()
        .any(|text| ends_open.iter().any(|word| text.contains(word)))
    {
        return Completeness::Incomplete;
    }
    let tree = file.tree();
    let all = tree.syntax().descendants_with_tokens();
    let own = all.filter_map(|element| element.into_token());
    let own =
        own.filter(|token| (BEFORE.len()..end).contains(&usize::from(token.text_range().start())));
    let is_strange = texts.iter().any(|text| text.contains("invalid characters"));
    if is_strange || closes_or_errs(own) {
        return Completeness::Invalid;
    }
    let is_at_end = |error: &ra_ap_syntax::SyntaxError| usize::from(error.range().end()) >= end;
    match errors.iter().map(is_at_end).min() {
        None => Completeness::Complete,
        Some(true) => Completeness::Incomplete,
        Some(false) => Completeness::Invalid,
    }
}

/// Whether a bracket is closed that was not opened, or something is no Rust at all.
fn closes_or_errs(tokens: impl Iterator<Item = ra_ap_syntax::SyntaxToken>) -> bool {
    let mut depth = 0;
    for token in tokens {
        match token.kind() {
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY => depth += 1,
            SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY => depth -= 1,
            SyntaxKind::ERROR => return true,
            _ => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(cells: &[&str]) -> Memory {
        let mut memory = Memory::default();
        for cell in cells {
            let prepared = prepare(cell, &memory).unwrap();
            memory.add(&prepared);
        }
        memory
    }

    #[test]
    fn code_is_complete_or_not() {
        for code in [
            "1 + 1",
            "let a = 1;",
            "fn f() {}",
            "",
            ":vars",
            "!ls",
            "%%time\n1",
            "for x in 0..2 { f(x) }",
        ] {
            assert_eq!(completeness(code), Completeness::Complete, "{code}");
        }
        for code in [
            "fn f() {",
            "foo(1,",
            "let a = \"b",
            "let a =",
            "1 +",
            "match a {\n",
            "/* a",
        ] {
            assert_eq!(completeness(code), Completeness::Incomplete, "{code}");
        }
        for code in ["let = 3 3;\n1", "fn 1() {} 2", "let a = ); b", "}", "🙂"] {
            assert_eq!(completeness(code), Completeness::Invalid, "{code}");
        }
    }

    #[test]
    fn an_impl_of_its_own_is_replaced_by_the_next() {
        let memory = after(&["struct Seat;"]);
        let first = prepare("impl Seat { fn a(&self) {} }", &memory).unwrap();
        assert_eq!(
            first.code,
            "mod evcxr_impl_1 {} impl Seat { fn a(&self) {} }"
        );
        assert_eq!(first.column(1, 21), 1);
        let memory = after(&["struct Seat;", "impl Seat { fn a(&self) {} }"]);
        let edited = prepare("impl  Seat { fn a(&self) -> u8 { 1 } }", &memory).unwrap();
        assert!(
            edited.code.starts_with("mod evcxr_impl_1 {} impl"),
            "{}",
            edited.code
        );
        // Other methods are other methods.
        let other = prepare("impl Seat { fn b(&self) {} }", &memory).unwrap();
        assert!(
            other.code.starts_with("mod evcxr_impl_2 {} impl"),
            "{}",
            other.code
        );
        let both = after(&["impl Seat { fn a() {} }", "impl Seat { fn b() {} }"]);
        let joined = prepare("impl Seat { fn a() {} fn b() {} }", &both).unwrap();
        assert!(
            joined
                .code
                .starts_with("mod evcxr_impl_2 {} mod evcxr_impl_1 {} impl"),
            "{}",
            joined.code
        );
    }

    #[test]
    fn an_impl_beside_its_type_belongs_to_it() {
        let cell = prepare(
            "struct A;\nimpl A {}\nimpl Clone for A { fn clone(&self) -> A { A } }",
            &Memory::default(),
        );
        assert!(!cell.unwrap().code.contains(OWN_NAMES));
    }

    #[test]
    fn statics_of_earlier_cells_are_found() {
        let memory = after(&[
            "static C: u8 = 1; thread_local! { static D: u8 = 2; }",
            "fn count() { C; }",
            "fn next() -> u8 { static N: u8 = 1; N }",
        ]);
        let used = |code: &str| {
            prepare(code, &memory)
                .unwrap()
                .statics
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(used("C + 1"), ["C"]);
        assert_eq!(used("D.with(|d| *d)"), ["D"]);
        assert_eq!(used("count()"), ["C"]);
        assert!(used("fn f(count: u8) -> u8 { count }").is_empty());
        assert_eq!(used("next()"), ["N"]);
        assert!(used("[1].iter().count()").is_empty());
        assert!(used("let c = 1;").is_empty());
        assert!(used("static C: u8 = 2; C").is_empty());
    }

    #[test]
    fn a_type_that_changes_takes_those_along_that_hold_it() {
        let memory = after(&["struct P { v: i32 }", "struct Q { p: Vec<P> }", "struct R;"]);
        let same = prepare("struct P {\n  v: i32 } // as before", &memory).unwrap();
        assert!(same.redefined.is_empty());
        let changed = prepare("struct P { v: f64 }", &memory).unwrap();
        assert_eq!(changed.redefined, BTreeSet::from(["P".to_owned()]));
        let all = memory.types_with(&changed.redefined);
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["P", "Q"]);
    }

    #[test]
    fn derives_of_serde_find_it() {
        let derive = "#[derive(Serialize)]\nstruct A;";
        let memory = after(&[":dep helpers = { path = \"x\" }\nuse helpers::prelude::*;"]);
        let cell = prepare(derive, &memory).unwrap();
        assert_eq!(
            cell.code,
            "#[derive(Serialize)] #[serde(crate = \"helpers::serde\")]\nstruct A;"
        );
        let own = after(&[":dep helpers = \"1\"", ":dep serde = \"1\""]);
        assert_eq!(prepare(derive, &own).unwrap().code, derive);
        assert_eq!(prepare(derive, &Memory::default()).unwrap().code, derive);
    }

    #[test]
    fn magics_are_taken_or_explained() {
        let timed = prepare("%%time\n1 + 1", &Memory::default()).unwrap();
        assert!(timed.is_timed && timed.code == "\n1 + 1");
        let error = prepare("%timeit f()", &Memory::default()).unwrap_err();
        assert!(error.contains("timeit!"), "{error}");
    }

    #[test]
    fn a_program_that_nobody_calls_is_noticed() {
        let main = |code| prepare(code, &Memory::default()).unwrap().idle_main;
        assert_eq!(
            main("use a::b;\nfn main() -> Result<(), E> { Ok(()) }"),
            Some("main()?")
        );
        assert_eq!(main("fn main() {}\nmain()"), None);
        assert_eq!(main("fn other() {}"), None);
    }
}
