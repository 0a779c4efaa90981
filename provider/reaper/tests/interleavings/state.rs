//! A VM with two fields and a name, those who write on it, and every state that can follow.

use std::collections::{BTreeSet, HashMap};

use fleet::BirthName;
use fleet::lease::{Expires, Mark, SPEC_KEY, VM_KEY, VmMarks};
use jiff::Timestamp;
use reaper::sight::{Kind, Sight};
use ulid::Ulid;
use xenapi::{PowerState, Ref, Uuid};

use crate::actor::{Actor, Call};

/// What the coordinator's clock shows: everything up to here is past.
pub(crate) const NOW: i64 = 0;

const SPEC: &str =
    r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#;

/// The VM itself.
pub(crate) fn own() -> Uuid {
    "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap()
}

/// The server that a template was made from.
pub(crate) fn other() -> Uuid {
    "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap()
}

pub(crate) fn expires(at: i64, id: u128) -> Expires {
    Expires {
        at: instant(at),
        id: Ulid(id),
    }
}

pub(crate) fn instant(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

/// What stands in a field: a mark, or the spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Item {
    Mark(Mark),
    Spec,
}

/// Tags or `other_config`.
pub(crate) type Field = BTreeSet<Item>;

/// Marks as a field holds them.
pub(crate) fn field(marks: impl IntoIterator<Item = Mark>) -> Field {
    marks.into_iter().map(Item::Mark).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// Born under this name, the creation deadline in it past.
    Birth(Ulid),
    Real,
}

impl Name {
    fn text(self) -> String {
        match self {
            Name::Birth(id) => BirthName {
                id,
                deadline: instant(NOW),
            }
            .to_string(),
            Name::Real => "web".to_owned(),
        }
    }
}

/// A tool that reads a field and later writes it back whole, once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    Idle,
    Holds(Field),
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    None,
    Tags,
    Keys,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) is_alive: bool,
    pub(crate) tags: Field,
    pub(crate) keys: Field,
    pub(crate) name: Name,
    pub(crate) actors: Vec<Actor>,
    pub(crate) tool: Tool,
}

/// What the fields read as: few, and costly to parse at each step.
pub(crate) type Reads = HashMap<(Field, Field, Name), Sight>;

impl State {
    /// A server that has these expiries and nothing else.
    pub(crate) fn server(expiries: &[i64], actors: Vec<Actor>) -> Self {
        let marks = || {
            let expiries = expiries.iter().map(|at| Mark::Expires(expires(*at, 0)));
            field(expiries.chain([Mark::Vm(own())]))
        };
        let mut keys = marks();
        keys.insert(Item::Spec);
        Self {
            is_alive: true,
            tags: marks(),
            keys,
            name: Name::Real,
            actors,
            tool: Tool::Idle,
        }
    }

    /// A clone that nobody marked yet, with what it inherited on both sides.
    pub(crate) fn clone_of(template: Field, actors: Vec<Actor>) -> Self {
        Self {
            is_alive: true,
            tags: template.clone(),
            keys: template,
            name: Name::Birth(Ulid(0)),
            actors,
            tool: Tool::Idle,
        }
    }

    /// What a read of the VM shows.
    pub(crate) fn seen(&self, reads: &mut Reads) -> Sight {
        let key = (self.tags.clone(), self.keys.clone(), self.name);
        reads.entry(key).or_insert_with(|| self.read()).clone()
    }

    fn read(&self) -> Sight {
        let marks = |field: &Field| -> Vec<String> {
            let texts = field.iter().filter_map(|item| match item {
                Item::Mark(mark) => Some(mark.to_string()),
                Item::Spec => None,
            });
            texts.collect()
        };
        let (tags, keys) = (marks(&self.tags), marks(&self.keys));
        let named = self.keys.iter().find_map(|item| match item {
            Item::Mark(Mark::Vm(vm)) => Some(vm.to_string()),
            Item::Mark(_) | Item::Spec => None,
        });
        let mut pairs: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        pairs.extend(named.as_deref().map(|vm| (VM_KEY, vm)));
        if self.keys.contains(&Item::Spec) {
            pairs.push((SPEC_KEY, SPEC));
        }
        let name = self.name.text();
        Sight {
            vm: Ref::new("OpaqueRef:vm"),
            uuid: own(),
            kind: match self.name {
                Name::Birth(_) => Kind::Template,
                Name::Real => Kind::Vm,
            },
            power_state: PowerState::Halted,
            host: Ref::new(""),
            cpus: 1,
            memory_bytes: 1,
            marks: VmMarks::read(&own(), tags.iter().map(String::as_str), pairs),
            birth: BirthName::parse(&name),
            name,
            operation: None,
            block: None,
        }
    }

    /// All states that one step of anybody leads to.
    pub(crate) fn successors(&self, foreign: Foreign, reads: &mut Reads) -> Vec<Self> {
        let mut next = Vec::new();
        for at in 0..self.actors.len() {
            self.act(at, reads, &mut next);
        }
        if self.is_alive {
            self.meddle(foreign, &mut next);
        }
        next
    }

    /// An actor makes one of its calls and hears of it, makes it and does not hear of it, or stops for ever.
    fn act(&self, at: usize, reads: &mut Reads, next: &mut Vec<Self>) {
        let actor = &self.actors[at];
        if actor.calls.is_empty() {
            return;
        }
        if !actor.calls.contains(&Call::Destroy) {
            let mut stopped = self.clone();
            stopped.actors[at].stop();
            next.push(stopped);
        }
        if !self.is_alive {
            return;
        }
        for call in 0..actor.calls.len() {
            let mut after = self.clone();
            let made = after.actors[at].calls.remove(call);
            after.take(&made);
            if actor.losses > 0 && made != Call::First {
                // The reply is lost: the call is made again.
                let mut lost = after.clone();
                lost.actors[at].losses -= 1;
                lost.actors[at].calls.insert(call, made);
                next.push(lost);
            }
            if after.actors[at].calls.is_empty() {
                let seen = after.seen(reads);
                let mut actor = after.actors.remove(at);
                actor.go_on(&after, &seen);
                after.actors.insert(at, actor);
            }
            next.push(after);
        }
    }

    fn take(&mut self, call: &Call) {
        match call {
            Call::AddTag(mark) => {
                self.tags.insert(Item::Mark(mark.clone()));
            }
            Call::AddKey(mark) => {
                self.keys.insert(Item::Mark(mark.clone()));
            }
            Call::RemoveTags(old) => self.tags.retain(|item| !old.contains(item)),
            Call::RemoveKeys(old) => self.keys.retain(|item| !old.contains(item)),
            Call::SetTags(all) => self.tags = all.clone(),
            Call::SetKeys(all) => self.keys = all.clone(),
            Call::Rename(name) => self.name = *name,
            Call::Destroy => self.is_alive = false,
            Call::First | Call::Read => {}
        }
    }

    fn meddle(&self, foreign: Foreign, next: &mut Vec<Self>) {
        let mut after = self.clone();
        let field = match foreign {
            Foreign::None => return,
            Foreign::Tags => &mut after.tags,
            Foreign::Keys => &mut after.keys,
        };
        match &self.tool {
            Tool::Idle => after.tool = Tool::Holds(field.clone()),
            Tool::Holds(old) => {
                *field = old.clone();
                after.tool = Tool::Over;
            }
            Tool::Over => return,
        }
        next.push(after);
    }

    /// All marks of both sides.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.tags.iter().chain(&self.keys).filter_map(|item| match item {
            Item::Mark(mark) => Some(mark),
            Item::Spec => None,
        })
    }
}
