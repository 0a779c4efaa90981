//! Requests in XML-RPC.

use std::fmt::Write;

use crate::wire::Value;

/// Writes the body of a call.
pub(in crate::wire) fn request(method: &str, params: &[Value]) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("<?xml version=\"1.0\"?><methodCall>");
    tagged(&mut out, "methodName", method);
    out.push_str("<params>");
    for param in params {
        out.push_str("<param>");
        write_value(&mut out, param);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

/// Escapes a text.
pub(in crate::wire) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text);
    out
}

fn write_value(out: &mut String, value: &Value) {
    out.push_str("<value>");
    match value {
        Value::Text(text) => tagged(out, "string", text),
        // xapi wants numbers as texts: `<int>` is 32 bits wide in old releases.
        Value::Int(number) => tagged(out, "string", &number.to_string()),
        Value::Bool(flag) => tagged(out, "boolean", if *flag { "1" } else { "0" }),
        Value::Float(number) => tagged(out, "double", &format!("{number:?}")),
        Value::Array(items) => {
            out.push_str("<array><data>");
            for item in items {
                write_value(out, item);
            }
            out.push_str("</data></array>");
        }
        Value::Struct(members) => {
            out.push_str("<struct>");
            for (name, member) in members {
                out.push_str("<member>");
                tagged(out, "name", name);
                write_value(out, member);
                out.push_str("</member>");
            }
            out.push_str("</struct>");
        }
    }
    out.push_str("</value>");
}

fn tagged(out: &mut String, tag: &str, text: &str) {
    // Writing to a string does not fail.
    let _ = write!(out, "<{tag}>");
    escape(out, text);
    let _ = write!(out, "</{tag}>");
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // A bare carriage return would arrive as a line feed.
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
}
