//! What a rank is doing: each MPI call that may wait is noted while it lasts.
//!
//! The standard has a way for tools to look at all calls: the library's functions have a second
//! name, with a `P` before it, and the first may be defined anew. Here each is: it notes the
//! call, makes it by its second name, and wipes the note out. That costs a few nanoseconds, and
//! makes it possible to say of a deadlock who waits where.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use mpi::ffi::{
    self, MPI_Comm, MPI_Datatype, MPI_Group, MPI_Message, MPI_Op, MPI_Request, MPI_Status,
};

use crate::control::Activity;

/// Number 0 is no call.
static CALL: AtomicUsize = AtomicUsize::new(0);
static STEPS: AtomicU64 = AtomicU64::new(0);
static HAS_RETURNED: AtomicBool = AtomicBool::new(false);
// What the call is about; `NONE` where it is about no such thing.
static TO: AtomicI32 = AtomicI32::new(NONE);
static FROM: AtomicI32 = AtomicI32::new(NONE);
static TAG: AtomicI32 = AtomicI32::new(NONE);
static ROOT: AtomicI32 = AtomicI32::new(NONE);
static COUNT: AtomicI32 = AtomicI32::new(NONE);
static IN_WORLD: AtomicBool = AtomicBool::new(true);

const NONE: i32 = i32::MIN;

/// Notes that a function begins.
pub(crate) fn begin() {
    HAS_RETURNED.store(false, Ordering::Relaxed);
}

/// Notes that the function has come to its end.
pub(crate) fn has_returned() {
    HAS_RETURNED.store(true, Ordering::Relaxed);
}

/// Whether this rank is in an MPI call.
pub(crate) fn is_in_call() -> bool {
    CALL.load(Ordering::Relaxed) != 0
}

/// What this rank is doing. May be called from any thread.
pub(crate) fn activity() -> Activity {
    let steps = STEPS.load(Ordering::Relaxed);
    let call = CALL.load(Ordering::Relaxed);
    let (text, waits) = if HAS_RETURNED.load(Ordering::Relaxed) {
        ("has returned from the function".to_owned(), true)
    } else if call == 0 {
        (
            "is in no MPI call: it computes, or waits for something else".to_owned(),
            false,
        )
    } else {
        (Call::read(call).to_string(), true)
    };
    Activity { text, waits, steps }
}

/// A call in words.
#[derive(Clone, Copy, Debug)]
struct Call {
    name: &'static str,
    to: i32,
    from: i32,
    tag: i32,
    root: i32,
    count: i32,
    in_world: bool,
}

