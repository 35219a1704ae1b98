//! Jupyter's five sockets, and who gets what comes in by them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jupyter_protocol::{
    CommClose, CommId, CommInfoReply, ConnectionInfo, InterruptReply, IsCompleteReply,
    JupyterMessage, JupyterMessageContent, KernelInfoReply, LanguageInfo, ReplyStatus,
    ShutdownReply, Status,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use zeromq::{
    PubSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend,
};

use crate::Result;
use crate::cells::Cells;
use crate::engine::{Engine, Ways};
use crate::processes;
use crate::source::{Completeness, completeness};
use crate::wire::Wire;

/// rust-analyzer goes deep into what it reads.
const STACK: usize = 256 << 20;

/// What interrupts and the end need of the engine, once it has started.
#[derive(Debug)]
struct Running {
    cells: Cells,
    /// Children of this process that are not the engine's.
    spared: HashSet<u32>,
}

/// An engine that has begun to start, and all ways to and from it.
pub struct Backend {
    running: Arc<OnceLock<Running>>,
    is_ready: watch::Receiver<bool>,
    work: UnboundedSender<JupyterMessage>,
    publish: UnboundedSender<JupyterMessage>,
    published: UnboundedReceiver<JupyterMessage>,
    reply: UnboundedSender<JupyterMessage>,
    replies: UnboundedReceiver<JupyterMessage>,
    questions: UnboundedReceiver<JupyterMessage>,
}

impl Backend {
    /// Starts the engine in a thread of its own; a failure ends this process.
    pub fn start(runner: PathBuf, warm_up: Option<String>) -> Result<Backend> {
        let (publish, published) = unbounded_channel();
        let (reply, replies) = unbounded_channel();
        let (question, questions) = unbounded_channel();
        let (work, requests) = unbounded_channel();
        let (ready, is_ready) = watch::channel(false);
        let running = Arc::new(OnceLock::new());
        let ways = Ways {
            publish: publish.clone(),
            reply: reply.clone(),
            question,
        };
        let starting = Arc::clone(&running);
        let work_on = move || match Engine::start(&runner, ways, warm_up.as_deref()) {
            Ok((engine, spared)) => {
                let cells = engine.cells();
                let _ = starting.set(Running { cells, spared });
                let _ = ready.send(true);
                engine.serve(requests);
            }
            Err(error) => {
                eprintln!("course-kernel: {error}");
                end(1);
            }
        };
        std::thread::Builder::new()
            .name("engine".to_owned())
            .stack_size(STACK)
            .spawn(work_on)?;
        Ok(Backend {
            running,
            is_ready,
            work,
            publish,
            published,
            reply,
            replies,
            questions,
        })
    }

    /// Tells when the engine has started.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.is_ready.clone()
    }
}

/// The sockets of a connection, each at its port.
pub struct Sockets {
    heartbeat: (RouterSendHalf, RouterRecvHalf),
    shell: (RouterSendHalf, RouterRecvHalf),
    control: (RouterSendHalf, RouterRecvHalf),
    stdin: (RouterSendHalf, RouterRecvHalf),
    iopub: PubSocket,
    wire: Wire,
}

impl Sockets {
    pub async fn bind(info: &ConnectionInfo) -> Result<Sockets> {
        let mut iopub = PubSocket::new();
        iopub.bind(&info.iopub_url()).await?;
        Ok(Sockets {
            heartbeat: router(&info.hb_url()).await?,
            shell: router(&info.shell_url()).await?,
            control: router(&info.control_url()).await?,
            stdin: router(&info.stdin_url()).await?,
            iopub,
            wire: Wire::new(&info.key),
        })
    }
}

