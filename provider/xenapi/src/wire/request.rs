//! Requests.

use std::time::Duration;

use super::{Wire, json, xml};

/// A parameter of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A text, a reference, an enum.
    Text(String),
    /// A flag.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A set.
    Array(Vec<Value>),
    /// A map or a record.
    Struct(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Takes a number of seconds, as `event.from` wants it: with a fraction, because old releases refuse a whole number there.
    pub(crate) fn seconds(time: Duration) -> Self {
        Self::Float(time.as_secs_f64())
    }

    pub(crate) fn map<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self::Struct(
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), Self::text(value)))
                .collect(),
        )
    }

    pub(crate) fn set<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(Self::text).collect())
    }
}

/// Why a request cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("the text holds the character U+{0:04X}, which pools cannot keep")]
    Character(u32),
    #[error("the key {0:?} holds a character that pools do not escape in their answers")]
    Key(String),
    #[error("a number is not finite")]
    NotFinite,
    #[error("{0}")]
    Json(String),
}

/// Writes the body of a call.
pub(crate) fn request(wire: Wire, method: &str, params: &[Value]) -> Result<String, EncodeError> {
    params.iter().try_for_each(check)?;
    match wire {
        Wire::Json => json::request(method, params).map_err(|error| EncodeError::Json(error.to_string())),
        Wire::Xml => Ok(xml::request(method, params)),
    }
}

/// Refuses what would do harm in a pool. Its database is XML, whatever the wire.
fn check(value: &Value) -> Result<(), EncodeError> {
    match value {
        Value::Text(text) => check_text(text),
        Value::Float(number) if !number.is_finite() => Err(EncodeError::NotFinite),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(()),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Struct(members) => members.iter().try_for_each(|(key, member)| {
            check_key(key)?;
            check_text(key)?;
            check(member)
        }),
    }
}

/// Refuses characters that XML has no way to write.
fn check_text(text: &str) -> Result<(), EncodeError> {
    let is_unsound = |c: &char| match c {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    };
    match text.chars().find(is_unsound) {
        Some(character) => Err(EncodeError::Character(u32::from(character))),
        None => Ok(()),
    }
}

/// Refuses keys that would have to be escaped. ocaml-rpc writes them as they are, which makes every later answer over XML that holds
/// one unreadable for most clients.
pub(crate) fn check_key(key: &str) -> Result<(), EncodeError> {
    if key.contains(['<', '>', '&', '"', '\r']) {
        return Err(EncodeError::Key(key.chars().take(100).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EncodeError, Value, Wire, request};

    fn check(wire: Wire, expect: &str) {
        let params = [
            Value::text("a<b>&\"c\"\r"),
            Value::Int(4_294_967_296),
            Value::Bool(true),
            Value::Float(30.0),
            Value::Struct(vec![("k".into(), Value::Array(vec![Value::text("")]))]),
        ];
        assert_eq!(request(wire, "VM.x", &params).unwrap(), expect);
    }

    #[test]
    fn writes_what_xapi_reads() {
        check(
            Wire::Xml,
            "<?xml version=\"1.0\"?><methodCall><methodName>VM.x</methodName><params>\
             <param><value><string>a&lt;b&gt;&amp;&quot;c&quot;&#13;</string></value></param>\
             <param><value><string>4294967296</string></value></param><param><value><boolean>1</boolean></value></param>\
             <param><value><double>30.0</double></value></param><param><value><struct><member><name>k</name>\
             <value><array><data><value><string></string></value></data></array></value></member></struct></value></param>\
             </params></methodCall>",
        );
        check(
            Wire::Json,
            r#"{"jsonrpc":"2.0","method":"VM.x","params":["a<b>&\"c\"\r",4294967296,true,30.0,{"k":[""]}],"id":1}"#,
        );
    }

    #[test]
    fn refuses_what_would_poison_the_pool() {
        for wire in [Wire::Json, Wire::Xml] {
            let refused = |value: Value| request(wire, "m", &[value]).unwrap_err();
            assert_eq!(refused(Value::text("a\u{0}")), EncodeError::Character(0));
            assert_eq!(refused(Value::Float(f64::NAN)), EncodeError::NotFinite);
            for key in ["a<b", "a>b", "R&D", "\"a\"", "a\r"] {
                let map = Value::Struct(vec![(key.into(), Value::text(""))]);
                assert_eq!(refused(Value::Array(vec![map])), EncodeError::Key(key.into()));
            }
        }
    }
}
