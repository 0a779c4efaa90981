//! Upgrades of stored states: each older version goes straight to the current one.

use cty::{CodecError, Path, Type, Value, json};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::identity::IdentitySchema;
use crate::schema::Schema;

/// Brings states of one older version to the current schema.
#[derive(Clone, Debug)]
pub struct Upgrader {
    /// The version that it upgrades from.
    pub from: i64,
    /// The type of states of that version. Without it the state is read as its JSON stands: objects as maps, arrays as lists.
    pub prior_type: Option<Type>,
    /// Makes the current state, or says why it cannot. Attributes that it leaves out are null; unknown names are refused.
    pub upgrade: fn(Value) -> Result<Value, String>,
}

/// Reads a stored state. One of the current version passes through, except that attributes which the schema no longer
/// has are dropped, and those which it did not have yet are at their default: what was made without them is as if made with it.
///
/// # Errors
/// If the state is newer, of a version that no upgrader knows, or not what its version says.
pub fn state(schema: &Schema, upgraders: &[Upgrader], version: i64, raw_json: &[u8]) -> Result<Value, Diagnostics> {
    let ty = schema.value_type();
    if version == schema.version {
        let state = json::decode(raw_json, &ty).and_then(|state| Ok((state, json::decode_untyped(raw_json)?)));
        let (state, stored) = state.map_err(|error| unreadable("state", version, &error))?;
        return Ok(with_new_defaults(schema, state, &stored));
    }
    let Some(upgrader) = upgraders.iter().find(|upgrader| upgrader.from == version) else {
        return Err(no_way("state", version, schema.version));
    };
    let prior = match &upgrader.prior_type {
        Some(prior) => json::decode(raw_json, prior),
        None => json::decode_untyped(raw_json),
    };
    let prior = prior.map_err(|error| unreadable("state", version, &error))?;
    let upgraded = (upgrader.upgrade)(prior).map_err(|reason| failed(version, reason))?;
    complete(upgraded, &ty).map_err(|error| failed(version, error.to_string()))
}

/// The state with defaults for attributes that were not there when it was stored. One that was stored as null stays null.
fn with_new_defaults(schema: &Schema, state: Value, stored: &Value) -> Value {
    let Some(stored) = stored.as_map() else { return state };
    let new = schema.attributes.iter().filter(|row| !stored.contains_key(&row.name));
    new.filter_map(|row| Some((row.name.as_str(), row.default.clone()?)))
        .fold(state, |state, (name, default)| state.with(name, default))
}

/// Reads a stored identity. There has been one version of each so far.
///
/// # Errors
/// If it is of another version, or not what its version says.
pub fn identity(schema: &IdentitySchema, version: i64, raw_json: &[u8]) -> Result<Value, Diagnostics> {
    if version != schema.version {
        return Err(no_way("identity", version, schema.version));
    }
    json::decode(raw_json, &schema.value_type()).map_err(|error| unreadable("identity", version, &error))
}

/// Puts what the upgrader made into the form of the schema, sets in order and missing attributes null, or finds that it
/// does not fit.
pub(crate) fn complete(value: Value, ty: &Type) -> Result<Value, CodecError> {
    let text = json::encode(&value, ty)?;
    json::decode(text.as_bytes(), ty)
}

fn unreadable(what: &str, version: i64, error: &CodecError) -> Diagnostics {
    let detail = format!("The {what} of version {version} cannot be read: {error}.");
    let path = Some(&error.path).filter(|path| !path.is_root());
    Diagnostic {
        path: path.map(Path::from),
        ..Diagnostic::error(format!("Unreadable {what}"), detail)
    }
    .into()
}

fn no_way(what: &str, version: i64, current: i64) -> Diagnostics {
    let detail = if version > current {
        format!(
            "The {what} has version {version}, this provider knows versions up to {current}: use the newer provider that wrote it."
        )
    } else {
        format!("The {what} has version {version}, for which this provider has no upgrade to version {current}.")
    };
    Diagnostic::error(format!("Unsupported {what} version"), detail).into()
}

