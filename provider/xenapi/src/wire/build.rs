//! Builds values from XML events, without recursion and without building what nobody asked for.
//!
//! Every value has a role that follows from its place. A value with the role `Skip` is only followed to its end; records of a listing
//! and events are handed out one by one as they end, so that an answer of any length needs the memory of its largest record.

use quick_xml::events::{BytesRef, Event};

use super::frame::{Frame, Held, Role, Scalar};
use super::skip::{Skip, split_name};
use super::{Value, WireError};

/// Which parts of an answer are built.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// The whole value.
    Value,
    /// A record of which these fields are wanted.
    Record(&'static [&'static str]),
    /// A map of reference to record; the records are emitted.
    Records(&'static [&'static str]),
    /// The answer of `event.from`; the events are emitted, of their snapshots these fields are wanted.
    Events(Vec<&'static str>),
}

/// A part of an answer that is handed out before the answer ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Emitted {
    /// A record of a listing.
    Record(String, Value),
    /// An event.
    Event(Value),
}

/// What has to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An XML event.
    Event,
    /// The name of a member, letter by letter.
    Name,
    /// The rest of a value that nobody wants.
    Skip,
}

const MAX_DEPTH: usize = 100;
const MAX_RECORD: usize = 1 << 20;
const MAX_VALUE: usize = 8 << 20;
const NODE: usize = 32;

/// Consumes XML events; gives the root value at the end.
#[derive(Debug)]
pub(crate) struct Builder {
    shape: Shape,
    /// The wanted fields, in order.
    fields: Vec<&'static str>,
    stack: Vec<Frame>,
    skip: Option<Skip>,
    built: usize,
    root: Option<Value>,
    /// A name that is not needed any more: most names are those of fields that nobody wants.
    spare: String,
    is_fragment: bool,
    is_fault: bool,
}

impl Builder {
    /// Builds a whole answer.
    pub(crate) fn answer(shape: Shape) -> Self {
        let mut fields = match &shape {
            Shape::Value => Vec::new(),
            Shape::Record(fields) | Shape::Records(fields) => fields.to_vec(),
            Shape::Events(fields) => fields.clone(),
        };
        fields.sort_unstable();
        Self {
            shape,
            fields,
            stack: Vec::new(),
            skip: None,
            built: 0,
            root: None,
            spare: String::new(),
            is_fragment: false,
            is_fault: false,
        }
    }

    /// Builds a bare `<value>`.
    pub(crate) fn fragment() -> Self {
        Self {
            is_fragment: true,
            ..Self::answer(Shape::Value)
        }
    }

    /// Tells what to read next.
    pub(super) fn next(&self) -> Next {
        match self.stack.last() {
            _ if self.skip.is_some() => Next::Skip,
            Some(Frame::Name { text: None }) => Next::Name,
            Some(_) | None => Next::Event,
        }
    }

