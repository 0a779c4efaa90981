//! XML-RPC: a scanner for what clients send, and a writer for what a pool answers.
//!
//! Strings, references and integers go out without a type tag, member names are not escaped: both as the real server does.

use super::{Dialect, Request, datetime, json::float, parse_datetime};
use crate::db::Record;
use crate::failure::Outcome;
use crate::value::{Map, Value};

/// Deepest nesting that a request may have.
const DEEPEST: usize = 64;

/// Reads a request; `None` for anything that the server answers with a bare HTTP 500.
pub(crate) fn parse_request(body: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(body).ok()?;
    let mut scan = Scanner { rest: text };
    scan.skip_prolog();
    scan.open("methodCall")?;
    scan.open("methodName")?;
    let method = scan.text()?.trim().to_owned();
    scan.close("methodName")?;
    let mut params = Vec::new();
    if scan.try_empty("params") {
        scan.close("methodCall")?;
        return Some(Request {
            method,
            params,
            dialect: Dialect::Xml,
        });
    }
    if scan.try_open("params") {
        while scan.try_open("param") {
            params.push(scan.value(0)?);
            scan.close("param")?;
        }
        scan.close("params")?;
    }
    scan.close("methodCall")?;
    Some(Request {
        method,
        params,
        dialect: Dialect::Xml,
    })
}

/// The answer to a call.
pub(crate) fn response(outcome: &Outcome<Value>) -> String {
    let mut out = String::with_capacity(256);
    out.push_str(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name><value>",
    );
    match outcome {
        Ok(value) => {
            out.push_str("Success</value></member><member><name>Value</name>");
            write(&mut out, value);
        }
        Err(failure) => {
            out.push_str("Failure</value></member><member><name>ErrorDescription</name>");
            write(&mut out, &Value::strings(failure.description()));
        }
    }
    out.push_str("</member></struct></value></param></params></methodResponse>");
    out
}

/// An answer without Status, as `system.listMethods` has it.
pub(crate) fn bare_response(value: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?><methodResponse><params><param>");
    write(&mut out, value);
    out.push_str("</param></params></methodResponse>");
    out
}

/// A value alone, as `task.result` holds it.
pub(crate) fn fragment(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    if let Value::Record(record) = value {
        out.push_str(record.xml(encode_record));
        return;
    }
    out.push_str("<value>");
    match value {
        Value::Void | Value::Record(_) => {}
        Value::Str(text) => escape(out, text),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Int32(n) => {
            out.push_str("<i4>");
            out.push_str(&n.to_string());
            out.push_str("</i4>");
        }
        Value::Bool(b) => out.push_str(if *b {
            "<boolean>1</boolean>"
        } else {
            "<boolean>0</boolean>"
        }),
        Value::Float(n) => {
            out.push_str("<double>");
            out.push_str(float(*n).trim_end_matches(".0"));
            out.push_str("</double>");
        }
        Value::Time(t) => {
            out.push_str("<dateTime.iso8601>");
            out.push_str(&datetime(*t));
            out.push_str("</dateTime.iso8601>");
        }
        Value::Set(items) => {
            out.push_str("<array><data>");
            for item in items {
                write(out, item);
            }
            out.push_str("</data></array>");
        }
        Value::Map(map) => write_members(out, map.iter().map(|(k, v)| (&**k, v))),
    }
    out.push_str("</value>");
}

fn encode_record(record: &Record) -> String {
    let mut out = String::with_capacity(10_240);
    out.push_str("<value>");
    write_members(&mut out, record.fields());
    out.push_str("</value>");
    out
}

fn write_members<'n, 'v>(out: &mut String, members: impl Iterator<Item = (&'n str, &'v Value)>) {
    out.push_str("<struct>");
    for (name, value) in members {
        out.push_str("<member><name>");
        // The real server does not escape names: a key with `<` breaks its answers, and so it does here.
        out.push_str(name);
        out.push_str("</name>");
        write(out, value);
        out.push_str("</member>");
    }
    out.push_str("</struct>");
}

