//! Draws messages: some as a host would send them, most with something wrong somewhere.

use std::collections::BTreeMap;

use cty::{Number, Type, Typed, Value, json, msgpack};
use inputs::mutation::Mutator;
use proto::tfplugin6::schema::Attribute;
use proto::tfplugin6::{ClientCapabilities, DynamicValue, RawState, ResourceIdentityData, get_provider_schema};

use crate::surface::Call;

/// Texts that mean something somewhere, or should not.
const TEXTS: &[&str] = &[
    "",
    " ",
    "debian12",
    "tmpl-debian12",
    "lab1",
    "lab1/0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10",
    "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10",
    "running",
    "halted",
    "1h30m",
    "5ms",
    "999999999999d",
    "-1h",
    "10.0.0.0/8",
    "::/0",
    "02:00:00:00:00:01",
    "ipv4",
    "dynvm:keep",
    "dynvm-new-x",
    "error",
    "ü\u{202e}\u{0}",
    "e\u{301}",
    "(a|b)*\\",
    "(?i)^((((((a{99}){99}){99})))",
    "2026-11-20T10:00:00Z",
    "../../etc/passwd",
    "%s%n${x}",
    "<a>&amp;",
    "OpaqueRef:NULL",
    "9223372036854775808",
];
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "2",
    "3",
    "22",
    "4096",
    "0.5",
    "65536",
    "4294967296",
    "9223372036854775808",
    "1e400",
    "-1e-400",
];
/// Longer than anything that is meant.
const LONG: usize = 300_000;
/// Names that are no type's.
const STRANGERS: &[&str] = &["", "dynvm_", "dynvm_ghost", "provider", "aws_instance"];

/// Draws messages.
pub(crate) struct Draw {
    pub(crate) mutator: Mutator,
    provider: Type,
    resources: BTreeMap<String, Type>,
    data_sources: BTreeMap<String, Type>,
    list_resources: BTreeMap<String, Type>,
    functions: Vec<String>,
}

