//! Typed records: of each class only the fields that are needed, so that the rest of an answer is skipped unbuilt.
//!
//! A class is one table. From it come the record type and how it is decoded: member by member, straight from the answer, by a `match`
//! over the names of its fields.

mod host;
mod network;
mod storage;
mod task;
mod vm;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

pub use self::host::{Host, HostMetrics, HostMetricsRecord, HostRecord, PoolObject, PoolRecord};
pub use self::network::{Network, NetworkRecord, Pif, PifRecord, Vif, VifRecord};
pub use self::storage::{Pbd, PbdRecord, Sr, SrRecord, Vbd, VbdMode, VbdRecord, VbdType, Vdi, VdiRecord, VdiType};
pub use self::task::{Task, TaskRecord, TaskStatus};
pub use self::vm::{
    DomainType, GuestMetrics, GuestMetricsRecord, PowerState, Vm, VmMetrics, VmMetricsRecord, VmRecord,
};

use crate::event::EventClass;
use crate::wire::{As, FromWire, Name, Raw, WireError};

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
    fn decode<'de, A: MapAccess<'de>>(fields: Fields<'_, A>) -> Result<Self::Record, A::Error>;

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
    /// A field stands there twice.
    #[error("{class} {object}: the field {field} stands twice")]
    Twice {
        /// Class of the record.
        class: &'static str,
        /// Reference of the object; empty if unknown.
        object: String,
        /// Name of the field.
        field: &'static str,
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

/// What is wrong with a field.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Missing(&'static str),
    Type(&'static str, &'static str),
    Twice(&'static str),
}

impl Fault {
    fn of(self, class: &'static str, object: &str) -> DecodeError {
        let object = object.to_owned();
        match self {
            Self::Missing(field) => DecodeError::Missing { class, object, field },
            Self::Type(field, expected) => DecodeError::Type {
                class,
                object,
                field,
                expected,
            },
            Self::Twice(field) => DecodeError::Twice { class, object, field },
        }
    }
}

/// The members of one record on the way to its type. What is wrong with one of them is written down here, because the errors of
/// decoders have no place for it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fields<'a, A> {
    members: A,
    fault: &'a mut Option<Fault>,
}

impl<'de, A: MapAccess<'de>> Fields<'_, A> {
    fn next(&mut self) -> Result<Option<Name<'de>>, A::Error> {
        self.members.next_key()
    }

    fn read<T: FromWire>(&mut self, field: &'static str, into: &mut Option<T>) -> Result<(), A::Error> {
        if into.is_some() {
            return Err(self.fail(Fault::Twice(field)));
        }
        let value = self.members.next_value_seed(As::new());
        *into = Some(value.inspect_err(|_| *self.fault = Some(Fault::Type(field, T::EXPECTED)))?);
        Ok(())
    }

    fn skip(&mut self) -> Result<(), A::Error> {
        self.members.next_value::<IgnoredAny>().map(drop)
    }

    fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Result<T, A::Error> {
        value.ok_or_else(|| self.fail(Fault::Missing(field)))
    }

    fn fail(&mut self, fault: Fault) -> A::Error {
        *self.fault = Some(fault);
        A::Error::custom("a field")
    }
}

/// Decodes the record of an object.
pub(crate) fn decode<C: Class>(object: &str, record: Raw<'_>) -> Result<C::Record, WireError> {
    decode_by::<C, _>(object, |seed| record.read_as(seed))
}

/// Decodes a record that `read` finds for the seed.
fn decode_by<C: Class, T>(
    object: &str,
    read: impl FnOnce(RecordSeed<'_, C>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let mut fault = None;
    let seed = RecordSeed {
        fault: &mut fault,
        class: PhantomData,
    };
    read(seed).map_err(|error| match (error, fault) {
        (WireError::Mismatch, Some(fault)) => fault.of(C::NAME, object).into(),
        (WireError::Mismatch, None) => DecodeError::Shape {
            class: C::NAME,
            object: object.to_owned(),
        }
        .into(),
        (other, _) => other,
    })
}

struct RecordSeed<'a, C> {
    fault: &'a mut Option<Fault>,
    class: PhantomData<fn() -> C>,
}

impl<'de, C: Class> DeserializeSeed<'de> for RecordSeed<'_, C> {
    type Value = C::Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<C::Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, C: Class> Visitor<'de> for RecordSeed<'_, C> {
    type Value = C::Record;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("structure")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<C::Record, A::Error> {
        C::decode(Fields {
            members,
            fault: self.fault,
        })
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

        impl $crate::wire::FromWire for $name {
            const EXPECTED: &'static str = "text";

            fn from_text(text: &str) -> Option<Self> {
                Some(match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                })
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

            fn decode<'de, A: serde::de::MapAccess<'de>>(mut fields: $crate::record::Fields<'_, A>) -> Result<$record, A::Error> {
                $(let mut $field = None::<$type>;)+
                while let Some(name) = fields.next()? {
                    match &*name.0 {
                        $($wire => fields.read($wire, &mut $field)?,)+
                        _ => fields.skip()?,
                    }
                }
                Ok($record { $($field: class!(@take fields, $field, $wire $($optional)?),)+ })
            }

            fn wrap(record: $record) -> $crate::record::Record {
                $crate::record::Record::$event(Box::new(record))
            }
        }
    };
    (@take $fields:ident, $field:ident, $wire:literal) => { $fields.required($wire, $field)? };
    (@take $fields:ident, $field:ident, $wire:literal default) => { $field.unwrap_or_default() };
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

/// Decodes the record of a class that stands in a map as the member of this name; `None` if it is absent.
pub(crate) fn decode_member(
    class: EventClass,
    object: &str,
    map: Raw<'_>,
    name: &str,
) -> Result<Option<Record>, WireError> {
    fn of<C: Class>(object: &str, map: Raw<'_>, name: &str) -> Result<Option<Record>, WireError> {
        let record = decode_by::<C, _>(object, |seed| map.member_as(name, seed))?;
        Ok(record.map(C::wrap))
    }
    let of = match class {
        EventClass::Pool => of::<PoolObject>,
        EventClass::Vm => of::<Vm>,
        EventClass::VmMetrics => of::<VmMetrics>,
        EventClass::VmGuestMetrics => of::<GuestMetrics>,
        EventClass::Host => of::<Host>,
        EventClass::HostMetrics => of::<HostMetrics>,
        EventClass::Sr => of::<Sr>,
        EventClass::Pbd => of::<Pbd>,
        EventClass::Network => of::<Network>,
        EventClass::Pif => of::<Pif>,
        EventClass::Vbd => of::<Vbd>,
        EventClass::Vif => of::<Vif>,
        EventClass::Vdi => of::<Vdi>,
        EventClass::Task => of::<Task>,
    };
    of(object, map, name)
}
