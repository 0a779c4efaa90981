//! From MessagePack to a [`Value`].

use std::collections::BTreeMap;

use rmp::Marker;

use crate::nfc::normalised;
use crate::types::MAX_DEPTH;
use crate::{CodecError, Number, Path, Problem, Refinement, Type, Typed, Value};

/// Reads a value of the type from MessagePack.
///
/// # Errors
/// If the bytes are no MessagePack, hold something else than the type asks for, nest too deep, or go on after the value.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, CodecError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(ty, &Path::root())?;
    match reader.rest.len() {
        0 => Ok(value),
        trailing => Err(CodecError::at(&Path::root(), Problem::Trailing(trailing))),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// One item of MessagePack; collections by their length, their elements follow.
enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a [u8]),
    Array(usize),
    Map(usize),
    Extension { code: i8, payload: &'a [u8] },
}

impl Item<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Item::Nil => "null",
            Item::Bool(_) => "a bool",
            Item::Int(_) | Item::Uint(_) | Item::Float(_) => "a number",
            Item::Text(_) => "a string",
            Item::Array(_) => "an array",
            Item::Map(_) => "a map",
            Item::Extension { .. } => "an unknown value",
        }
    }
}

impl<'a> Reader<'a> {
    fn value(&mut self, ty: &Type, path: &Path) -> Result<Value, CodecError> {
        if path.steps().len() >= MAX_DEPTH {
            return Err(CodecError::at(path, Problem::TooDeep));
        }
        let item = self.item(path)?;
        match (item, ty) {
            (Item::Nil, _) => Ok(Value::Null),
            (Item::Extension { code, payload }, _) => Ok(Value::Unknown(refinement(code, payload))),
            (Item::Array(2), Type::Dynamic) => self.typed(path),
            (Item::Bool(bool), Type::Bool) => Ok(Value::Bool(bool)),
            (Item::Text(text), Type::String) => Ok(Value::string(utf8(text, path)?)),
            (Item::Int(integer), Type::Number) => Ok(Value::from(integer)),
            (Item::Uint(integer), Type::Number) => Ok(Value::from(integer)),
            (Item::Float(float), Type::Number) => number(Number::from_f64(float), path),
            (Item::Text(text), Type::Number) => number(utf8(text, path)?.parse(), path),
            (Item::Array(count), Type::List(element)) => Ok(Value::List(self.elements(count, element, path)?)),
            (Item::Array(count), Type::Set(element)) => Ok(Value::set(self.elements(count, element, path)?)),
            (Item::Array(count), Type::Tuple(types)) => self.tuple(count, types, path),
            (Item::Map(count), Type::Map(element)) => self.map(count, element, path),
            (Item::Map(count), Type::Object(types)) => self.object(count, types, path),
            (item, ty) => Err(CodecError::mismatch(path, ty, item.kind())),
        }
    }

    fn elements(&mut self, count: usize, element: &Type, path: &Path) -> Result<Vec<Value>, CodecError> {
        (0..count)
            .map(|index| self.value(element, &path.index(index)))
            .collect()
    }

    fn tuple(&mut self, count: usize, types: &[Type], path: &Path) -> Result<Value, CodecError> {
        if count != types.len() {
            return Err(CodecError::at(
                path,
                Problem::Count {
                    expected: types.len(),
                    found: count,
                },
            ));
        }
        let elements = types
            .iter()
            .enumerate()
            .map(|(index, ty)| self.value(ty, &path.index(index)));
        Ok(Value::List(elements.collect::<Result<_, _>>()?))
    }

    fn map(&mut self, count: usize, element: &Type, path: &Path) -> Result<Value, CodecError> {
        let mut elements = BTreeMap::new();
        for _ in 0..count {
            let key = self.key(path)?;
            let value = self.value(element, &path.key(&key))?;
            elements.insert(key, value);
        }
        Ok(Value::Map(elements))
    }

    fn object(&mut self, count: usize, types: &BTreeMap<String, Type>, path: &Path) -> Result<Value, CodecError> {
        let mut attributes = BTreeMap::new();
        for _ in 0..count {
            let name = self.key(path)?;
            let ty = types
                .get(&name)
                .ok_or_else(|| CodecError::at(path, Problem::UnknownAttribute(name.clone())))?;
            let value = self.value(ty, &path.attribute(&name))?;
            attributes.insert(name, value);
        }
        if attributes.len() == types.len() {
            Ok(Value::Map(attributes))
        } else {
            Err(CodecError::at(
                path,
                Problem::Count {
                    expected: types.len(),
                    found: attributes.len(),
                },
            ))
        }
    }

    fn typed(&mut self, path: &Path) -> Result<Value, CodecError> {
        let json = match self.item(path)? {
            Item::Text(json) => json,
            item => return Err(CodecError::mismatch(path, &Type::Dynamic, item.kind())),
        };
        let ty = Type::from_json(json).map_err(|error| CodecError::at(path, error))?;
        let value = self.value(&ty, &path.index(1))?;
        Ok(match ty {
            Type::Dynamic => value,
            ty => Value::Dynamic(Box::new(Typed { ty, value })),
        })
    }

