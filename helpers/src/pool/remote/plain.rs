//! Lists of plain numbers, whose bytes travel as they lie in memory, all at once.
//!
//! serde hands such a list over number by number. What comes of it is the same, byte for byte.

use std::any::{TypeId, type_name};
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;

use super::memory::advise_large_pages;

/// How many numbers a list has that serde is about to go through, and their bytes. `None` unless
/// it is a `&Vec<N>` or a `&[N]` of numbers.
pub(super) fn bytes_of<I>(list: &I) -> Option<(usize, &[u8])> {
    // SAFETY: it is of this type.
    unsafe { find_bytes(typeid::of::<I>(), ptr::from_ref(list).cast()) }
}

/// The size of each number, if the visitor `V` makes a `Vec` of them as serde's own does. Somebody
/// else's may do more with what it sees.
pub(super) fn size_for<V, T>() -> Option<usize> {
    let is_of_serde = type_name::<V>().starts_with("serde_core::de::impls::");
    is_of_serde.then(|| find_size(typeid::of::<T>())).flatten()
}

/// The `Vec` of numbers whose bytes these are. `None` if `T` is something else.
pub(super) fn vec_of<T>(bytes: &[u8]) -> Option<T> {
    let mut vec = MaybeUninit::<T>::uninit();
    // SAFETY: there is room for a value of this type.
    let is_made = unsafe { make_vec(typeid::of::<T>(), bytes, vec.as_mut_ptr().cast()) };
    // SAFETY: then it was written.
    is_made.then(|| unsafe { vec.assume_init() })
}

