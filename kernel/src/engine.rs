//! Runs what readers ask for, one thing after the other, on evcxr's engine.

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use evcxr::{CommandContext, EvalContext, EvalOutputs};
use jupyter_protocol::{
    ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest, ExecuteResult, ExecutionCount,
    HistoryEntry, HistoryReply, HistoryRequest, JupyterMessage, JupyterMessageContent, ReplyError,
    ReplyStatus, Status, Transient,
};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::Result;
use crate::cells::{Cells, Outcome};
use crate::complete;
use crate::hints::{self, Gone};
use crate::output::Bundle;
use crate::processes;
use crate::report::{Failure, shortened};
use crate::show::{Screen, Stream, media};
use crate::source::{self, Memory, Prepared};
use crate::stale::Stale;

/// Where messages of the engine go.
#[derive(Clone)]
pub struct Ways {
    /// To everybody.
    pub publish: UnboundedSender<JupyterMessage>,
    /// To who has asked.
    pub reply: UnboundedSender<JupyterMessage>,
    /// To the reader of who has asked.
    pub question: UnboundedSender<JupyterMessage>,
}

/// Runs the files of start-up.
const CONFIGURE: &str = ":load_config --quiet";

/// What is said of an interrupt that came in time.
const NOTHING_RAN: &str = "before the cell's code ran; nothing is lost";

pub struct Engine {
    context: CommandContext,
    cells: Cells,
    ways: Ways,
    count: usize,
    /// How many cells have begun, the uncounted ones as well.
    begun: u64,
    history: Vec<(usize, String)>,
    memory: Memory,
    /// Variables that a cell has taken over or lost, and the number of the cell.
    gone: Gone,
    stale: Stale,
}

impl Engine {
    /// Starts the engine, and runs the files of start-up.
    ///
    /// With cells to get warm by, it runs these and forgets what they have defined: what the engine has
    /// read for them stays.
    pub fn start(
        runner: &Path,
        ways: Ways,
        warm_up: Option<&str>,
    ) -> Result<(Engine, HashSet<u32>)> {
        // Those who were here before us, such as who tidies up after the kernel.
        let spared = processes::children();
        let screen = Screen::new(ways.publish.clone());
        let (cells, command) = Cells::new(runner, screen, ways.question.clone())?;
        let (context, outputs) = EvalContext::with_subprocess_command(command)?;
        // The process has put others in the place of its own: nothing comes here.
        drop(outputs);
        let mut engine = Engine {
            context: CommandContext::with_eval_context(context),
            cells,
            ways,
            count: 0,
            begun: 0,
            history: Vec::new(),
            memory: Memory::default(),
            gone: Gone::new(),
            stale: Stale::new(),
        };
        engine.prepare(CONFIGURE)?;
        if let Some(code) = warm_up {
            engine.prepare(code)?;
            // A crate that is named already takes no time when a reader names it.
            let crates = code.lines().filter(|line| line.starts_with(":dep"));
            let again: String = crates.map(|line| format!("{line}\n")).collect();
            engine.prepare(&format!(":clear\n{again}"))?;
            engine.prepare(CONFIGURE)?;
        }
        Ok((engine, spared))
    }

    /// Runs what no reader has asked for, and in which nothing may fail.
    fn prepare(&mut self, code: &str) -> Result<()> {
        self.context.execute(code)?;
        let outcome = self.cells.end();
        match (outcome.panic, outcome.error) {
            (Some(panic), _) => Err(panic.lines().join("\n").into()),
            (None, Some(message)) => Err(message.into()),
            (None, None) => Ok(()),
        }
    }

    pub fn cells(&self) -> Cells {
        self.cells.clone()
    }

    /// Does what comes until nothing comes any more.
    pub fn serve(mut self, mut requests: UnboundedReceiver<JupyterMessage>) {
        while let Some(request) = requests.blocking_recv() {
            self.publish(Status::busy().as_child_of(&request));
            let waiting = self.answer(&request, &mut requests);
            self.publish(Status::idle().as_child_of(&request));
            self.abort(waiting);
        }
    }

