//! Memory that two processes see: the one place where files are mapped.
//!
//! A region is a file without a name, so it is gone when the last process that has it open ends,
//! in whatever way. It reaches another process as a file descriptor.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::libc::c_void;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

/// A page of the processors that this is for has at least so many bytes; where it has more, the advice
/// below is refused, and all goes on without it.
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;
/// And a large one, as a rule.
#[cfg(target_os = "linux")]
const LARGE_PAGE: usize = 2 << 20;

/// A mapped region. Who may read and write it, and when, is for the types made of it to say.
#[derive(Debug)]
pub(crate) struct Region {
    /// Shared with messages that bear it: a process may not have many files open.
    file: Arc<OwnedFd>,
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

// SAFETY: a region is an address range that any thread may use; nothing in it is bound to one.
unsafe impl Send for Region {}
// SAFETY: as above; through `&Region` alone nothing is read or written.
unsafe impl Sync for Region {}

impl Region {
    /// A new region of zeros, at least one byte.
    pub(crate) fn new(len: usize) -> io::Result<Region> {
        let file = nameless_file()?;
        set_len(&file, len.max(1))?;
        Region::open(Arc::new(file))
    }

    pub(crate) fn open(file: Arc<OwnedFd>) -> io::Result<Region> {
        let len = usize::try_from(fstat(&file)?.st_size)
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::other("an empty region of shared memory"))?;
        let start = map(&file, len)?;
        Ok(Region { file, start, len })
    }

    /// Makes the region larger; what is in it stays.
    pub(crate) fn grow(&mut self, len: usize) -> io::Result<()> {
        set_len(&self.file, len)?;
        let len = NonZeroUsize::new(len).unwrap_or(self.len);
        self.start = remap(self, len)?;
        self.len = len;
        Ok(())
    }
}