    fn key(&mut self, path: &Path) -> Result<String, CodecError> {
        match self.item(path)? {
            Item::Text(text) => Ok(normalised(utf8(text, path)?)),
            item => Err(CodecError::mismatch(path, &Type::String, item.kind())),
        }
    }

    fn item(&mut self, path: &Path) -> Result<Item<'a>, CodecError> {
        self.read().ok_or_else(|| {
            CodecError::at(
                path,
                Problem::Malformed("the MessagePack ends early or is none".to_owned()),
            )
        })
    }

    fn read(&mut self) -> Option<Item<'a>> {
        let [marker] = self.bytes::<1>()?;
        Some(match Marker::from_u8(marker) {
            Marker::Null => Item::Nil,
            Marker::True => Item::Bool(true),
            Marker::False => Item::Bool(false),
            Marker::FixPos(small) => Item::Int(i64::from(small)),
            Marker::FixNeg(small) => Item::Int(i64::from(small)),
            Marker::I8 => Item::Int(i64::from(i8::from_be_bytes(self.bytes()?))),
            Marker::I16 => Item::Int(i64::from(i16::from_be_bytes(self.bytes()?))),
            Marker::I32 => Item::Int(i64::from(i32::from_be_bytes(self.bytes()?))),
            Marker::I64 => Item::Int(i64::from_be_bytes(self.bytes()?)),
            Marker::U8 => Item::Uint(u64::from(u8::from_be_bytes(self.bytes()?))),
            Marker::U16 => Item::Uint(u64::from(u16::from_be_bytes(self.bytes()?))),
            Marker::U32 => Item::Uint(u64::from(u32::from_be_bytes(self.bytes()?))),
            Marker::U64 => Item::Uint(u64::from_be_bytes(self.bytes()?)),
            Marker::F32 => Item::Float(f64::from(f32::from_be_bytes(self.bytes()?))),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.bytes()?)),
            Marker::FixStr(length) => Item::Text(self.slice(usize::from(length))?),
            Marker::Str8 | Marker::Bin8 => {
                let length = self.length8()?;
                Item::Text(self.slice(length)?)
            }
            Marker::Str16 | Marker::Bin16 => {
                let length = self.length16()?;
                Item::Text(self.slice(length)?)
            }
            Marker::Str32 | Marker::Bin32 => {
                let length = self.length32()?;
                Item::Text(self.slice(length)?)
            }
            Marker::FixArray(count) => Item::Array(usize::from(count)),
            Marker::Array16 => Item::Array(self.length16()?),
            Marker::Array32 => Item::Array(self.length32()?),
            Marker::FixMap(count) => Item::Map(usize::from(count)),
            Marker::Map16 => Item::Map(self.length16()?),
            Marker::Map32 => Item::Map(self.length32()?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let length = self.length8()?;
                self.extension(length)?
            }
            Marker::Ext16 => {
                let length = self.length16()?;
                self.extension(length)?
            }
            Marker::Ext32 => {
                let length = self.length32()?;
                self.extension(length)?
            }
            Marker::Reserved => return None,
        })
    }

    fn extension(&mut self, length: usize) -> Option<Item<'a>> {
        let code = i8::from_be_bytes(self.bytes()?);
        Some(Item::Extension {
            code,
            payload: self.slice(length)?,
        })
    }

    fn length8(&mut self) -> Option<usize> {
        Some(usize::from(u8::from_be_bytes(self.bytes()?)))
    }

    fn length16(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(self.bytes()?)))
    }

    fn length32(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.bytes()?)).ok()
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(slice)
    }
}

fn utf8<'a>(text: &'a [u8], path: &Path) -> Result<&'a str, CodecError> {
    std::str::from_utf8(text).map_err(|error| CodecError::at(path, Problem::Malformed(error.to_string())))
}

fn number(number: Result<Number, crate::NumberError>, path: &Path) -> Result<Value, CodecError> {
    number.map(Value::Number).map_err(|error| CodecError::at(path, error))
}

/// Reads the promises of an unknown value. Of extension 12 only "not null" is kept; any other extension promises nothing.
fn refinement(code: i8, payload: &[u8]) -> Refinement {
    let mut reader = Reader { rest: payload };
    let not_null = code == 12 && matches!(reader.read(), Some(Item::Map(count)) if reader.promises_not_null(count));
    Refinement { not_null }
}

impl Reader<'_> {
    /// Core writes the promises with ascending keys, so "may be null" (key 1) stands first if it is there.
    fn promises_not_null(&mut self, count: usize) -> bool {
        count > 0
            && matches!(self.read(), Some(Item::Int(1) | Item::Uint(1)))
            && matches!(self.read(), Some(Item::Bool(false)))
    }
}
