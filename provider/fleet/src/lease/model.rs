//! A VM's two fields in memory, so that tests drive the steps that run against a pool.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ulid::Ulid;

use super::mark::{Expires, Mark};
use super::renewal::{Outcome, Step};
use super::seen::VmMarks;

const UUID: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";

pub(super) struct Vm {
    pub(super) tags: BTreeSet<Expires>,
    pub(super) keys: BTreeSet<Expires>,
    claims: BTreeSet<Ulid>,
}

pub(super) fn expires(at: i64, id: u128) -> Expires {
    Expires {
        at: Timestamp::from_second(at).unwrap(),
        id: Ulid(id),
    }
}

impl Vm {
    pub(super) fn with(marks: &[Expires]) -> Self {
        let marks: BTreeSet<_> = marks.iter().copied().collect();
        Self {
            tags: marks.clone(),
            keys: marks,
            claims: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, mark: Expires) {
        self.tags.insert(mark);
        self.keys.insert(mark);
    }

    pub(super) fn claim(&mut self) {
        self.claims.insert(Ulid(99));
    }

    /// The marks of both sides, which must be the same.
    pub(super) fn marks(&self) -> Vec<Expires> {
        assert_eq!(self.tags, self.keys);
        self.tags.iter().copied().collect()
    }

    pub(super) fn read(&self) -> VmMarks {
        let uuid = UUID.parse().unwrap();
        let text = |marks: &BTreeSet<Expires>| -> Vec<String> {
            let claims = self.claims.iter().map(|id| Mark::Reaping(*id));
            let own = [Mark::Vm(UUID.parse().unwrap())];
            marks
                .iter()
                .map(|mark| Mark::Expires(*mark))
                .chain(claims)
                .chain(own)
                .map(|mark| mark.to_string())
                .collect()
        };
        let (tags, keys) = (text(&self.tags), text(&self.keys));
        VmMarks::read(
            &uuid,
            tags.iter().map(String::as_str),
            keys.iter().map(|key| (key.as_str(), "")),
        )
    }

    /// Executes steps until the end; `disturb` runs after each of them.
    pub(super) fn drive(
        &mut self,
        mut next: impl FnMut(&VmMarks) -> Step,
        mut disturb: impl FnMut(&mut Self, &Step),
    ) -> Outcome {
        let mut seen = self.read();
        for _ in 0..100 {
            let step = next(&seen);
            match &step {
                Step::Add(mark) => self.add(*mark),
                Step::Read => seen = self.read(),
                Step::Remove(old) => {
                    self.tags.retain(|mark| !old.expires.contains(mark));
                    self.keys.retain(|mark| !old.expires.contains(mark));
                }
                Step::Done(outcome) => return *outcome,
            }
            disturb(self, &step);
        }
        panic!("the steps never end");
    }
}
