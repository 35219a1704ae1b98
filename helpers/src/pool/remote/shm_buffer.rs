//! Memory for large messages, which is used again and again while a pool is busy.
//!
//! Fresh memory is slow: the system clears each page and enters it in a table, which takes longer
//! than writing to it. So the owner of a buffer takes it back when the other process has read it,
//! and both keep it mapped. What is not used for a while is given back to the system.
//!
//! # Who may touch it
//! A buffer is written by its owner, then read by one other process, then the owner's again. The
//! first word says which: `TAKEN` until the reader is done. A pool takes the arguments' buffers
//! back when the task is done or its worker has ended; a worker's results are marked by the pool
//! once they are read.

use std::io;
use std::os::fd::OwnedFd;
use std::slice;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mapped;
use super::memory::Region;

/// Keeps the bytes behind it aligned as a cache line is.
const HEADER: usize = 64;
/// More than this is not in use at a time: each is an open file, of which a process may not have
/// many.
const MOST: usize = 64;
const FREE: u64 = 0;
const TAKEN: u64 = 1;

/// A buffer of this process, to be written, or on its way. When it is dropped it is free.
#[derive(Debug)]
pub struct ShmBuffer(Option<Memory>);

#[derive(Debug)]
struct Memory {
    region: Region,
    /// What other processes know it by.
    id: u64,
    /// Nobody else has mapped it.
    is_fresh: bool,
}

/// The buffers of this process that nobody holds here: free ones, and those with a reader.
static FREE_LIST: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

/// How many buffers this process has.
static LIVE: AtomicUsize = AtomicUsize::new(0);

fn free_list() -> MutexGuard<'static, Vec<Memory>> {
    // Nothing but moves happens under the lock.
    FREE_LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After so long without a task, memory that is kept for the next one is given back.
pub const IDLE: Duration = Duration::from_secs(1);

/// Gives the buffers that nobody uses back to the system.
pub fn tidy() {
    free_list().retain(|memory| {
        let is_free = state(&memory.region).load(Ordering::Acquire) == FREE;
        if is_free {
            memory.region.release();
        }
        !is_free
    });
    mapped::tidy();
}

/// Whether there is anything that could be given back.
pub fn is_tidy() -> bool {
    free_list().is_empty()
}

fn state(region: &Region) -> &AtomicU64 {
    // SAFETY: the bytes of a buffer begin behind its header, of which this is the first word.
    unsafe { region.word(0) }
}

impl Drop for Memory {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Memory {
    /// How many bytes it has room for.
    fn room(&self) -> usize {
        self.region.bytes() - HEADER
    }

    fn put_back(mut self, as_what: u64) {
        self.is_fresh = false;
        state(&self.region).store(as_what, Ordering::Release);
        free_list().push(self);
    }
}

impl ShmBuffer {
    /// A buffer with room for `len` bytes or more: the largest that is free, or a fresh one.
    pub fn new(len: usize) -> io::Result<ShmBuffer> {
        let mut free_list = free_list();
        let largest = (0..free_list.len())
            // What the reader did with it is over when it is free.
            .filter(|&place| state(&free_list[place].region).load(Ordering::Acquire) == FREE)
            .max_by_key(|&place| free_list[place].room());
        if let Some(place) = largest.filter(|&place| free_list[place].room() >= len) {
            return Ok(ShmBuffer(Some(free_list.swap_remove(place))));
        }
        drop(free_list);
        if LIVE.load(Ordering::Relaxed) >= MOST {
            return Err(io::Error::other("enough buffers are on their way"));
        }
        let region = Region::new(HEADER + len)?;
        LIVE.fetch_add(1, Ordering::Relaxed);
        Ok(ShmBuffer(Some(Memory {
            region,
            id: rand::random(),
            is_fresh: true,
        })))
    }

    fn memory(&self) -> &Memory {
        self.0.as_ref().expect("it has memory until it is dropped")
    }

    /// How many bytes it has room for.
    pub fn room(&self) -> usize {
        self.memory().room()
    }

    /// Makes room for `len` bytes; those that are there stay.
    pub fn grow(&mut self, len: usize) -> io::Result<()> {
        // One that was sent before is mapped by others as it is.
        if let Some(memory) = self.0.as_mut().filter(|memory| memory.is_fresh) {
            return memory.region.grow(HEADER + len);
        }
        let mut larger = ShmBuffer::new(len)?;
        larger.bytes_mut()[..self.room()].copy_from_slice(self.bytes());
        *self = larger;
        Ok(())
    }

    /// All that there is room for.
    pub fn bytes(&self) -> &[u8] {
        let memory = self.memory();
        let start = memory.region.start().as_ptr();
        // SAFETY: the region is mapped and longer than the header; the range is borrowed with
        // `self`. Nobody else writes: the other process only reads what it was sent.
        unsafe { slice::from_raw_parts(start.add(HEADER), memory.room()) }
    }

