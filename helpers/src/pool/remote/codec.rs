//! Values as bytes: small ones in a buffer, large ones in memory that changes hands.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::format::{self, Deserializer, Serializer};
use super::shm_buffer::{ShmBuffer, ShmView};

/// More bytes than this travel as shared memory instead of through a socket.
const MOST_INLINE: usize = 32 << 10;

/// The system passes at most 253 files with one message.
pub const MOST_FILES: usize = 250;

/// Bytes on their way, and the files of shared arrays that they speak of.
#[derive(Debug, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// The files.
    pub files: Vec<Arc<OwnedFd>>,
}

/// Where bytes lie.
#[derive(Debug)]
pub enum Bytes {
    /// In memory of this process.
    Inline(Vec<u8>),
    /// The first so many bytes of shared memory, to be sent.
    Shared(ShmBuffer, usize),
    /// What another process has sent as shared memory.
    View(ShmView),
    /// The same, but it cannot be read, for this reason.
    Unreadable(String),
}

impl Bytes {
    /// The bytes, wherever they lie.
    ///
    /// # Errors
    /// They cannot be read, for this reason.
    pub fn as_slice(&self) -> Result<&[u8], String> {
        match self {
            Bytes::Inline(bytes) => Ok(bytes),
            Bytes::Shared(shared, len) => Ok(&shared.bytes()[..*len]),
            Bytes::View(view) => Ok(view.bytes()),
            Bytes::Unreadable(why) => Err(why.clone()),
        }
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Inline(Vec::new())
    }
}

/// Why an item has no result although its worker is well. The result of an item travels as
/// `Result<R, ItemError>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemError {
    /// The function panicked.
    Panic(String),
    /// The result could not be made into bytes.
    Result(String),
    /// The argument could not be made out of bytes.
    Argument(String),
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemError::Panic(message) => f.write_str(message),
            ItemError::Result(why) => write!(f, "its result cannot be sent: {why}"),
            ItemError::Argument(why) => write!(f, "its argument did not arrive: {why}"),
        }
    }
}

/// Writes values one after the other, each behind its length: so that one that cannot be read
/// does not cost those behind it.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Buffer,
    /// `None` where files cannot go along: in results.
    files: Option<Box<Files>>,
}

type To<'b> = Serializer<Output<'b>>;
type From<'b> = Deserializer<'b>;

/// How a `Result` begins that is `Ok`: with the number of the variant.
const OK: u8 = 0;

/// The bytes of a length.
const LENGTH: usize = size_of::<u64>();

/// What is told of bytes that were written otherwise than they are read.
const DISAGREE: &str = "its type's Serialize and Deserialize do not agree, as \
    `#[serde(skip_serializing)]` or `#[serde(skip_deserializing)]` alone has it: write \
    `#[serde(skip)]`, for both";

/// Above so many bits of a length stands how many parts the value's structs and tuples have.
const PARTS: u32 = 48;

impl Writer {
    /// A writer whose values may hold slices of shared arrays.
    pub fn for_arguments() -> Writer {
        Writer {
            files: Some(Box::default()),
            ..Writer::default()
        }
    }

    /// A writer of what every worker gets: its values may hold slices to be read.
    pub fn for_everybody() -> Writer {
        let files = Files {
            has_one_reader: false,
            ..Files::default()
        };
        Writer {
            files: Some(Box::new(files)),
            ..Writer::default()
        }
    }