/// Serves a connection until somebody asks for the end.
pub async fn serve(sockets: Sockets, backend: Backend) -> Result<()> {
    let Sockets {
        heartbeat,
        shell: (shell_out, shell_in),
        control: (control_out, control_in),
        stdin: (stdin_out, stdin_in),
        iopub,
        wire,
    } = sockets;
    let running = backend.running;
    tokio::spawn(beat(heartbeat));
    tokio::spawn(send_all(iopub, backend.published, wire.clone()));
    tokio::spawn(send_all(shell_out, backend.replies, wire.clone()));
    tokio::spawn(send_all(stdin_out, backend.questions, wire.clone()));
    tokio::spawn(listen_to_answers(
        stdin_in,
        wire.clone(),
        Arc::clone(&running),
    ));
    tokio::spawn(obey_signals(Arc::clone(&running)));
    let shell = Shell {
        publish: backend.publish.clone(),
        reply: backend.reply,
        work: backend.work,
    };
    let (mut is_ready, shell_wire) = (backend.is_ready, wire.clone());
    tokio::spawn(async move {
        // Who asks before waits: what it is told of the kernel should be true.
        if is_ready.wait_for(|ready| *ready).await.is_ok() {
            shell.listen(shell_in, shell_wire).await;
        }
    });
    control(control_in, control_out, backend.publish, wire, running).await
}

async fn router(url: &str) -> Result<(RouterSendHalf, RouterRecvHalf)> {
    let mut socket = RouterSocket::new();
    socket.bind(url).await?;
    Ok(socket.split())
}

/// Says that the kernel lives, to whoever asks.
///
/// Not with a socket of ZeroMQ's kind REP: that one waits until its answer has been read, which one who
/// has gone away in the middle of it never does.
async fn beat((mut answers, mut questions): (RouterSendHalf, RouterRecvHalf)) {
    while let Ok(message) = questions.recv().await {
        // In vain if who has asked is gone.
        let _ = answers.send(message).await;
    }
}

/// Sends messages in their order. One for somebody who has gone is lost.
async fn send_all(
    mut socket: impl SocketSend,
    mut messages: UnboundedReceiver<JupyterMessage>,
    wire: Wire,
) {
    while let Some(message) = messages.recv().await {
        match wire.encode(&message) {
            Ok(encoded) => {
                let _ = socket.send(encoded).await;
            }
            Err(error) => eprintln!("course-kernel: a message cannot be sent: {error}"),
        }
    }
}

/// The next message that can be read; nothing when the socket is of no more use.
async fn next(socket: &mut RouterRecvHalf, wire: &Wire) -> Option<JupyterMessage> {
    loop {
        let came = socket.recv().await.ok()?;
        match wire.decode(came) {
            Ok(message) => return Some(message),
            Err(error) => eprintln!("course-kernel: a message is not understood: {error}"),
        }
    }
}

struct Shell {
    publish: UnboundedSender<JupyterMessage>,
    reply: UnboundedSender<JupyterMessage>,
    work: UnboundedSender<JupyterMessage>,
}

impl Shell {
    async fn listen(&self, mut socket: RouterRecvHalf, wire: Wire) {
        while let Some(request) = next(&mut socket, &wire).await {
            self.take(request);
        }
    }

    /// Answers what needs no engine; the rest waits for its turn.
    fn take(&self, request: JupyterMessage) {
        let answer = match &request.content {
            JupyterMessageContent::KernelInfoRequest(_) => kernel_info().as_child_of(&request),
            JupyterMessageContent::IsCompleteRequest(wanted) => {
                let reply = match completeness(&wanted.code) {
                    Completeness::Complete => IsCompleteReply::complete(),
                    Completeness::Incomplete => IsCompleteReply::incomplete("    ".to_owned()),
                    Completeness::Invalid => IsCompleteReply::invalid(),
                };
                reply.as_child_of(&request)
            }
            JupyterMessageContent::CommInfoRequest(_) => {
                CommInfoReply::default().as_child_of(&request)
            }
            JupyterMessageContent::UnknownMessage(unknown)
                if unknown.msg_type.ends_with("_request") =>
            {
                let told = unknown.reply(serde_json::json!({
                    "status": "error",
                    "ename": "InvalidRequest",
                    "evalue": format!("this kernel cannot read the `{}`", unknown.msg_type),
                    "traceback": [],
                }));
                JupyterMessage::new(told, Some(&request))
            }
            JupyterMessageContent::CommOpen(opened) => {
                // Nobody here talks that way.
                let close = CommClose {
                    comm_id: CommId(opened.comm_id.0.clone()),
                    data: Default::default(),
                };
                let _ = self.publish.send(close.as_child_of(&request));
                return;
            }
            JupyterMessageContent::ExecuteRequest(_)
            | JupyterMessageContent::CompleteRequest(_)
            | JupyterMessageContent::InspectRequest(_)
            | JupyterMessageContent::HistoryRequest(_) => {
                let _ = self.work.send(request);
                return;
            }
            _ => return,
        };
        let _ = self.publish.send(Status::busy().as_child_of(&request));
        let _ = self.reply.send(answer);
        let _ = self.publish.send(Status::idle().as_child_of(&request));
    }
}

