//! Which call of `event.from` comes next, and when: a pure decision about what the subscribers want at one moment.
//!
//! ```text
//!   who is there                             told longer ago than PATIENCE    what comes next
//!   somebody patient                         the patient                      a call for them, which waits for nothing
//!   nobody on call, or one who is hurried    no matter                        a call for the prompt ones and those on call
//!   somebody on call                         those on call                    the same
//!   prompt ones and others                   nobody                           a call for the prompt ones only
//!   none but patient ones and ones on call   nobody                           nothing, until it is so long ago
//! ```
//! Each lane goes on from where it was told last, so that nobody is told the same twice but the prompt, by calls for those on call too.
//! A call that waits ends when others have not been told for LONGEST. The pool keeps changes until they are asked for, so a pause loses
//! none; but it remembers only the last 256 deletions of a class, so no pause is a long one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::EventClass;
use super::mailbox::{Mailbox, Urgency};

/// How late the patient hear, and those on call while nobody hurries them. The records of hosts, SRs and networks list all guests, disks and NICs,
/// and a busy pool changes them all the time: each call for them is answered at once, with many KiB.
const PATIENCE: Duration = Duration::from_secs(5);
/// How late they hear when a call for others is in flight for which nothing happens: to end it would cost a call more.
const LONGEST: Duration = Duration::from_secs(15);

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The patient.
    Far,
    /// Those on call, and the prompt.
    Near,
    /// Those only who hear of changes at once.
    Prompt,
}

impl Lane {
    pub(super) const ALL: [Lane; 3] = [Lane::Far, Lane::Near, Lane::Prompt];

    /// Where a subscriber belongs.
    pub(super) fn of(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Prompt => Lane::Prompt,
            Urgency::Hurried | Urgency::OnCall => Lane::Near,
            Urgency::Patient => Lane::Far,
        }
    }

    /// Says whether a call for these is one for those as well.
    pub(super) fn includes(self, other: Lane) -> bool {
        self == other || (self, other) == (Lane::Near, Lane::Prompt)
    }

    /// Says whether a call for these serves a subscriber.
    pub(super) fn serves(self, urgency: Urgency) -> bool {
        self.includes(Lane::of(urgency))
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A call for these, which waits so long at most.
    Call(Lane, Duration),
    /// No call for so long.
    Rest(Duration),
}

/// What subscribers want at one moment.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    far: BTreeSet<EventClass>,
    /// Of the prompt, too.
    near: BTreeSet<EventClass>,
    prompt: BTreeSet<EventClass>,
    is_somebody_patient: bool,
    is_somebody_on_call: bool,
    is_somebody_hurried: bool,
}

