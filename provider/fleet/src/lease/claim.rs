//! Claiming: the pure steps of contract rule 3, before anything is destroyed.
//!
//! ```text
//!  add own claim (tags, keys, and the name of a clone under a birth name) -> read -+-> due still, claim on both sides: held
//!                                                                                  +-> else take the own claim back
//! ```
//!
//! The creator of a clone writes its marks by replacing both fields whole, which would wipe a claim unseen. Therefore a claim
//! on a VM under a birth name also changes that name, which a creator reads before it goes on (see [`super::Confirmation`]):
//! of the two, each writes first and reads then, so that at least one sees the other.

use ulid::Ulid;

use super::seen::VmMarks;
use crate::birth_name::BirthName;

/// A reaper's claim on a VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    own: Ulid,
    /// The name to give, where the VM is under a birth name: it keeps the deadline, so that the next run knows the VM still.
    rename: Option<BirthName>,
    phase: Phase,
}

/// The next thing to do. Each mark on each side is one atomic call; calls of one step may run in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimStep {
    /// Add the claim to the tags and to `other_config`, and give the name.
    Add(Ulid, Option<BirthName>),
    /// Read the VM again and hand in what it shows.
    Read,
    /// Remove the claim from both sides.
    Remove(Ulid),
    /// It is over.
    Done(ClaimOutcome),
}

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimOutcome {
    /// The VM may be destroyed. From the first destructive call on the claim is final.
    Held,
    /// Something has changed; the claim was taken back.
    GivenUp,
}

/// What a read of the VM shows.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its marks.
    pub marks: &'a VmMarks,
    /// Its name.
    pub name: &'a str,
    /// Whether it is to be destroyed, by the same judgement that led to the claim, and nobody else is at work on it.
    pub is_due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Add,
    Read,
    Judge,
    Undo,
    Over(ClaimOutcome),
}

impl Claim {
    /// Begins to claim a VM of this name.
    pub fn new(own: Ulid, name: &str) -> Self {
        Self {
            own,
            rename: BirthName::parse(name).map(|birth| BirthName { id: own, ..birth }),
            phase: Phase::Add,
        }
    }

    /// The claim's identity.
    pub fn id(&self) -> Ulid {
        self.own
    }

    /// Names the next step. `seen` is the latest read; it is looked at only after [`ClaimStep::Read`].
    pub fn next(&mut self, seen: &Seen<'_>) -> ClaimStep {
        if self.phase == Phase::Judge {
            self.phase = self.judge(seen);
        }
        let (step, phase) = match self.phase {
            Phase::Add => (ClaimStep::Add(self.own, self.rename), Phase::Read),
            Phase::Read | Phase::Judge => (ClaimStep::Read, Phase::Judge),
            Phase::Undo => (ClaimStep::Remove(self.own), Phase::Over(ClaimOutcome::GivenUp)),
            Phase::Over(outcome) => (ClaimStep::Done(outcome), Phase::Over(outcome)),
        };
        self.phase = phase;
        step
    }

    fn judge(&self, seen: &Seen<'_>) -> Phase {
        let has_name = self.rename.is_none_or(|name| name.to_string() == seen.name);
        if seen.is_due && has_name && seen.marks.is_claimed_by(&self.own) {
            Phase::Over(ClaimOutcome::Held)
        } else {
            Phase::Undo
        }
    }
}
