//! Where the values of an answer end.

use std::str::from_utf8;

use super::tags::{MAX_GAP, place, split_name, split_name_from, split_tag, unexpected};
use crate::failure::Failure;
use crate::wire::split::{Input, MAX_DEPTH, Scan, Step, Stop};
use crate::wire::{Raw, Texts, Wire, WireError};

/// Finds where values end by their tags alone. Whether what stands between them is right is seen when it is decoded.
#[derive(Debug, Default)]
pub(in crate::wire) struct Xml {
    /// A value stands before: the end of its member may follow.
    is_behind_value: bool,
    /// The map or set that was stepped into had no content, and has been stepped over.
    is_empty: bool,
    is_bare: bool,
    skim: Skim,
    status: Option<String>,
    description: Option<Texts>,
}

/// How much of a value has been looked at, and how many elements are open there.
#[derive(Debug, Default)]
pub(super) struct Skim {
    length: usize,
    depth: usize,
    /// How much has been looked at of the name that begins there, whose end has yet to come.
    name: Option<usize>,
}

impl Skim {
    /// Looks at more of a value; gives its length once its end has come. What was looked at is not looked at again, however long
    /// a text or a name is.
    pub(super) fn end(&mut self, text: &[u8]) -> Step<usize> {
        loop {
            let rest = text.get(self.length..).unwrap_or_default();
            if let Some(looked) = &mut self.name {
                let value = split_name_from(rest, looked).map(|(_, value)| value.len());
                self.length = text.len() - value.map_err(|stop| self.placed(stop, text))?;
                self.name = None;
                continue;
            }
            let Some(start) = rest.iter().position(|byte| *byte == b'<') else {
                self.length = text.len();
                return Err(Stop::More);
            };
            self.length += start;
            let (_, tag, behind) = match split_tag(rest.get(start..).unwrap_or_default()) {
                Ok((_, tag, _)) if tag.len() > MAX_GAP => return Err(WireError::StrayText.into()),
                Err(Stop::More) if rest.len() - start > MAX_GAP => return Err(WireError::StrayText.into()),
                tag => tag?,
            };
            match tag {
                b"name" => self.name = Some(0),
                b"/name" => return Err(self.placed(WireError::Name(String::new()).into(), text)),
                [b'!' | b'?', ..] => return Err(unexpected(tag).into()),
                [b'/', ..] => self.depth = self.depth.checked_sub(1).ok_or_else(|| unexpected(tag))?,
                [.., b'/'] => {}
                _ if self.depth >= MAX_DEPTH => return Err(WireError::TooDeep(MAX_DEPTH).into()),
                _ => self.depth += 1,
            }
            self.length = text.len() - behind.len();
            if self.depth == 0 && self.name.is_none() {
                return Ok(self.length);
            }
        }
    }

    fn placed(&self, stop: Stop, text: &[u8]) -> Stop {
        match stop {
            Stop::Wrong(WireError::Name(_)) => {
                WireError::Name(place(text.get(..self.length).unwrap_or_default())).into()
            }
            Stop::Wrong(_) | Stop::More => stop,
        }
    }
}

/// Checks that a text is one value and no deeper than allowed.
pub(in crate::wire) fn check(text: &str) -> Result<(), WireError> {
    match Skim::default().end(text.as_bytes()) {
        Ok(length) if length == text.len() => Ok(()),
        Ok(_) => Err(WireError::Trailing),
        Err(Stop::More) => Err(WireError::Truncated),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Several tags that are stepped over together or not at all.
struct Steps<'a> {
    rest: &'a [u8],
}

impl<'a> Steps<'a> {
    /// Steps over the next tag.
    fn tag(&mut self) -> Step<&'a [u8]> {
        let rest = self.rest.trim_ascii_start();
        match rest.first() {
            None => return Err(Stop::More),
            Some(b'<') => {}
            Some(_) => return Err(WireError::StrayText.into()),
        }
        let (_, tag, behind) = split_tag(rest)?;
        self.rest = behind;
        Ok(tag)
    }

    /// Steps over these tags.
    fn tags(&mut self, expected: &[&str]) -> Step<()> {
        for name in expected {
            let tag = self.tag()?;
            if tag != name.as_bytes() {
                return Err(unexpected(tag).into());
            }
        }
        Ok(())
    }

    /// Steps over declarations and comments before the answer.
    fn prolog(&mut self) -> Step<()> {
        loop {
            let rest = self.rest.trim_ascii_start();
            let end: &[u8] = match rest {
                [b'<', b'?', ..] => b"?>",
                [b'<', b'!', b'-', b'-', ..] => b"-->",
                [b'<', b'!', b'-'] | [b'<', b'!'] | [b'<'] | [] => return Err(Stop::More),
                [b'<', b'!', ..] => return Err(WireError::DocumentType.into()),
                _ => return Ok(()),
            };
            let at = rest
                .windows(end.len())
                .position(|bytes| bytes == end)
                .ok_or(Stop::More)?;
            self.rest = rest.get(at + end.len()..).unwrap_or_default();
        }
    }
}