impl Wanted {
    pub(super) fn of<'a>(mailboxes: impl Iterator<Item = &'a Mailbox>) -> Self {
        let mut wanted = Self::default();
        for mailbox in mailboxes {
            let classes = mailbox.classes();
            let urgency = mailbox.urgency();
            for lane in Lane::ALL.into_iter().filter(|lane| lane.serves(urgency)) {
                wanted.by(lane).extend(&classes);
            }
            wanted.is_somebody_patient |= urgency == Urgency::Patient;
            wanted.is_somebody_on_call |= urgency == Urgency::OnCall;
            wanted.is_somebody_hurried |= urgency == Urgency::Hurried;
        }
        wanted
    }

    /// The classes that a call for these asks for.
    pub(super) fn classes(&self, lane: Lane) -> &BTreeSet<EventClass> {
        match lane {
            Lane::Far => &self.far,
            Lane::Near => &self.near,
            Lane::Prompt => &self.prompt,
        }
    }

    fn by(&mut self, lane: Lane) -> &mut BTreeSet<EventClass> {
        match lane {
            Lane::Far => &mut self.far,
            Lane::Near => &mut self.near,
            Lane::Prompt => &mut self.prompt,
        }
    }

    /// Takes in the classes of others.
    pub(super) fn grow(&mut self, other: &Self) {
        for lane in Lane::ALL {
            self.by(lane).extend(other.classes(lane));
        }
    }

    /// Decides by how long ago the lanes were told; `None` when there is nothing to go on from.
    pub(super) fn next(&self, age: impl Fn(Lane) -> Option<Duration>) -> Next {
        let left = |is_there: bool, lane: Lane, of: Duration| match (is_there, age(lane)) {
            (false, _) => Duration::MAX,
            (true, None) => Duration::ZERO,
            (true, Some(age)) => of.saturating_sub(age),
        };
        let far = |of| left(self.is_somebody_patient, Lane::Far, of);
        let near = |of| left(self.is_somebody_on_call, Lane::Near, of);
        if far(PATIENCE).is_zero() {
            Next::Call(Lane::Far, Duration::ZERO)
        } else if self.near.is_empty() {
            Next::Rest(far(PATIENCE))
        } else if self.is_somebody_hurried || !self.is_somebody_on_call || near(PATIENCE).is_zero() {
            Next::Call(Lane::Near, far(LONGEST))
        } else if self.prompt.is_empty() {
            Next::Rest(far(PATIENCE).min(near(PATIENCE)))
        } else {
            Next::Call(Lane::Prompt, far(LONGEST).min(near(LONGEST)))
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
        let on_call = Mailbox::new(Interest::classes(&[EventClass::Host]).on_call());
        let prompt = Mailbox::new(Interest::classes(&[EventClass::Vm]));
        let waits = Subscription::new(Arc::clone(&on_call), Arc::new(Notify::new()), Arc::new(()), None);
        let second = Duration::from_secs(1);
        let (left, longest) = (PATIENCE - second, LONGEST - second);
        // How long ago the patient and those on call were told.
        let check = |mailboxes: &[&Arc<Mailbox>], ages: (Duration, Duration), next| {
            let wanted = Wanted::of(mailboxes.iter().map(|mailbox| &***mailbox));
            let age = |lane| Some(if lane == Lane::Far { ages.0 } else { ages.1 });
            assert_eq!(wanted.next(age), next, "{wanted:?}");
        };
        let far = Next::Call(Lane::Far, Duration::ZERO);
        let near = |limit| Next::Call(Lane::Near, limit);
        let only_prompt = |limit| Next::Call(Lane::Prompt, limit);
        let recent = (second, second);
        check(&[], recent, Next::Rest(Duration::MAX));
        check(&[&prompt], recent, near(Duration::MAX));
        check(&[&patient], recent, Next::Rest(left));
        check(&[&patient], (PATIENCE, second), far);
        check(&[&patient, &prompt], recent, near(longest));
        check(&[&patient, &prompt], (PATIENCE, second), far);
        check(&[&on_call], recent, Next::Rest(left));
        check(&[&on_call], (second, PATIENCE), near(Duration::MAX));
        check(&[&patient, &on_call], (second, second * 2), Next::Rest(left - second));
        check(&[&patient, &on_call], (second, PATIENCE), near(longest));
        check(
            &[&patient, &on_call, &prompt],
            (second, second * 2),
            only_prompt(longest - second),
        );
        check(&[&patient, &on_call, &prompt], (second, PATIENCE), near(longest));
        let hurry = waits.haste().hurry();
        check(&[&patient, &on_call, &prompt], recent, near(longest));
        check(&[&patient, &on_call, &prompt], (PATIENCE, second), far);
        check(&[&on_call, &prompt], recent, near(Duration::MAX));
        drop(hurry);
        check(&[&on_call, &prompt], recent, only_prompt(longest));
    }

    #[test]
    fn without_a_point_to_go_on_from_a_call_comes_first() {
        let patient = Mailbox::new(Interest::classes(&[EventClass::Sr]).patient());
        let on_call = Mailbox::new(Interest::classes(&[EventClass::Host]).on_call());
        let next = |mailbox: &Mailbox| Wanted::of([mailbox].into_iter()).next(|_| None);
        assert_eq!(next(&patient), Next::Call(Lane::Far, Duration::ZERO));
        assert_eq!(next(&on_call), Next::Call(Lane::Near, Duration::MAX));
    }
}
