//! Those who write on a VM. What each does next is asked of the product's own functions; here is only what a call is.

use std::collections::BTreeSet;

use fleet::BirthName;
use fleet::lease::{
    Claim, ClaimOutcome, ClaimStep, Confirmation, Expires, Mark, Obsolete, Outcome, Renewal, Seen, Shortening, Step,
};
use reaper::decide::due;
use reaper::policy::Policy;
use reaper::sight::Sight;
use ulid::Ulid;

use crate::state::{Field, Item, NOW, Name, State, field, instant, own};

/// How often a creator writes marks again that a tool has overwritten.
const TRIES: u8 = 3;

/// One atomic call on the pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// The first look.
    First,
    Read,
    AddTag(Mark),
    AddKey(Mark),
    RemoveTags(Field),
    RemoveKeys(Field),
    SetTags(Field),
    SetKeys(Field),
    Rename(Name),
    /// Once sent it may run at any later time, whatever becomes of the sender.
    Destroy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Machine {
    ToRenew(Expires),
    Renew(Renewal),
    ToShorten(Expires),
    Shorten(Shortening),
    Keep,
    KeepRead,
    Create(Expires, Birth),
    ToReap(Ulid),
    Claim(Claim),
    Over,
}

/// What a creator is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Birth {
    Begin,
    Keys(u8),
    Tags(u8),
    Confirm(u8),
    Named,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    pub(crate) machine: Machine,
    /// The calls of the present step that are not made yet.
    pub(crate) calls: Vec<Call>,
    /// Somebody was told that the VM will live.
    pub(crate) is_acknowledged: bool,
    /// How many replies may get lost still.
    pub(crate) losses: u8,
}

impl Actor {
    fn new(machine: Machine) -> Self {
        Self {
            machine,
            calls: vec![Call::First],
            is_acknowledged: false,
            losses: 0,
        }
    }

    pub(crate) fn renewer(mark: Expires) -> Self {
        Self::new(Machine::ToRenew(mark))
    }

    pub(crate) fn shortener(mark: Expires) -> Self {
        Self::new(Machine::ToShorten(mark))
    }

    pub(crate) fn keeper() -> Self {
        Self::new(Machine::Keep)
    }

    pub(crate) fn creator(mark: Expires) -> Self {
        Self::new(Machine::Create(mark, Birth::Begin))
    }

    pub(crate) fn reaper(id: u128) -> Self {
        Self::new(Machine::ToReap(Ulid(id)))
    }

    pub(crate) fn losing(self, losses: u8) -> Self {
        Self { losses, ..self }
    }

    pub(crate) fn stop(&mut self) {
        self.calls.clear();
        self.machine = Machine::Over;
    }

    /// Asks the product's function for the next step once all calls of the last one are made.
    pub(crate) fn go_on(&mut self, state: &State, seen: &Sight) {
        match std::mem::replace(&mut self.machine, Machine::Over) {
            Machine::ToRenew(mark) => self.renew(Renewal::new(mark, &seen.marks), state, seen),
            Machine::Renew(renewal) => self.renew(renewal, state, seen),
            Machine::ToShorten(mark) => self.shorten(Shortening::new(mark, &seen.marks), state, seen),
            Machine::Shorten(shortening) => self.shorten(shortening, state, seen),
            Machine::Keep => {
                self.calls = vec![Call::AddTag(Mark::Keep), Call::AddKey(Mark::Keep)];
                self.machine = Machine::KeepRead;
            }
            Machine::KeepRead => self.is_acknowledged = seen.marks.is_kept() && seen.marks.claims().is_empty(),
            Machine::Create(mark, birth) => self.create(mark, birth, state, seen),
            Machine::ToReap(id) if is_due(seen) => self.claim(Claim::new(id, &seen.name), state, seen),
            Machine::Claim(claim) => self.claim(claim, state, seen),
            Machine::ToReap(_) | Machine::Over => {}
        }
    }

    fn renew(&mut self, mut renewal: Renewal, state: &State, seen: &Sight) {
        let step = renewal.next(&seen.marks);
        if let Step::Remove(Obsolete { expires, .. }) = &step {
            // A renewal that removes others' marks has been judged to stand.
            self.is_acknowledged |= !expires.contains(&renewal.mark());
        }
        self.machine = Machine::Renew(renewal);
        self.step(step, state);
    }

    fn shorten(&mut self, mut shortening: Shortening, state: &State, seen: &Sight) {
        let step = shortening.next(&seen.marks);
        self.machine = Machine::Shorten(shortening);
        self.step(step, state);
    }

