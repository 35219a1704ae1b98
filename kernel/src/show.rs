//! What readers see of a cell while it runs: its text, in few messages, and the things that it shows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jupyter_protocol::{
    ClearOutput, DisplayData, JupyterMessage, JupyterMessageContent, Media, StreamContent,
    Transient, UpdateDisplayData,
};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::output::Bundle;

/// Between two messages of text. A first line is sent at once; of many lines, many in one message.
const PAUSE: Duration = Duration::from_millis(40);

/// So many bytes of text are sent at once, and so many each second. Jupyter's server drops messages, results among
/// them, above a million bytes a second in three seconds.
const AT_ONCE: f64 = 2e6;
const A_SECOND: f64 = 4e5;

/// Of text that is not sent, the end is kept.
const TAIL: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Error,
}

#[derive(Debug)]
pub struct Screen {
    to: UnboundedSender<JupyterMessage>,
    /// The request for which is shown what is shown.
    request: Option<JupyterMessage>,
    batch: String,
    stream: Stream,
    sent_at: Option<Instant>,
    /// Formats that came by evcxr's convention: one thing, until another one begins.
    last: Bundle,
    allowance: f64,
    counted_at: Instant,
    left_out: LeftOut,
}

/// Text that would be too much.
#[derive(Debug, Default)]
struct LeftOut {
    bytes: usize,
    tail: VecDeque<u8>,
}

impl Screen {
    pub fn new(to: UnboundedSender<JupyterMessage>) -> Screen {
        Screen {
            to,
            request: None,
            batch: String::new(),
            stream: Stream::Out,
            sent_at: None,
            last: Bundle::new(),
            allowance: AT_ONCE,
            counted_at: Instant::now(),
            left_out: LeftOut::default(),
        }
    }

    /// From now on everything belongs to this request.
    pub fn begin(&mut self, request: &JupyterMessage) {
        self.show_last();
        self.flush();
        self.request = Some(request.clone());
        self.allowance = AT_ONCE;
    }

    pub fn text(&mut self, stream: Stream, text: &str) {
        self.show_last();
        if stream != self.stream {
            self.flush();
            self.stream = stream;
        }
        self.batch.push_str(text);
        self.flush_if_due();
    }

    /// One format of a thing. Formats that follow each other are of one, unless one comes again.
    pub fn content(&mut self, mime: String, content: String) {
        self.flush();
        if self.last.contains_key(&mime) {
            self.show_last();
        }
        let json = mime
            .contains("json")
            .then(|| serde_json::from_str(&content));
        let value = match json {
            Some(Ok(value)) => value,
            _ => Value::from(content),
        };
        self.last.insert(mime, value);
    }

    pub fn display(&mut self, data: Bundle, id: Option<String>) {
        self.show_last();
        self.flush();
        self.send(DisplayData {
            transient: id.map(|id| Transient {
                display_id: Some(id),
            }),
            ..DisplayData::new(media(data))
        });
    }

    pub fn update(&mut self, data: Bundle, id: &str) {
        self.show_last();
        self.flush();
        self.send(UpdateDisplayData::new(media(data), id));
    }

    pub fn clear(&mut self, wait: bool) {
        self.show_last();
        self.flush();
        self.send(ClearOutput { wait });
    }

    /// The thing that nothing has followed: the value of the cell.
    pub fn take_last(&mut self) -> Bundle {
        std::mem::take(&mut self.last)
    }

    fn show_last(&mut self) {
        if !self.last.is_empty() {
            let data = self.take_last();
            self.flush();
            self.send(DisplayData::new(media(data)));
        }
    }

    /// How long text may still wait, if any does.
    pub fn due(&self) -> Option<Duration> {
        let waits = !self.batch.is_empty();
        let since = self.sent_at.map_or(PAUSE, |at| at.elapsed());
        waits.then(|| PAUSE.saturating_sub(since))
    }

    pub fn flush_if_due(&mut self) {
        if self.due().is_some_and(|due| due.is_zero()) {
            self.send_batch();
        }
    }

    /// Sends all text that waits, and the end of what was too much.
    pub fn flush(&mut self) {
        self.send_batch();
        if self.left_out.bytes > 0 {
            let LeftOut { bytes, tail } = std::mem::take(&mut self.left_out);
            let tail = String::from_utf8_lossy(&Vec::from(tail)).into_owned();
            // From the beginning of a line, if there is one.
            let tail = match tail.split_once('\n') {
                Some((_, lines)) if !lines.is_empty() => lines,
                _ => tail.trim_start_matches('\u{fffd}'),
            };
            let missing = bytes - tail.len().min(bytes);
            let note = format!("\n… {missing} bytes of output are not shown here …\n{tail}");
            self.send_text(note);
        }
    }