    /// Answers a request, and gives those that wait behind it if they are not to be run.
    fn answer(
        &mut self,
        request: &JupyterMessage,
        requests: &mut UnboundedReceiver<JupyterMessage>,
    ) -> Vec<JupyterMessage> {
        match &request.content {
            JupyterMessageContent::ExecuteRequest(wanted) => {
                return self.execute(request, wanted, requests);
            }
            _ => self.tell(request),
        }
        Vec::new()
    }

    /// Answers a question, which changes nothing.
    fn tell(&mut self, request: &JupyterMessage) {
        match &request.content {
            JupyterMessageContent::CompleteRequest(wanted) => {
                let reply = complete::complete(&mut self.context, &wanted.code, wanted.cursor_pos);
                self.reply(reply.as_child_of(request));
            }
            JupyterMessageContent::InspectRequest(wanted) => {
                let reply = complete::inspect(&mut self.context, &wanted.code, wanted.cursor_pos);
                self.reply(reply.as_child_of(request));
            }
            JupyterMessageContent::HistoryRequest(wanted) => {
                let reply = HistoryReply::new(self.history(wanted));
                self.reply(reply.as_child_of(request));
            }
            _ => {}
        }
    }

    /// What waits behind a cell that failed is not run, as in Jupyter's own kernels.
    fn abort(&mut self, waiting: Vec<JupyterMessage>) {
        for request in waiting {
            self.publish(Status::busy().as_child_of(&request));
            if let JupyterMessageContent::ExecuteRequest(_) = &request.content {
                let reply = ExecuteReply {
                    status: ReplyStatus::Aborted,
                    execution_count: ExecutionCount::new(self.count),
                    ..ExecuteReply::default()
                };
                self.reply(reply.as_child_of(&request));
            } else {
                self.tell(&request);
            }
            self.publish(Status::idle().as_child_of(&request));
        }
    }

    fn execute(
        &mut self,
        request: &JupyterMessage,
        wanted: &ExecuteRequest,
        requests: &mut UnboundedReceiver<JupyterMessage>,
    ) -> Vec<JupyterMessage> {
        let is_counted = !wanted.silent && wanted.store_history;
        if is_counted && !wanted.code.trim().is_empty() {
            self.count += 1;
            self.history.push((self.count, wanted.code.clone()));
        }
        let number = ExecutionCount::new(self.count);
        if !wanted.silent {
            let input = ExecuteInput {
                code: wanted.code.clone(),
                execution_count: number,
            };
            self.publish(input.as_child_of(request));
        }
        self.begun += 1;
        self.cells
            .begin(self.begun, request, &wanted.code, wanted.allow_stdin);
        let result = self.run(&wanted.code);
        let mut reply = ExecuteReply {
            execution_count: number,
            user_expressions: Some(Default::default()),
            ..ExecuteReply::default()
        };
        match &result {
            Ok(value) if !value.is_empty() && !wanted.silent => {
                let mut result = ExecuteResult::new(number, media(value.clone()));
                // The protocol wants it to be there.
                result.transient = Some(Transient::default());
                self.publish(result.as_child_of(request));
            }
            Ok(_) => {}
            Err(failure) => {
                let error = ErrorOutput {
                    ename: failure.name.clone(),
                    evalue: failure.message.clone(),
                    traceback: failure.lines.clone(),
                };
                self.publish(error.as_child_of(request));
                reply.status = ReplyStatus::Error;
                reply.error = Some(Box::new(ReplyError {
                    ename: failure.name.clone(),
                    evalue: failure.message.clone(),
                    traceback: failure.lines.clone(),
                }));
            }
        }
        // Those that have come by now. What comes after the reply was sent by somebody who knows it.
        let waiting = match result {
            Err(_) if wanted.stop_on_error => {
                std::iter::from_fn(|| requests.try_recv().ok()).collect()
            }
            _ => Vec::new(),
        };
        self.reply(reply.as_child_of(request));
        waiting
    }