impl Xml {
    /// Steps into a container, or over it if it has no content; says no, and makes no step, if here is something else.
    fn open(&mut self, steps: &mut Steps<'_>, name: &str, inside: &[&str]) -> Step<bool> {
        let mut ahead = Steps { rest: steps.rest };
        if ahead.tag()? != b"value" {
            return Ok(false);
        }
        let tag = match ahead.rest.trim_ascii_start().first() {
            Some(b'<') => ahead.tag()?,
            Some(_) => return Ok(false),
            None => return Err(Stop::More),
        };
        if tag == name.as_bytes() {
            ahead.tags(inside)?;
            self.is_behind_value = false;
        } else if tag.strip_suffix(b"/").is_some_and(|tag| tag == name.as_bytes()) {
            ahead.tags(&["/value"])?;
            self.is_empty = true;
        } else {
            return Ok(false);
        }
        steps.rest = ahead.rest;
        Ok(true)
    }
}

impl Scan for Xml {
    const WIRE: Wire = Wire::Xml;
    const RESULT: &'static str = "Value";
    const SAYS_SUCCESS: bool = true;

    fn open_answer(&mut self, input: &mut Input) -> Step<bool> {
        let mut steps = Steps { rest: input.rest() };
        steps.prolog()?;
        steps.tags(&["methodResponse"])?;
        match steps.tag()? {
            b"params" => {}
            b"fault" => return Err(WireError::Fault.into()),
            tag => return Err(unexpected(tag).into()),
        }
        steps.tags(&["param"])?;
        self.is_bare = !self.open(&mut steps, "struct", &[])?;
        input.leave(steps.rest.len());
        Ok(!self.is_bare)
    }

    fn open_map(&mut self, input: &mut Input) -> Step<bool> {
        let mut steps = Steps { rest: input.rest() };
        let is_here = self.open(&mut steps, "struct", &[])?;
        input.leave(steps.rest.len());
        Ok(is_here)
    }

    fn key(&mut self, input: &mut Input) -> Step<Option<String>> {
        if std::mem::take(&mut self.is_empty) {
            self.is_behind_value = true;
            return Ok(None);
        }
        let mut steps = Steps { rest: input.rest() };
        if self.is_behind_value {
            steps.tags(&["/member"])?;
        }
        let name = match steps.tag()? {
            b"member" => {
                steps.tags(&["name"])?;
                let (name, value) = split_name(steps.rest)?;
                steps.rest = value;
                Some(from_utf8(name).map_err(|_| WireError::Utf8)?.to_owned())
            }
            b"/struct" => {
                steps.tags(&["/value"])?;
                None
            }
            tag => return Err(unexpected(tag).into()),
        };
        self.is_behind_value = name.is_none();
        input.leave(steps.rest.len());
        Ok(name)
    }

    fn open_set(&mut self, input: &mut Input) -> Step<bool> {
        let mut steps = Steps { rest: input.rest() };
        let is_here = self.open(&mut steps, "array", &["data"])?;
        input.leave(steps.rest.len());
        Ok(is_here)
    }

    fn item(&mut self, input: &mut Input) -> Step<bool> {
        if std::mem::take(&mut self.is_empty) {
            self.is_behind_value = true;
            return Ok(false);
        }
        let mut steps = Steps { rest: input.rest() };
        if steps.tag()? != b"/data" {
            return Ok(true);
        }
        steps.tags(&["/array", "/value"])?;
        self.is_behind_value = true;
        input.leave(steps.rest.len());
        Ok(false)
    }

    fn value(&mut self, input: &mut Input) -> Step<usize> {
        if input.skip_white()? != b'<' {
            return Err(WireError::StrayText.into());
        }
        let length = self.skim.end(input.rest())?;
        self.skim = Skim::default();
        self.is_behind_value = true;
        Ok(length)
    }

    fn close_answer(&mut self, input: &mut Input) -> Step<()> {
        let mut steps = Steps { rest: input.rest() };
        steps.tags(&["/param", "/params", "/methodResponse"])?;
        input.leave(steps.rest.len());
        Ok(())
    }

    fn note(&mut self, name: &str, value: Raw<'_>) -> Result<(), WireError> {
        match name {
            "Status" => self.status = Some(value.read()?),
            "ErrorDescription" => self.description = Some(value.read()?),
            _ => {}
        }
        Ok(())
    }

    fn failure(&mut self) -> Result<Option<Failure>, WireError> {
        // One method answers without a status, and with nothing around its result.
        match self.status.take().as_deref() {
            Some("Success") => return Ok(None),
            None if self.is_bare => return Ok(None),
            Some(_) => {}
            None => return Err(WireError::Shape("the answer has no status")),
        }
        let Some(Texts(texts)) = self.description.take() else {
            return Err(WireError::Shape("the failure has no description"));
        };
        let mut texts = texts.into_iter();
        let code = texts.next().ok_or(WireError::Shape("the failure has no code"))?;
        Ok(Some(Failure::new(code, texts.collect())))
    }

    fn is_null(_: &str) -> bool {
        false
    }
}
