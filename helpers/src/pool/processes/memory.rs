//! Memory that two processes see: the one place where files are mapped.
//!
//! A region is a file without a name, so it is gone when the last process that has it open ends,
//! in whatever way. It reaches another process as a file descriptor.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;

use nix::libc::c_void;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A mapped region. Who may read and write it is for the types below to say.
#[derive(Debug)]
struct Region {
    file: File,
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

// SAFETY: a region is an address range that any thread may use; nothing in it is bound to one.
unsafe impl Send for Region {}
// SAFETY: as above; through `&Region` alone nothing is read or written.
unsafe impl Sync for Region {}

impl Region {
    /// A new region of zeros.
    fn new(len: usize) -> io::Result<Region> {
        let file = File::from(nameless_file()?);
        file.set_len(len.max(1) as u64)?;
        Region::open(file)
    }

    fn open(file: File) -> io::Result<Region> {
        let len = usize::try_from(file.metadata()?.len())
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::other("an empty region of shared memory"))?;
        let start = map(&file, len)?;
        Ok(Region { file, start, len })
    }

    /// Makes the region larger; what is in it stays.
    fn grow(&mut self, len: usize) -> io::Result<()> {
        self.file.set_len(len as u64)?;
        let len = NonZeroUsize::new(len).unwrap_or(self.len);
        self.start = remap(self, len)?;
        self.len = len;
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this region was mapped by `map` or `remap` with this length, and references
        // into it borrow it, so none is left. Unmapping fails only for ranges that are not mapped.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

fn map(file: &File, len: NonZeroUsize) -> io::Result<NonNull<c_void>> {
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

/// Bytes that belong to one process at a time: the sender gives the file away.
#[derive(Debug)]
pub(crate) struct Parcel(Region);

impl Parcel {
    pub(crate) fn new(len: usize) -> io::Result<Parcel> {
        Region::new(len).map(Parcel)
    }

    /// Opens what another process has closed with [`into_file`](Parcel::into_file).
    pub(crate) fn open(file: OwnedFd) -> io::Result<Parcel> {
        Region::open(File::from(file)).map(Parcel)
    }

    pub(crate) fn grow(&mut self, len: usize) -> io::Result<()> {
        self.0.grow(len)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped, readable, and borrowed with `self`. Nobody else writes:
        // a process maps a parcel only while it has it, and `into_file` unmaps it before it goes.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr().cast(), self.0.len.get()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.0.start.as_ptr().cast(), self.0.len.get()) }
    }

    /// Gives the bytes away: this process sees them no more.
    pub(crate) fn into_file(self) -> io::Result<OwnedFd> {
        let file = self.0.file.try_clone()?;
        drop(self);
        Ok(file.into())
    }
}

/// Numbers that several processes read and write at any time.
#[derive(Debug)]
pub(crate) struct Words(Region);

impl Words {
    /// `count` zeros.
    pub(crate) fn new(count: usize) -> io::Result<Words> {
        Region::new(count * size_of::<AtomicU64>()).map(Words)
    }

    pub(crate) fn open(file: OwnedFd) -> io::Result<Words> {
        Region::open(File::from(file)).map(Words)
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    pub(crate) fn get(&self, place: usize) -> &AtomicU64 {
        assert!(
            (place + 1) * size_of::<AtomicU64>() <= self.0.len.get(),
            "there is no word {place}"
        );
        // SAFETY: the word lies in the mapping (checked above), which starts at a page and so is
        // aligned; any bits are a number, and all access of all processes is atomic.
        unsafe { self.0.start.cast::<AtomicU64>().add(place).as_ref() }
    }
}

/// The elements of a shared array, as raw memory: the array's own types say who may do what.
#[derive(Debug)]
pub(crate) struct Elements(Region);

impl Elements {
    pub(crate) fn new(bytes: usize) -> io::Result<Elements> {
        Region::new(bytes).map(Elements)
    }

    pub(crate) fn open(file: OwnedFd) -> io::Result<Elements> {
        Region::open(File::from(file)).map(Elements)
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// Where the elements are: at a page's start, so aligned for any number.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.0.start.cast()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len.get()
    }

    /// Gives the memory back at once, though other processes may still have it mapped.
    pub(crate) fn release(&self) {
        // It goes anyway when the last process closes it.
        let _ = self.0.file.set_len(0);
    }

    /// Whether some process has given the memory back.
    pub(crate) fn is_released(&self) -> bool {
        self.0.file.metadata().is_ok_and(|about| about.len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_parcel_grows_and_arrives() {
        let mut parcel = Parcel::new(10).unwrap();
        parcel.bytes_mut().copy_from_slice(b"0123456789");
        parcel.grow(1_000_000).unwrap();
        assert_eq!(&parcel.bytes()[..10], b"0123456789");
        parcel.bytes_mut()[999_999] = 7;
        let arrived = Parcel::open(parcel.into_file().unwrap()).unwrap();
        assert_eq!(arrived.bytes().len(), 1_000_000);
        assert_eq!((arrived.bytes()[3], arrived.bytes()[999_999]), (b'3', 7));
    }

    #[test]
    fn words_are_shared() {
        let here = Words::new(4).unwrap();
        let there = Words::open(here.file().try_clone_to_owned().unwrap()).unwrap();
        here.get(3).store(9, Ordering::Relaxed);
        assert_eq!(there.get(3).load(Ordering::Relaxed), 9);
    }

    #[test]
    fn released_elements_are_known_to_be() {
        let here = Elements::new(8192).unwrap();
        let there = Elements::open(here.file().try_clone_to_owned().unwrap()).unwrap();
        assert!(!there.is_released());
        here.release();
        assert!(there.is_released());
    }
}