impl Draw {
    pub(crate) fn new(mutator: Mutator, offered: get_provider_schema::Response) -> Self {
        let types = |schemas: std::collections::HashMap<String, proto::tfplugin6::Schema>| {
            schemas
                .iter()
                .map(|(name, schema)| (name.clone(), block_type(schema)))
                .collect()
        };
        Self {
            mutator,
            provider: block_type(offered.provider.as_ref().unwrap()),
            resources: types(offered.resource_schemas),
            data_sources: types(offered.data_source_schemas),
            list_resources: types(offered.list_resource_schemas),
            functions: offered
                .functions
                .into_keys()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }

    /// A message of the call; one of four is no longer one.
    pub(crate) fn message(&mut self, call: &Call) -> Vec<u8> {
        let message = (call.message)(self);
        match self.mutator.below(8) {
            0 => self.mutator.changed(&message, &message),
            1 => self.mutator.noise(64),
            _ => message,
        }
    }

    fn is_rare(&mut self) -> bool {
        self.mutator.below(10) == 0
    }

    /// A type's name, mostly one that is offered, with its type.
    fn typed(&mut self, offered: &BTreeMap<String, Type>) -> (String, Type) {
        let names: Vec<(&String, &Type)> = offered.iter().collect();
        let (name, ty) = self.mutator.one_of(&names).unwrap();
        let (mut name, ty) = ((*name).clone(), (*ty).clone());
        if self.is_rare() {
            name = self.mutator.one_of(STRANGERS).unwrap().to_string();
        }
        if self.is_rare() {
            name = self.text();
        }
        (name, ty)
    }

    pub(crate) fn resource(&mut self) -> (String, Type) {
        let offered = self.resources.clone();
        self.typed(&offered)
    }

    pub(crate) fn data_source(&mut self) -> (String, Type) {
        let offered = self.data_sources.clone();
        self.typed(&offered)
    }

    pub(crate) fn list_resource(&mut self) -> (String, Type) {
        let offered = self.list_resources.clone();
        self.typed(&offered)
    }

    pub(crate) fn function(&mut self) -> String {
        let functions = self.functions.clone();
        let known = self.mutator.one_of(&functions).cloned().unwrap();
        if self.is_rare() { self.text() } else { known }
    }

    pub(crate) fn provider(&self) -> Type {
        self.provider.clone()
    }

    pub(crate) fn text(&mut self) -> String {
        match self.mutator.below(40) {
            0 => "ä\u{0}x".repeat(LONG / 4),
            _ => self.mutator.one_of(TEXTS).unwrap().to_string(),
        }
    }

    /// A value of the type, or rarely of none.
    pub(crate) fn value(&mut self, ty: &Type) -> Value {
        match self.mutator.below(12) {
            0..4 => return Value::Null,
            4 if self.mutator.below(4) == 0 => return Value::unknown(),
            _ => {}
        }
        match ty {
            Type::Bool => Value::from(self.mutator.below(2) == 0),
            Type::Number => Value::Number(self.number()),
            Type::String => Value::from(self.text()),
            Type::Dynamic => {
                let (ty, value) = (Type::String, self.text().into());
                Value::Dynamic(Box::new(Typed { ty, value }))
            }
            Type::List(element) => Value::List(self.values(element)),
            Type::Set(element) => Value::set(self.values(element)),
            Type::Map(element) => {
                let values = self.values(element);
                Value::Map(values.into_iter().map(|value| (self.key(), value)).collect())
            }
            Type::Object(types) => self.object(types),
            Type::Tuple(types) => Value::List(types.iter().map(|ty| self.value(ty)).collect()),
        }
    }

    /// The attributes of an object; what stands for itself is a whole one.
    fn object(&mut self, types: &BTreeMap<String, Type>) -> Value {
        Value::object(types.iter().map(|(name, ty)| (name.clone(), self.value(ty))))
    }

    fn values(&mut self, element: &Type) -> Vec<Value> {
        (0..self.mutator.below(4)).map(|_| self.value(element)).collect()
    }

    /// A key, in the form that a value has it.
    fn key(&mut self) -> String {
        let text = self.mutator.one_of(TEXTS).unwrap();
        text.chars().filter(char::is_ascii).collect()
    }

    fn number(&mut self) -> Number {
        self.mutator.one_of(NUMBERS).unwrap().parse().unwrap()
    }

    /// A block of the type as a message; of ten one is of another type, one no value at all, one absent, one JSON.
    pub(crate) fn block(&mut self, ty: &Type) -> Option<DynamicValue> {
        let types = [
            Type::String,
            Type::list(Type::Dynamic),
            Type::object([("id", Type::Number)]),
        ];
        let other = self.mutator.one_of(&types).unwrap().clone();
        let (mut msgpack, mut json) = (Vec::new(), Vec::new());
        match (self.mutator.below(12), ty) {
            (0, _) => msgpack = packed(&self.value(&other), &other),
            (1, _) => msgpack = self.mutator.noise(40),
            (2, _) => return None,
            (3, ty) => json = json::encode(&self.value(ty), ty).unwrap_or_default().into_bytes(),
            (4, ty) => {
                let bytes = packed(&self.value(ty), ty);
                msgpack = self.mutator.changed(&bytes, &bytes);
            }
            (5, _) => {}
            (_, Type::Object(types)) => msgpack = packed(&self.object(types), ty),
            (_, ty) => msgpack = packed(&self.value(ty), ty),
        }
        Some(DynamicValue { msgpack, json })
    }

    pub(crate) fn private(&mut self) -> Vec<u8> {
        match self.mutator.below(4) {
            0 => self.mutator.noise(16),
            1 => br#"{"request_id":"01JD4Q8QCGTF0000000000000A",".imported":true,"x":[1]}"#.to_vec(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn stored(&mut self, ty: &Type) -> Option<RawState> {
        let (mut json, mut flatmap) = (Vec::new(), std::collections::HashMap::new());
        match self.mutator.below(6) {
            0 => return None,
            1 => json = self.mutator.noise(40),
            2 => flatmap = [("id".to_owned(), self.text())].into(),
            3 => {
                let text = json::encode(&Value::Null, ty).unwrap();
                json = self.mutator.changed(text.as_bytes(), b"{\"id\":[[1]]}");
            }
            _ => {
                let state = ty.clone();
                let state = if let Type::Object(types) = &state {
                    self.object(types)
                } else {
                    Value::Null
                };
                // What is unknown is in no state: such a one stays empty.
                json = json::encode(&state, ty).unwrap_or_default().into_bytes();
            }
        }
        Some(RawState { json, flatmap })
    }

    pub(crate) fn identity(&mut self) -> Option<ResourceIdentityData> {
        let identity_data = self.block(&Type::object([("id", Type::String)]));
        self.is_rare().then_some(ResourceIdentityData { identity_data })
    }

    pub(crate) fn client(&mut self) -> Option<ClientCapabilities> {
        let mut flag = || self.mutator.below(2) == 0;
        let client = ClientCapabilities {
            deferral_allowed: flag(),
            write_only_attributes_allowed: flag(),
            ..ClientCapabilities::default()
        };
        flag().then_some(client)
    }
}

pub(crate) fn packed(value: &Value, ty: &Type) -> Vec<u8> {
    msgpack::encode(value, ty).expect("a value of its type")
}

/// The type of a block's value, from the schema that the provider tells.
pub(crate) fn block_type(schema: &proto::tfplugin6::Schema) -> Type {
    object(&schema.block.as_ref().expect("a block").attributes)
}

fn object(attributes: &[Attribute]) -> Type {
    Type::object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.clone(), attribute_type(attribute))),
    )
}

fn attribute_type(attribute: &Attribute) -> Type {
    use proto::tfplugin6::schema::object::NestingMode;
    let Some(nested) = &attribute.nested_type else {
        return Type::from_json(&attribute.r#type).expect("a type");
    };
    let inner = object(&nested.attributes);
    match nested.nesting() {
        NestingMode::Single => inner,
        NestingMode::List => Type::list(inner),
        NestingMode::Set => Type::set(inner),
        NestingMode::Map => Type::map(inner),
        NestingMode::Invalid => panic!("no nesting"),
    }
}
