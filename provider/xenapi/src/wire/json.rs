//! JSON-RPC: requests, and where the values of answers end.

use std::str::from_utf8;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::split::{Input, MAX_DEPTH, Scan, Step, Stop};
use super::{Raw, Texts, Value, Wire, WireError};
use crate::failure::Failure;

/// A call. Each goes on a connection of its own or after the one before it, so all have the same number.
#[derive(serde::Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    method: &'a str,
    params: &'a [Value],
    id: u8,
}

/// Writes the body of a call.
pub(super) fn request(method: &str, params: &[Value]) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Request {
        jsonrpc: "2.0",
        method,
        params,
        id: 1,
    })
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => out.serialize_str(text),
            Self::Bool(flag) => out.serialize_bool(*flag),
            Self::Int(number) => out.serialize_i64(*number),
            Self::Float(number) => out.serialize_f64(*number),
            Self::Array(items) => out.collect_seq(items),
            Self::Struct(members) => {
                let mut map = out.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, member)?;
                }
                map.end()
            }
        }
    }
}

/// Finds where values end by brackets and quotes alone. Whether what stands between them is JSON is seen when it is decoded.
#[derive(Debug, Default)]
pub(super) struct Json {
    behind: Behind,
    skim: Skim,
    failure: Option<Texts>,
}

/// What stands before the next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Behind {
    #[default]
    Bracket,
    Value,
    Comma,
}

/// How much of a value has been looked at.
#[derive(Debug, Default)]
struct Skim {
    length: usize,
    depth: usize,
    is_in_text: bool,
}

impl Skim {
    /// Looks at more of a value; gives its length once its end has come.
    fn end(&mut self, bytes: &[u8]) -> Step<usize> {
        let is_plain = |byte: &u8| !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace();
        if !matches!(bytes.first(), Some(b'{' | b'[' | b'"')) {
            // A number or a word: it ends where something else begins.
            let behind = bytes.get(self.length..).unwrap_or_default();
            self.length += behind.iter().take_while(|byte| is_plain(byte)).count();
            return if self.length < bytes.len() {
                Ok(self.length)
            } else {
                Err(Stop::More)
            };
        }
        while let Some(byte) = bytes.get(self.length) {
            self.length += 1;
            match (byte, self.is_in_text) {
                // What is escaped may have yet to come.
                (b'\\', true) => self.length += 1,
                (b'"', is_in_text) => self.is_in_text = !is_in_text,
                (b'{' | b'[', false) if self.depth >= MAX_DEPTH => return Err(WireError::TooDeep(MAX_DEPTH).into()),
                (b'{' | b'[', false) => self.depth += 1,
                (b'}' | b']', false) => self.depth = self.depth.saturating_sub(1),
                (_, true | false) => continue,
            }
            if self.depth == 0 && !self.is_in_text {
                return Ok(self.length);
            }
        }
        Err(Stop::More)
    }
}

impl Json {
    /// Steps over a comma, if one is due; gives the byte behind it.
    fn next(&mut self, input: &mut Input) -> Step<u8> {
        match input.skip_white()? {
            b',' if self.behind == Behind::Value => {
                input.advance(1);
                self.behind = Behind::Comma;
                input.skip_white()
            }
            byte => Ok(byte),
        }
    }

    fn open(&mut self, input: &mut Input, bracket: u8) -> Step<bool> {
        let is_here = input.skip_white()? == bracket;
        if is_here {
            input.advance(1);
            self.behind = Behind::Bracket;
        }
        Ok(is_here)
    }

    fn close(&mut self, input: &mut Input) {
        input.advance(1);
        self.behind = Behind::Value;
    }
}

impl Scan for Json {
    const WIRE: Wire = Wire::Json;
    const RESULT: &'static str = "result";
    const SAYS_SUCCESS: bool = false;

    fn open_answer(&mut self, input: &mut Input) -> Step<bool> {
        if self.open(input, b'{')? {
            Ok(true)
        } else {
            Err(WireError::NoObject.into())
        }
    }

    fn open_map(&mut self, input: &mut Input) -> Step<bool> {
        self.open(input, b'{')
    }

    fn key(&mut self, input: &mut Input) -> Step<Option<String>> {
        match (self.next(input)?, self.behind) {
            (b'}', Behind::Bracket | Behind::Value) => {
                self.close(input);
                return Ok(None);
            }
            (b'"', Behind::Bracket | Behind::Comma) => {}
            (_, _) => return Err(misplaced("a name").into()),
        }
        let length = Skim::default().end(input.rest())?;
        let (name, behind) = input.rest().split_at_checked(length).unwrap_or_default();
        let white = behind.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match behind.get(white) {
            Some(b':') => {}
            Some(_) => return Err(misplaced("a colon").into()),
            None => return Err(Stop::More),
        }
        let name = from_utf8(name).map_err(|_| WireError::Utf8)?;
        let name = serde_json::from_str(name).map_err(WireError::from)?;
        input.advance(length + white + 1);
        Ok(Some(name))
    }

    fn open_set(&mut self, input: &mut Input) -> Step<bool> {
        self.open(input, b'[')
    }

    fn item(&mut self, input: &mut Input) -> Step<bool> {
        match (self.next(input)?, self.behind) {
            (b']', Behind::Bracket | Behind::Value) => {
                self.close(input);
                Ok(false)
            }
            (_, Behind::Value) => Err(misplaced("a comma").into()),
            (_, Behind::Bracket | Behind::Comma) => Ok(true),
        }
    }

    fn value(&mut self, input: &mut Input) -> Step<usize> {
        input.skip_white()?;
        let length = self.skim.end(input.rest())?;
        self.skim = Skim::default();
        self.behind = Behind::Value;
        Ok(length)
    }

    fn close_answer(&mut self, _: &mut Input) -> Step<()> {
        Ok(())
    }

    fn note(&mut self, name: &str, value: Raw<'_>) -> Result<(), WireError> {
        if name == "error" {
            let texts: Texts = value.read()?;
            self.failure = Some(texts).filter(|texts| !texts.0.is_empty());
        }
        Ok(())
    }

    fn failure(&mut self) -> Result<Option<Failure>, WireError> {
        let Some(Texts(texts)) = self.failure.take() else {
            return Ok(None);
        };
        let mut texts = texts.into_iter();
        Ok(texts.next().map(|code| Failure::new(code, texts.collect())))
    }

    fn is_null(value: &str) -> bool {
        value == "null"
    }
}

fn misplaced(expected: &str) -> WireError {
    WireError::Json(format!("{expected} is missing"))
}