    /// Appends a value; after an error, nothing.
    pub fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), String> {
        self.write_with(&mut |to| value.serialize(to))
    }

    /// Appends `Ok(value)`, as serde writes a `Result`.
    pub fn write_ok<T: Serialize>(&mut self, value: &T) -> Result<(), String> {
        self.write_with(&mut |to| {
            OK.serialize(&mut *to)?;
            value.serialize(to)
        })
    }

    /// Appends what `serialize` writes. Only that is compiled anew for each type, in each cell.
    fn write_with(
        &mut self,
        serialize: &mut dyn FnMut(&mut To<'_>) -> Result<(), format::Error>,
    ) -> Result<(), String> {
        let start = self.buffer.len;
        self.buffer.room(LENGTH);
        let lent = Lent::new(&mut self.files);
        let mut serializer = Serializer {
            to: Output(&mut self.buffer),
            parts: 0,
        };
        let result = serialize(&mut serializer);
        let parts = u64::from(serializer.parts);
        drop(lent);
        let end = match &result {
            Ok(()) => self.buffer.len,
            Err(_) => start,
        };
        self.buffer.len = start;
        if end > start {
            let length = (end - start - LENGTH) as u64 | parts << PARTS;
            self.buffer
                .room(LENGTH)
                .copy_from_slice(&length.to_le_bytes());
            self.buffer.len = end;
        }
        result.map_err(|error| error.to_string())
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len
    }

    /// Takes back what was written after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.len = len;
    }

    /// What was written.
    pub fn finish(self) -> Body {
        let Buffer {
            mut inline,
            shared,
            len,
            ..
        } = self.buffer;
        inline.truncate(len);
        let bytes = match shared {
            Some(shared) => Bytes::Shared(shared, len),
            None => Bytes::Inline(inline),
        };
        let files = self.files.map(|files| files.open).unwrap_or_default();
        Body { bytes, files }
    }
}

/// Bytes that grow, and move to shared memory when there are many.
#[derive(Debug, Default)]
struct Buffer {
    inline: Vec<u8>,
    /// Holds all the bytes once there are many; `inline` is empty then.
    shared: Option<ShmBuffer>,
    len: usize,
    /// So many bytes there is room for.
    room: usize,
}

impl Buffer {
    /// Room for `more` bytes behind those that are there.
    #[inline(always)]
    fn room(&mut self, more: usize) -> &mut [u8] {
        let end = self.len + more;
        if end > self.room {
            self.make_room(end);
        }
        let start = std::mem::replace(&mut self.len, end);
        match &mut self.shared {
            Some(shared) => &mut shared.bytes_mut()[start..end],
            None => &mut self.inline[start..end],
        }
    }

    /// Appends many bytes.
    #[inline(never)]
    fn put_many(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.room(bytes.len());
        match &mut self.shared {
            Some(shared) => shared.write_at(start, bytes),
            None => self.inline[start..self.len].copy_from_slice(bytes),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, end: usize) {
        let room = end.next_power_of_two();
        match &mut self.shared {
            None if end <= MOST_INLINE => self.inline.resize(room.max(64), 0),
            Some(shared) => {
                if shared.grow(room).is_err() {
                    self.inline = shared.bytes()[..self.len].to_vec();
                    self.inline.resize(room, 0);
                    self.shared = None;
                }
            }
            None => match ShmBuffer::new(room.max(16 * MOST_INLINE)) {
                Ok(mut shared) => {
                    shared.bytes_mut()[..self.len].copy_from_slice(&self.inline[..self.len]);
                    self.inline = Vec::new();
                    self.shared = Some(shared);
                }
                // It will go through the socket then, which is slower.
                Err(_) => self.inline.resize(room, 0),
            },
        }
        let in_shm = self.shared.as_ref().map(ShmBuffer::room);
        self.room = in_shm.unwrap_or(self.inline.len());
    }
}

/// Where the bytes of a value go.
struct Output<'b>(&'b mut Buffer);

impl format::Sink for Output<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > MOST_INLINE {
            self.0.put_many(bytes);
        } else {
            self.0.room(bytes.len()).copy_from_slice(bytes);
        }
    }
}

/// The bytes of a single value, without files.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    append(value, Vec::new())
}

/// Bytes, and behind them those of a single value, without files.
pub fn append<T: Serialize>(value: &T, to: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut serializer = Serializer { to, parts: 0 };
    let written = value.serialize(&mut serializer);
    written.map_err(|error| error.to_string())?;
    serializer.to.extend(serializer.parts.to_le_bytes());
    Ok(serializer.to)
}

