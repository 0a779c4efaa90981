//! Finds the parts of an answer while it comes in.
//!
//! ```text
//!   {"jsonrpc":"2.0","result":{"OpaqueRef:a":{...},"OpaqueRef:b":{...}},"id":1}
//!    └ Key    Value            └ MemberKey  └ Member: one part each            └ Close
//! ```
//! Both wires have this form: a map of a few members, of which one is the result. How maps, names and values are written is the
//! [`Scan`]'s business; which of them are parts, and when, stands here.

use std::str::from_utf8;

use super::{Raw, Wire, WireError};
use crate::failure::Failure;

/// The longest part: of all that pools are known to hold, a VM's firmware variables and snapshot metadata are the longest.
const MAX_PART: usize = 16 << 20;
/// The longest that may stand between parts: names and punctuation, which are looked at from their beginning whenever more comes.
const MAX_STEP: usize = 64 << 10;
/// How deep values may be nested, each tag counting as a level.
pub(super) const MAX_DEPTH: usize = 100;

/// How a result is cut into the parts that are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all. The name of the part is empty.
    Whole,
    /// Into the members of a map: a listing.
    Members,
    /// Into the members of a map, and the set of this name into its items: the events of `event.from`.
    MembersAndItems(&'static str),
}

impl Cut {
    /// Tells whether the member of this name comes item by item.
    fn is_set(self, member: &str) -> bool {
        match self {
            Self::MembersAndItems(set) => set == member,
            Self::Whole | Self::Members => false,
        }
    }
}

/// Receives the parts with their names.
pub(crate) type Sink<'a> = dyn FnMut(&str, Raw<'_>) -> Result<(), WireError> + Send + 'a;

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes that decide it have yet to come.
    More,
    /// It cannot be made.
    Wrong(WireError),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Self::Wrong(error)
    }
}

/// A step over the bytes of an answer. One that stops for more is made again from the same place.
pub(super) type Step<T> = Result<T, Stop>;

/// How one wire writes answers.
pub(super) trait Scan: Default {
    /// Which wire.
    const WIRE: Wire;
    /// The member that holds the result.
    const RESULT: &'static str;
    /// Whether a success says that it is one, so that its result may be absent.
    const SAYS_SUCCESS: bool;

    /// Steps into the outermost map; says no if the answer is a bare value.
    fn open_answer(&mut self, input: &mut Input) -> Step<bool>;

    /// Steps into a map; says no, and makes no step, if here is something else.
    fn open_map(&mut self, input: &mut Input) -> Step<bool>;

    /// Steps over the name of the next member; `None` if it stepped out of the map instead.
    fn key(&mut self, input: &mut Input) -> Step<Option<String>>;

    /// Steps into a set; says no, and makes no step, if here is something else.
    fn open_set(&mut self, input: &mut Input) -> Step<bool>;

    /// Steps to the next item; says no if it stepped out of the set instead.
    fn item(&mut self, input: &mut Input) -> Step<bool>;

    /// Gives the length of the value that begins here.
    fn value(&mut self, input: &mut Input) -> Step<usize>;

    /// Steps over what follows the outermost map.
    fn close_answer(&mut self, input: &mut Input) -> Step<()>;

    /// Takes note of a member that is not the result.
    fn note(&mut self, name: &str, value: Raw<'_>) -> Result<(), WireError>;

    /// Gives the failure that the members told of, if they did.
    fn failure(&mut self) -> Result<Option<Failure>, WireError>;

    /// Tells whether this value of the result means that there is none.
    fn is_null(value: &str) -> bool;
}

/// The bytes that have come and were not stepped over.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    at: usize,
}

impl Input {
    fn push(&mut self, more: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    /// Steps over all but the last bytes.
    pub(super) fn leave(&mut self, count: usize) {
        self.advance(self.rest().len().saturating_sub(count));
    }

    /// Steps over white space; gives the byte behind it.
    pub(super) fn skip_white(&mut self) -> Step<u8> {
        let white = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.advance(white);
        self.rest().first().copied().ok_or(Stop::More)
    }

    fn head(&self, count: usize) -> Result<&str, WireError> {
        from_utf8(self.rest().get(..count).unwrap_or_default()).map_err(|_| WireError::Utf8)
    }
}

/// Where in an answer the next step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Bare,
    Key,
    Value,
    MemberKey,
    Member,
    Item,
    ItemValue,
    Close,
    End,
}

