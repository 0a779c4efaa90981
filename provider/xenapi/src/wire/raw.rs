//! A part of an answer as it was written.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::xml;
use super::{As, FromWire, Name, Wire, WireError};

/// One value as it stands in an answer: complete, but not looked at yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    wire: Wire,
    text: &'a str,
}

impl<'a> Raw<'a> {
    pub(super) fn new(wire: Wire, text: &'a str) -> Self {
        Self { wire, text }
    }

    /// What a call without a result answers with.
    pub(super) fn void(wire: Wire) -> Raw<'static> {
        let text = match wire {
            Wire::Json => "\"\"",
            Wire::Xml => "<value></value>",
        };
        Raw { wire, text }
    }

    /// Decodes the value.
    pub(crate) fn read<T: FromWire>(self) -> Result<T, WireError> {
        self.read_as(As::<T>::new()).map_err(|error| expecting::<T>(error))
    }

    /// Decodes the value as the seed says.
    pub(crate) fn read_as<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, WireError> {
        match self.wire {
            Wire::Json => {
                let mut reader = serde_json::Deserializer::from_str(self.text);
                let value = seed.deserialize(&mut reader)?;
                reader.end()?;
                Ok(value)
            }
            Wire::Xml => {
                let mut reader = xml::Reader::new(self.text);
                let value = seed.deserialize(&mut reader)?;
                reader.end()?;
                Ok(value)
            }
        }
    }

    /// Decodes one member of a map; `None` if it is absent.
    pub(crate) fn member<T: FromWire>(self, name: &str) -> Result<Option<T>, WireError> {
        self.member_as(name, As::<T>::new())
            .map_err(|error| expecting::<T>(error))
    }

    /// Decodes one member of a map as the seed says; `None` if it is absent.
    pub(crate) fn member_as<S: DeserializeSeed<'a>>(self, name: &str, seed: S) -> Result<Option<S::Value>, WireError> {
        self.read_as(Member { name, seed })
    }
}

/// Says what was expected.
fn expecting<T: FromWire>(error: WireError) -> WireError {
    if error == WireError::Mismatch {
        WireError::Type(T::EXPECTED)
    } else {
        error
    }
}

/// Decodes what tasks keep as their results: XML, whatever the wire. A text without markup stands for itself.
pub(crate) fn read_fragment<T: FromWire>(text: &str) -> Result<T, WireError> {
    let fragment = if text.trim_start().starts_with('<') {
        Cow::Borrowed(text.trim())
    } else {
        Cow::Owned(format!("<value>{}</value>", xml::escaped(text)))
    };
    xml::check(&fragment)?;
    Raw::new(Wire::Xml, &fragment).read()
}

/// Picks one member of a map.
struct Member<'n, S> {
    name: &'n str,
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Member<'_, S> {
    type Value = Option<S::Value>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Member<'_, S> {
    type Value = Option<S::Value>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("structure")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut seed = Some(self.seed);
        let mut found = None;
        while let Some(Name(name)) = members.next_key()? {
            match (name == self.name, seed.take()) {
                (true, Some(seed)) => found = Some(members.next_value_seed(seed)?),
                (true, None) => return Err(serde::de::Error::custom("it stands twice")),
                (false, unused) => {
                    seed = unused;
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}
