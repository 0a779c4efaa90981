//! Events: what changed in the pool.
//!
//! `event.from` tells the latest state of each object that changed since a token, not a log of what happened. One long poll serves
//! the whole process ([`Watcher`]); the same call with no waiting reads all objects of some classes at once ([`Snapshot`]).

mod mailbox;
mod points;
mod poll;
mod tempo;
mod watcher;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::mailbox::{Haste, Hurry, Interest, Loss, Notice, Subscription};
pub(crate) use self::poll::Gathered;
pub use self::watcher::Watcher;

use crate::record::{Class, Record};
use crate::reference::Ref;

/// Classes whose events are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the class it is named for")]
pub enum EventClass {
    Pool,
    Vm,
    VmMetrics,
    VmGuestMetrics,
    Host,
    HostMetrics,
    Sr,
    Pbd,
    Network,
    Pif,
    Vbd,
    Vif,
    Vdi,
    Task,
}

const CLASSES: &[(EventClass, &str)] = &[
    (EventClass::Pool, "pool"),
    (EventClass::Vm, "vm"),
    (EventClass::VmMetrics, "vm_metrics"),
    (EventClass::VmGuestMetrics, "vm_guest_metrics"),
    (EventClass::Host, "host"),
    (EventClass::HostMetrics, "host_metrics"),
    (EventClass::Sr, "sr"),
    (EventClass::Pbd, "pbd"),
    (EventClass::Network, "network"),
    (EventClass::Pif, "pif"),
    (EventClass::Vbd, "vbd"),
    (EventClass::Vif, "vif"),
    (EventClass::Vdi, "vdi"),
    (EventClass::Task, "task"),
];

impl EventClass {
    /// Gives the name in subscriptions, events and counts: lower case.
    pub fn as_str(self) -> &'static str {
        CLASSES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    fn parse(text: &str) -> Option<Self> {
        CLASSES
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(text))
            .map(|row| row.0)
    }
}

impl fmt::Display for EventClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// It is new, or new to this reader.
    Add,
    /// It changed.
    Mod,
    /// It is gone.
    Del,
}

/// The latest state of an object that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its class.
    pub class: EventClass,
    /// What happened.
    pub op: ChangeOp,
    /// Its reference as text; [`Change::of`] gives it with its type.
    pub object: String,
    /// Its record; `None` when it is gone, or when the record could not be decoded and must be read by itself.
    pub record: Option<Record>,
}

impl Change {
    /// Gives reference and record if the object is of class `C`.
    pub fn of<C: Class>(&self) -> Option<(Ref<C>, Option<&C::Record>)> {
        (self.class == C::EVENT).then(|| (Ref::new(&self.object), self.record.as_ref().and_then(C::of)))
    }
}

/// A point in the pool's history of changes, within one session.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: Arc<str>,
    generation: u64,
}

impl Token {
    pub(crate) fn new(text: Arc<str>, generation: u64) -> Self {
        Self { text, generation }
    }

    /// Says whether this point lies after another one of the same session. Tokens are numbers padded with zeros, so their texts
    /// order them in time.
    pub fn is_after(&self, other: &Self) -> bool {
        self.generation == other.generation && self.text > other.text
    }

    /// Says whether two points belong to the same session: only such can be compared.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} of session {})", self.text, self.generation)
    }
}

/// What changed up to a point.
#[derive(Clone, Debug)]
pub struct Delta {
    /// At most one change per object.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub token: Token,
    /// How many objects of each class there are (`valid_ref_counts`), all of them, templates and snapshots too.
    pub counts: BTreeMap<String, i64>,
}

/// All objects of some classes at one point.
#[derive(Clone, Debug)]
pub struct Snapshot {
    changes: Vec<(String, Record)>,
    /// Where to go on.
    pub token: Token,
    /// How many objects of each class there are (`valid_ref_counts`).
    pub counts: BTreeMap<String, i64>,
}

impl Snapshot {
    pub(crate) fn new(delta: Delta) -> Self {
        let changes = delta
            .changes
            .into_iter()
            .filter_map(|change| change.record.map(|record| (change.object, record)));
        Self {
            changes: changes.collect(),
            token: delta.token,
            counts: delta.counts,
        }
    }

    /// Lists the objects of class `C`.
    pub fn of<C: Class>(&self) -> impl Iterator<Item = (Ref<C>, &C::Record)> {
        self.changes
            .iter()
            .filter_map(|(object, record)| C::of(record).map(|record| (Ref::new(object), record)))
    }

    /// Tells how many objects of a class the pool says there are.
    pub fn count(&self, class: EventClass) -> Option<i64> {
        self.counts.get(class.as_str()).copied()
    }
}