/// The value whose bytes [`to_bytes`] or [`append`] gave.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (value, parts) = bytes.split_last_chunk().ok_or("there is nothing")?;
    let mut deserializer = Deserializer {
        rest: value,
        parts: 0,
    };
    let read = T::deserialize(&mut deserializer);
    let value = read.map_err(|error| error.to_string())?;
    check_end(&deserializer, u16::from_le_bytes(*parts))?;
    Ok(value)
}

/// Reads the values that a [`Writer`] wrote.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    files: Option<Box<Files>>,
}

impl Reader {
    /// Reads from the beginning of the body.
    pub fn new(body: Body) -> Reader {
        Reader {
            bytes: body.bytes,
            at: 0,
            files: Some(Box::new(Files {
                open: body.files,
                ..Files::default()
            })),
        }
    }

    /// Reads the next value. After an error the one behind it can still be read.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut value = None;
        self.read_with(&mut |from| {
            value = Some(T::deserialize(from)?);
            Ok(())
        })?;
        Ok(value.unwrap_or_else(|| unreachable!("it was read")))
    }

    /// Reads the next value, which is a `Result`, and hands the value of an `Ok` to `keep`.
    pub fn read_result<T: DeserializeOwned>(
        &mut self,
        keep: impl FnOnce(T),
    ) -> Result<Result<(), ItemError>, String> {
        let mut keep = Some(keep);
        self.read_either(&mut |from| {
            let value = T::deserialize(from)?;
            if let Some(keep) = keep.take() {
                keep(value);
            }
            Ok(())
        })
    }

    fn read_either(
        &mut self,
        read_ok: &mut dyn FnMut(&mut From<'_>) -> Result<(), format::Error>,
    ) -> Result<Result<(), ItemError>, String> {
        let mut error = None;
        self.read_with(&mut |from| {
            if u8::deserialize(&mut *from)? == OK {
                return read_ok(from);
            }
            error = Some(ItemError::deserialize(from)?);
            Ok(())
        })?;
        Ok(error.map_or(Ok(()), Err))
    }

    /// Has `deserialize` read the next value.
    fn read_with(
        &mut self,
        deserialize: &mut dyn FnMut(&mut From<'_>) -> Result<(), format::Error>,
    ) -> Result<(), String> {
        let bytes = self.bytes.as_slice()?;
        let (parts, value) = bytes[self.at..]
            .split_first_chunk::<LENGTH>()
            .and_then(|(length, rest)| {
                let length = u64::from_le_bytes(*length);
                let value = rest.get(..(length & !(u64::MAX << PARTS)) as usize)?;
                Some(((length >> PARTS) as u16, value))
            })
            .ok_or_else(|| "there is no more".to_owned())?;
        self.at += LENGTH + value.len();
        let lent = Lent::new(&mut self.files);
        let mut deserializer = Deserializer {
            rest: value,
            parts: 0,
        };
        let result = deserialize(&mut deserializer);
        drop(lent);
        result.map_err(|error| error.to_string())?;
        check_end(&deserializer, parts)
    }
}

/// Checks that a value of so many parts was read, all of it.
fn check_end(from: &From<'_>, parts: u16) -> Result<(), String> {
    if from.rest.is_empty() && from.parts == parts {
        return Ok(());
    }
    Err(DISAGREE.to_owned())
}

/// Lends files to the values that are being written or read, until it is dropped.
struct Lent<'f> {
    files: &'f mut Option<Box<Files>>,
    outer: Option<Box<Files>>,
}

impl<'f> Lent<'f> {
    #[inline]
    fn new(files: &'f mut Option<Box<Files>>) -> Lent<'f> {
        let outer = FILES.replace(files.take());
        Lent { files, outer }
    }
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.files = FILES.replace(self.outer.take());
    }
}

