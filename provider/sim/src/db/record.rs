//! A row's values, and their encodings, made once per version of the row.

use std::sync::{Arc, OnceLock};

use super::{Cls, Ref};
use crate::schema::{Class, Schema};
use crate::value::Value;

/// One version of an object: immutable while anybody else holds it.
pub(crate) struct Record {
    class: &'static Class,
    values: Vec<Value>,
    json: OnceLock<Arc<str>>,
    xml: OnceLock<Arc<str>>,
}

static VOID: Value = Value::Void;

impl Record {
    /// A record with defaults where nothing is named.
    pub(crate) fn new(cls: Cls, fields: Vec<(&str, Value)>) -> Self {
        let class = Schema::get().class(cls);
        let values = class.fields.iter().map(|f| f.default.clone()).collect();
        let mut record = Self {
            class,
            values,
            json: OnceLock::new(),
            xml: OnceLock::new(),
        };
        for (name, value) in fields {
            record.set(name, value);
        }
        record
    }

    pub(crate) fn get(&self, field: &str) -> &Value {
        let value = self.class.index(field).and_then(|i| self.values.get(i));
        debug_assert!(value.is_some(), "{}.{field}", self.class.cls.name());
        value.unwrap_or(&VOID)
    }

    pub(crate) fn set(&mut self, field: &str, value: Value) {
        let slot = self.class.index(field).and_then(|i| self.values.get_mut(i));
        debug_assert!(slot.is_some(), "{}.{field}", self.class.cls.name());
        if let Some(slot) = slot {
            *slot = value;
        }
        self.json = OnceLock::new();
        self.xml = OnceLock::new();
    }

    /// Changes a set in place.
    pub(crate) fn edit_set(&mut self, field: &str, edit: impl FnOnce(&mut Vec<Value>)) {
        let slot = self.class.index(field).and_then(|i| self.values.get_mut(i));
        debug_assert!(matches!(slot, Some(Value::Set(_))), "{}.{field}", self.class.cls.name());
        if let Some(Value::Set(items)) = slot {
            edit(items);
        }
        self.json = OnceLock::new();
        self.xml = OnceLock::new();
    }

    /// Names and values, in the order of the model.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let class: &'static Class = self.class;
        class.fields.iter().map(|f| f.name.as_str()).zip(&self.values)
    }

    pub(crate) fn str(&self, field: &str) -> &str {
        self.get(field).as_str()
    }

    /// The text of a field that not every class has.
    pub(crate) fn str_or_empty(&self, field: &str) -> &str {
        self.class
            .index(field)
            .and_then(|i| self.values.get(i))
            .map_or("", Value::as_str)
    }

    pub(crate) fn int(&self, field: &str) -> i64 {
        self.get(field).as_int()
    }

    pub(crate) fn bool(&self, field: &str) -> bool {
        self.get(field).as_bool()
    }

    pub(crate) fn reference(&self, field: &str) -> Ref {
        self.get(field).as_ref()
    }

    pub(crate) fn refs(&self, field: &str) -> Vec<Ref> {
        self.get(field).refs()
    }

    /// The JSON object, encoded on first use.
    pub(crate) fn json(&self, encode: impl FnOnce(&Self) -> String) -> &str {
        self.json.get_or_init(|| Arc::from(encode(self)))
    }

    /// The XML struct, encoded on first use.
    pub(crate) fn xml(&self, encode: impl FnOnce(&Self) -> String) -> &str {
        self.xml.get_or_init(|| Arc::from(encode(self)))
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        Self {
            class: self.class,
            values: self.values.clone(),
            json: OnceLock::new(),
            xml: OnceLock::new(),
        }
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.class.cls == other.class.cls && self.values == other.values
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.fields()).finish()
    }
}
