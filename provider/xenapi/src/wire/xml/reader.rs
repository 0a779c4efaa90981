//! Decodes one complete value. The scanner has found its end, so it is known to be balanced and not too deep.

use std::borrow::Cow;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::scan::Skim;
use super::tags::{split_name, split_tag, unexpected};
use crate::wire::WireError;
use crate::wire::split::{Step, Stop};

/// The text of one value, read from its beginning.
#[derive(Debug)]
pub(in crate::wire) struct Reader<'de> {
    rest: &'de str,
}

impl<'de> Reader<'de> {
    pub(in crate::wire) fn new(text: &'de str) -> Self {
        Self { rest: text }
    }

    /// Checks that nothing was left.
    pub(in crate::wire) fn end(&self) -> Result<(), WireError> {
        if self.rest.trim_ascii().is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }

    /// Reads up to the next tag, and the tag.
    fn text_and_tag(&mut self) -> Result<(&'de str, &'de str), WireError> {
        let (before, tag, behind) = complete(split_tag(self.rest.as_bytes()))?;
        // Tags begin and end with one byte each, so what is between them ends where characters end.
        let part = |from: usize, length: usize| self.rest.get(from..from + length).ok_or(WireError::Truncated);
        let before = part(0, before.len())?;
        let tag = part(before.len() + 1, tag.len())?;
        let behind = part(self.rest.len() - behind.len(), behind.len())?;
        self.rest = behind;
        Ok((before, tag))
    }

    /// Reads a tag with nothing before it.
    fn tag(&mut self) -> Result<&'de str, WireError> {
        let (before, tag) = self.text_and_tag()?;
        if before.trim_ascii().is_empty() {
            Ok(tag)
        } else {
            Err(WireError::StrayText)
        }
    }

    fn expect(&mut self, expected: &str) -> Result<(), WireError> {
        let tag = self.tag()?;
        if tag == expected {
            Ok(())
        } else {
            Err(unexpected(tag.as_bytes()))
        }
    }

    /// Reads the content of a tagged scalar, and its end.
    fn scalar(&mut self, name: &str) -> Result<&'de str, WireError> {
        let (text, tag) = self.text_and_tag()?;
        if tag.strip_prefix('/') == Some(name) {
            Ok(text)
        } else {
            Err(unexpected(tag.as_bytes()))
        }
    }

    /// Reads what stands in a value behind its first tag.
    fn content<V: Visitor<'de>>(&mut self, tag: &'de str, visitor: V) -> Result<V::Value, WireError> {
        match tag {
            "struct" => visitor.visit_map(Parts(self)),
            "struct/" => visitor.visit_map(Parts(&mut Reader::new("</struct>"))),
            "array" => {
                let value = match self.tag()? {
                    "data" => visitor.visit_seq(Parts(self))?,
                    "data/" => visitor.visit_seq(Parts(&mut Reader::new("</data>")))?,
                    other => return Err(unexpected(other.as_bytes())),
                };
                self.expect("/array")?;
                Ok(value)
            }
            "array/" => visitor.visit_seq(Parts(&mut Reader::new("</data>"))),
            "string" | "dateTime.iso8601" => text(self.scalar(tag)?, visitor),
            "boolean" => match self.scalar(tag)?.trim() {
                "1" | "true" => visitor.visit_bool(true),
                "0" | "false" => visitor.visit_bool(false),
                other => Err(no("flag", other)),
            },
            "int" | "i4" | "i8" => {
                let digits = self.scalar(tag)?.trim();
                visitor.visit_i64(digits.parse().map_err(|_| no("whole number", digits))?)
            }
            "double" => {
                let digits = self.scalar(tag)?.trim();
                visitor.visit_f64(digits.parse().map_err(|_| no("number", digits))?)
            }
            "nil" => {
                self.scalar(tag)?;
                visitor.visit_unit()
            }
            "string/" | "nil/" => visitor.visit_unit(),
            other => Err(unexpected(other.as_bytes())),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        match self.tag()? {
            "value" => {}
            "value/" => return visitor.visit_unit(),
            other => return Err(unexpected(other.as_bytes())),
        }
        match self.text_and_tag()? {
            (untagged, "/value") => text(untagged, visitor),
            (before, tag) if before.trim_ascii().is_empty() => {
                let value = self.content(tag, visitor)?;
                self.expect("/value")?;
                Ok(value)
            }
            (_, _) => Err(WireError::StrayText),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        let text = self.rest.trim_ascii_start();
        let length = complete(Skim::default().end(text.as_bytes()))?;
        self.rest = text.get(length..).ok_or(WireError::Truncated)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier
    }
}

/// The members of a map or the items of a set, of which the reader has read the first tag.
struct Parts<'a, 'de>(&'a mut Reader<'de>);

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, WireError> {
        let reader = &mut *self.0;
        match reader.tag()? {
            "member" => reader.expect("name")?,
            "/struct" => return Ok(None),
            other => return Err(unexpected(other.as_bytes())),
        }
        let (name, value) = complete(split_name(reader.rest.as_bytes()))?;
        let at = reader.rest.len() - value.len();
        let name = reader.rest.get(..name.len()).ok_or(WireError::Truncated)?;
        reader.rest = reader.rest.get(at..).ok_or(WireError::Truncated)?;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, WireError> {
        let value = seed.deserialize(&mut *self.0)?;
        self.0.expect("/member")?;
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, WireError> {
        let reader = &mut *self.0;
        if reader.rest.trim_ascii_start().starts_with("</") {
            reader.expect("/data")?;
            return Ok(None);
        }
        seed.deserialize(reader).map(Some)
    }
}

/// Of a complete text nothing has yet to come.
fn complete<T>(step: Step<T>) -> Result<T, WireError> {
    step.map_err(|stop| match stop {
        Stop::More => WireError::Truncated,
        Stop::Wrong(error) => error,
    })
}

fn no(expected: &'static str, text: &str) -> WireError {
    let text = text.chars().take(100).collect();
    WireError::Literal { expected, text }
}

/// Shows a visitor a text without its escapes.
fn text<'de, V: Visitor<'de>>(escaped: &'de str, visitor: V) -> Result<V::Value, WireError> {
    match unescaped(escaped)? {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

fn unescaped(text: &str) -> Result<Cow<'_, str>, WireError> {
    let mut pieces = text.split('&');
    let first = pieces.next().unwrap_or_default();
    if first.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    plain.push_str(first);
    for piece in pieces {
        let refused = || WireError::Entity(piece.chars().take_while(|c| *c != ';').take(100).collect());
        let (entity, behind) = piece.split_once(';').ok_or_else(refused)?;
        plain.push(resolve(entity).ok_or_else(refused)?);
        plain.push_str(behind);
    }
    Ok(Cow::Owned(plain))
}

/// Resolves the five entities of XML and character references; nothing else, so nothing can expand.
fn resolve(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let (digits, radix) = match number.strip_prefix('x') {
                Some(digits) => (digits, 16),
                None => (number, 10),
            };
            let is_number = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let code = u32::from_str_radix(digits, radix)
                .ok()
                .filter(|code| is_number && *code != 0)?;
            char::from_u32(code)
        }
    }
}
