//! Typed records: of each class only the fields that are needed, so that the rest of an answer is skipped unbuilt.

mod host;
mod network;
mod storage;
mod task;
mod vm;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

pub use self::host::{Host, HostMetrics, HostMetricsRecord, HostRecord, PoolObject, PoolRecord};
pub use self::network::{Network, NetworkRecord, Pif, PifRecord, Vif, VifRecord};
pub use self::storage::{Pbd, PbdRecord, Sr, SrRecord, Vbd, VbdMode, VbdRecord, VbdType, Vdi, VdiRecord, VdiType};
pub use self::task::{Task, TaskRecord, TaskStatus};
pub use self::vm::{
    DomainType, GuestMetrics, GuestMetricsRecord, PowerState, Vm, VmMetrics, VmMetricsRecord, VmRecord,
};

use crate::event::EventClass;
use crate::reference::Ref;
use crate::uuid::Uuid;
use crate::wire::{Value, parse_time};

/// A map of texts, such as `other_config`.
pub type TextMap = BTreeMap<String, String>;

/// A class of XenAPI objects.
pub trait Class: Sized + Send + Sync + 'static {
    /// Name in method names, such as `VM`.
    const NAME: &'static str;
    /// The class in events.
    const EVENT: EventClass;
    /// The fields that the record type reads.
    const FIELDS: &'static [&'static str];
    #[doc(hidden)]
    const GET_RECORD: &'static str;
    #[doc(hidden)]
    const GET_BY_UUID: &'static str;
    #[doc(hidden)]
    const GET_BY_NAME_LABEL: &'static str;
    #[doc(hidden)]
    const GET_ALL_WHERE: &'static str;
    #[doc(hidden)]
    const GET_ALL_RECORDS_WHERE: &'static str;
    /// The typed record.
    type Record: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// Takes the record out of one of any class.
    fn of(record: &Record) -> Option<&Self::Record>;

    #[doc(hidden)]
    fn decode(fields: &mut Fields) -> Result<Self::Record, DecodeError>;

    #[doc(hidden)]
    fn wrap(record: Self::Record) -> Record;
}

/// A record that does not have the shape of its class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field that every release has is absent.
    #[error("{class} {object}: the field {field} is missing")]
    Missing {
        /// Class of the record.
        class: &'static str,
        /// Reference of the object; empty if unknown.
        object: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field has another type or an impossible value.
    #[error("{class} {object}: the field {field} is no {expected}")]
    Type {
        /// Class of the record.
        class: &'static str,
        /// Reference of the object; empty if unknown.
        object: String,
        /// Name of the field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The record is no structure at all.
    #[error("{class} {object}: the record is no structure")]
    Shape {
        /// Class of the record.
        class: &'static str,
        /// Reference of the object; empty if unknown.
        object: String,
    },
}

/// The members of one record on the way to its type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fields {
    class: &'static str,
    object: String,
    members: Vec<(String, Value)>,
}

impl Fields {
    fn take<T: FromValue>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        self.take_optional(field)?.ok_or_else(|| DecodeError::Missing {
            class: self.class,
            object: self.object.clone(),
            field,
        })
    }

    fn take_optional<T: FromValue>(&mut self, field: &'static str) -> Result<Option<T>, DecodeError> {
        let Some(at) = self.members.iter().position(|(name, _)| name == field) else {
            return Ok(None);
        };
        let (_, value) = self.members.swap_remove(at);
        T::from_value(value).map(Some).ok_or_else(|| DecodeError::Type {
            class: self.class,
            object: self.object.clone(),
            field,
            expected: T::EXPECTED,
        })
    }

    fn take_or_default<T: FromValue + Default>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        Ok(self.take_optional(field)?.unwrap_or_default())
    }
}

/// Decodes one record of class `C`.
pub(crate) fn decode<C: Class>(object: &str, value: Value) -> Result<C::Record, DecodeError> {
    match value {
        Value::Struct(members) => C::decode(&mut Fields {
            class: C::NAME,
            object: object.to_owned(),
            members,
        }),
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) | Value::Array(_) => {
            Err(DecodeError::Shape {
                class: C::NAME,
                object: object.to_owned(),
            })
        }
    }
}

/// What a field can be made of.
pub(crate) trait FromValue: Sized {
    const EXPECTED: &'static str;

    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_value {
    ($type:ty, $expected:literal, $($pattern:pat => $result:expr),+ $(,)?) => {
        impl FromValue for $type {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: Value) -> Option<Self> {
                #[allow(clippy::match_wildcard_for_single_variants, reason = "the macro names the variants that fit")]
                match value {
                    $($pattern => $result,)+
                    _ => None,
                }
            }
        }
    };
}

from_value!(String, "text", Value::Text(text) => Some(text), Value::Int(number) => Some(number.to_string()));
from_value!(bool, "flag", Value::Bool(flag) => Some(flag));
from_value!(i64, "whole number", Value::Int(number) => Some(number), Value::Text(text) => text.trim().parse().ok());
// `nan` and `inf` parse as floats, but no field of ours can mean them.
from_value!(
    f64,
    "number",
    Value::Float(number) => number.is_finite().then_some(number),
    Value::Int(number) => Some(number as f64),
    Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
);
from_value!(Timestamp, "time", Value::Time(text) | Value::Text(text) => parse_time(&text));
from_value!(Uuid, "UUID", Value::Text(text) => text.parse().ok());
from_value!(TextMap, "map of texts", Value::Struct(members) => members
    .into_iter()
    .map(|(key, value)| String::from_value(value).map(|text| (key, text)))
    .collect());

impl<C> FromValue for Ref<C> {
    const EXPECTED: &'static str = "reference";