    fn step(&mut self, step: Step, state: &State) {
        match step {
            Step::Add(mark) => {
                let mark = Mark::Expires(mark);
                self.calls = vec![Call::AddTag(mark.clone()), Call::AddKey(mark)];
                // The VM's own name goes where a side has lost it: marks of a side without it do not count.
                let name = Mark::Vm(own());
                if !state.tags.contains(&Item::Mark(name.clone())) {
                    self.calls.push(Call::AddTag(name.clone()));
                }
                if !state.keys.contains(&Item::Mark(name.clone())) {
                    self.calls.push(Call::AddKey(name));
                }
            }
            Step::Read => self.calls = vec![Call::Read],
            Step::Remove(Obsolete { expires, creating }) => {
                let expires = expires.into_iter().map(Mark::Expires);
                let old = field(expires.chain(creating.into_iter().map(Mark::Creating)));
                self.calls = vec![Call::RemoveTags(old.clone()), Call::RemoveKeys(old)];
            }
            Step::Done(outcome) => {
                self.is_acknowledged |= outcome == Outcome::Acknowledged;
                self.machine = Machine::Over;
            }
        }
    }

    /// Writes both fields whole, reads, goes on under the real name, and writes the lease as any renewal.
    fn create(&mut self, mark: Expires, birth: Birth, state: &State, seen: &Sight) {
        let marks = field([Mark::Vm(own()), Mark::Creating(instant(NOW))]);
        let mut to = |birth: Birth, call: Call| {
            self.machine = Machine::Create(mark, birth);
            self.calls = vec![call];
        };
        match birth {
            Birth::Begin => to(Birth::Keys(1), Call::SetKeys(with_spec(marks))),
            Birth::Keys(tries) => to(Birth::Tags(tries), Call::SetTags(marks)),
            Birth::Tags(tries) => to(Birth::Confirm(tries), Call::Read),
            Birth::Confirm(tries) => {
                let own_birth = BirthName {
                    id: Ulid(0),
                    deadline: instant(NOW),
                };
                match Confirmation::of(&seen.marks, &seen.name, &own_birth) {
                    Confirmation::Confirmed => to(Birth::Named, Call::Rename(Name::Real)),
                    Confirmation::Overwritten if tries < TRIES => {
                        to(Birth::Keys(tries + 1), Call::SetKeys(with_spec(marks)))
                    }
                    Confirmation::Overwritten | Confirmation::Claimed => {}
                }
            }
            Birth::Named => self.renew(Renewal::new(mark, &seen.marks), state, seen),
        }
    }

    fn claim(&mut self, mut claim: Claim, state: &State, seen: &Sight) {
        let step = claim.next(&Seen {
            marks: &seen.marks,
            name: &seen.name,
            is_due: is_due(seen),
        });
        let reaping = Mark::Reaping(claim.id());
        self.machine = Machine::Claim(claim);
        match step {
            ClaimStep::Add(_, rename) => {
                self.calls = vec![Call::AddTag(reaping.clone()), Call::AddKey(reaping)];
                self.calls
                    .extend(rename.map(|birth| Call::Rename(Name::Birth(birth.id))));
            }
            ClaimStep::Read => self.calls = vec![Call::Read],
            ClaimStep::Remove(_) => {
                let own = field([reaping]);
                self.calls = vec![Call::RemoveTags(own.clone()), Call::RemoveKeys(own)];
            }
            ClaimStep::Done(ClaimOutcome::Held) => {
                assert_may_be_destroyed(state);
                self.calls = vec![Call::Destroy];
                self.machine = Machine::Over;
            }
            ClaimStep::Done(ClaimOutcome::GivenUp) => self.machine = Machine::Over,
        }
    }
}

fn is_due(seen: &Sight) -> bool {
    due(seen, instant(NOW), &Policy::default()).is_ok()
}

fn with_spec(mut marks: Field) -> Field {
    marks.insert(Item::Spec);
    marks
}

/// What must be so in the moment in which a claim is held, told without the product's words: the VM is dynvm's by `other_config`
/// or by its birth name, its time is up by every mark that counts, and nobody wants to keep it.
fn assert_may_be_destroyed(state: &State) {
    let key = |mark: Mark| state.keys.contains(&Item::Mark(mark));
    let is_named = key(Mark::Vm(own())) && state.keys.contains(&Item::Spec);
    let is_birth = matches!(state.name, Name::Birth(_));
    assert!(is_named || is_birth, "foreign: {state:#?}");
    if is_named {
        let counts = state.tags.contains(&Item::Mark(Mark::Vm(own())));
        let tags = counts.then_some(&state.tags).into_iter().flatten();
        let all: BTreeSet<&Item> = state.keys.iter().chain(tags).collect();
        let is_future = |item: &&Item| match item {
            Item::Mark(Mark::Expires(expires)) => expires.at > instant(NOW),
            Item::Mark(Mark::Creating(until)) => *until > instant(NOW),
            Item::Mark(_) | Item::Spec => false,
        };
        assert!(!all.iter().any(is_future), "not over: {state:#?}");
        assert!(!all.contains(&Item::Mark(Mark::Keep)), "kept: {state:#?}");
    }
}
