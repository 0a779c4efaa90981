//! Renewing: the pure steps of contract rule 1.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::mark::Expires;
use super::seen::VmMarks;

/// The next thing to do to a VM's marks. Each mark on each side is one atomic call; calls of one step may run in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Add the mark to the tags and, with its record, to `other_config` (and the VM's own name where a side lacks it).
    Add(Expires),
    /// Read the VM again and hand in what it shows.
    Read,
    /// Remove these marks from both sides.
    Remove(Obsolete),
    /// It is over.
    Done(Outcome),
}

/// Marks that have had their day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Obsolete {
    /// Expiry marks.
    pub expires: BTreeSet<Expires>,
    /// Creation leases: they count only while there is no expiry, and must not count again if a person removes that.
    pub creating: BTreeSet<Timestamp>,
}

/// How a change of a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The mark stands on both sides, and nobody claimed the VM before it did.
    Acknowledged,
    /// A reaper has claimed the VM; the own mark was taken back.
    BeingReaped,
    /// Somebody else extended the lease in the meantime; the own mark was taken back.
    ExtendedElsewhere,
}

/// Makes a lease end later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renewal {
    own: Expires,
    /// The marks that were there before: the only ones that it may remove. One that came since may be all that somebody
    /// who shortens the lease leaves.
    before: BTreeSet<Expires>,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Add,
    Read,
    Judge,
    Undo,
    Clean(Obsolete),
    Over(Outcome),
}

impl Renewal {
    /// Begins to renew a lease with a mark of one's own, knowing the marks of a read that came before.
    pub fn new(own: Expires, before: &VmMarks) -> Self {
        Self {
            own,
            before: before.expires(),
            phase: Phase::Add,
        }
    }

    /// The mark that it adds.
    pub fn mark(&self) -> Expires {
        self.own
    }

    /// Names the next step. `seen` is the latest read; it is looked at only after [`Step::Read`].
    pub fn next(&mut self, seen: &VmMarks) -> Step {
        if self.phase == Phase::Judge {
            self.phase = self.judge(seen);
        }
        let (step, phase) = match self.phase.clone() {
            Phase::Add => (Step::Add(self.own), Phase::Read),
            Phase::Read | Phase::Judge => (Step::Read, Phase::Judge),
            Phase::Undo => (Step::Remove(Obsolete::one(self.own)), Phase::Over(Outcome::BeingReaped)),
            Phase::Clean(old) => (Step::Remove(old), Phase::Over(Outcome::Acknowledged)),
            Phase::Over(outcome) => (Step::Done(outcome), Phase::Over(outcome)),
        };
        self.phase = phase;
        step
    }

    fn judge(&self, seen: &VmMarks) -> Phase {
        if !seen.claims().is_empty() {
            return Phase::Undo;
        }
        let marks = seen.expires();
        let later = marks.iter().any(|mark| mark.at > self.own.at);
        if !seen.has_on_both_sides(&self.own) && !later {
            return Phase::Add;
        }
        let earlier = self.before.iter().filter(|mark| mark.at < self.own.at);
        let expires = earlier.filter(|mark| marks.contains(mark)).copied().collect();
        Phase::Clean(Obsolete {
            expires,
            // Beside the first lease it is the key that must go. Whoever writes that lease has removed it already as a rule, and
            // then no request is spent on the tag.
            creating: if self.before.is_empty() {
                seen.creating_keys().clone()
            } else {
                seen.creating()
            },
        })
    }
}

impl Obsolete {
    /// One expiry mark alone.
    pub fn one(mark: Expires) -> Self {
        Self {
            expires: BTreeSet::from([mark]),
            creating: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark::Mark;
    use super::super::model::{Vm, expires};
    use super::*;

    #[test]
    fn an_undisturbed_renewal_leaves_its_mark_alone() {
        let mut vm = Vm::with(&[expires(10, 1)]);
        let mut renewal = Renewal::new(expires(20, 2), &vm.read());
        assert_eq!(vm.drive(|seen| renewal.next(seen), |_, _| {}), Outcome::Acknowledged);
        assert_eq!(vm.marks(), [expires(20, 2)]);
    }

    #[test]
    fn a_claim_makes_it_take_back_its_own_mark_only() {
        let mut vm = Vm::with(&[expires(10, 1)]);
        let mut renewal = Renewal::new(expires(20, 2), &vm.read());
        let outcome = vm.drive(
            |seen| renewal.next(seen),
            |vm, step| {
                if matches!(step, Step::Add(_)) {
                    vm.claim();
                }
            },
        );
        assert_eq!(outcome, Outcome::BeingReaped);
        assert_eq!(vm.marks(), [expires(10, 1)]);
    }

    #[test]
    fn the_first_lease_removes_a_creation_lease_that_has_its_key_still() {
        let uuid = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap();
        let creating = Timestamp::from_second(5).unwrap();
        let (own, lease) = (Mark::Vm(uuid).to_string(), expires(20, 2));
        let marks = [own, Mark::Creating(creating).to_string()];
        let lease = [Mark::Expires(lease).to_string()];
        let removed = |keys: &[String]| {
            let tags = marks.iter().chain(&lease);
            let keys = keys.iter().chain(&lease).map(|key| (key.as_str(), ""));
            let seen = VmMarks::read(&uuid, tags.map(String::as_str), keys);
            let mut renewal = Renewal::new(expires(20, 2), &VmMarks::read(&uuid, [], []));
            let steps = [(); 3].map(|()| renewal.next(&seen));
            match &steps[2] {
                Step::Remove(old) => old.creating.clone(),
                step => panic!("{step:?}"),
            }
        };
        assert_eq!(removed(&marks), BTreeSet::from([creating]));
        assert_eq!(removed(&marks[..1]), BTreeSet::new());
    }

    #[test]
    fn a_lost_mark_is_written_again() {
        let mut vm = Vm::with(&[expires(10, 1)]);
        let mut renewal = Renewal::new(expires(20, 2), &vm.read());
        let mut lost = false;
        let outcome = vm.drive(
            |seen| renewal.next(seen),
            |vm, step| {
                if !lost && matches!(step, Step::Add(_)) {
                    lost = true;
                    vm.tags.remove(&expires(20, 2));
                }
            },
        );
        assert_eq!(outcome, Outcome::Acknowledged);
        assert!(lost);
        assert_eq!(vm.marks(), [expires(20, 2)]);
    }

    #[test]
    fn a_later_mark_of_another_is_left() {
        let mut vm = Vm::with(&[expires(10, 1), expires(30, 3)]);
        let mut renewal = Renewal::new(expires(20, 2), &vm.read());
        assert_eq!(vm.drive(|seen| renewal.next(seen), |_, _| {}), Outcome::Acknowledged);
        assert_eq!(vm.marks(), [expires(20, 2), expires(30, 3)]);
    }
}