    /// Runs a cell and gives its value in all its formats.
    fn run(&mut self, code: &str) -> Result<Bundle, Failure> {
        if code.trim().is_empty() {
            self.cells.end();
            return Ok(Bundle::new());
        }
        let cell = match source::prepare(code, &self.memory) {
            Ok(cell) => cell,
            Err(problem) => {
                self.cells.end();
                return Err(Failure::new("UnknownMagic", problem));
            }
        };
        let before = self.variables();
        if !cell.redefined.is_empty()
            && let Err(failure) = self.drop_variables_of(&cell, code)
        {
            self.cells.end();
            self.stale.after(&cell.defined, Some(&failure.name));
            return Err(failure);
        }
        for name in &cell.statics {
            let note = format!(
                "note: the static `{name}` begins anew in each cell that uses it, since each is a library of its own. What \
                 cells share is kept in a variable: let counter = std::sync::Arc::new(…);\n"
            );
            self.cells.say(Stream::Error, &note);
        }
        let ran = catch_unwind(AssertUnwindSafe(|| self.context.execute(&cell.code)));
        let is_interrupted = self.cells.is_interrupted();
        let outcome = self.cells.end();
        let is_interrupted = is_interrupted || outcome.was_interrupted;
        let result = self.judge(ran, outcome, is_interrupted, &cell, code, &before);
        self.remember_gone(&before);
        let failed = result.as_ref().err().map(|failure| failure.name.as_str());
        self.stale.after(&cell.defined, failed);
        if result.is_ok() {
            self.memory.add(&cell);
            if let Some(call) = cell.idle_main {
                let note = format!("`main` is defined now, and has not run: call `{call}`\n");
                self.cells.say(Stream::Out, &note);
            }
        }
        result
    }