/// Cuts one answer into its parts.
#[derive(Debug)]
pub(super) struct Splitter<S> {
    scan: S,
    cut: Cut,
    input: Input,
    place: Place,
    /// Name of the member of the answer, and of the result, that the place is in.
    name: String,
    member: String,
    result: Came,
}

/// What came of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nothing,
    /// The word for nothing.
    Null,
    AsWanted,
    /// Something that cannot be cut.
    AsAnother,
}

impl<S: Scan> Splitter<S> {
    pub(super) fn new(cut: Cut) -> Self {
        Self {
            scan: S::default(),
            cut,
            input: Input::default(),
            place: Place::Start,
            name: String::new(),
            member: String::new(),
            result: Came::Nothing,
        }
    }

    /// Takes the next bytes, and hands out what they complete.
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), WireError> {
        self.input.push(bytes);
        loop {
            match self.step(sink) {
                Ok(()) => {}
                Err(Stop::More) => return self.check_size(),
                Err(Stop::Wrong(error)) => return Err(self.placed(error)),
            }
        }
    }

    /// Ends the answer; gives the failure if it was one.
    pub(super) fn finish(mut self, sink: &mut Sink<'_>) -> Result<Option<Failure>, WireError> {
        match self.place {
            Place::End => {}
            Place::Start if self.input.rest().is_empty() => return Err(WireError::Empty),
            Place::Start
            | Place::Bare
            | Place::Key
            | Place::Value
            | Place::MemberKey
            | Place::Member
            | Place::Item
            | Place::ItemValue
            | Place::Close => return Err(WireError::Truncated),
        }
        if let Some(failure) = self.scan.failure()? {
            return Ok(Some(failure));
        }
        match (self.result, self.cut) {
            (Came::AsWanted, _) => {}
            (Came::Nothing, _) if !S::SAYS_SUCCESS => return Err(WireError::Empty),
            // What a call without a result answers with.
            (Came::Nothing | Came::Null, Cut::Whole) => sink("", Raw::void(S::WIRE))?,
            (Came::Nothing | Came::Null | Came::AsAnother, _) => {
                return Err(WireError::Shape("it is no map of records"));
            }
        }
        Ok(None)
    }

    fn check_size(&self) -> Result<(), WireError> {
        let limit = match self.place {
            Place::Bare | Place::Value | Place::Member | Place::ItemValue => MAX_PART,
            Place::Start | Place::Key | Place::MemberKey | Place::Item | Place::Close | Place::End => MAX_STEP,
        };
        if self.input.rest().len() > limit {
            Err(WireError::TooBig(limit))
        } else {
            Ok(())
        }
    }

    fn step(&mut self, sink: &mut Sink<'_>) -> Step<()> {
        let Self { scan, input, .. } = self;
        self.place = match self.place {
            Place::Start if scan.open_answer(input)? => Place::Key,
            Place::Start => Place::Bare,
            Place::Bare => {
                self.whole_result(sink)?;
                Place::Close
            }
            Place::Key => match scan.key(input)? {
                Some(name) => {
                    self.name = name;
                    Place::Value
                }
                None => Place::Close,
            },
            Place::Value => self.answer_member(sink)?,
            Place::MemberKey => match scan.key(input)? {
                Some(member) => {
                    self.member = member;
                    Place::Member
                }
                None => Place::Key,
            },
            Place::Member if self.cut.is_set(&self.member) && scan.open_set(input)? => Place::Item,
            Place::Member => {
                self.hand_out(sink)?;
                Place::MemberKey
            }
            Place::Item if scan.item(input)? => Place::ItemValue,
            Place::Item => Place::MemberKey,
            Place::ItemValue => {
                self.hand_out(sink)?;
                Place::Item
            }
            Place::Close => {
                scan.close_answer(input)?;
                Place::End
            }
            Place::End => {
                input.skip_white()?;
                return Err(WireError::Trailing.into());
            }
        };
        Ok(())
    }

    /// Reads a member of the answer; gives where to go on.
    fn answer_member(&mut self, sink: &mut Sink<'_>) -> Step<Place> {
        let Self { scan, input, name, .. } = self;
        if name != S::RESULT {
            let length = scan.value(input)?;
            scan.note(name, Raw::new(S::WIRE, input.head(length)?))?;
            input.advance(length);
            return Ok(Place::Key);
        }
        if self.result != Came::Nothing {
            return Err(WireError::Shape("the answer holds two results").into());
        }
        if self.cut != Cut::Whole && scan.open_map(input)? {
            self.result = Came::AsWanted;
            return Ok(Place::MemberKey);
        }
        self.whole_result(sink)?;
        Ok(Place::Key)
    }

    /// Reads the result as one value.
    fn whole_result(&mut self, sink: &mut Sink<'_>) -> Step<()> {
        let Self { scan, input, .. } = self;
        let length = scan.value(input)?;
        let text = input.head(length)?;
        self.result = match self.cut {
            _ if S::is_null(text) => Came::Null,
            Cut::Whole => {
                sink("", Raw::new(S::WIRE, text))?;
                Came::AsWanted
            }
            Cut::Members | Cut::MembersAndItems(_) => Came::AsAnother,
        };
        input.advance(length);
        Ok(())
    }

    /// Hands out the value that begins here.
    fn hand_out(&mut self, sink: &mut Sink<'_>) -> Step<()> {
        let Self { scan, input, .. } = self;
        let length = scan.value(input)?;
        sink(&self.member, Raw::new(S::WIRE, input.head(length)?))?;
        input.advance(length);
        Ok(())
    }

    /// An error with the names that lead to where it is.
    fn placed(&self, error: WireError) -> WireError {
        let WireError::Name(inside) = &error else { return error };
        let outside = match self.place {
            Place::Start | Place::Bare | Place::Key | Place::Close | Place::End => vec![],
            Place::Value | Place::MemberKey => vec![self.name.as_str()],
            Place::Member | Place::Item | Place::ItemValue => vec![self.name.as_str(), self.member.as_str()],
        };
        let names = outside.into_iter().chain([inside.as_str()]);
        let path = names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/");
        WireError::Name(path.chars().take(300).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Scan, Splitter};
    use crate::wire::json::Json;
    use crate::wire::xml::Xml;

    const RECORDS: usize = 2000;
    const TEXT: usize = 3000;
    const PIECE: usize = 1000;

    /// The answer comes in pieces smaller than a record.
    fn check<S: Scan>(start: &str, record: &str, end: &str) {
        let answer = format!("{start}{}{end}", record.repeat(RECORDS));
        let mut splitter = Splitter::<S>::new(Cut::Members);
        let (mut count, mut most) = (0, 0);
        for piece in answer.as_bytes().chunks(PIECE) {
            let mut sink = |_: &str, _: crate::wire::Raw<'_>| {
                count += 1;
                Ok(())
            };
            splitter.push(piece, &mut sink).unwrap();
            most = most.max(splitter.input.bytes.capacity());
        }
        assert_eq!(splitter.finish(&mut |_, _| Ok(())), Ok(None));
        assert!(count >= RECORDS, "{count}");
        assert!(most < 3 * (TEXT + PIECE), "{most} bytes for records of {TEXT}");
    }

    #[test]
    fn an_answer_of_any_length_takes_the_memory_of_one_record() {
        let text = "x".repeat(TEXT);
        check::<Json>("{\"result\":{\"r\":{}", &format!(",\"r\":[\"{text}\"]"), "}}");
        check::<Xml>(
            "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
             <member><name>Value</name><value><struct>",
            &format!("<member><name>r</name><value>{text}</value></member>"),
            "</struct></value></member></struct></value></param></params></methodResponse>",
        );
    }
}
