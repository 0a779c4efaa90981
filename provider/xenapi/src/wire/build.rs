//! Builds values from XML events, without recursion and without building what nobody asked for.
//!
//! Every value has a role that follows from its place. A value with the role `Skip` only has its tags counted; records of a listing
//! and events are handed out one by one as they end, so that an answer of any length needs the memory of its largest record.

use quick_xml::events::Event;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Root,
    Keep,
    Record,
    RecordMap,
    ListedRecord,
    EventAnswer,
    EventList,
    Event,
    Snapshot,
    Skip,
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Text,
    Int,
    Bool,
    Float,
    Time,
    Nil,
}

#[derive(Debug)]
enum Frame {
    Envelope,
    Value {
        role: Role,
        mark: usize,
        text: String,
        built: Option<Value>,
    },
    Scalar {
        tag: Tag,
        text: String,
    },
    Struct {
        role: Role,
        members: Vec<(String, Value)>,
    },
    Member {
        role: Role,
        mark: usize,
        name: Option<String>,
        value: Option<Value>,
    },
    Name {
        text: String,
    },
    Array {
        role: Role,
        items: Vec<Value>,
    },
    Data,
}

const MAX_DEPTH: usize = 100;
const MAX_RECORD: usize = 1 << 20;
const MAX_VALUE: usize = 8 << 20;
const NODE: usize = 32;

/// Consumes XML events; gives the root value at the end.
#[derive(Debug)]
pub(crate) struct Builder {
    shape: Shape,
    stack: Vec<Frame>,
    skipping: usize,
    built: usize,
    root: Option<Value>,
    is_fragment: bool,
    is_fault: bool,
}

