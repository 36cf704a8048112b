//! Writing JSON. The bytes are those that `serde_json` writes. Writing to memory cannot fail, and a value
//! that is JSON already, a [`Text`](super::Text), is written as it is.

use std::fmt::{self, Display};

use serde::{Serialize, ser};

/// A value cannot be written: it holds a float, a map, or a variant with values, or its own `Serialize`
/// failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable;

impl Display for Unwritable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value has no form in JSON")
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: Display>(_message: T) -> Self {
        Self
    }
}

/// A value as JSON.
pub fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, Unwritable> {
    let mut out = Vec::with_capacity(256);
    write_to(&mut out, value)?;
    text(out)
}

/// Appends a value as JSON.
pub fn write_to<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Unwritable> {
    let mut writer = Writer { out: std::mem::take(out) };
    let written = value.serialize(&mut writer);
    *out = writer.out;
    written
}

/// The bytes that [`write_to`] wrote, as text.
pub fn text(written: Vec<u8>) -> Result<String, Unwritable> {
    String::from_utf8(written).map_err(|_| Unwritable)
}

/// A text as a JSON string.
pub fn quote(quoted: &str) -> String {
    let mut writer = Writer { out: Vec::with_capacity(quoted.len().saturating_add(2)) };
    writer.string(quoted);
    text(writer.out).unwrap_or_default()
}

/// Collects bytes, which are checked to be UTF-8 once, at the end. Checking each piece that is passed on
/// as it is would cost more.
struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Escapes the characters that must be escaped (RFC 8259, section 7).
    #[inline(never)]
    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let text = text.as_bytes();
        let mut written = 0;
        for (index, byte) in text.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            let mut unicode = *b"\\u0000";
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0x08 => b"\\b",
                0x0c => b"\\f",
                // Below 0x20.
                _ => {
                    let [.., high, low] = &mut unicode;
                    *high |= byte >> 4;
                    let digit = byte & 0x0f;
                    *low = if digit < 10 { b'0' | digit } else { digit.wrapping_add(b'a' - 10) };
                    &unicode
                }
            };
            self.raw(text.get(written..index).unwrap_or_default());
            self.raw(escape);
            written = index.saturating_add(1);
        }
        self.raw(text.get(written..).unwrap_or_default());
        self.out.push(b'"');
    }

    #[inline(never)]
    fn raw(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json);
    }

    #[inline(never)]
    fn signed(&mut self, number: i64) {
        self.raw(itoa::Buffer::new().format(number).as_bytes());
    }

    #[inline(never)]
    fn unsigned(&mut self, number: u64) {
        self.raw(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Writes a comma, except before the first element or member.
    #[inline(never)]
    fn separate(&mut self) {
        if !matches!(self.out.last(), Some(b'[' | b'{')) {
            self.out.push(b',');
        }
    }

    /// Writes the name of a field. Field names have no characters to escape.
    #[inline(never)]
    fn name(&mut self, name: &'static str) {
        self.separate();
        self.out.push(b'"');
        self.raw(name.as_bytes());
        self.out.push(b'"');
        self.out.push(b':');
    }
}

/// An array or object that is being written, and its closing bracket.
struct Compound<'w> {
    writer: &'w mut Writer,
    close: u8,
}

impl Compound<'_> {
    fn close(self) {
        self.writer.out.push(self.close);
    }
}

impl<'w> ser::Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Compound<'w>;
    type SerializeTuple = Compound<'w>;
    type SerializeTupleStruct = Compound<'w>;
    type SerializeTupleVariant = ser::Impossible<(), Unwritable>;
    type SerializeMap = ser::Impossible<(), Unwritable>;
    type SerializeStruct = Compound<'w>;
    type SerializeStructVariant = ser::Impossible<(), Unwritable>;

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.raw(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unwritable> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unwritable> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unwritable> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unwritable> {
        self.signed(value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unwritable> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unwritable> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unwritable> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unwritable> {
        self.unsigned(value);
        Ok(())
    }

    /// No value that is written holds a float.
    fn serialize_f32(self, _value: f32) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_f64(self, _value: f64) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        self.string(value);
        Ok(())
    }

    /// JSON has no bytes, so bytes stand for a value that is JSON already: a [`Text`](super::Text).
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unwritable> {
        self.raw(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.raw(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Compound<'w>, Unwritable> {
        self.raw(b"[");
        Ok(Compound { writer: self, close: b']' })
    }

    fn serialize_tuple(self, length: usize) -> Result<Compound<'w>, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Compound<'w>, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, Unwritable> {
        Err(Unwritable)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, Unwritable> {
        Err(Unwritable)
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Compound<'w>, Unwritable> {
        self.raw(b"{");
        Ok(Compound { writer: self, close: b'}' })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, Unwritable> {
        Err(Unwritable)
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.writer.separate();
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unwritable> {
        self.writer.name(name);
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
