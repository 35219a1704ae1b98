//! Values as bytes: small ones in a buffer, large ones in memory that changes hands.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use postcard::{Deserializer, Serializer, ser_flavors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::parcel::{Delivery, Parcel};
use super::wire::MOST_FILES;

/// More bytes than this travel as a parcel of memory instead of through a socket.
const MOST_INLINE: usize = 32 << 10;

/// Bytes on their way, and the files of shared arrays that they speak of.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) files: Vec<OwnedFd>,
}

#[derive(Debug)]
pub(crate) enum Bytes {
    Inline(Vec<u8>),
    /// The first so many bytes of a parcel, to be sent.
    Parcel(Parcel, usize),
    /// What another process has sent in a parcel.
    Delivery(Delivery),
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Inline(Vec::new())
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    inline: Vec<u8>,
    /// Holds all the bytes once there are many; `inline` is empty then.
    parcel: Option<Parcel>,
    len: usize,
    /// So many bytes there is room for.
    room: usize,
    /// `None` where files cannot go along: in results.
    files: Option<Files>,
    /// Why memory could not be had, which postcard's own error cannot say.
    refused: Option<io::Error>,
}

impl Writer {
    /// A writer whose values may hold slices of shared arrays.
    pub(crate) fn for_arguments() -> Writer {
        Writer {
            files: Some(Files::default()),
            ..Writer::default()
        }
    }

    /// Appends a value. After an error what was written is not to be used.
    pub(crate) fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), String> {
        let outer = FILES.replace(self.files.take());
        let mut serializer = Serializer {
            output: Output(&mut *self),
        };
        let result = value.serialize(&mut serializer);
        self.files = FILES.replace(outer);
        result.map_err(|error| match self.refused.take() {
            Some(cause) => format!("no memory to send it through: {cause}"),
            None => error.to_string(),
        })
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was written after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    pub(crate) fn finish(mut self) -> Body {
        self.inline.truncate(self.len);
        let bytes = match self.parcel {
            Some(parcel) => Bytes::Parcel(parcel, self.len),
            None => Bytes::Inline(self.inline),
        };
        let files = self.files.map(|files| files.open).unwrap_or_default();
        Body { bytes, files }
    }

    /// Room for `more` bytes behind those that are there.
    #[inline(always)]
    fn room(&mut self, more: usize) -> postcard::Result<&mut [u8]> {
        let end = self.len + more;
        if end > self.room {
            self.make_room(end)?;
        }
        let start = std::mem::replace(&mut self.len, end);
        match &mut self.parcel {
            Some(parcel) => Ok(&mut parcel.bytes_mut()[start..end]),
            None => Ok(&mut self.inline[start..end]),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, end: usize) -> postcard::Result<()> {
        if self.parcel.is_none() && end <= MOST_INLINE {
            self.room = (2 * end).clamp(64, MOST_INLINE);
            self.inline.resize(self.room, 0);
            return Ok(());
        }
        self.make_room_in_parcel(end).map_err(|cause| {
            self.refused = Some(cause);
            postcard::Error::SerializeBufferFull
        })
    }

    fn make_room_in_parcel(&mut self, end: usize) -> io::Result<()> {
        match &mut self.parcel {
            Some(parcel) => parcel.grow(end.next_power_of_two())?,
            None => {
                let mut parcel = Parcel::new((16 * MOST_INLINE).max(end.next_power_of_two()))?;
                parcel.bytes_mut()[..self.len].copy_from_slice(&self.inline[..self.len]);
                self.inline = Vec::new();
                self.parcel = Some(parcel);
            }
        }
        self.room = self.parcel.as_ref().map_or(0, Parcel::room);
        Ok(())
    }
}

/// What postcard writes to.
struct Output<'w>(&'w mut Writer);

impl ser_flavors::Flavor for Output<'_> {
    type Output = ();

    #[inline(always)]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.room(data.len())?.copy_from_slice(data);
        Ok(())
    }

    #[inline(always)]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.room(1)?[0] = data;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads the values that a [`Writer`] wrote.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
    at: usize,
    files: Option<Files>,
}

impl Reader {
    pub(crate) fn new(body: Body) -> Reader {
        Reader {
            bytes: body.bytes,
            at: 0,
            files: Some(Files {
                open: body.files,
                keys: Vec::new(),
            }),
        }
    }

    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let bytes = match &self.bytes {
            Bytes::Inline(bytes) => &bytes[..],
            Bytes::Parcel(parcel, len) => &parcel.bytes()[..*len],
            Bytes::Delivery(delivery) => delivery.bytes(),
        };
        let outer = FILES.replace(self.files.take());
        let mut deserializer = Deserializer::from_bytes(&bytes[self.at..]);
        let value = T::deserialize(&mut deserializer);
        let rest = deserializer.finalize();
        self.files = FILES.replace(outer);
        let (value, rest) = value
            .and_then(|value| Ok((value, rest?)))
            .map_err(|error| error.to_string())?;
        self.at = bytes.len() - rest.len();
        Ok(value)
    }
}

/// Files that go along with values, each once.
#[derive(Debug, Default)]
pub(crate) struct Files {
    open: Vec<OwnedFd>,
    /// What the writer knows them by.
    keys: Vec<u64>,
}

impl Files {
    /// Adds a file, unless the one of this key is there; gives its place.
    pub(crate) fn add(&mut self, key: u64, file: BorrowedFd<'_>) -> io::Result<usize> {
        if let Some(place) = self.keys.iter().position(|&known| known == key) {
            return Ok(place);
        }
        if self.keys.len() == MOST_FILES {
            let why = format!("slices of more than {MOST_FILES} shared arrays in one task");
            return Err(io::Error::other(why));
        }
        self.open.push(file.try_clone_to_owned()?);
        self.keys.push(key);
        Ok(self.keys.len() - 1)
    }

    pub(crate) fn get(&self, place: usize) -> Option<&OwnedFd> {
        self.open.get(place)
    }
}

thread_local! {
    /// The files that go with the value which is being written or read: `None` outside.
    static FILES: RefCell<Option<Files>> = const { RefCell::new(None) };
}

/// Works with the files that go with the value which is being written or read on this thread.
/// `None` if there is no such value, or if it may have no files.
pub(crate) fn with_files<R>(work: impl FnOnce(&mut Files) -> R) -> Option<R> {
    FILES.with_borrow_mut(|files| files.as_mut().map(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Serialize + DeserializeOwned>(values: &[T]) -> (Vec<T>, bool) {
        let mut writer = Writer::default();
        for value in values {
            writer.write(value).unwrap();
        }
        let body = writer.finish();
        let in_parcel = matches!(body.bytes, Bytes::Parcel(..));
        let mut reader = Reader::new(body);
        (
            values.iter().map(|_| reader.read().unwrap()).collect(),
            in_parcel,
        )
    }

    #[test]
    fn small_values_stay_inline_and_large_ones_do_not() {
        assert_eq!(there_and_back(&[(1u8, -2i64), (3, 4)]).0, [(1, -2), (3, 4)]);
        let numbers: Vec<f64> = (0..100_000).map(f64::from).collect();
        let (arrived, in_parcel) = there_and_back(&[numbers.clone(), vec![], numbers.clone()]);
        assert!(in_parcel);
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
