//! Requests.

use std::fmt::Write;

use super::Value;

/// Why a request cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("the text holds the character U+{0:04X}, which XML cannot carry")]
    Character(u32),
    #[error("the key {0:?} holds a character that pools do not escape in their answers")]
    Key(String),
    #[error("a number is not finite")]
    NotFinite,
}

/// Writes the body of a call.
pub(crate) fn request(method: &str, params: &[Value]) -> Result<String, EncodeError> {
    let mut out = String::with_capacity(256);
    out.push_str("<?xml version=\"1.0\"?><methodCall><methodName>");
    escape(&mut out, method)?;
    out.push_str("</methodName><params>");
    for param in params {
        out.push_str("<param>");
        write_value(&mut out, param)?;
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    Ok(out)
}

/// Writes one value alone.
#[cfg(test)]
pub(crate) fn value_text(value: &Value) -> Result<String, EncodeError> {
    let mut out = String::new();
    write_value(&mut out, value)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value) -> Result<(), EncodeError> {
    out.push_str("<value>");
    match value {
        Value::Text(text) => tagged(out, "string", text)?,
        // xapi wants numbers as texts: `<int>` is 32 bits wide in old releases.
        Value::Int(number) => tagged(out, "string", &number.to_string())?,
        Value::Bool(flag) => tagged(out, "boolean", if *flag { "1" } else { "0" })?,
        Value::Float(number) if number.is_finite() => tagged(out, "double", &format!("{number:?}"))?,
        Value::Float(_) => return Err(EncodeError::NotFinite),
        Value::Time(text) => tagged(out, "dateTime.iso8601", text)?,
        Value::Array(items) => {
            out.push_str("<array><data>");
            for item in items {
                write_value(out, item)?;
            }
            out.push_str("</data></array>");
        }
        Value::Struct(members) => {
            out.push_str("<struct>");
            for (name, member) in members {
                write_member(out, name, member)?;
            }
            out.push_str("</struct>");
        }
    }
    out.push_str("</value>");
    Ok(())
}

fn write_member(out: &mut String, name: &str, member: &Value) -> Result<(), EncodeError> {
    check_key(name)?;
    out.push_str("<member><name>");
    escape(out, name)?;
    out.push_str("</name>");
    write_value(out, member)?;
    out.push_str("</member>");
    Ok(())
}

/// Refuses keys that would have to be escaped. ocaml-rpc writes them as they are, which makes every later answer that holds one
/// unreadable for most clients.
pub(crate) fn check_key(key: &str) -> Result<(), EncodeError> {
    if key.contains(['<', '>', '&', '"', '\r']) {
        return Err(EncodeError::Key(key.chars().take(100).collect()));
    }
    Ok(())
}

fn tagged(out: &mut String, tag: &str, text: &str) -> Result<(), EncodeError> {
    let _ = write!(out, "<{tag}>");
    escape(out, text)?;
    let _ = write!(out, "</{tag}>");
    Ok(())
}

fn escape(out: &mut String, text: &str) -> Result<(), EncodeError> {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // A bare carriage return would arrive as a line feed.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(EncodeError::Character(u32::from(character))),
            other => out.push(other),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EncodeError, Value, request};

    #[test]
    fn writes_what_xapi_reads() {
        let params = [
            Value::text("a<b>&\"c\"\r"),
            Value::Int(4_294_967_296),
            Value::Bool(true),
            Value::Float(30.0),
            Value::Struct(vec![("k".into(), Value::Array(vec![Value::text("")]))]),
        ];
        check(
            &request("VM.x", &params).unwrap(),
            "<?xml version=\"1.0\"?><methodCall><methodName>VM.x</methodName><params>\
             <param><value><string>a&lt;b&gt;&amp;&quot;c&quot;&#13;</string></value></param>\
             <param><value><string>4294967296</string></value></param><param><value><boolean>1</boolean></value></param>\
             <param><value><double>30.0</double></value></param><param><value><struct><member><name>k</name>\
             <value><array><data><value><string></string></value></data></array></value></member></struct></value></param>\
             </params></methodCall>",
        );
    }

    fn check(found: &str, expect: &str) {
        assert_eq!(found, expect);
    }

    #[test]
    fn refuses_what_would_poison_the_pool() {
        assert_eq!(request("m", &[Value::text("a\u{0}")]), Err(EncodeError::Character(0)));
        assert_eq!(request("m", &[Value::Float(f64::NAN)]), Err(EncodeError::NotFinite));
        for key in ["a<b", "a>b", "R&D", "\"a\"", "a\r"] {
            let map = Value::Struct(vec![(key.into(), Value::text(""))]);
            assert_eq!(request("m", &[map]), Err(EncodeError::Key(key.into())));
        }
    }
}