    /// The same, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let memory = self.memory();
        let start = memory.region.start().as_ptr();
        // SAFETY: as in `bytes`, and nobody else reads: while it is written it is not sent, and
        // it was free, or fresh, before.
        unsafe { slice::from_raw_parts_mut(start.add(HEADER), memory.room()) }
    }

    /// Writes bytes from a place on, at which there is room for them.
    pub fn write_at(&mut self, place: usize, bytes: &[u8]) {
        // Pages that were used before are there, and in this process's table.
        let fresh = self.0.as_mut().filter(|memory| memory.is_fresh);
        let is_written = fresh.is_some_and(|memory| {
            let fits = place + bytes.len() <= memory.room();
            fits && memory.region.write_at(HEADER + place, bytes).is_ok()
        });
        if !is_written {
            self.bytes_mut()[place..place + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// What another process knows it by.
    pub fn id(&self) -> u64 {
        self.memory().id
    }

    /// The file that another process maps.
    pub fn file(&self) -> &Arc<OwnedFd> {
        self.memory().region.file()
    }

    /// Leaves the buffer to its reader, who marks it free.
    pub fn leave(mut self) {
        if let Some(memory) = self.0.take() {
            memory.put_back(TAKEN);
        }
    }
}

impl Drop for ShmBuffer {
    fn drop(&mut self) {
        if let Some(memory) = self.0.take() {
            memory.put_back(FREE);
        }
    }
}

/// The bytes of another process's buffer.
#[derive(Debug)]
pub struct ShmView {
    region: Arc<Region>,
    len: usize,
    /// Whether it is for the reader to say when it is done.
    marks_free: bool,
}

impl ShmView {
    /// The first `len` bytes of the buffer `id`, whose file is asked for if it is not known yet.
    pub fn open(
        id: u64,
        len: usize,
        marks_free: bool,
        file: impl FnOnce() -> io::Result<Arc<OwnedFd>>,
    ) -> io::Result<ShmView> {
        let region = mapped::region(id, file)?;
        if region.bytes() - HEADER < len {
            return Err(io::Error::other("a buffer is shorter than its label says"));
        }
        Ok(ShmView {
            region,
            len,
            marks_free,
        })
    }

    /// The bytes that were sent.
    pub fn bytes(&self) -> &[u8] {
        let start = self.region.start().as_ptr();
        // SAFETY: the region is mapped, and longer than the header and `len` bytes (checked when
        // it was opened). Its owner does not write before the reader is done.
        unsafe { slice::from_raw_parts(start.add(HEADER), self.len) }
    }
}

impl Drop for ShmView {
    fn drop(&mut self) {
        if self.marks_free {
            state(&self.region).store(FREE, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(buffer: &ShmBuffer, len: usize) -> ShmView {
        let file = || Ok(Arc::clone(buffer.file()));
        ShmView::open(buffer.id(), len, true, file).unwrap()
    }

    #[test]
    fn a_parcel_grows_arrives_and_comes_back() {
        // Larger than what other tests use, so that this test gets its own back.
        let len = 40 << 20;
        let mut buffer = ShmBuffer::new(10).unwrap();
        buffer.bytes_mut()[..10].copy_from_slice(b"0123456789");
        buffer.grow(len).unwrap();
        assert_eq!(&buffer.bytes()[..10], b"0123456789");
        buffer.bytes_mut()[len - 1] = 7;
        let id = buffer.id();
        let delivery = deliver(&buffer, len);
        buffer.leave();
        assert_ne!(
            ShmBuffer::new(len).unwrap().id(),
            id,
            "its reader still reads"
        );
        assert_eq!((delivery.bytes()[3], delivery.bytes()[len - 1]), (b'3', 7));
        drop(delivery);
        let again: Vec<ShmBuffer> = (0..2).map(|_| ShmBuffer::new(len).unwrap()).collect();
        assert!(again.iter().any(|buffer| buffer.id() == id));
    }

    #[test]
    fn one_that_was_sent_does_not_change_its_size() {
        let len = 20 << 20;
        let mut buffer = ShmBuffer::new(len).unwrap();
        buffer.bytes_mut()[0] = 1;
        let delivery = deliver(&buffer, len);
        let id = buffer.id();
        buffer.leave();
        drop(delivery);
        let mut buffers: Vec<ShmBuffer> = (0..4).map(|_| ShmBuffer::new(1).unwrap()).collect();
        for buffer in &mut buffers {
            let before = buffer.id();
            buffer.grow(50 << 20).unwrap();
            assert!(before != id || buffer.id() != id, "it was mapped elsewhere");
        }
    }
}
