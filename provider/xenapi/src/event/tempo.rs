//! Which call of `event.from` comes next, and when: a pure decision about what the subscribers want at one moment.
//!
//! ```text
//!   subscribers                       the last answer to all is    what comes next
//!   all prompt, or hurried            however old                  a call for all
//!   some patient or on call           older than PATIENCE          a call for all
//!   the same, and some hurried        younger                      a call for the prompt ones and those on call; LONGEST ends it
//!   the same, and some prompt         younger                      a call for the prompt ones only; LONGEST ends it
//!   patient and on call only          younger                      nothing, until it is that old
//! ```
//! The pool keeps changes until they are asked for, so a pause loses none; but it remembers only the last 256 deletions of a class, so
//! no pause is a long one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::EventClass;
use super::mailbox::{Mailbox, Urgency};

/// How late the patient hear, and those on call while nobody hurries them. The records of hosts, SRs and networks list all guests, disks and NICs,
/// and a busy pool changes them all the time: each call for them is answered at once, with many KiB.
const PATIENCE: Duration = Duration::from_secs(5);
/// How late they hear when a call for the prompt ones is in flight for which nothing happens: to end it would cost a call more.
const LONGEST: Duration = Duration::from_secs(15);

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Everybody.
    All,
    /// All but the patient.
    Near,
    /// Those only who hear of changes at once.
    Prompt,
}

impl Lane {
    /// Says whether a call for these serves a subscriber.
    pub(super) fn serves(self, urgency: Urgency) -> bool {
        match self {
            Lane::All => true,
            Lane::Near => urgency != Urgency::Patient,
            Lane::Prompt => urgency == Urgency::Prompt,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A call for all.
    All,
    /// A call for all but the patient, of at most this length.
    Near(Duration),
    /// A call for the prompt ones, of at most this length.
    Prompt(Duration),
    /// No call for so long.
    Rest(Duration),
}

/// What subscribers want at one moment.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The classes of all.
    pub(super) all: BTreeSet<EventClass>,
    /// The classes of the prompt ones and those on call.
    pub(super) near: BTreeSet<EventClass>,
    /// The classes of the prompt ones.
    pub(super) prompt: BTreeSet<EventClass>,
    is_somebody_late: bool,
    is_somebody_hurried: bool,
}

impl Wanted {
    pub(super) fn of<'a>(mailboxes: impl Iterator<Item = &'a Mailbox>) -> Self {
        let mut wanted = Self::default();
        for mailbox in mailboxes {
            let classes = mailbox.classes();
            let urgency = mailbox.urgency();
            if Lane::Prompt.serves(urgency) {
                wanted.prompt.extend(&classes);
            }
            if Lane::Near.serves(urgency) {
                wanted.near.extend(&classes);
            }
            wanted.all.extend(classes);
            wanted.is_somebody_late |= matches!(urgency, Urgency::OnCall | Urgency::Patient);
            wanted.is_somebody_hurried |= urgency == Urgency::Hurried;
        }
        wanted
    }

    /// Takes in the classes of others.
    pub(super) fn grow(&mut self, other: &Self) {
        self.all.extend(&other.all);
        self.near.extend(&other.near);
        self.prompt.extend(&other.prompt);
    }

    /// Decides by the age of the last answer to all; `None` when there is none to go on from.
    pub(super) fn next(&self, age: Option<Duration>) -> Next {
        let left = |of: Duration| age.map_or(Duration::ZERO, |age| of.saturating_sub(age));
        let rest = left(PATIENCE);
        if !self.is_somebody_late || rest.is_zero() {
            Next::All
        } else if self.is_somebody_hurried {
            Next::Near(left(LONGEST))
        } else if self.prompt.is_empty() {
            Next::Rest(rest)
        } else {
            Next::Prompt(left(LONGEST))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::super::mailbox::{Interest, Subscription};
    use super::*;

    #[test]
    fn the_patient_wait_and_keep_nobody_waiting() {
        let patient = Mailbox::new(Interest::classes(&[EventClass::Sr]).patient());
        let hurried = Mailbox::new(Interest::classes(&[EventClass::Host]).on_call());
        let prompt = Mailbox::new(Interest::classes(&[EventClass::Vm]));
        let waits = Subscription::new(Arc::clone(&hurried), Arc::new(Notify::new()), Arc::new(()), None);
        let hurry = waits.haste().hurry();
        let second = Duration::from_secs(1);
        let left = PATIENCE - second;
        let check = |mailboxes: &[&Arc<Mailbox>], age, next| {
            let wanted = Wanted::of(mailboxes.iter().map(|mailbox| &***mailbox));
            assert_eq!(wanted.next(age), next, "{wanted:?}");
        };
        check(&[&prompt], Some(second), Next::All);
        check(&[&patient], Some(second), Next::Rest(left));
        check(&[&patient], Some(PATIENCE), Next::All);
        check(&[&patient], None, Next::All);
        check(&[&patient, &prompt], Some(second), Next::Prompt(LONGEST - second));
        check(&[&patient, &prompt], Some(PATIENCE), Next::All);
        check(
            &[&patient, &prompt, &hurried],
            Some(second),
            Next::Near(LONGEST - second),
        );
        check(&[&patient, &hurried], Some(PATIENCE), Next::All);
        check(&[&prompt, &hurried], Some(second), Next::All);
        check(&[&hurried], Some(second), Next::All);
        drop(hurry);
        check(&[&hurried, &prompt], Some(second), Next::Prompt(LONGEST - second));
        check(&[&hurried], Some(second), Next::Rest(left));
    }
}
