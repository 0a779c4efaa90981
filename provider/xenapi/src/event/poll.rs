//! One call of `event.from`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Error as _, IgnoredAny, MapAccess};

use super::{Change, ChangeOp, Delta, EventClass, Token};
use crate::error::{Error, ErrorKind, Outcome};
use crate::record::decode_member;
use crate::retry::Caller;
use crate::session::Session;
use crate::transport::{Call, Collect, Repeat};
use crate::wire::{As, Cut, FromWire, Name, Raw, Value, WireError};

const METHOD: &str = "event.from";
/// Beyond the waiting time, for the way there and back and for a large answer.
const SLACK: Duration = Duration::from_secs(30);

/// What a record that cannot be decoded means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The answer is worth nothing.
    Fatal,
    /// The reader of that one object reads it by itself.
    Left,
}

/// Reads from a token on, or everything, on whatever session there is.
pub(super) async fn read_all(caller: &Caller, pool: &str, classes: &[EventClass]) -> Result<Delta, Error> {
    let mut gathered = Gathered::new(Broken::Fatal);
    let call = call(names(classes), "", Duration::ZERO);
    let generation = caller.call_on(call, &mut gathered).await?;
    gathered.delta(pool, generation)
}

/// Reads from a token on, on exactly this session, waiting for something to happen.
pub(super) async fn read_on(
    caller: &Caller,
    pool: &str,
    session: &Session,
    subscriptions: Vec<String>,
    token: &str,
    wait: Duration,
) -> Result<Delta, Error> {
    let mut gathered = Gathered::of_watcher();
    let call = call(subscriptions, token, wait);
    caller.once(session, &call, &mut gathered).await?;
    gathered.delta(pool, session.generation)
}

/// How whole classes are asked for.
pub(super) fn names<'a>(classes: impl IntoIterator<Item = &'a EventClass>) -> Vec<String> {
    let names = classes.into_iter().map(|class| class.as_str().to_owned());
    names.collect()
}

fn call(subscriptions: Vec<String>, token: &str, wait: Duration) -> Call {
    Call {
        method: METHOD,
        params: vec![
            Value::set(subscriptions.iter().map(String::as_str)),
            Value::text(token),
            Value::seconds(wait),
        ],
        limit: wait + SLACK,
        repeat: Repeat::Idempotent,
        object: None,
    }
}

/// What came of an answer.
pub(crate) struct Gathered {
    changes: Vec<Change>,
    token: String,
    counts: BTreeMap<String, i64>,
    broken: Broken,
}

impl Gathered {
    fn new(broken: Broken) -> Self {
        Self {
            changes: Vec::new(),
            token: String::new(),
            counts: BTreeMap::new(),
            broken,
        }
    }

    /// As the watcher gathers: one broken record spoils nothing else.
    pub(crate) fn of_watcher() -> Self {
        Self::new(Broken::Left)
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    fn delta(self, pool: &str, generation: u64) -> Result<Delta, Error> {
        if self.token.is_empty() {
            let kind = ErrorKind::Malformed("the answer holds no token".to_owned());
            return Err(Error::new(kind, Outcome::Rejected, pool, METHOD));
        }
        Ok(Delta {
            changes: self.changes,
            token: Token {
                text: Arc::from(self.token),
                generation,
            },
            counts: self.counts,
        })
    }
}

impl Collect for Gathered {
    fn cut(&self) -> Cut {
        Cut::MembersAndItems("events")
    }

    fn restart(&mut self) -> bool {
        *self = Self::new(self.broken);
        true
    }

    fn take(&mut self, name: &str, part: Raw<'_>) -> Result<(), WireError> {
        match name {
            "events" => self.changes.extend(change(part, self.broken)?),
            "token" => self.token = part.read()?,
            "valid_ref_counts" => {
                let counts: BTreeMap<String, i64> = part.read()?;
                let lower = counts
                    .into_iter()
                    .map(|(class, count)| (class.to_ascii_lowercase(), count));
                self.counts = lower.collect();
            }
            _ => {}
        }
        Ok(())
    }
}

/// An event without its snapshot.
struct Head {
    class: String,
    object: String,
    op: ChangeOp,
}

impl FromWire for Head {
    const EXPECTED: &'static str = "event";

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let (mut class, mut object, mut op) = (None, None, None);
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "class" => once(&mut class, members.next_value_seed(As::new())?)?,
                "ref" => once(&mut object, members.next_value_seed(As::new())?)?,
                "operation" => once(&mut op, members.next_value_seed(As::new())?)?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (class, object, op) {
            (Some(class), Some(object), Some(op)) => Ok(Self { class, object, op }),
            (_, _, _) => Err(A::Error::custom("a member is missing")),
        }
    }
}

fn once<T, E: serde::de::Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a member stands twice")),
    }
}

impl FromWire for ChangeOp {
    const EXPECTED: &'static str = "operation";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "add" => Some(Self::Add),
            "mod" => Some(Self::Mod),
            "del" => Some(Self::Del),
            _ => None,
        }
    }
}

/// Reads one event; those of classes that were not asked for are left out. The snapshot is read last, wherever it stands: what it is
/// a record of, and whether it matters that it cannot be read, is known then.
fn change(event: Raw<'_>, broken: Broken) -> Result<Option<Change>, WireError> {
    let Head { class, object, op } = event.read()?;
    let Some(class) = EventClass::parse(&class) else {
        return Ok(None);
    };
    let record = match op {
        ChangeOp::Del => None,
        ChangeOp::Add | ChangeOp::Mod => match decode_member(class, &object, event, "snapshot") {
            Ok(record) => record,
            Err(_) if broken == Broken::Left => None,
            Err(error) => return Err(error),
        },
    };
    Ok(Some(Change {
        class,
        op,
        object,
        record,
    }))
}