    fn judge(
        &mut self,
        ran: std::thread::Result<Result<EvalOutputs, evcxr::Error>>,
        outcome: Outcome,
        is_interrupted: bool,
        cell: &Prepared,
        code: &str,
        before: &BTreeSet<String>,
    ) -> Result<Bundle, Failure> {
        let of_commands = match ran {
            Ok(Ok(outputs)) => outputs.content_by_mime_type,
            Ok(Err(evcxr::Error::SubprocessTerminated(how))) => {
                return Err(lost(&how, &outcome, is_interrupted, before));
            }
            Ok(Err(_)) if is_interrupted => {
                return Err(Failure::new("Interrupted", NOTHING_RAN));
            }
            Ok(Err(evcxr::Error::CompilationErrors(errors))) => {
                return Err(self.compilation_failure(errors, cell, code));
            }
            Ok(Err(error)) => return Err(Failure::new("Error", error.to_string())),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                let message = format!("the kernel met an error of its own: {message}");
                return Err(Failure::new("KernelError", message));
            }
        };
        if outcome.was_refused {
            return Err(Failure::new("Interrupted", NOTHING_RAN));
        }
        if let Some(panic) = &outcome.panic {
            // A signal to the whole group may reach the cell before us.
            if panic.message == "interrupted" && panic.place.contains("interrupts.rs") {
                let what = "variables of earlier cells are kept, those of this cell are not";
                return Err(Failure::new("Interrupted", what));
            }
            return Err(Failure::panic(panic));
        }
        if let Some(text) = &outcome.error {
            return Err(Failure::new("Error", text.as_str()));
        }
        if is_interrupted {
            return Err(Failure::new(
                "Interrupted",
                "the cell ran to its end; variables are kept",
            ));
        }
        if let (true, Some(times)) = (cell.is_timed, outcome.times) {
            self.cells.say(Stream::Out, &told(times));
        }
        let mut value = outcome.result;
        for (mime, text) in of_commands {
            value.insert(mime, Value::from(text.trim_end()));
        }
        if let Some(Value::String(text)) = value.get_mut("text/plain") {
            *text = shortened(text);
        }
        let is_nothing =
            value.len() == 1 && value.get("text/plain").is_some_and(|text| text == "()");
        Ok(if is_nothing { Bundle::new() } else { value })
    }

    /// What the compiler says of a cell.
    ///
    /// The code that shows a cell's value stands around its last expression, and changes what is said of
    /// that. Where something is said of no place in the cell, the compiler is asked again without.
    fn compilation_failure(
        &mut self,
        mut errors: Vec<evcxr::CompilationError>,
        cell: &Prepared,
        code: &str,
    ) -> Failure {
        let has_place = |error: &evcxr::CompilationError| {
            let mut places = error.spanned_messages().iter();
            error.code().is_some() && places.any(|said| said.span.is_some())
        };
        if !errors.iter().all(has_place) {
            let true_errors = self.errors_without_value(cell);
            if true_errors.iter().any(has_place) {
                errors = true_errors;
            }
        }
        let failure = Failure::compilation(&errors, cell, code);
        match hints::of(&errors, code, &self.gone) {
            Some(hint) => failure.with_hint(&hint),
            None => failure,
        }
    }

    /// What the compiler says of a cell whose value is not shown; nothing if it cannot be asked.
    fn errors_without_value(&mut self, cell: &Prepared) -> Vec<evcxr::CompilationError> {
        let asked = catch_unwind(AssertUnwindSafe(|| self.context.check(&cell.code)));
        let mut errors = asked.map_or(Vec::new(), Result::unwrap_or_default);
        errors.retain(|error| error.level() == "error");
        errors
    }

    /// Lets go of variables whose type a cell is about to change: evcxr would hand them on as what they
    /// are no longer.
    fn drop_variables_of(&mut self, cell: &Prepared, code: &str) -> Result<(), Failure> {
        let types = self.memory.types_with(&cell.redefined);
        let variables = self.context.variables_and_types();
        let names: Vec<_> = variables
            .filter(|(_, its_type)| source::mentions(its_type, &types))
            .map(|(name, _)| name.to_owned())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        // A cell that does not compile defines nothing.
        let errors = self.errors_without_value(cell);
        if !errors.is_empty() {
            return Err(self.compilation_failure(errors, cell, code));
        }
        let drops: String = names
            .iter()
            .map(|name| format!("drop({name});\n"))
            .collect();
        let dropped = catch_unwind(AssertUnwindSafe(|| self.context.execute(&drops)));
        if let Ok(Ok(_)) = dropped {
            let types: Vec<_> = cell
                .redefined
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let note = format!(
                "note: {} is defined anew, so what was of the old type is gone: {}\n",
                types.join(", "),
                names.join(", ")
            );
            self.cells.say(Stream::Error, &note);
        }
        Ok(())
    }

    fn variables(&self) -> BTreeSet<String> {
        let variables = self.context.variables_and_types();
        variables.map(|(name, _)| name.to_owned()).collect()
    }

    /// Notes which cell has taken variables over.
    fn remember_gone(&mut self, before: &BTreeSet<String>) {
        let now = self.variables();
        for name in before.difference(&now) {
            self.gone.insert(name.clone(), self.count);
        }
        self.gone.retain(|name, _| !now.contains(name));
    }

    fn history(&self, wanted: &HistoryRequest) -> Vec<HistoryEntry> {
        let all = self.history.iter();
        let entry = |(number, code): &(usize, String), output: bool| match output {
            true => HistoryEntry::InputOutput(0, *number, (code.clone(), String::new())),
            false => HistoryEntry::Input(0, *number, code.clone()),
        };
        match wanted {
            HistoryRequest::Tail { n, output, .. } => {
                let skip = self.history.len().saturating_sub(*n as usize);
                all.skip(skip).map(|cell| entry(cell, *output)).collect()
            }
            HistoryRequest::Range {
                start,
                stop,
                output,
                ..
            } => all
                .filter(|(number, _)| {
                    let number = *number as i32;
                    number >= *start && (*stop == 0 || number < *stop)
                })
                .map(|cell| entry(cell, *output))
                .collect(),
            HistoryRequest::Search {
                pattern,
                unique,
                output,
                n,
                ..
            } => {
                let mut found: Vec<_> = all.filter(|(_, code)| matches(pattern, code)).collect();
                if *unique {
                    // The last of its kind counts.
                    let mut seen = BTreeSet::new();
                    found.reverse();
                    found.retain(|(_, code)| seen.insert(code.clone()));
                    found.reverse();
                }
                let skip = found.len().saturating_sub(*n as usize);
                let found = found.into_iter().skip(skip);
                found.map(|cell| entry(cell, *output)).collect()
            }
        }
    }

    fn publish(&self, message: JupyterMessage) {
        // Nobody listens any more when the kernel ends.
        let _ = self.ways.publish.send(message);
    }

    fn reply(&self, message: JupyterMessage) {
        let _ = self.ways.reply.send(message);
    }
}