    fn from_value(value: Value) -> Option<Self> {
        String::from_value(value).map(|text| Self::new(&text))
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    const EXPECTED: &'static str = "set";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(T::from_value).collect(),
            Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) | Value::Struct(_) => {
                None
            }
        }
    }
}

impl FromValue for BTreeSet<String> {
    const EXPECTED: &'static str = "set of texts";

    fn from_value(value: Value) -> Option<Self> {
        Vec::<String>::from_value(value).map(|items| items.into_iter().collect())
    }
}

/// Declares an enum whose unknown values survive.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A value that this client does not know.
            Other(String),
        }

        impl $name {
            /// Gives the text on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::record::FromValue for $name {
            const EXPECTED: &'static str = "text";

            fn from_value(value: $crate::wire::Value) -> Option<Self> {
                String::from_value(value).map(Self::from)
            }
        }
    };
}

/// Declares a class: marker, record, field list and decoding from one table. `or default` marks fields that older releases lack.
macro_rules! class {
    (
        $(#[$meta:meta])*
        $marker:ident = $name:literal, $event:ident, $record:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $wire:literal $(or $optional:ident)?),+ $(,)?
        }
    ) => {
        #[doc = concat!("Marks references to objects of the class `", $name, "`.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $marker {}

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $record {
            $(#[doc = concat!("The field `", $wire, "`.")] $(#[$field_meta])* pub $field: $type,)+
        }

        impl $crate::record::Class for $marker {
            const NAME: &'static str = $name;
            const EVENT: $crate::event::EventClass = $crate::event::EventClass::$event;
            const FIELDS: &'static [&'static str] = &[$($wire),+];
            const GET_RECORD: &'static str = concat!($name, ".get_record");
            const GET_BY_UUID: &'static str = concat!($name, ".get_by_uuid");
            const GET_BY_NAME_LABEL: &'static str = concat!($name, ".get_by_name_label");
            const GET_ALL_WHERE: &'static str = concat!($name, ".get_all_where");
            const GET_ALL_RECORDS_WHERE: &'static str = concat!($name, ".get_all_records_where");
            type Record = $record;

            fn of(record: &$crate::record::Record) -> Option<&$record> {
                #[allow(clippy::match_wildcard_for_single_variants, reason = "one class of many")]
                match record {
                    $crate::record::Record::$event(record) => Some(record),
                    _ => None,
                }
            }

            fn decode(fields: &mut $crate::record::Fields) -> Result<$record, $crate::record::DecodeError> {
                Ok($record { $($field: class!(@take fields, $wire $($optional)?),)+ })
            }

            fn wrap(record: $record) -> $crate::record::Record {
                $crate::record::Record::$event(Box::new(record))
            }
        }
    };
    (@take $fields:ident, $wire:literal) => { $fields.take($wire)? };
    (@take $fields:ident, $wire:literal default) => { $fields.take_or_default($wire)? };
}

use {class, open_enum};

/// A record of any class, as events carry it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the record of the class it is named for")]
pub enum Record {
    Pool(Box<PoolRecord>),
    Vm(Box<VmRecord>),
    VmMetrics(Box<VmMetricsRecord>),
    VmGuestMetrics(Box<GuestMetricsRecord>),
    Host(Box<HostRecord>),
    HostMetrics(Box<HostMetricsRecord>),
    Sr(Box<SrRecord>),
    Pbd(Box<PbdRecord>),
    Network(Box<NetworkRecord>),
    Pif(Box<PifRecord>),
    Vbd(Box<VbdRecord>),
    Vif(Box<VifRecord>),
    Vdi(Box<VdiRecord>),
    Task(Box<TaskRecord>),
}

/// Decodes a record of the class that an event names.
pub(crate) fn decode_any(class: EventClass, object: &str, value: Value) -> Result<Record, DecodeError> {
    fn of<C: Class>(object: &str, value: Value) -> Result<Record, DecodeError> {
        decode::<C>(object, value).map(C::wrap)
    }
    match class {
        EventClass::Pool => of::<PoolObject>(object, value),
        EventClass::Vm => of::<Vm>(object, value),
        EventClass::VmMetrics => of::<VmMetrics>(object, value),
        EventClass::VmGuestMetrics => of::<GuestMetrics>(object, value),
        EventClass::Host => of::<Host>(object, value),
        EventClass::HostMetrics => of::<HostMetrics>(object, value),
        EventClass::Sr => of::<Sr>(object, value),
        EventClass::Pbd => of::<Pbd>(object, value),
        EventClass::Network => of::<Network>(object, value),
        EventClass::Pif => of::<Pif>(object, value),
        EventClass::Vbd => of::<Vbd>(object, value),
        EventClass::Vif => of::<Vif>(object, value),
        EventClass::Vdi => of::<Vdi>(object, value),
        EventClass::Task => of::<Task>(object, value),
    }
}

/// Lists the fields that records of a class are made of.
pub(crate) fn fields_of(class: EventClass) -> &'static [&'static str] {
    match class {
        EventClass::Pool => PoolObject::FIELDS,
        EventClass::Vm => Vm::FIELDS,
        EventClass::VmMetrics => VmMetrics::FIELDS,
        EventClass::VmGuestMetrics => GuestMetrics::FIELDS,
        EventClass::Host => Host::FIELDS,
        EventClass::HostMetrics => HostMetrics::FIELDS,
        EventClass::Sr => Sr::FIELDS,
        EventClass::Pbd => Pbd::FIELDS,
        EventClass::Network => Network::FIELDS,
        EventClass::Pif => Pif::FIELDS,
        EventClass::Vbd => Vbd::FIELDS,
        EventClass::Vif => Vif::FIELDS,
        EventClass::Vdi => Vdi::FIELDS,
        EventClass::Task => Task::FIELDS,
    }
}