    fn send_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let now = Instant::now();
        let earned = (now - self.counted_at).as_secs_f64() * A_SECOND;
        self.counted_at = now;
        self.allowance = (self.allowance + earned).min(AT_ONCE);
        self.sent_at = Some(now);
        let mut batch = std::mem::take(&mut self.batch);
        let fits = (self.allowance as usize).min(batch.len());
        let fits = (0..=fits)
            .rev()
            .find(|&at| batch.is_char_boundary(at))
            .unwrap_or(0);
        if fits < batch.len() || self.left_out.bytes > 0 {
            // Once something is missing, only the end is of interest.
            let fits = if self.left_out.bytes > 0 { 0 } else { fits };
            self.left_out.add(&batch[fits..]);
            batch.truncate(fits);
        }
        self.allowance -= batch.len() as f64;
        if !batch.is_empty() {
            self.send_text(batch);
        }
    }

    fn send_text(&mut self, text: String) {
        self.send(match self.stream {
            Stream::Out => StreamContent::stdout(&text),
            Stream::Error => StreamContent::stderr(&text),
        });
    }

    /// A message that belongs to the request for which is shown what is shown.
    pub fn child(&self, content: impl Into<JupyterMessageContent>) -> Option<JupyterMessage> {
        let request = self.request.as_ref()?;
        Some(JupyterMessage::new(content, Some(request)))
    }

    fn send(&mut self, content: impl Into<JupyterMessageContent>) {
        if let Some(message) = self.child(content) {
            // Nobody listens any more when the kernel ends.
            let _ = self.to.send(message);
        }
    }
}

impl LeftOut {
    fn add(&mut self, text: &str) {
        self.bytes += text.len();
        self.tail.extend(text.as_bytes());
        let too_much = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..too_much);
    }
}

/// The same in the words of the protocol's crate.
pub fn media(data: Bundle) -> Media {
    serde_json::from_value(data.into_iter().collect::<serde_json::Map<_, _>>().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jupyter_protocol::ExecuteRequest;
    use serde_json::json;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn screen() -> (Screen, UnboundedReceiver<JupyterMessage>) {
        let (to, from) = unbounded_channel();
        let mut screen = Screen::new(to);
        let request = ExecuteRequest::new(String::new());
        screen.begin(&JupyterMessage::new(request, None));
        (screen, from)
    }

    fn sent(from: &mut UnboundedReceiver<JupyterMessage>) -> Vec<(String, Value)> {
        std::iter::from_fn(|| from.try_recv().ok())
            .map(|message| {
                let content = serde_json::to_value(&message.content).unwrap();
                (message.message_type().to_owned(), content)
            })
            .collect()
    }

    #[test]
    fn many_lines_are_few_messages_and_the_end_is_kept() {
        let (mut screen, mut from) = screen();
        for n in 0..1_000_000 {
            screen.text(Stream::Out, &format!("line {n}\n"));
        }
        screen.flush();
        let messages = sent(&mut from);
        assert!(messages.len() < 200, "{}", messages.len());
        let text = |message: &(String, Value)| message.1["text"].as_str().unwrap().to_owned();
        assert!(text(&messages[0]).starts_with("line 0\n"));
        assert!(text(messages.last().unwrap()).ends_with("line 999999\n"));
        let all: usize = messages.iter().map(|message| text(message).len()).sum();
        assert!(all < 3_500_000, "{all}");
    }

    #[test]
    fn formats_of_one_thing_stay_together_and_order_is_kept() {
        let (mut screen, mut from) = screen();
        let figure = |screen: &mut Screen, n: u32| {
            screen.content("text/html".to_owned(), format!("<b>{n}</b>"));
            screen.content("text/plain".to_owned(), n.to_string());
        };
        screen.text(Stream::Out, "before");
        figure(&mut screen, 1);
        figure(&mut screen, 2);
        screen.text(Stream::Error, "after");
        figure(&mut screen, 3);
        screen.flush();
        let messages = sent(&mut from);
        let kinds: Vec<_> = messages.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["stream", "display_data", "display_data", "stream"]);
        assert_eq!(
            messages[1].1["data"],
            json!({"text/html": "<b>1</b>", "text/plain": "1"})
        );
        assert_eq!(screen.take_last()["text/plain"], "3");
    }
}
