//! The bytes of a value: numbers as memory has them, lists behind their length, and no names.
//!
//! It is written for two ends that run the same program, so nothing says what a value is; and its
//! errors keep the words of the types that give them, for the reader of the error.

use std::fmt::{self, Display};

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::ser::{self, Serialize};

/// Why a value could not be written or read.
#[derive(Debug)]
pub(crate) struct Error(String);

impl Error {
    fn end() -> Error {
        Error(
            "there are too few bytes for it, as if its Serialize left out a field \
             (`#[serde(skip_serializing)]`; `#[serde(skip)]` is for both directions)"
                .to_owned(),
        )
    }

    fn nonsense(what: &str) -> Error {
        Error(format!("its bytes hold no {what}"))
    }

    /// What cannot be read since nothing says what it is.
    fn unnamed() -> Error {
        Error(
            "its Deserialize asks what comes next, as `#[serde(untagged)]`, `#[serde(tag = …)]` \
             and `#[serde(flatten)]` have it do; on the way between processes nothing says so. Take \
             the attribute away, or send what the value is made of"
                .to_owned(),
        )
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Error {
        Error(message.to_string())
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Error {
        Error(message.to_string())
    }
}

use super::plain;

type Result<T> = std::result::Result<T, Error>;

/// Stands for the number of a variant that takes more than a byte, which follows.
const LONG_INDEX: u8 = u8::MAX;

/// Where bytes go.
pub(crate) trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes a value.
pub(crate) struct Serializer<W> {
    /// Where its bytes go.
    pub(crate) to: W,
    /// How many parts its structs and tuples have. The reader counts as well: a field that only one
    /// of the two knows would shift the bytes of all that follow.
    pub(crate) parts: u16,
}

impl<W: Sink> Serializer<W> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.put(bytes);
        Ok(())
    }

    fn len(&mut self, len: usize) -> Result<()> {
        self.put(&(len as u64).to_le_bytes())
    }

    fn variant(&mut self, index: u32) -> Result<()> {
        match u8::try_from(index) {
            Ok(index) if index != LONG_INDEX => self.put(&[index]),
            _ => {
                self.put(&[LONG_INDEX])?;
                self.put(&index.to_le_bytes())
            }
        }
    }

    fn known_len(&mut self, len: Option<usize>) -> Result<()> {
        let len = len.ok_or_else(|| {
            Error(
                "its Serialize does not say how many values it has, as `#[serde(flatten)]` has it: take \
                 the attribute away, or collect the values in a `Vec` first"
                    .to_owned(),
            )
        })?;
        self.len(len)
    }
}

macro_rules! write_numbers {
    ($($name:ident: $number:ty,)+) => {
        $(
            #[inline(always)]
            fn $name(self, value: $number) -> Result<()> {
                self.put(&value.to_le_bytes())
            }
        )+
    };
}