    /// Takes one event.
    pub(super) fn feed(&mut self, event: Event<'_>) -> Result<Option<Emitted>, WireError> {
        match event {
            Event::Start(start) => self.open(start.name().as_ref())?,
            Event::Empty(start) => {
                self.open(start.name().as_ref())?;
                return self.close(start.name().as_ref());
            }
            Event::End(end) => return self.close(end.name().as_ref()),
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(entity) => {
                let character = resolve(&entity)?;
                self.text(character.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(WireError::DocumentType),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(None)
    }

    /// Reads the name of a member and the beginning of its value, and gives what is left: everything, if they have not come yet.
    pub(super) fn name<'a>(&mut self, text: &'a str) -> Result<&'a str, WireError> {
        let Some((name, value)) = split_name(text).map_err(|error| self.placed(error))? else {
            return Ok(text);
        };
        if let Some(Frame::Name { text }) = self.stack.last_mut() {
            let mut owned = std::mem::take(&mut self.spare);
            owned.clear();
            owned.push_str(name);
            *text = Some(owned);
        }
        self.charge(name.len())?;
        self.close("name")?;
        let Some(behind) = value.strip_prefix("<value>") else {
            return Ok(value);
        };
        self.open("value")?;
        Ok(behind)
    }

    /// Reads on in a value that nobody wants, and gives what is left.
    pub(super) fn skip<'a>(&mut self, text: &'a str) -> Result<&'a str, WireError> {
        let Some(skip) = &mut self.skip else { return Ok(text) };
        let rest = skip.pass(text);
        if skip.is_over() {
            self.close("value")?;
        }
        rest.map_err(|error| self.placed(error))
    }

    /// Gives the root value once everything is closed.
    pub(crate) fn finish(self) -> Result<Value, WireError> {
        if !self.stack.is_empty() || self.skip.is_some() {
            return Err(WireError::Truncated);
        }
        let root = self.root.ok_or(WireError::Empty)?;
        if self.is_fault {
            return Err(WireError::Fault(format!("{root:?}").chars().take(300).collect()));
        }
        Ok(root)
    }

    fn placed(&self, error: WireError) -> WireError {
        match error {
            WireError::Name(_) => WireError::Name(self.place()),
            other => other,
        }
    }

    /// The names that lead to where the builder is.
    fn place(&self) -> String {
        let names = self.stack.iter().filter_map(|frame| match frame {
            Frame::Member { name, .. } => name.as_deref(),
            _ => None,
        });
        names.collect::<Vec<_>>().join("/").chars().take(300).collect()
    }

    fn open(&mut self, tag: &str) -> Result<(), WireError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(WireError::TooDeep(MAX_DEPTH));
        }
        let frame = self.frame(tag).ok_or_else(|| WireError::unexpected(tag))?;
        if let Frame::Value { role: Role::Skip, .. } = frame {
            self.skip = Some(Skip::new(MAX_DEPTH.saturating_sub(self.stack.len())));
            return Ok(());
        }
        self.is_fault |= frame.tag() == "fault";
        self.stack.push(frame);
        self.charge(NODE)
    }

    /// The element that a tag opens, if it may stand here.
    fn frame(&self, tag: &str) -> Option<Frame> {
        let mark = self.built;
        let envelope = |tag| Some(Frame::Envelope { tag });
        match (self.stack.last(), tag) {
            (None, _) if self.root.is_some() => None,
            (None, "value") if self.is_fragment => Some(Frame::value(Role::Keep, mark)),
            (None, "methodResponse") if !self.is_fragment => envelope("methodResponse"),
            (Some(Frame::Envelope { .. }), "params") => envelope("params"),
            (Some(Frame::Envelope { .. }), "param") => envelope("param"),
            (Some(Frame::Envelope { .. }), "fault") => envelope("fault"),
            (Some(Frame::Envelope { .. }), "value") if self.root.is_none() => {
                Some(Frame::value(if self.is_fault { Role::Keep } else { Role::Root }, mark))
            }
            (Some(Frame::Value { role, built: None, .. }), "struct") => Some(Frame::Struct {
                role: *role,
                members: Vec::new(),
            }),
            (Some(Frame::Value { role, built: None, .. }), "array") => Some(Frame::Array {
                role: *role,
                items: Vec::new(),
            }),
            (Some(Frame::Value { built: None, .. }), scalar) => Scalar::of(scalar).map(|scalar| Frame::Scalar {
                scalar,
                text: String::new(),
            }),
            (Some(Frame::Struct { role, .. }), "member") => Some(Frame::Member {
                role: *role,
                mark,
                name: None,
                value: Held::Awaited,
            }),
            (Some(Frame::Member { name: None, .. }), "name") => Some(Frame::Name { text: None }),
            (
                Some(Frame::Member {
                    role,
                    name: Some(name),
                    value: Held::Awaited,
                    ..
                }),
                "value",
            ) => Some(Frame::value(self.member_role(*role, name), mark)),
            (Some(Frame::Array { .. }), "data") => Some(Frame::Data),
            (Some(Frame::Data), "value") => Some(Frame::value(self.item_role(), mark)),
            (None | Some(_), _) => None,
        }
    }

    fn member_role(&self, parent: Role, name: &str) -> Role {
        let keep_if = |is_wanted| if is_wanted { Role::Keep } else { Role::Skip };
        match (parent, &self.shape) {
            (Role::Root, Shape::Value) if name == "Value" => Role::Keep,
            (Role::Root, Shape::Record(_)) if name == "Value" => Role::Record,
            (Role::Root, Shape::Records(_)) if name == "Value" => Role::RecordMap,
            (Role::Root, Shape::Events(_)) if name == "Value" => Role::EventAnswer,
            (Role::Root, _) => keep_if(matches!(name, "Status" | "ErrorDescription")),
            (Role::Record | Role::ListedRecord | Role::Snapshot, _) => {
                keep_if(self.fields.binary_search(&name).is_ok())
            }
            (Role::RecordMap, _) => Role::ListedRecord,
            (Role::EventAnswer, _) if name == "events" => Role::EventList,
            (Role::Event, _) if name == "snapshot" => Role::Snapshot,
            (Role::Skip, _) => Role::Skip,
            (Role::Keep | Role::EventAnswer | Role::EventList | Role::Event, _) => Role::Keep,
        }
    }

    fn item_role(&self) -> Role {
        match self.stack.iter().rev().nth(1) {
            Some(Frame::Array {
                role: Role::EventList, ..
            }) => Role::Event,
            Some(_) | None => Role::Keep,
        }
    }

    fn text(&mut self, text: &str) -> Result<(), WireError> {
        match self.stack.last_mut() {
            Some(
                Frame::Value {
                    text: sofar,
                    built: None,
                    ..
                }
                | Frame::Scalar { text: sofar, .. },
            ) => sofar.push_str(text),
            Some(_) | None if text.trim_ascii().is_empty() => return Ok(()),
            Some(_) | None => return Err(WireError::StrayText),
        }
        self.charge(text.len())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), WireError> {
        self.built = self.built.saturating_add(bytes);
        let limit = match self.shape {
            Shape::Value => MAX_VALUE,
            Shape::Record(_) | Shape::Records(_) | Shape::Events(_) => MAX_RECORD,
        };
        if self.built > limit {
            Err(WireError::TooBig(limit))
        } else {
            Ok(())
        }
    }

    fn close(&mut self, tag: &str) -> Result<Option<Emitted>, WireError> {
        if self.skip.take().is_some() {
            self.hold(Held::Gone);
            return Ok(None);
        }
        let Some(frame) = self.stack.pop_if(|frame| frame.tag() == tag) else {
            return Err(match tag {
                "name" => WireError::Name(self.place()),
                _ => WireError::unexpected(&format!("/{tag}")),
            });
        };
        match frame {
            Frame::Scalar { scalar, text } => self.fill(scalar.parse(text)?),
            Frame::Struct { members, .. } => self.fill(Value::Struct(members)),
            Frame::Array { items, .. } => self.fill(Value::Array(items)),
            Frame::Name { text } => {
                if let Some(Frame::Member { name, .. }) = self.stack.last_mut() {
                    *name = Some(text.unwrap_or_default());
                }
            }
            Frame::Member { name, value, .. } => match (name, value, self.stack.last_mut()) {
                (Some(name), Held::There(value), Some(Frame::Struct { members, .. })) => members.push((name, value)),
                (Some(name), Held::Gone, _) => self.spare = name,
                (_, _, _) => {}
            },
            Frame::Value {
                role,
                mark,
                text,
                built,
            } => {
                if built.is_some() && !text.trim().is_empty() {
                    return Err(WireError::StrayText);
                }
                return Ok(self.attach(role, mark, built.unwrap_or(Value::Text(text))));
            }
            Frame::Envelope { .. } | Frame::Data => {}
        }
        Ok(None)
    }

    /// Puts the content into the open `<value>`.
    fn fill(&mut self, content: Value) {
        if let Some(Frame::Value { built, .. }) = self.stack.last_mut() {
            *built = Some(content);
        }
    }

    /// Puts the value into the open `<member>`.
    fn hold(&mut self, held: Held) {
        if let Some(Frame::Member { value, .. }) = self.stack.last_mut() {
            *value = held;
        }
    }

    /// Puts a finished value where it belongs, or hands it out.
    fn attach(&mut self, role: Role, mark: usize, value: Value) -> Option<Emitted> {
        if role == Role::Event {
            self.built = mark;
            return Some(Emitted::Event(value));
        }
        let depth = self.stack.len();
        match self.stack.last_mut() {
            Some(Frame::Member {
                name: Some(name),
                mark,
                value: held,
                ..
            }) if role == Role::ListedRecord => {
                self.built = *mark;
                *held = Held::Gone;
                return Some(Emitted::Record(std::mem::take(name), value));
            }
            Some(Frame::Member { .. }) => self.hold(Held::There(value)),
            Some(Frame::Data) => {
                if let Some(Frame::Array { items, .. }) = depth.checked_sub(2).and_then(|at| self.stack.get_mut(at)) {
                    items.push(value);
                }
            }
            Some(_) | None => self.root = Some(value),
        }
        None
    }
}

/// Resolves the five entities of XML and character references; nothing else, so nothing can expand.
fn resolve(entity: &BytesRef<'_>) -> Result<char, WireError> {
    let name = entity.xml10_content();
    let refused = || WireError::Entity(name.chars().take(100).collect());
    match name.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => match entity.resolve_char_ref() {
            Ok(Some(character)) => Ok(character),
            Ok(None) | Err(_) => Err(refused()),
        },
    }
}