fn failed(version: i64, reason: String) -> Diagnostics {
    Diagnostic::error(
        "State not upgraded",
        format!("The state of version {version} cannot be upgraded: {reason}."),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityAttribute;
    use crate::schema::Attribute;

    fn schema() -> Schema {
        Schema::new(vec![
            Attribute::string("name").required(),
            Attribute::integer("memory_mib"),
            Attribute::set("tags", Type::String),
        ])
        .version(2)
    }

    fn upgraders() -> Vec<Upgrader> {
        let bytes_to_mib = |state: Value| {
            let bytes = state.get("memory").as_i64().ok_or("memory is missing")?;
            Ok(Value::object([
                ("name", state.get("name").clone()),
                ("memory_mib", Value::from(bytes / 1_048_576)),
            ]))
        };
        let from_anything = |state: Value| {
            Ok(Value::object([
                ("name", state.get("title").clone()),
                ("tags", Value::list(["b", "a", "b"])),
            ]))
        };
        let wrong = |_: Value| Ok(Value::object([("colour", Value::from("red"))]));
        let memory = Type::object([("name", Type::String), ("memory", Type::Number)]);
        vec![
            Upgrader {
                from: 1,
                prior_type: Some(memory),
                upgrade: bytes_to_mib,
            },
            Upgrader {
                from: 0,
                prior_type: None,
                upgrade: from_anything,
            },
            Upgrader {
                from: -1,
                prior_type: None,
                upgrade: wrong,
            },
        ]
    }

    fn read(version: i64, json: &str) -> Result<Value, String> {
        state(&schema(), &upgraders(), version, json.as_bytes())
            .map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    fn server(memory: impl Into<Value>, tags: Value) -> Value {
        Value::object([
            ("name", Value::from("vm")),
            ("memory_mib", memory.into()),
            ("tags", tags),
        ])
    }

    #[test]
    fn the_current_version_passes_through() {
        let read = read(2, r#"{"name":"vm","memory_mib":4,"tags":["b","a"],"gone":{"x":[1]}}"#);
        assert_eq!(read, Ok(server(4, Value::set(["a", "b"]))));
    }

    #[test]
    fn an_attribute_that_was_not_there_yet_is_at_its_default() {
        let rows = vec![
            Attribute::string("name"),
            Attribute::integer("size").optional_computed().default(3),
        ];
        let table = Schema::new(rows);
        let read = |json: &str| {
            state(&table, &[], 0, json.as_bytes())
                .expect("a state")
                .get("size")
                .clone()
        };
        assert_eq!(read(r#"{"name":"vm"}"#), 3.into());
        assert_eq!(read(r#"{"name":"vm","size":null}"#), Value::Null);
        assert_eq!(read(r#"{"name":"vm","size":1}"#), 1.into());
    }

    #[test]
    fn each_older_version_goes_straight_to_the_current_one() {
        assert_eq!(
            read(1, r#"{"name":"vm","memory":4194304,"other":true}"#),
            Ok(server(4, Value::Null))
        );
        assert_eq!(
            read(0, r#"{"title":"vm"}"#),
            Ok(server(Value::Null, Value::list(["a", "b"])))
        );
    }

    #[test]
    fn an_identity_of_the_current_version_passes_through() {
        let schema = IdentitySchema::new(vec![IdentityAttribute::required("id", Type::String, "")]);
        let read = |version: i64, json: &str| {
            identity(&schema, version, json.as_bytes())
                .map_err(|found| found.iter().map(|told| told.summary.clone()).collect::<String>())
        };
        assert_eq!(read(0, r#"{"id":"a"}"#), Ok(Value::object([("id", Value::from("a"))])));
        assert_eq!(read(0, "nonsense"), Err("Unreadable identity".to_owned()));
        assert_eq!(read(1, "{}"), Err("Unsupported identity version".to_owned()));
    }

    #[test]
    fn what_cannot_be_upgraded_is_said() {
        let cases = [
            (3, "{}", "up to 2: use the newer provider"),
            (-7, "{}", "has no upgrade to version 2"),
            (1, r#"{"name":"vm"}"#, "cannot be upgraded: memory is missing"),
            (1, r#"{"name":["vm"]}"#, "(name)"),
            (2, "nonsense", "cannot be read: malformed input"),
            (-1, "{}", r#"unsupported attribute "colour""#),
        ];
        for (version, json, expected) in cases {
            let error = read(version, json).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