async fn listen_to_answers(
    mut socket: RouterRecvHalf,
    wire: Wire,
    running: Arc<OnceLock<Running>>,
) {
    while let Some(message) = next(&mut socket, &wire).await {
        if let (JupyterMessageContent::InputReply(answer), Some(running)) =
            (&message.content, running.get())
        {
            running.cells.answer(&answer.value);
        }
    }
}

async fn control(
    mut requests: RouterRecvHalf,
    mut replies: RouterSendHalf,
    publish: UnboundedSender<JupyterMessage>,
    wire: Wire,
    running: Arc<OnceLock<Running>>,
) -> Result<()> {
    while let Some(request) = next(&mut requests, &wire).await {
        let mut is_end = false;
        let reply = match &request.content {
            JupyterMessageContent::KernelInfoRequest(_) => kernel_info().as_child_of(&request),
            JupyterMessageContent::InterruptRequest(_) => {
                interrupt(&running);
                InterruptReply::new().as_child_of(&request)
            }
            JupyterMessageContent::ShutdownRequest(wanted) => {
                is_end = true;
                let reply = ShutdownReply {
                    restart: wanted.restart,
                    status: ReplyStatus::Ok,
                    error: None,
                };
                reply.as_child_of(&request)
            }
            _ => continue,
        };
        let _ = publish.send(Status::busy().as_child_of(&request));
        if let Ok(encoded) = wire.encode(&reply) {
            let _ = replies.send(encoded).await;
        }
        let _ = publish.send(Status::idle().as_child_of(&request));
        if is_end {
            // What is published last has a moment to get out.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            break;
        }
    }
    end(0)
}

/// Interrupts what runs now.
fn interrupt(running: &OnceLock<Running>) {
    if let Some(running) = running.get() {
        running
            .cells
            .interrupt(running.cells.busy_with(), &running.spared);
    }
}

/// What ran when the last signal came, by number.
static SIGNALLED: AtomicU64 = AtomicU64::new(0);

async fn obey_signals(running: Arc<OnceLock<Running>>) {
    // We hear of a signal later than it comes, and something else may run by then. What is registered first is
    // done first: the number is there when we hear.
    let noted = Arc::clone(&running);
    let note = move || {
        let busy_with = noted.get().map(|running| running.cells.busy_with());
        SIGNALLED.store(busy_with.unwrap_or(0), Ordering::SeqCst);
    };
    // SAFETY: the action reads and writes atomic numbers, which a signal's handler may.
    let is_noted = unsafe { signal_hook_registry::register(libc::SIGINT, note) };
    let (Ok(_), Ok(mut interrupts), Ok(mut ends)) = (
        is_noted,
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupts.recv() => if let Some(running) = running.get() {
                running.cells.interrupt(SIGNALLED.swap(0, Ordering::SeqCst), &running.spared);
            },
            _ = ends.recv() => end(0),
        }
    }
}

/// Ends this process, and what it has started: the cells' process notices by itself, its children may not.
fn end(status: i32) -> ! {
    for child in processes::children() {
        for process in processes::descendants(child) {
            processes::signal(process, libc::SIGTERM);
        }
    }
    std::process::exit(status)
}

fn kernel_info() -> KernelInfoReply {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: "5.3".to_owned(),
        implementation: "course-kernel".to_owned(),
        banner: format!("course-kernel {version}, on evcxr: Rust in notebooks"),
        implementation_version: version,
        language_info: LanguageInfo {
            name: "rust".to_owned(),
            version: String::new(),
            mimetype: Some("text/rust".to_owned()),
            file_extension: Some(".rs".to_owned()),
            pygments_lexer: Some("rust".to_owned()),
            codemirror_mode: Some(jupyter_protocol::CodeMirrorMode::Simple("rust".to_owned())),
            nbconvert_exporter: None,
        },
        help_links: vec![jupyter_protocol::HelpLink {
            text: "Rust's standard library".to_owned(),
            url: "https://doc.rust-lang.org/stable/std/".to_owned(),
        }],
        debugger: false,
        error: None,
    }
}