impl Builder {
    /// Builds a whole answer.
    pub(crate) fn answer(shape: Shape) -> Self {
        Self {
            shape,
            stack: Vec::new(),
            skipping: 0,
            built: 0,
            root: None,
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

    /// Takes one event.
    pub(crate) fn feed(&mut self, event: Event<'_>) -> Result<Option<Emitted>, WireError> {
        match event {
            Event::Start(start) => self.open(start.name().as_ref())?,
            Event::Empty(start) => {
                self.open(start.name().as_ref())?;
                return self.close();
            }
            Event::End(_) => return self.close(),
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(entity) => {
                if self.skipping == 0 {
                    let character = resolve(&entity)?;
                    self.text(character.encode_utf8(&mut [0; 4]))?;
                }
            }
            Event::DocType(_) => return Err(WireError::DocumentType),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(None)
    }

    /// Gives the root value once everything is closed.
    pub(crate) fn finish(self) -> Result<Value, WireError> {
        if !self.stack.is_empty() || self.skipping > 0 {
            return Err(WireError::Truncated);
        }
        let root = self.root.ok_or(WireError::Empty)?;
        if self.is_fault {
            return Err(WireError::Fault(format!("{root:?}").chars().take(300).collect()));
        }
        Ok(root)
    }

    fn open(&mut self, tag: &str) -> Result<(), WireError> {
        if self.stack.len() + self.skipping >= MAX_DEPTH {
            return Err(WireError::TooDeep(MAX_DEPTH));
        }
        if self.skipping > 0 {
            self.skipping += 1;
            return Ok(());
        }
        let mark = self.built;
        let unexpected = || WireError::Unexpected(tag.chars().take(100).collect());
        let frame = match self.stack.last() {
            None if self.root.is_some() => return Err(unexpected()),
            None if self.is_fragment && tag == "value" => Self::value(Role::Keep, mark),
            None if !self.is_fragment && tag == "methodResponse" => Frame::Envelope,
            Some(Frame::Envelope) if matches!(tag, "params" | "param") => Frame::Envelope,
            Some(Frame::Envelope) if tag == "fault" => {
                self.is_fault = true;
                Frame::Envelope
            }
            Some(Frame::Envelope) if tag == "value" && self.root.is_none() => {
                Self::value(if self.is_fault { Role::Keep } else { Role::Root }, mark)
            }
            Some(Frame::Value { role, built: None, .. }) => match tag {
                "struct" => Frame::Struct {
                    role: *role,
                    members: Vec::new(),
                },
                "array" => Frame::Array {
                    role: *role,
                    items: Vec::new(),
                },
                scalar => Frame::Scalar {
                    tag: scalar_tag(scalar).ok_or_else(unexpected)?,
                    text: String::new(),
                },
            },
            Some(Frame::Struct { role, .. }) if tag == "member" => Frame::Member {
                role: *role,
                mark,
                name: None,
                value: None,
            },
            Some(Frame::Member { name: None, .. }) if tag == "name" => Frame::Name { text: String::new() },
            Some(Frame::Member {
                role,
                name: Some(name),
                value: None,
                ..
            }) if tag == "value" => Self::value(self.member_role(*role, name), mark),
            Some(Frame::Array { .. }) if tag == "data" => Frame::Data,
            Some(Frame::Data) if tag == "value" => Self::value(self.item_role(), mark),
            None | Some(_) => return Err(unexpected()),
        };
        if let Frame::Value { role: Role::Skip, .. } = frame {
            self.skipping = 1;
            return Ok(());
        }
        self.stack.push(frame);
        self.charge(NODE)
    }

    fn value(role: Role, mark: usize) -> Frame {
        Frame::Value {
            role,
            mark,
            text: String::new(),
            built: None,
        }
    }

    fn member_role(&self, parent: Role, name: &str) -> Role {
        let wanted = |fields: &[&str]| if fields.contains(&name) { Role::Keep } else { Role::Skip };
        match (parent, &self.shape) {
            (Role::Root, Shape::Value) if name == "Value" => Role::Keep,
            (Role::Root, Shape::Record(_)) if name == "Value" => Role::Record,
            (Role::Root, Shape::Records(_)) if name == "Value" => Role::RecordMap,
            (Role::Root, Shape::Events(_)) if name == "Value" => Role::EventAnswer,
            (Role::Root, _) => wanted(&["Status", "ErrorDescription"]),
            (Role::Record | Role::ListedRecord, Shape::Record(fields) | Shape::Records(fields)) => wanted(fields),
            (Role::Snapshot, Shape::Events(fields)) => wanted(fields),
            (Role::RecordMap, _) => Role::ListedRecord,
            (Role::EventAnswer, _) if name == "events" => Role::EventList,
            (Role::Event, _) if name == "snapshot" => Role::Snapshot,
            (Role::Skip, _) => Role::Skip,
            (
                Role::Keep
                | Role::Record
                | Role::ListedRecord
                | Role::Snapshot
                | Role::EventAnswer
                | Role::EventList
                | Role::Event,
                Shape::Value | Shape::Record(_) | Shape::Records(_) | Shape::Events(_),
            ) => Role::Keep,
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
        if self.skipping > 0 {
            return Ok(());
        }
        let is_blank = text.bytes().all(|b| b.is_ascii_whitespace());
        match self.stack.last_mut() {
            Some(
                Frame::Value {
                    text: sofar,
                    built: None,
                    ..
                }
                | Frame::Scalar { text: sofar, .. }
                | Frame::Name { text: sofar },
            ) => sofar.push_str(text),
            Some(_) | None if is_blank => return Ok(()),
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

    fn close(&mut self) -> Result<Option<Emitted>, WireError> {
        if self.skipping > 0 {
            self.skipping -= 1;
            return Ok(None);
        }
        match self.stack.pop() {
            Some(Frame::Scalar { tag, text }) => self.fill(scalar(tag, text)?),
            Some(Frame::Struct { members, .. }) => self.fill(Value::Struct(members)),
            Some(Frame::Array { items, .. }) => self.fill(Value::Array(items)),
            Some(Frame::Name { text }) => {
                if let Some(Frame::Member { name, .. }) = self.stack.last_mut() {
                    *name = Some(text);
                }
            }
            Some(Frame::Member { name, value, .. }) => {
                if let (Some(name), Some(value), Some(Frame::Struct { members, .. })) =
                    (name, value, self.stack.last_mut())
                {
                    members.push((name, value));
                }
            }
            Some(Frame::Value {
                role,
                mark,
                text,
                built,
            }) => {
                if built.is_some() && !text.trim().is_empty() {
                    return Err(WireError::StrayText);
                }
                return Ok(self.attach(role, mark, built.unwrap_or(Value::Text(text))));
            }
            Some(Frame::Envelope | Frame::Data) | None => {}
        }
        Ok(None)
    }

    /// Puts the content into the open `<value>`.
    fn fill(&mut self, content: Value) {
        if let Some(Frame::Value { built, .. }) = self.stack.last_mut() {
            *built = Some(content);
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
                name: Some(name), mark, ..
            }) if role == Role::ListedRecord => {
                self.built = *mark;
                return Some(Emitted::Record(std::mem::take(name), value));
            }
            Some(Frame::Member { value: place, .. }) => *place = Some(value),
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

fn scalar_tag(tag: &str) -> Option<Tag> {
    match tag {
        "string" => Some(Tag::Text),
        "int" | "i4" | "i8" => Some(Tag::Int),
        "boolean" => Some(Tag::Bool),
        "double" => Some(Tag::Float),
        "dateTime.iso8601" => Some(Tag::Time),
        "nil" => Some(Tag::Nil),
        _ => None,
    }
}

fn scalar(tag: Tag, text: String) -> Result<Value, WireError> {
    let trimmed = text.trim();
    let wrong = |expected| WireError::Literal {
        expected,
        text: trimmed.chars().take(100).collect(),
    };
    match tag {
        Tag::Text => Ok(Value::Text(text)),
        Tag::Int => trimmed.parse().map(Value::Int).map_err(|_| wrong("whole number")),
        Tag::Bool => match trimmed {
            "1" | "true" => Ok(Value::Bool(true)),
            "0" | "false" => Ok(Value::Bool(false)),
            _ => Err(wrong("flag")),
        },
        Tag::Float => trimmed.parse().map(Value::Float).map_err(|_| wrong("number")),
        Tag::Time => Ok(Value::Time(text)),
        Tag::Nil => Ok(Value::Text(String::new())),
    }
}

/// Resolves the five entities of XML and character references; nothing else, so nothing can expand.
fn resolve(entity: &quick_xml::events::BytesRef<'_>) -> Result<char, WireError> {
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
