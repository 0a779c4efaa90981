//! Shortening: the pure steps of contract rule 2.

use std::collections::BTreeSet;

use super::mark::Expires;
use super::renewal::{Obsolete, Outcome, Step};
use super::seen::VmMarks;

/// Makes a lease end earlier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shortening {
    own: Expires,
    /// The marks that were there before: the only ones that it may remove.
    before: BTreeSet<Expires>,
    has_cleaned: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Add,
    Read,
    Judge,
    Clean,
    LastRead,
    LastJudge,
    Undo(Outcome),
    Over(Outcome),
}

impl Shortening {
    /// Begins to shorten a lease with a mark of one's own, knowing the marks of a read that came before.
    pub fn new(own: Expires, before: &VmMarks) -> Self {
        Self {
            own,
            before: before.expires(),
            has_cleaned: false,
            phase: Phase::Add,
        }
    }

    /// The mark that it adds.
    pub fn mark(&self) -> Expires {
        self.own
    }

    /// Names the next step. `seen` is the latest read; it is looked at only after [`Step::Read`].
    pub fn next(&mut self, seen: &VmMarks) -> Step {
        match self.phase {
            Phase::Judge => self.phase = self.judge(seen),
            Phase::LastJudge => self.phase = self.last_judge(seen),
            Phase::Add | Phase::Read | Phase::Clean | Phase::LastRead | Phase::Undo(_) | Phase::Over(_) => {}
        }
        let (step, phase) = match self.phase {
            Phase::Add => (Step::Add(self.own), Phase::Read),
            Phase::Read | Phase::Judge => (Step::Read, Phase::Judge),
            Phase::Clean => {
                self.has_cleaned = true;
                let old = Obsolete {
                    expires: self.before.clone(),
                    creating: seen.creating(),
                };
                (Step::Remove(old), Phase::LastRead)
            }
            Phase::LastRead | Phase::LastJudge => (Step::Read, Phase::LastJudge),
            Phase::Undo(outcome) => (Step::Remove(Obsolete::one(self.own)), Phase::Over(outcome)),
            Phase::Over(outcome) => (Step::Done(outcome), Phase::Over(outcome)),
        };
        self.phase = phase;
        step
    }

    fn judge(&self, seen: &VmMarks) -> Phase {
        if !seen.claims().is_empty() {
            return self.give_up(Outcome::BeingReaped);
        }
        if self.is_extended_elsewhere(seen) {
            return self.give_up(Outcome::ExtendedElsewhere);
        }
        if seen.has_on_both_sides(&self.own) {
            Phase::Clean
        } else {
            Phase::Add
        }
    }

    fn last_judge(&self, seen: &VmMarks) -> Phase {
        if self.is_extended_elsewhere(seen) {
            return self.give_up(Outcome::ExtendedElsewhere);
        }
        // A tool that wrote a field back whole has put the removed marks there again, or dropped the own one.
        let is_restored = seen.expires().iter().any(|mark| mark.at > self.own.at);
        match (
            is_restored || !seen.has_on_both_sides(&self.own),
            seen.claims().is_empty(),
        ) {
            (false, _) => Phase::Over(Outcome::Acknowledged),
            (true, true) => Phase::Add,
            (true, false) => self.give_up(Outcome::BeingReaped),
        }
    }

    /// The own mark is taken back only while the earlier ones are there: a later mark of another may be on one side yet,
    /// and a tool may undo just that.
    fn give_up(&self, outcome: Outcome) -> Phase {
        if self.has_cleaned {
            Phase::Over(outcome)
        } else {
            Phase::Undo(outcome)
        }
    }

    fn is_extended_elsewhere(&self, seen: &VmMarks) -> bool {
        seen.expires()
            .iter()
            .any(|mark| mark.at > self.own.at && !self.before.contains(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Vm, expires};
    use super::*;

    fn drive(vm: &mut Vm, mut shortening: Shortening, disturb: impl FnMut(&mut Vm, &Step)) -> Outcome {
        vm.drive(|seen| shortening.next(seen), disturb)
    }

    #[test]
    fn removes_the_later_marks_that_were_there_before() {
        let mut vm = Vm::with(&[expires(10, 1), expires(50, 5)]);
        let shortening = Shortening::new(expires(30, 3), &vm.read());
        assert_eq!(drive(&mut vm, shortening, |_, _| {}), Outcome::Acknowledged);
        assert_eq!(vm.marks(), [expires(30, 3)]);
    }

    #[test]
    fn an_extension_that_comes_in_between_wins() {
        let into = |wanted: fn(&Step) -> bool| {
            let mut vm = Vm::with(&[expires(50, 5)]);
            let shortening = Shortening::new(expires(30, 3), &vm.read());
            let outcome = drive(&mut vm, shortening, |vm, step| {
                if wanted(step) {
                    vm.add(expires(60, 6));
                }
            });
            (outcome, vm.read().expires().last().copied())
        };
        for wanted in [(|step| matches!(step, Step::Add(_))) as fn(&Step) -> bool, |step| {
            matches!(step, Step::Remove(_))
        }] {
            assert_eq!(into(wanted), (Outcome::ExtendedElsewhere, Some(expires(60, 6))));
        }
    }

    #[test]
    fn a_claim_ends_it() {
        let mut vm = Vm::with(&[expires(50, 5)]);
        let shortening = Shortening::new(expires(30, 3), &vm.read());
        let outcome = drive(&mut vm, shortening, |vm, step| {
            if matches!(step, Step::Add(_)) {
                vm.claim();
            }
        });
        assert_eq!(outcome, Outcome::BeingReaped);
        assert_eq!(vm.marks(), [expires(50, 5)]);
    }

    #[test]
    fn marks_that_a_foreign_tool_brings_back_are_removed_again() {
        let mut vm = Vm::with(&[expires(50, 5)]);
        let shortening = Shortening::new(expires(30, 3), &vm.read());
        let mut restored = false;
        let outcome = drive(&mut vm, shortening, |vm, step| {
            if !restored && matches!(step, Step::Remove(_)) {
                restored = true;
                vm.tags.insert(expires(50, 5));
            }
        });
        assert_eq!(outcome, Outcome::Acknowledged);
        assert_eq!(vm.marks(), [expires(30, 3)]);
    }
}