/// Whether a text fits a pattern of a shell's kind: `*` for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let begins = |text: &str, piece: &str| {
        let mut characters = text.chars();
        piece
            .chars()
            .all(|wanted| {
                characters
                    .next()
                    .is_some_and(|c| wanted == '?' || wanted == c)
            })
            .then(|| characters.as_str().to_owned())
    };
    let Some(after) = begins(rest, first) else {
        return false;
    };
    let mut remaining = after;
    let pieces: Vec<_> = pieces.collect();
    for (at, piece) in pieces.iter().enumerate() {
        let is_last = at + 1 == pieces.len();
        rest = &remaining;
        let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        let found = starts
            .filter_map(|start| begins(&rest[start..], piece))
            .find(|after| !is_last || after.is_empty() || piece.is_empty());
        match found {
            Some(_) if is_last && piece.is_empty() => return true,
            Some(after) => remaining = after,
            None => return false,
        }
    }
    remaining.is_empty()
}

/// How the process ended, and what was lost with it.
fn lost(how: &str, outcome: &Outcome, is_interrupted: bool, before: &BTreeSet<String>) -> Failure {
    let names: Vec<_> = before.iter().map(|name| format!("`{name}`")).collect();
    let loss = match names.is_empty() {
        true => "There were no variables.".to_owned(),
        false => format!(
            "Its variables are lost: {}. Run the cells again that make them.",
            names.join(", ")
        ),
    };
    if is_interrupted || outcome.was_killed {
        let message = format!(
            "the cell did not end by itself, so the process that runs the cells was ended. {loss}"
        );
        return Failure::new("Interrupted", message);
    }
    let how = how.trim().rsplit('\n').next().unwrap_or_default();
    let how = how
        .trim_start_matches("Subprocess terminated with status: ")
        .trim();
    let why = if how.contains("SIGSEGV") || how.contains("SIGBUS") {
        ": the stack overflowed, or memory was touched that is not the cell's"
    } else if how.contains("SIGABRT") {
        ": it aborted, as Rust does when a stack overflows, memory runs out, or a panic meets another"
    } else if how.contains("SIGKILL") {
        ": somebody killed it, perhaps the system for want of memory"
    } else {
        ""
    };
    let panic = match &outcome.panic {
        Some(panic) => panic.lines().join("\n") + "\n",
        None => String::new(),
    };
    Failure::new(
        "ProcessDied",
        format!("{panic}the process that runs the cells ended ({how}){why}. {loss}"),
    )
}

/// As IPython's `%%time` tells it.
fn told([wall, user, system]: [Duration; 3]) -> String {
    let show = |time: Duration| {
        let seconds = time.as_secs_f64();
        let (value, unit) = match seconds {
            s if s >= 60.0 => return format!("{:.0}min {:.0}s", (s / 60.0).floor(), s % 60.0),
            s if s >= 1.0 || s == 0.0 => (s, "s"),
            s if s >= 1e-3 => (s * 1e3, "ms"),
            s if s >= 1e-6 => (s * 1e6, "µs"),
            s => (s * 1e9, "ns"),
        };
        let digits = if value >= 100.0 || value == 0.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        format!("{value:.digits$} {unit}")
    };
    format!(
        "CPU times: user {}, sys: {}, total: {}\nWall time: {}\n",
        show(user),
        show(system),
        show(user + system),
        show(wall)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_a_shell() {
        for (pattern, text) in [
            ("1?1", "1+1"),
            ("*a*", "bab"),
            ("a*", "ab"),
            ("*", ""),
            ("*b", "ab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("?", ""), ("*c*", "ab"), ("*a", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn times_are_told_in_units_that_fit() {
        let text = told([1_500, 20, 0].map(Duration::from_millis));
        assert_eq!(
            text,
            "CPU times: user 20.0 ms, sys: 0 s, total: 20.0 ms\nWall time: 1.50 s\n"
        );
    }
}