/// Files that go along with values, each once.
#[derive(Debug)]
pub struct Files {
    open: Vec<Arc<OwnedFd>>,
    /// What the writer knows them by.
    keys: Vec<u64>,
    /// Whether the values go to one process, which may write to what it is lent.
    pub has_one_reader: bool,
}

impl Default for Files {
    fn default() -> Files {
        Files {
            open: Vec::new(),
            keys: Vec::new(),
            has_one_reader: true,
        }
    }
}

impl Files {
    /// Adds a file, unless the one of this key is there; gives its place.
    pub fn add(&mut self, key: u64, file: &Arc<OwnedFd>) -> io::Result<usize> {
        if let Some(place) = self.keys.iter().position(|&known| known == key) {
            return Ok(place);
        }
        if self.keys.len() == MOST_FILES {
            let why = format!("slices of more than {MOST_FILES} shared arrays in one task");
            return Err(io::Error::other(why));
        }
        self.open.push(Arc::clone(file));
        self.keys.push(key);
        Ok(self.keys.len() - 1)
    }

    pub fn get(&self, place: usize) -> Option<&Arc<OwnedFd>> {
        self.open.get(place)
    }
}

thread_local! {
    /// The files that go with the value which is being written or read: `None` outside.
    static FILES: Cell<Option<Box<Files>>> = const { Cell::new(None) };
}

/// Works with the files that go with the value which is being written or read on this thread.
/// `None` if there is no such value, or if it may have no files.
pub fn with_files<R>(work: impl FnOnce(&mut Files) -> R) -> Option<R> {
    let mut files = FILES.take();
    let done = files.as_deref_mut().map(work);
    FILES.set(files);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_value_tells_a_field_that_one_side_leaves_out() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Pair {
            first: u8,
            #[serde(skip_deserializing)]
            second: Vec<u8>,
        }
        let bytes = to_bytes(&(1u8, "two", [3u16, 4])).unwrap();
        let back: (u8, String, [u16; 2]) = from_bytes(&bytes).unwrap();
        assert_eq!(back, (1, "two".to_owned(), [3, 4]));
        let pair = Pair {
            first: 1,
            second: Vec::new(),
        };
        let error = from_bytes::<Pair>(&to_bytes(&pair).unwrap()).unwrap_err();
        assert!(error.contains("`#[serde(skip)]`"), "{error}");
        assert!(from_bytes::<u8>(&[]).is_err());
    }

    fn there_and_back<T: Serialize + DeserializeOwned>(values: &[T]) -> (Vec<T>, bool) {
        let mut writer = Writer::default();
        for value in values {
            writer.write(value).unwrap();
        }
        let body = writer.finish();
        let in_shm = matches!(body.bytes, Bytes::Shared(..));
        let mut reader = Reader::new(body);
        (
            values.iter().map(|_| reader.read().unwrap()).collect(),
            in_shm,
        )
    }

    #[test]
    fn small_values_stay_inline_and_large_ones_do_not() {
        assert_eq!(there_and_back(&[(1u8, -2i64), (3, 4)]).0, [(1, -2), (3, 4)]);
        let numbers: Vec<f64> = (0..100_000).map(f64::from).collect();
        let (arrived, in_shm) = there_and_back(&[numbers.clone(), vec![], numbers.clone()]);
        assert!(in_shm);
        assert_eq!(arrived, [numbers.clone(), vec![], numbers]);
        assert!(!there_and_back(&["word".to_owned()]).1);
    }

    #[test]
    fn every_length_around_the_limit_arrives() {
        for len in MOST_INLINE - 20..MOST_INLINE + 20 {
            let (arrived, _) = there_and_back(&[vec![7u8; len], vec![1]]);
            assert_eq!(arrived, [vec![7u8; len], vec![1]]);
        }
    }

    #[test]
    fn bytes_of_another_type_are_an_error() {
        let mut writer = Writer::default();
        writer.write(&1u8).unwrap();
        let mut reader = Reader::new(writer.finish());
        assert!(reader.read::<String>().is_err());
    }
}