impl Call {
    fn read(number: usize) -> Call {
        Call {
            name: NAMES[number],
            to: TO.load(Ordering::Relaxed),
            from: FROM.load(Ordering::Relaxed),
            tag: TAG.load(Ordering::Relaxed),
            root: ROOT.load(Ordering::Relaxed),
            count: COUNT.load(Ordering::Relaxed),
            in_world: IN_WORLD.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: constants of the library.
        let (any_source, any_tag) = unsafe { (ffi::RSMPI_ANY_SOURCE, ffi::RSMPI_ANY_TAG) };
        write!(f, "waits in {}", self.name)?;
        if self.to != NONE {
            write!(f, " for rank {} to take a message", self.to)?;
        }
        if self.to != NONE && self.from != NONE {
            f.write_str(" and")?;
        }
        if self.from == any_source {
            f.write_str(" for a message from any rank")?;
        } else if self.from != NONE {
            write!(f, " for a message from rank {}", self.from)?;
        }
        if self.tag != NONE && self.tag != any_tag {
            write!(f, " (tag {})", self.tag)?;
        }
        if self.root != NONE {
            write!(f, " with root {}", self.root)?;
        }
        if self.count != NONE {
            write!(f, " for {} requests", self.count)?;
        }
        if !self.in_world {
            f.write_str(", ranks counted in a communicator other than the world")?;
        }
        Ok(())
    }
}

/// A note that lasts as long as the call.
struct Note;

impl Note {
    fn new(call: Number) -> Note {
        for (note, value) in [
            (&TO, NONE),
            (&FROM, NONE),
            (&TAG, NONE),
            (&ROOT, NONE),
            (&COUNT, NONE),
        ] {
            note.store(value, Ordering::Relaxed);
        }
        IN_WORLD.store(true, Ordering::Relaxed);
        STEPS.store(STEPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        CALL.store(call as usize, Ordering::Relaxed);
        Note
    }

    fn about(self, note: &AtomicI32, value: c_int) -> Note {
        note.store(value, Ordering::Relaxed);
        self
    }

    fn comm(self, comm: MPI_Comm) -> Note {
        // SAFETY: a constant of the library.
        let world = unsafe { ffi::RSMPI_COMM_WORLD };
        IN_WORLD.store(comm == world, Ordering::Relaxed);
        self
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        CALL.store(0, Ordering::Relaxed);
        STEPS.store(STEPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Defines functions of the MPI library anew: each notes itself, then calls the library's.
macro_rules! noted {
    ($(fn $name:ident = $library:ident($($arg:ident: $type:ty),* $(,)?)
        $(to $to:ident)? $(from $from:ident)? $(tag $tag:ident)? $(root $root:ident)?
        $(count $count:ident)? $(comm $comm:ident)?;)*) => {
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types)]
        enum Number {
            #[allow(dead_code)]
            None,
            $($name),*
        }

        const NAMES: &[&str] = &["", $(stringify!($name)),*];

        $(
            // SAFETY: the standard lets a program define these names; no other crate here does.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
                let _note = Note::new(Number::$name)
                    $(.about(&TO, $to))? $(.about(&FROM, $from))? $(.about(&TAG, $tag))?
                    $(.about(&ROOT, $root))? $(.about(&COUNT, $count))? $(.comm($comm))?;
                // SAFETY: the same function under its other name, and the caller's arguments.
                unsafe { ffi::$library($($arg),*) }
            }
        )*
    };
}

noted! {
    fn MPI_Send = PMPI_Send(buf: *const c_void, count: c_int, datatype: MPI_Datatype,
        dest: c_int, tag: c_int, comm: MPI_Comm) to dest tag tag comm comm;
    fn MPI_Ssend = PMPI_Ssend(buf: *const c_void, count: c_int, datatype: MPI_Datatype,
        dest: c_int, tag: c_int, comm: MPI_Comm) to dest tag tag comm comm;
    fn MPI_Rsend = PMPI_Rsend(buf: *const c_void, count: c_int, datatype: MPI_Datatype,
        dest: c_int, tag: c_int, comm: MPI_Comm) to dest tag tag comm comm;
    fn MPI_Recv = PMPI_Recv(buf: *mut c_void, count: c_int, datatype: MPI_Datatype,
        source: c_int, tag: c_int, comm: MPI_Comm, status: *mut MPI_Status)
        from source tag tag comm comm;
    fn MPI_Mrecv = PMPI_Mrecv(buf: *mut c_void, count: c_int, datatype: MPI_Datatype,
        message: *mut MPI_Message, status: *mut MPI_Status);
    fn MPI_Probe = PMPI_Probe(source: c_int, tag: c_int, comm: MPI_Comm,
        status: *mut MPI_Status) from source tag tag comm comm;
    fn MPI_Mprobe = PMPI_Mprobe(source: c_int, tag: c_int, comm: MPI_Comm,
        message: *mut MPI_Message, status: *mut MPI_Status) from source tag tag comm comm;
    fn MPI_Sendrecv = PMPI_Sendrecv(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, dest: c_int, sendtag: c_int, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: MPI_Datatype, source: c_int, recvtag: c_int,
        comm: MPI_Comm, status: *mut MPI_Status) to dest from source tag recvtag comm comm;
    fn MPI_Sendrecv_replace = PMPI_Sendrecv_replace(buf: *mut c_void, count: c_int,
        datatype: MPI_Datatype, dest: c_int, sendtag: c_int, source: c_int, recvtag: c_int,
        comm: MPI_Comm, status: *mut MPI_Status) to dest from source tag recvtag comm comm;

    fn MPI_Wait = PMPI_Wait(request: *mut MPI_Request, status: *mut MPI_Status);
    fn MPI_Waitany = PMPI_Waitany(count: c_int, requests: *mut MPI_Request, index: *mut c_int,
        status: *mut MPI_Status) count count;
    fn MPI_Waitall = PMPI_Waitall(count: c_int, requests: *mut MPI_Request,
        statuses: *mut MPI_Status) count count;
    fn MPI_Waitsome = PMPI_Waitsome(count: c_int, requests: *mut MPI_Request,
        done: *mut c_int, indices: *mut c_int, statuses: *mut MPI_Status) count count;

    fn MPI_Barrier = PMPI_Barrier(comm: MPI_Comm) comm comm;
    fn MPI_Bcast = PMPI_Bcast(buffer: *mut c_void, count: c_int, datatype: MPI_Datatype,
        root: c_int, comm: MPI_Comm) root root comm comm;
    fn MPI_Gather = PMPI_Gather(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcount: c_int,
        recvtype: MPI_Datatype, root: c_int, comm: MPI_Comm) root root comm comm;
    fn MPI_Gatherv = PMPI_Gatherv(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcounts: *const c_int,
        displs: *const c_int, recvtype: MPI_Datatype, root: c_int, comm: MPI_Comm)
        root root comm comm;
    fn MPI_Scatter = PMPI_Scatter(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcount: c_int,
        recvtype: MPI_Datatype, root: c_int, comm: MPI_Comm) root root comm comm;
    fn MPI_Scatterv = PMPI_Scatterv(sendbuf: *const c_void, sendcounts: *const c_int,
        displs: *const c_int, sendtype: MPI_Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: MPI_Datatype, root: c_int, comm: MPI_Comm)
        root root comm comm;
    fn MPI_Allgather = PMPI_Allgather(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcount: c_int,
        recvtype: MPI_Datatype, comm: MPI_Comm) comm comm;
    fn MPI_Allgatherv = PMPI_Allgatherv(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcounts: *const c_int,
        displs: *const c_int, recvtype: MPI_Datatype, comm: MPI_Comm) comm comm;
    fn MPI_Alltoall = PMPI_Alltoall(sendbuf: *const c_void, sendcount: c_int,
        sendtype: MPI_Datatype, recvbuf: *mut c_void, recvcount: c_int,
        recvtype: MPI_Datatype, comm: MPI_Comm) comm comm;
    fn MPI_Alltoallv = PMPI_Alltoallv(sendbuf: *const c_void, sendcounts: *const c_int,
        sdispls: *const c_int, sendtype: MPI_Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, rdispls: *const c_int, recvtype: MPI_Datatype,
        comm: MPI_Comm) comm comm;
    fn MPI_Reduce = PMPI_Reduce(sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int,
        datatype: MPI_Datatype, op: MPI_Op, root: c_int, comm: MPI_Comm)
        root root comm comm;
    fn MPI_Allreduce = PMPI_Allreduce(sendbuf: *const c_void, recvbuf: *mut c_void,
        count: c_int, datatype: MPI_Datatype, op: MPI_Op, comm: MPI_Comm) comm comm;
    fn MPI_Reduce_scatter_block = PMPI_Reduce_scatter_block(sendbuf: *const c_void,
        recvbuf: *mut c_void, recvcount: c_int, datatype: MPI_Datatype, op: MPI_Op,
        comm: MPI_Comm) comm comm;
    fn MPI_Scan = PMPI_Scan(sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int,
        datatype: MPI_Datatype, op: MPI_Op, comm: MPI_Comm) comm comm;
    fn MPI_Exscan = PMPI_Exscan(sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int,
        datatype: MPI_Datatype, op: MPI_Op, comm: MPI_Comm) comm comm;
    fn MPI_Comm_dup = PMPI_Comm_dup(comm: MPI_Comm, new: *mut MPI_Comm) comm comm;
    fn MPI_Comm_split = PMPI_Comm_split(comm: MPI_Comm, color: c_int, key: c_int,
        new: *mut MPI_Comm) comm comm;
    fn MPI_Comm_create = PMPI_Comm_create(comm: MPI_Comm, group: MPI_Group,
        new: *mut MPI_Comm) comm comm;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_in_words() {
        let none = Call {
            name: "MPI_X",
            to: NONE,
            from: NONE,
            tag: NONE,
            root: NONE,
            count: NONE,
            in_world: true,
        };
        assert_eq!(none.to_string(), "waits in MPI_X");
        let receive = Call {
            from: 3,
            tag: 5,
            ..none
        };
        assert_eq!(
            receive.to_string(),
            "waits in MPI_X for a message from rank 3 (tag 5)"
        );
        let both = Call {
            to: 1,
            from: 2,
            in_world: false,
            ..none
        };
        let told = both.to_string();
        assert!(told.starts_with("waits in MPI_X for rank 1 to take a message and for a"));
        assert!(told.contains("other than the world"));
        // SAFETY: a constant of the library.
        let any = unsafe { ffi::RSMPI_ANY_SOURCE };
        assert!(Call { from: any, ..none }.to_string().ends_with("any rank"));
    }
}
