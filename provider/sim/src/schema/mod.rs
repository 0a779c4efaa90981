//! The data model: classes, fields, messages, constructors and enumerations, read once from an embedded table.
//!
//! `schema/reduce.py` makes `schema.json` from the published model.

mod types;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::db::Cls;
use crate::rbac::Role;
use crate::value::Value;

pub(crate) use types::Type;

/// The whole model.
#[derive(Debug)]
pub(crate) struct Schema {
    classes: Vec<Class>,
    enums: HashMap<String, Vec<String>>,
}

/// A class, in the order of [`Cls`].
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) cls: Cls,
    pub(crate) fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    pub(crate) messages: HashMap<String, Message>,
    pub(crate) constructor: Vec<CtorField>,
}

/// A field of a class.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) default: Value,
}

/// A message of a class.
#[derive(Debug)]
pub(crate) struct Message {
    /// With the session first, if it takes one.
    pub(crate) params: Vec<(String, Type)>,
    /// The least role that may call it; none means that only the local superuser may.
    pub(crate) role: Option<Role>,
    /// Made from a field or from the class, without behaviour of its own.
    pub(crate) implicit: bool,
    pub(crate) removed: bool,
    pub(crate) takes_session: bool,
}

/// A member of a constructor's argument.
#[derive(Debug)]
pub(crate) struct CtorField {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

#[derive(Deserialize)]
struct RawSchema {
    enums: HashMap<String, Vec<String>>,
    classes: HashMap<String, RawClass>,
}

/// Name, parameters, result, least role, implicit, removed.
type RawMessage = (String, Vec<(String, String)>, String, String, bool, bool);

#[derive(Deserialize)]
struct RawClass {
    fields: Vec<(String, String, Option<String>)>,
    messages: Vec<RawMessage>,
    constructor: Vec<(String, String, bool)>,
}

impl Schema {
    /// The one model.
    pub(crate) fn get() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            let raw = serde_json::from_str(include_str!("schema.json"));
            raw.map_or_else(
                |_| Schema {
                    classes: Vec::new(),
                    enums: HashMap::new(),
                },
                Self::build,
            )
        })
    }

    pub(crate) fn class(&self, cls: Cls) -> &Class {
        #[expect(clippy::indexing_slicing, reason = "one entry per variant, asserted by a test")]
        &self.classes[cls as usize]
    }

    pub(crate) fn enumeration(&self, name: &str) -> &[String] {
        self.enums.get(name).map_or(&[], Vec::as_slice)
    }

    fn build(mut raw: RawSchema) -> Self {
        let classes = Cls::ALL
            .iter()
            .filter_map(|cls| Some(Class::build(*cls, raw.classes.remove(cls.name())?)));
        Self {
            classes: classes.collect(),
            enums: raw.enums,
        }
    }
}

impl Class {
    fn build(cls: Cls, raw: RawClass) -> Self {
        let fields: Vec<Field> = raw
            .fields
            .into_iter()
            .map(|(name, ty, default)| {
                let ty = Type::parse(&ty);
                let default = ty.default(default.as_deref());
                Field { name, ty, default }
            })
            .collect();
        let by_name = fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        let messages = raw
            .messages
            .into_iter()
            .map(|(name, params, _result, role, implicit, removed)| {
                let takes_session = params.first().is_some_and(|p| p.0 == "session_id");
                let params = params.into_iter().map(|(name, ty)| (name, Type::parse(&ty))).collect();
                (
                    name,
                    Message {
                        params,
                        role: Role::parse(&role),
                        implicit,
                        removed,
                        takes_session,
                    },
                )
            })
            .collect();
        let constructor = raw
            .constructor
            .into_iter()
            .map(|(name, ty, required)| CtorField {
                name,
                ty: Type::parse(&ty),
                required,
            })
            .collect();
        let mut class = Self {
            cls,
            fields,
            by_name,
            messages,
            constructor,
        };
        class.add_hidden_messages();
        class
    }

    /// Messages that every database class has and the published model leaves out.
    fn add_hidden_messages(&mut self) {
        if self.cls == Cls::Event {
            return;
        }
        let session = ("session_id".to_owned(), Type::Ref);
        for name in ["get_all_where", "get_all_records_where"] {
            let params = vec![session.clone(), ("expr".to_owned(), Type::Str)];
            self.messages.entry(name.to_owned()).or_insert(Message {
                params,
                role: Some(Role::ReadOnly),
                implicit: true,
                removed: false,
                takes_session: true,
            });
        }
    }

    /// Position of a field.
    pub(crate) fn index(&self, field: &str) -> Option<usize> {
        self.by_name.get(field).copied()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(self.index(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_class() {
        let schema = Schema::get();
        for cls in Cls::ALL {
            assert_eq!(schema.class(*cls).cls, *cls);
        }
        assert!(schema.class(Cls::Vm).fields.len() > 80);
        assert_eq!(
            schema.class(Cls::Vm).messages["start_on"].role,
            Some(Role::VmPowerAdmin)
        );
        assert!(schema.enumeration("vm_operations").contains(&"clone".to_owned()));
    }

    #[test]
    fn defaults_are_values_of_the_type() {
        let vm = Schema::get().class(Cls::Vm);
        let default = |name: &str| vm.field(name).unwrap().default.clone();
        assert_eq!(default("power_state"), Value::str("Halted"));
        assert_eq!(default("generation_id"), Value::str("0:0"));
        assert_eq!(default("parent"), Value::str("OpaqueRef:NULL"));
        assert_eq!(default("snapshot_time"), Value::Time(0));
        assert_eq!(default("HVM_shadow_multiplier"), Value::Float(1.0));
        assert_eq!(default("tags"), Value::Set(Vec::new()));
        let host = Schema::get().class(Cls::Host);
        let server = &host.field("license_server").unwrap().default;
        assert_eq!(server.key("port"), Some("27000"));
    }
}
