//! What can go wrong with a job of ranks.

use std::fmt;
use std::time::Duration;

/// What went wrong with a job of MPI ranks, in words that name the rank, its host and the cause.
///
/// Ask it what kind of trouble it is with [`is_panic`](MpiError::is_panic) and the like.
#[derive(Clone, PartialEq, Eq)]
pub struct MpiError(Box<Kind>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    InvalidInput(String),
    Start(String),
    Panic { who: Who, message: String },
    RankLost { who: Option<Who>, how: String },
    TimeLimit { limit: Duration, states: String },
    Deadlock { after: Duration, states: String },
    NotSent { who: Who, cause: String },
}

/// A rank, and the host that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) rank: usize,
    pub(crate) host: String,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} on {}", self.rank, self.host)
    }
}

impl MpiError {
    fn new(kind: Kind) -> MpiError {
        MpiError(Box::new(kind))
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> MpiError {
        MpiError::new(Kind::InvalidInput(message.into()))
    }

    pub(crate) fn start(cause: impl fmt::Display) -> MpiError {
        MpiError::new(Kind::Start(cause.to_string()))
    }

    pub(crate) fn panic(who: Who, message: String) -> MpiError {
        MpiError::new(Kind::Panic { who, message })
    }

    pub(crate) fn rank_lost(who: Option<Who>, how: String) -> MpiError {
        MpiError::new(Kind::RankLost { who, how })
    }

    pub(crate) fn time_limit(limit: Duration, states: String) -> MpiError {
        MpiError::new(Kind::TimeLimit { limit, states })
    }

    pub(crate) fn deadlock(after: Duration, states: String) -> MpiError {
        MpiError::new(Kind::Deadlock { after, states })
    }

    pub(crate) fn not_sent(who: Who, cause: String) -> MpiError {
        MpiError::new(Kind::NotSent { who, cause })
    }

    /// Whether a value was given that no job can have, such as no ranks.
    pub fn is_invalid_input(&self) -> bool {
        matches!(*self.0, Kind::InvalidInput(_))
    }

    /// Whether the job could not be started: there is no `mpiexec`, it refuses, or it belongs to
    /// another MPI library.
    pub fn is_start(&self) -> bool {
        matches!(*self.0, Kind::Start(_))
    }

    /// Whether the function panicked on a rank.
    pub fn is_panic(&self) -> bool {
        matches!(*self.0, Kind::Panic { .. })
    }

    /// Whether a rank's process ended before its function returned: it was killed, it exited, or
    /// it called `MPI_Abort`.
    pub fn is_rank_lost(&self) -> bool {
        matches!(*self.0, Kind::RankLost { .. })
    }

    /// Whether the job took longer than its time limit.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Kind::TimeLimit { .. })
    }

    /// Whether all ranks waited for each other. A job whose time limit ends first is a
    /// [timeout](MpiError::is_timeout).
    pub fn is_deadlock(&self) -> bool {
        matches!(*self.0, Kind::Deadlock { .. })
    }

    /// Whether a rank's value could not be sent to the caller.
    pub fn is_not_sent(&self) -> bool {
        matches!(*self.0, Kind::NotSent { .. })
    }

    /// The rank that the error is about, where it is about one.
    pub fn rank(&self) -> Option<usize> {
        match &*self.0 {
            Kind::Panic { who, .. } | Kind::NotSent { who, .. } => Some(who.rank),
            Kind::RankLost { who, .. } => who.as_ref().map(|who| who.rank),
            _ => None,
        }
    }
}

impl fmt::Display for MpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::InvalidInput(message) => f.write_str(message),
            Kind::Start(cause) => write!(f, "the ranks could not be started: {cause}"),
            Kind::Panic { who, message } => {
                write!(f, "{who} panicked: {message}. The other ranks were stopped")
            }
            Kind::RankLost { who, how } => {
                match who {
                    Some(who) => write!(f, "{who} was lost")?,
                    None => f.write_str("a rank was lost")?,
                }
                write!(f, ": {how}. The other ranks were stopped")
            }
            Kind::TimeLimit { limit, states } => write!(
                f,
                "the job took longer than its limit of {limit:?}, and was stopped:\n{states}"
            ),
            Kind::Deadlock { after, states } => write!(
                f,
                "no rank has got any further for {after:?}, so the job was stopped. They wait for \
                 each other:\n{states}"
            ),
            Kind::NotSent { who, cause } => {
                write!(f, "the value of {who} cannot be sent: {cause}")
            }
        }
    }
}

impl std::error::Error for MpiError {}

/// The words of `Display`: a notebook shows a `Result` in this way.
impl fmt::Debug for MpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MpiError({self})")
    }
}
