//! JSON-RPC 1.0 and 2.0.

use serde_json::Value as Json;

use super::{Dialect, Request, datetime};
use crate::db::Record;
use crate::failure::Outcome;
use crate::value::{Map, Value};

/// Reads a request; `None` for anything that the server answers with a bare HTTP 500.
pub(crate) fn parse_request(body: &[u8]) -> Option<Request> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let id = match json.get("id")? {
        id @ (Json::String(_) | Json::Number(_)) => id.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    let method = json.get("method")?.as_str()?.to_owned();
    let params = match json.get("params") {
        Some(Json::Array(items)) => items.iter().map(from_json).collect(),
        None => Vec::new(),
        Some(_) => return None,
    };
    let dialect = match json.get("jsonrpc").and_then(Json::as_str) {
        Some("2.0") => Dialect::JsonV2 { id },
        _ => Dialect::JsonV1 { id },
    };
    Some(Request {
        method,
        params,
        dialect,
    })
}

/// The answer to a call.
pub(crate) fn response(version_2: bool, id: &str, outcome: &Outcome<Value>) -> String {
    let mut out = String::with_capacity(256);
    let result = outcome.as_ref();
    match (version_2, result) {
        (true, Ok(value)) => {
            out.push_str("{\"jsonrpc\":\"2.0\",\"result\":");
            write(&mut out, value);
        }
        (true, Err(failure)) => {
            out.push_str("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":");
            write_text(&mut out, &failure.code);
            out.push_str(",\"data\":");
            write(&mut out, &Value::strings(&failure.params));
            out.push('}');
        }
        (false, Ok(value)) => {
            out.push_str("{\"result\":");
            write(&mut out, value);
            out.push_str(",\"error\":null");
        }
        (false, Err(failure)) => {
            out.push_str("{\"result\":null,\"error\":");
            write(&mut out, &Value::strings(failure.description()));
        }
    }
    out.push_str(",\"id\":");
    out.push_str(id);
    out.push('}');
    out
}

/// A JSON value as a parameter.
pub(crate) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Void,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n
            .as_i64()
            .map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        Json::String(text) => Value::str(text),
        Json::Array(items) => Value::Set(items.iter().map(from_json).collect()),
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(k, v)| (k.as_str().into(), from_json(v)))
                .collect::<Map>(),
        ),
    }
}

/// Appends a value.
pub(crate) fn write(out: &mut String, value: &Value) {
    match value {
        Value::Void => out.push_str("\"\""),
        Value::Str(text) => write_text(out, text),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Int32(n) => out.push_str(&n.to_string()),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Float(n) => out.push_str(&float(*n)),
        Value::Time(t) => write_text(out, &datetime(*t)),
        Value::Set(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => write_members(out, map.iter().map(|(k, v)| (&**k, v))),
        Value::Record(record) => out.push_str(record.json(encode_record)),
    }
}

fn encode_record(record: &Record) -> String {
    let mut out = String::with_capacity(4096);
    write_members(&mut out, record.fields());
    out
}

fn write_members<'n, 'v>(out: &mut String, members: impl Iterator<Item = (&'n str, &'v Value)>) {
    out.push('{');
    for (i, (name, value)) in members.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write(out, value);
    }
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    // The slow path is rare: references, names and numbers need no escape.
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        out.push_str(&Json::String(text.to_owned()).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Floats always show that they are floats.
pub(super) fn float(n: f64) -> String {
    if n.is_finite() {
        format!("{n:?}")
    } else {
        "0.0".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn both_versions_answer_in_their_own_shape() {
        let ok = Ok(Value::Int(5));
        let bad = Err(Failure::new("HANDLE_INVALID", ["VM", "x\"y"]));
        assert_eq!(response(true, "7", &ok), r#"{"jsonrpc":"2.0","result":5,"id":7}"#);
        assert_eq!(
            response(true, "\"a\"", &bad),
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","x\"y"]},"id":"a"}"#
        );
        assert_eq!(response(false, "7", &ok), r#"{"result":5,"error":null,"id":7}"#);
        assert_eq!(
            response(false, "7", &bad),
            r#"{"result":null,"error":["HANDLE_INVALID","VM","x\"y"],"id":7}"#
        );
    }

    #[test]
    fn requests_need_an_id_and_a_list() {
        let v2 = parse_request(br#"{"jsonrpc":"2.0","method":"VM.get_all","params":["s"],"id":1}"#).unwrap();
        assert_eq!(v2.dialect, Dialect::JsonV2 { id: "1".to_owned() });
        let v1 = parse_request(br#"{"method":"m","params":[1,true,1.5,{"k":[]}],"id":"x"}"#).unwrap();
        assert_eq!(v1.dialect, Dialect::JsonV1 { id: "\"x\"".to_owned() });
        assert_eq!(v1.params.len(), 4);
        for bad in [
            "[]",
            "{",
            r#"{"method":"m","params":[]}"#,
            r#"{"method":"m","params":{},"id":1}"#,
        ] {
            assert_eq!(parse_request(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn void_is_an_empty_string() {
        assert_eq!(
            response(true, "1", &Ok(Value::Void)),
            r#"{"jsonrpc":"2.0","result":"","id":1}"#
        );
    }
}