impl<W: Sink> ser::Serializer for &mut Serializer<W> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    write_numbers! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.put(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.put(&u32::from(value).to_le_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.len(value.len())?;
        self.put(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.put(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.put(&[1])?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<()> {
        self.variant(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        self.variant(index)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self> {
        self.known_len(len)?;
        Ok(self)
    }

    fn collect_seq<I>(self, list: I) -> Result<()>
    where
        I: IntoIterator<Item: Serialize>,
    {
        if let Some((count, bytes)) = plain::bytes_of(&list) {
            self.len(count)?;
            return self.put(bytes);
        }
        let values = list.into_iter();
        self.known_len(match values.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        })?;
        for value in values {
            value.serialize(&mut *self)?;
        }
        Ok(())
    }

    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.variant(index)?;
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self> {
        self.known_len(len)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.variant(index)?;
        Ok(self)
    }
}

macro_rules! write_parts {
    ($($kind:ident: $part:ident, $counts:literal;)+) => {
        $(
            impl<W: Sink> ser::$kind for &mut Serializer<W> {
                type Ok = ();
                type Error = Error;

                #[inline(always)]
                fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                    self.parts = self.parts.wrapping_add($counts);
                    value.serialize(&mut **self)
                }

                fn end(self) -> Result<()> {
                    Ok(())
                }
            }
        )+
    };
}

write_parts! {
    SerializeSeq: serialize_element, 0;
    SerializeTuple: serialize_element, 1;
    SerializeTupleStruct: serialize_field, 1;
    SerializeTupleVariant: serialize_field, 1;
}

macro_rules! write_fields {
    ($($kind:ident)+) => {
        $(
            impl<W: Sink> ser::$kind for &mut Serializer<W> {
                type Ok = ();
                type Error = Error;

                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    _: &'static str,
                    value: &T,
                ) -> Result<()> {
                    self.parts = self.parts.wrapping_add(1);
                    value.serialize(&mut **self)
                }

                fn skip_field(&mut self, name: &'static str) -> Result<()> {
                    Err(Error(format!(
                        "`#[serde(skip_serializing_if = …)]` leaves its field `{name}` out, which \
                         the other process waits for: take the attribute away"
                    )))
                }

                fn end(self) -> Result<()> {
                    Ok(())
                }
            }
        )+
    };
}

write_fields!(SerializeStruct SerializeStructVariant);

impl<W: Sink> ser::SerializeMap for &mut Serializer<W> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

/// Reads a value.
#[derive(Debug)]
pub(crate) struct Deserializer<'de> {
    /// What was not read yet.
    pub(crate) rest: &'de [u8],
    /// How many parts of structs and tuples were read.
    pub(crate) parts: u16,
}

impl<'de> Deserializer<'de> {
    #[inline(always)]
    fn take(&mut self, count: usize) -> Result<&'de [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(Error::end)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(Error::end)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| Error::end())
    }

    fn bytes(&mut self) -> Result<&'de [u8]> {
        let len = self.len()?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'de str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::nonsense("text"))
    }
}

macro_rules! read_numbers {
    ($($name:ident, $visit:ident: $number:ty,)+) => {
        $(
            #[inline(always)]
            fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                visitor.$visit(<$number>::from_le_bytes(self.array()?))
            }
        )+
    };
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    read_numbers! {
        deserialize_i8, visit_i8: i8,
        deserialize_i16, visit_i16: i16,
        deserialize_i32, visit_i32: i32,
        deserialize_i64, visit_i64: i64,
        deserialize_i128, visit_i128: i128,
        deserialize_u8, visit_u8: u8,
        deserialize_u16, visit_u16: u16,
        deserialize_u32, visit_u32: u32,
        deserialize_u64, visit_u64: u64,
        deserialize_u128, visit_u128: u128,
        deserialize_f32, visit_f32: f32,
        deserialize_f64, visit_f64: f64,
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(Error::unnamed())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(Error::unnamed())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(Error::unnamed())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.array()? {
            [0] => visitor.visit_bool(false),
            [1] => visitor.visit_bool(true),
            _ => Err(Error::nonsense("bool")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let letter = char::from_u32(u32::from_le_bytes(self.array()?));
        visitor.visit_char(letter.ok_or_else(|| Error::nonsense("char"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.array()? {
            [0] => visitor.visit_none(),
            [1] => visitor.visit_some(self),
            _ => Err(Error::nonsense("Option")),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.len()?;
        if let Some(size) = plain::size_for::<V, V::Value>() {
            let bytes = self.take(left.checked_mul(size).ok_or_else(Error::end)?)?;
            return plain::vec_of(bytes).ok_or_else(|| Error::nonsense("list"));
        }
        visitor.visit_seq(Parts {
            from: self,
            left,
            counts: 0,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Parts {
            from: self,
            left: len,
            counts: 1,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.len()?;
        visitor.visit_map(Parts {
            from: self,
            left,
            counts: 0,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }
}

/// Values one behind the other.
struct Parts<'a, 'de> {
    from: &'a mut Deserializer<'de>,
    left: usize,
    /// What each of them counts: 1 in a struct or tuple.
    counts: u16,
}

impl<'de> Parts<'_, 'de> {
    #[inline(always)]
    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.from.parts = self.from.parts.wrapping_add(self.counts);
        seed.deserialize(&mut *self.from).map(Some)
    }

    /// How many there may be: a length that makes no sense must not fill the memory.
    fn hint(&self) -> Option<usize> {
        Some(self.left.min(self.from.rest.len().max(1 << 10)))
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.next(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.from)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> EnumAccess<'de> for &mut Deserializer<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let index = match self.array()? {
            [LONG_INDEX] => u32::from_le_bytes(self.array()?),
            [index] => u32::from(index),
        };
        let index: U32Deserializer<Error> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Deserializer<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}