fn escape(out: &mut String, text: &str) {
    if !text.bytes().any(|b| b < 0x20 || matches!(b, b'&' | b'<' | b'>' | b'"')) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
        while let Some(after) = self.rest.strip_prefix("<!--") {
            self.rest = after.split_once("-->").map_or("", |(_, rest)| rest).trim_start();
        }
    }

    fn skip_prolog(&mut self) {
        self.rest = self.rest.trim_start_matches('\u{feff}').trim_start();
        if let Some(after) = self.rest.strip_prefix("<?") {
            self.rest = after.split_once("?>").map_or("", |(_, rest)| rest);
        }
    }

    fn try_tag(&mut self, tag: &str) -> bool {
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix(tag) {
            self.rest = rest;
            return true;
        }
        false
    }

    fn try_open(&mut self, name: &str) -> bool {
        self.try_tag(&format!("<{name}>"))
    }

    fn try_empty(&mut self, name: &str) -> bool {
        self.try_tag(&format!("<{name}/>")) || self.try_tag(&format!("<{name} />"))
    }

    fn open(&mut self, name: &str) -> Option<()> {
        self.try_open(name).then_some(())
    }

    fn close(&mut self, name: &str) -> Option<()> {
        self.try_tag(&format!("</{name}>")).then_some(())
    }

    /// Characters up to the next tag, with entities resolved.
    fn text(&mut self) -> Option<String> {
        let mut out = String::new();
        loop {
            let end = self.rest.find('<')?;
            unescape(&mut out, self.rest.get(..end)?)?;
            self.rest = self.rest.get(end..)?;
            let Some(after) = self.rest.strip_prefix("<![CDATA[") else {
                return Some(out);
            };
            let (data, rest) = after.split_once("]]>")?;
            out.push_str(data);
            self.rest = rest;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        if self.try_empty("value") {
            return Some(Value::str(""));
        }
        self.open("value")?;
        let before = self.rest;
        let text = self.text()?;
        if self.rest.starts_with("</value>") {
            self.close("value")?;
            return Some(Value::Str(text.into()));
        }
        self.rest = before;
        let value = self.typed(depth)?;
        self.close("value")?;
        Some(value)
    }

    fn typed(&mut self, depth: usize) -> Option<Value> {
        self.skip_space();
        for name in [
            "string",
            "int",
            "i4",
            "i8",
            "boolean",
            "double",
            "dateTime.iso8601",
            "base64",
        ] {
            if self.try_empty(name) {
                return Some(Value::str(""));
            }
            if self.try_open(name) {
                let text = self.text()?;
                self.close(name)?;
                return scalar(name, &text);
            }
        }
        if self.try_empty("struct") {
            return Some(Value::Map(Map::new()));
        }
        if self.try_open("struct") {
            return self.members(depth);
        }
        if self.try_empty("array") {
            return Some(Value::Set(Vec::new()));
        }
        self.open("array")?;
        let mut items = Vec::new();
        if !self.try_empty("data") {
            self.open("data")?;
            while !self.try_tag("</data>") {
                items.push(self.value(depth + 1)?);
            }
        }
        self.close("array")?;
        Some(Value::Set(items))
    }

    fn members(&mut self, depth: usize) -> Option<Value> {
        let mut map = Map::new();
        while self.try_open("member") {
            self.open("name")?;
            let name = self.text()?;
            self.close("name")?;
            map.insert(name.into(), self.value(depth + 1)?);
            self.close("member")?;
        }
        self.close("struct")?;
        Some(Value::Map(map))
    }
}

fn scalar(tag: &str, text: &str) -> Option<Value> {
    Some(match tag {
        "int" | "i4" | "i8" => Value::Int(text.trim().parse().ok()?),
        "boolean" => Value::Bool(match text.trim() {
            "1" => true,
            "0" => false,
            _ => return None,
        }),
        "double" => Value::Float(text.trim().parse().ok()?),
        "dateTime.iso8601" => Value::Time(parse_datetime(text)?),
        _ => Value::str(text),
    })
}

fn unescape(out: &mut String, text: &str) -> Option<()> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, tail) = after.split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let digits = name.strip_prefix('#')?;
                let code = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = tail;
    }
    out.push_str(rest);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_request_of_every_type_reads() {
        let body = "<?xml version='1.0'?>\n<methodCall><methodName>VM.x</methodName><params>\
            <param><value><string>a &amp; &#x41;</string></value></param><param><value>plain </value></param>\
            <param><value><int>7</int></value></param><param><value><boolean>1</boolean></value></param>\
            <param><value><double>1.5</double></value></param><param><value><array><data><value><i4>1</i4></value></data></array></value></param>\
            <param><value><struct><member><name>k</name><value>v</value></member></struct></value></param>\
            <param><value></value></param><param><value><dateTime.iso8601>19700101T00:00:01Z</dateTime.iso8601></value></param>\
            </params></methodCall>";
        let request = parse_request(body.as_bytes()).unwrap();
        assert_eq!(
            request.params,
            [
                Value::str("a & A"),
                Value::str("plain "),
                Value::Int(7),
                Value::Bool(true),
                Value::Float(1.5),
                Value::Set(vec![Value::Int(1)]),
                Value::map([("k", "v")]),
                Value::str(""),
                Value::Time(1),
            ]
        );
    }

    #[test]
    fn strings_and_integers_go_out_untyped() {
        let value = Value::Set(vec![
            Value::str("a<b"),
            Value::Int(4_294_967_296),
            Value::Int32(3),
            Value::Float(1.0),
        ]);
        assert_eq!(
            fragment(&value),
            "<value><array><data><value>a&lt;b</value><value>4294967296</value><value><i4>3</i4></value>\
             <value><double>1</double></value></data></array></value>"
        );
        assert_eq!(fragment(&Value::Void), "<value></value>");
        let failure = response(&Err(Failure::new("X", ["y"])));
        assert!(failure.contains("<name>ErrorDescription</name><value><array><data><value>X</value><value>y</value>"));
    }

    #[test]
    fn names_go_out_as_they_are() {
        let value = Value::map([("XenCenter.CustomFields.R&D", "R&D"), ("a<b>", "\"")]);
        assert_eq!(
            fragment(&value),
            "<value><struct><member><name>XenCenter.CustomFields.R&D</name><value>R&amp;D</value></member>\
             <member><name>a<b></name><value>&quot;</value></member></struct></value>"
        );
    }

    proptest! {
        #[test]
        fn the_scanner_never_panics(text in "(<|>|/|&|;|value|struct|member|name|array|data|params|param|methodCall|methodName|[a-z#x0-9 ]){0,40}") {
            let _ = parse_request(text.as_bytes());
            let _ = parse_request(format!("<methodCall><methodName>a</methodName><params><param>{text}").as_bytes());
        }

        #[test]
        fn strings_survive(text in "[^\\x00-\\x1f\\x7f-\\x9f]*") {
            let body = format!("<methodCall><methodName>m</methodName><params><param>{}</param></params></methodCall>", fragment(&Value::str(&text)));
            let request = parse_request(body.as_bytes()).unwrap();
            prop_assert_eq!(&request.params[0], &Value::str(&text));
        }
    }
}