// What follows is compiled once, and not again in each cell of a notebook. In the ids lifetimes play no part;
// neither numbers nor vectors of them have any, so nothing else has the id of one.
macro_rules! of_numbers {
    ($($number:ident)+) => {
        /// # Safety
        /// `list` points to a value of the type with this id, which may be a reference for as long as `'a`.
        unsafe fn find_bytes<'a>(id: TypeId, list: *const ()) -> Option<(usize, &'a [u8])> {
            $(
                if id == TypeId::of::<&Vec<$number>>() {
                    // SAFETY: it is one.
                    return Some(as_bytes::<$number>(unsafe { *list.cast::<&'a Vec<$number>>() }));
                }
                if id == TypeId::of::<&[$number]>() {
                    // SAFETY: it is one.
                    return Some(as_bytes::<$number>(unsafe { *list.cast::<&'a [$number]>() }));
                }
            )+
            None
        }

        fn find_size(id: TypeId) -> Option<usize> {
            $(
                if id == TypeId::of::<Vec<$number>>() {
                    return Some(size_of::<$number>());
                }
            )+
            None
        }

        /// # Safety
        /// `place` has room for a value of the type with this id.
        unsafe fn make_vec(id: TypeId, bytes: &[u8], place: *mut ()) -> bool {
            $(
                if id == TypeId::of::<Vec<$number>>() {
                    // SAFETY: it has.
                    unsafe { place.cast::<Vec<$number>>().write(to_vec::<$number>(bytes)) };
                    return true;
                }
            )+
            false
        }
    };
}

// On other machines numbers travel one by one.
#[cfg(all(target_endian = "little", target_pointer_width = "64"))]
of_numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }
#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
of_numbers! { u8 i8 }

/// A type all of whose bytes say something, and any of whose bytes are a value.
trait Plain: Copy {}

macro_rules! plain {
    ($($number:ident)+) => {
        $(impl Plain for $number {})+
    };
}

plain! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

fn as_bytes<N: Plain>(numbers: &[N]) -> (usize, &[u8]) {
    let (start, len) = (numbers.as_ptr().cast(), size_of_val(numbers));
    // SAFETY: the numbers' bytes, all of which are initialised.
    (numbers.len(), unsafe { slice::from_raw_parts(start, len) })
}

/// Bytes that are no whole number, at the end, are left out.
fn to_vec<N: Plain>(bytes: &[u8]) -> Vec<N> {
    let count = bytes.len() / size_of::<N>();
    let mut numbers = Vec::<N>::with_capacity(count);
    let len = count * size_of::<N>();
    // SAFETY: there is room for so many, and any bytes are numbers.
    unsafe {
        let start = numbers.as_mut_ptr().cast();
        advise_large_pages(slice::from_raw_parts_mut(start, len));
        ptr::copy_nonoverlapping(bytes.as_ptr(), numbers.as_mut_ptr().cast(), len);
        numbers.set_len(count);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use ndarray::Array2;
    use serde::de::{DeserializeOwned, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize};

    use super::super::codec::{Reader, Writer};
    use super::*;

    fn there_and_back<T: Serialize + ?Sized, U: DeserializeOwned>(value: &T) -> U {
        let mut writer = Writer::default();
        writer.write(value).unwrap();
        Reader::new(writer.finish()).read().unwrap()
    }

    #[test]
    fn lists_of_numbers_are_known_by_their_types() {
        let numbers = vec![1.5f64, -0.0, f64::NAN];
        let list = &numbers;
        let (count, bytes) = bytes_of(&list).unwrap();
        assert_eq!((count, bytes.len()), (3, 24));
        assert_eq!(vec_of::<Vec<f64>>(bytes).unwrap()[..2], numbers[..2]);
        assert_eq!(bytes_of(&&numbers[1..]).unwrap().0, 2);
        assert_eq!(bytes_of(&&[7u8, 8][..]).unwrap().1, [7, 8]);
        assert!(bytes_of(&&[7u8, 8]).is_none());
        assert!(bytes_of(&&vec!['a']).is_none() && bytes_of(&&vec![true]).is_none());
        assert!(bytes_of(&numbers).is_none() && bytes_of(&&VecDeque::from([1u8])).is_none());
        assert!(vec_of::<Vec<bool>>(&[2]).is_none() && vec_of::<Box<[u8]>>(&[2]).is_none());
    }

    #[test]
    fn what_travels_is_the_same_in_either_way() {
        macro_rules! check {
            ($($number:ident)+) => {
                $(
                    let numbers: Vec<$number> = vec![$number::MIN, 0 as $number, $number::MAX];
                    let one_by_one = VecDeque::from(numbers.clone());
                    assert_eq!(there_and_back::<_, Vec<$number>>(&numbers), numbers);
                    assert_eq!(there_and_back::<_, Vec<$number>>(&numbers[1..]), numbers[1..]);
                    assert_eq!(there_and_back::<_, VecDeque<$number>>(&numbers), one_by_one);
                    assert_eq!(there_and_back::<_, Vec<$number>>(&one_by_one), numbers);
                )+
            };
        }
        check! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }
        let table = Array2::from_shape_fn((3, 4), |(row, column)| row * 4 + column);
        assert_eq!(there_and_back::<_, Array2<usize>>(&table), table);
        type Nested = (u8, Vec<Vec<i16>>, Option<Vec<f32>>);
        let nested: Nested = (1, vec![vec![2], vec![]], Some(vec![0.5]));
        assert_eq!(there_and_back::<_, Nested>(&nested), nested);
    }

    /// Makes a `Vec` of numbers, too, but others than it is given.
    #[derive(Debug, PartialEq)]
    struct Doubled(Vec<u32>);

    struct Doubling;

    impl<'de> Visitor<'de> for Doubling {
        type Value = Vec<u32>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("numbers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u32>, A::Error> {
            let mut doubled = Vec::new();
            while let Some(number) = list.next_element::<u32>()? {
                doubled.push(2 * number);
            }
            Ok(doubled)
        }
    }

    impl<'de> Deserialize<'de> for Doubled {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Doubled, D::Error> {
            deserializer.deserialize_seq(Doubling).map(Doubled)
        }
    }

    #[test]
    fn a_visitor_of_somebody_else_sees_each_number() {
        assert_eq!(
            there_and_back::<_, Doubled>(&vec![1u32, 2]),
            Doubled(vec![2, 4])
        );
        assert_eq!(size_for::<Doubling, Vec<u32>>(), None);
    }

    #[test]
    fn a_length_that_makes_no_sense_is_an_error() {
        let mut writer = Writer::default();
        writer.write(&(u64::MAX / 4, 5u64)).unwrap();
        let read = Reader::new(writer.finish()).read::<Vec<u64>>();
        assert!(read.unwrap_err().contains("too few bytes"));
    }

    /// Who makes serde's own vectors is known by a name that serde does not promise to keep. Without it all is right,
    /// but slow.
    #[test]
    fn serdes_own_vectors_are_known() {
        struct Probe;

        impl<'de> Deserializer<'de> for Probe {
            type Error = serde::de::value::Error;

            fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
                let size = size_for::<V, V::Value>();
                Err(serde::de::Error::custom(format!("{size:?}")))
            }

            fn deserialize_seq<V: Visitor<'de>>(self, it: V) -> Result<V::Value, Self::Error> {
                self.deserialize_any(it)
            }

            serde::forward_to_deserialize_any! {
                bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
                option unit unit_struct newtype_struct tuple tuple_struct map struct enum
                identifier ignored_any
            }
        }
        let known = Vec::<f64>::deserialize(Probe).unwrap_err().to_string();
        assert_eq!(known, "Some(8)");
        let other = Vec::<char>::deserialize(Probe).unwrap_err().to_string();
        assert_eq!(other, "None");
    }
}