impl Region {
    /// Where it begins: at a page's start, so aligned for any number.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start.cast()
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.len.get()
    }

    /// The file, for another process to map.
    pub(crate) fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// Writes bytes through the file, and not through the mapping: the system then fills each fresh
    /// page once, where it would first clear it, and enters it in no table.
    #[cfg(target_os = "linux")]
    pub(crate) fn write_at(&mut self, mut place: usize, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let offset = place.try_into().map_err(io::Error::other)?;
            match nix::sys::uio::pwrite(&self.file, bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    place += written;
                    bytes = &bytes[written..];
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Other systems have memory without a name that is no file to write to.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn write_at(&mut self, _: usize, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A number in the region that all processes may use at any time.
    ///
    /// # Panics
    /// The region has no such place.
    ///
    /// # Safety
    /// These eight bytes are never used in another way.
    pub(crate) unsafe fn word(&self, place: usize) -> &AtomicU64 {
        let end = (place + 1) * size_of::<AtomicU64>();
        assert!(end <= self.len.get(), "there is no word {place}");
        // SAFETY: the word lies in the mapping (checked above), which starts at a page and so is
        // aligned; any bits are a number, and all access of all processes is atomic.
        unsafe { self.start.cast::<AtomicU64>().add(place).as_ref() }
    }

    /// Gives the memory back at once, though other processes may still have it mapped. Nobody may
    /// touch it any more: whoever does is ended by the system.
    pub(crate) fn release(&self) {
        // It goes anyway when the last process closes it.
        let _ = set_len(&self.file, 0);
    }

    /// Whether some process has given the memory back.
    pub(crate) fn is_released(&self) -> bool {
        fstat(&self.file).is_ok_and(|about| about.st_size == 0)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this region was mapped by `map` or `remap` with this length, and references
        // into it borrow it, so none is left. Unmapping fails only for ranges that are not mapped.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

fn set_len(file: impl AsFd, len: usize) -> io::Result<()> {
    check_length(len)?;
    let len = len.try_into().map_err(io::Error::other)?;
    Ok(ftruncate(file, len)?)
}

/// Fails where the system limits the length of files to less, as `ulimit -f` has it: it would end
/// this process.
fn check_length(len: usize) -> io::Result<()> {
    match getrlimit(Resource::RLIMIT_FSIZE) {
        Ok((limit, _)) if len as u64 > limit => Err(Errno::EFBIG.into()),
        _ => Ok(()),
    }
}

/// Makes a file so long and takes the room for it, which a file system that is full has not: who
/// uses memory for which there is no room is ended.
pub(crate) fn make_room(file: &File, len: usize) -> io::Result<()> {
    set_len(file, len)?;
    #[cfg(target_os = "linux")]
    match nix::fcntl::posix_fallocate(file, 0, len.try_into().map_err(io::Error::other)?) {
        // Some file systems cannot say.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Asks the system for large pages for memory that is about to be filled, of which fewer have to be
/// cleared and entered in a table. Nothing but the time depends on it.
pub(crate) fn advise_large_pages(memory: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    if memory.len() >= 4 * LARGE_PAGE {
        use nix::sys::mman::{MmapAdvise, madvise};
        let before = memory.as_ptr().align_offset(PAGE);
        let len = (memory.len() - before) / PAGE * PAGE;
        if let Some(start) = NonNull::new(memory[before..].as_mut_ptr()) {
            // SAFETY: the whole pages of memory that is borrowed for writing; the advice changes
            // nothing of what is in them.
            let _ = unsafe { madvise(start.cast(), len, MmapAdvise::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

fn map(file: &OwnedFd, len: NonZeroUsize) -> io::Result<NonNull<c_void>> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: without an address the kernel chooses a free range, so no other memory changes.
    Ok(unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, file, 0) }?)
}

#[cfg(target_os = "linux")]
fn remap(region: &Region, len: NonZeroUsize) -> io::Result<NonNull<c_void>> {
    use nix::sys::mman::{MRemapFlags, mremap};
    let flags = MRemapFlags::MREMAP_MAYMOVE;
    // SAFETY: the range is the region's own; its owner is borrowed mutably by `grow`, so there is
    // no reference to the old place.
    Ok(unsafe { mremap(region.start, region.len.get(), len.get(), flags, None) }?)
}

#[cfg(not(target_os = "linux"))]
fn remap(region: &Region, len: NonZeroUsize) -> io::Result<NonNull<c_void>> {
    let start = map(&region.file, len)?;
    // SAFETY: the old range is the region's own, and `grow` borrows its owner mutably.
    let _ = unsafe { munmap(region.start, region.len.get()) };
    Ok(start)
}

#[cfg(target_os = "linux")]
fn nameless_file() -> io::Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    Ok(memfd_create("helpers", MFdFlags::MFD_CLOEXEC)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless_file() -> io::Result<OwnedFd> {
    use nix::fcntl::OFlag;
    use nix::sys::mman::{shm_open, shm_unlink};
    use nix::sys::stat::Mode;
    use std::sync::atomic::Ordering;
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("/helpers-{}-{number}", std::process::id());
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    let file = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    shm_unlink(name.as_str())?;
    Ok(file)
}

/// Numbers that several processes read and write at any time.
#[derive(Debug)]
pub(crate) struct Words(Region);

impl Words {
    /// `count` zeros.
    pub(crate) fn new(count: usize) -> io::Result<Words> {
        Region::new(count * size_of::<AtomicU64>()).map(Words)
    }

    pub(crate) fn open(file: Arc<OwnedFd>) -> io::Result<Words> {
        Region::open(file).map(Words)
    }

    pub(crate) fn file(&self) -> &Arc<OwnedFd> {
        self.0.file()
    }

    pub(crate) fn get(&self, place: usize) -> &AtomicU64 {
        // SAFETY: this region is used for words alone.
        unsafe { self.0.word(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_shared() {
        let here = Words::new(4).unwrap();
        let there = Words::open(Arc::clone(here.file())).unwrap();
        here.get(3).store(9, Ordering::Relaxed);
        assert_eq!(there.get(3).load(Ordering::Relaxed), 9);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_written_through_the_file_is_seen_in_the_mapping() {
        let mut here = Region::new(3 * PAGE).unwrap();
        let bytes: Vec<u8> = (0..2 * PAGE).map(|place| place as u8).collect();
        here.write_at(5, &bytes).unwrap();
        // SAFETY: the region is longer, and nobody writes to it.
        let seen = unsafe { std::slice::from_raw_parts(here.start().as_ptr(), 3 * PAGE) };
        assert_eq!(seen[..5], [0; 5]);
        assert_eq!(seen[5..][..bytes.len()], bytes);
    }

    #[test]
    fn memory_of_any_place_and_size_takes_advice() {
        for len in [0, 1, 9 << 20] {
            let mut memory = Vec::<u8>::with_capacity(len);
            for first in [0, 1, 4095] {
                if let Some(memory) = memory.spare_capacity_mut().get_mut(first..) {
                    advise_large_pages(memory);
                }
            }
        }
    }

    #[test]
    fn a_released_region_is_known_to_be() {
        let here = Region::new(8192).unwrap();
        let there = Region::open(Arc::clone(here.file())).unwrap();
        assert!(!there.is_released());
        here.release();
        assert!(there.is_released());
    }
}
