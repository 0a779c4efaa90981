//! What values can be decoded into, and what each type takes.
//!
//! The two wires write the same value differently: a whole number is a text in XML and a number in JSON, a time is a text with a tag of
//! its own or none. So a type says from which forms it can be made; of all others it says what it expected.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::parse_time;
use crate::record::TextMap;
use crate::reference::Ref;
use crate::uuid::Uuid;

/// The most items of a set or map: items can be many times as large in memory as on the wire.
const MAX_ITEMS: usize = 1 << 17;

/// A type that values of an answer are decoded into.
pub(crate) trait FromWire: Sized {
    /// What it is, for "it is no ...".
    const EXPECTED: &'static str;

    /// Makes it of a text.
    fn from_text(_: &str) -> Option<Self> {
        None
    }

    /// Makes it of a text that may be kept.
    fn from_owned_text(text: String) -> Option<Self> {
        Self::from_text(&text)
    }

    /// Makes it of a flag.
    fn from_flag(_: bool) -> Option<Self> {
        None
    }

    /// Makes it of a whole number.
    fn from_whole(_: i64) -> Option<Self> {
        None
    }

    /// Makes it of a number.
    fn from_number(_: f64) -> Option<Self> {
        None
    }

    /// Makes it of the items of a set.
    fn from_set<'de, A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(Self::EXPECTED))
    }

    /// Makes it of the members of a map.
    fn from_map<'de, A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(Self::EXPECTED))
    }
}

/// Decodes a value into a `T`.
pub(crate) struct As<T>(PhantomData<fn() -> T>);

impl<T> As<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    fn take<E: serde::de::Error>(made: Option<T>) -> Result<T, E> {
        made.ok_or_else(|| E::custom("another type"))
    }
}

impl<'de, T: FromWire> DeserializeSeed<'de> for As<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromWire> Visitor<'de> for As<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        Self::take(T::from_text(text))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<T, E> {
        Self::take(T::from_owned_text(text))
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<T, E> {
        Self::take(T::from_flag(flag))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        Self::take(T::from_whole(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        Self::take(i64::try_from(number).ok().and_then(T::from_whole))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        Self::take(T::from_number(number))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        Self::take(T::from_text(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::from_set(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::from_map(members)
    }
}

/// The name of a member, borrowed from the answer where it has no escapes.
pub(crate) struct Name<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Names)
    }
}

impl FromWire for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_owned_text(text: String) -> Option<Self> {
        Some(text)
    }

    fn from_whole(number: i64) -> Option<Self> {
        Some(number.to_string())
    }
}

impl FromWire for bool {
    const EXPECTED: &'static str = "flag";

    fn from_flag(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

impl FromWire for i64 {
    const EXPECTED: &'static str = "whole number";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn from_whole(number: i64) -> Option<Self> {
        Some(number)
    }
}

impl FromWire for f64 {
    const EXPECTED: &'static str = "number";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok().and_then(Self::from_number)
    }

    fn from_whole(number: i64) -> Option<Self> {
        Some(number as Self)
    }

    // `nan` and `inf` parse as floats, but no field of ours can mean them.
    fn from_number(number: Self) -> Option<Self> {
        number.is_finite().then_some(number)
    }
}

impl FromWire for Timestamp {
    const EXPECTED: &'static str = "time";

    fn from_text(text: &str) -> Option<Self> {
        parse_time(text)
    }
}

impl FromWire for Uuid {
    const EXPECTED: &'static str = "UUID";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl<C> FromWire for Ref<C> {
    const EXPECTED: &'static str = "reference";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }
}

impl<T: FromWire> FromWire for Vec<T> {
    const EXPECTED: &'static str = "set";

    fn from_set<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut all = Self::new();
        while let Some(item) = items.next_element_seed(As::new())? {
            if all.len() >= MAX_ITEMS {
                return Err(A::Error::custom("too many items"));
            }
            all.push(item);
        }
        Ok(all)
    }
}

impl FromWire for BTreeSet<String> {
    const EXPECTED: &'static str = "set of texts";

    fn from_set<'de, A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        Ok(Vec::from_set(items)?.into_iter().collect())
    }
}

/// A key that stands twice makes a map worthless: no pool writes one, and which of the two was meant nobody knows.
impl FromWire for TextMap {
    const EXPECTED: &'static str = "map of texts";

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut all = Self::new();
        while let Some(Name(key)) = members.next_key()? {
            let value = members.next_value_seed(As::new())?;
            if all.len() >= MAX_ITEMS || all.insert(key.into_owned(), value).is_some() {
                return Err(A::Error::custom("a key twice, or too many"));
            }
        }
        Ok(all)
    }
}

/// Numbers by name.
impl FromWire for BTreeMap<String, i64> {
    const EXPECTED: &'static str = "map of whole numbers";

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut all = Self::new();
        while let Some(Name(key)) = members.next_key()? {
            let value = members.next_value_seed(As::new())?;
            if all.len() >= MAX_ITEMS || all.insert(key.into_owned(), value).is_some() {
                return Err(A::Error::custom("a name twice, or too many"));
            }
        }
        Ok(all)
    }
}

/// A result that nobody looks at.
impl FromWire for () {
    const EXPECTED: &'static str = "value";

    fn from_text(_: &str) -> Option<Self> {
        Some(())
    }

    fn from_flag(_: bool) -> Option<Self> {
        Some(())
    }

    fn from_whole(_: i64) -> Option<Self> {
        Some(())
    }

    fn from_number(_: f64) -> Option<Self> {
        Some(())
    }

    fn from_set<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// The texts of a failure: code and parameters. In XML they are a set; in JSON a set too, or, by version 2.0 of the protocol, a map of
/// the code as `message` and the parameters as `data`; and xapi writes either whatever the version of the request. Empty if there is
/// none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl FromWire for Texts {
    const EXPECTED: &'static str = "failure";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(if text.is_empty() {
            Vec::new()
        } else {
            vec![text.to_owned()]
        }))
    }

    fn from_set<'de, A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        let texts = Vec::<Loose>::from_set(items)?;
        Ok(Self(texts.into_iter().map(|Loose(text)| text).collect()))
    }

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut code = None;
        let mut params = Self::default();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "message" => code = Some(members.next_value_seed(As::<String>::new())?),
                "data" => params = members.next_value_seed(As::new())?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        let code = code.ok_or_else(|| A::Error::custom("no message"))?;
        Ok(Self([vec![code], params.0].concat()))
    }
}

/// A parameter of a failure, which may be anything; what has no text is an empty one, so that the others keep their places.
struct Loose(String);

impl FromWire for Loose {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn from_flag(flag: bool) -> Option<Self> {
        Some(Self(flag.to_string()))
    }

    fn from_whole(number: i64) -> Option<Self> {
        Some(Self(number.to_string()))
    }

    fn from_number(number: f64) -> Option<Self> {
        Some(Self(number.to_string()))
    }

    fn from_set<'de, A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        <()>::from_set(items)?;
        Ok(Self(String::new()))
    }

    fn from_map<'de, A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        <()>::from_map(members)?;
        Ok(Self(String::new()))
    }
}
