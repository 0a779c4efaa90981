//! All interleavings of renewers, shorteners, reapers, crashes, destructive calls that run late, and one tool that writes a
//! field back whole. Renewers and shorteners are the product's own functions; each pool call is one atomic step, and the
//! calls of one step run in either order.
//!
//! Never: a renewal is acknowledged and the VM destroyed all the same; a living VM has no expiry at all.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use ulid::Ulid;

use super::mark::{Expires, Mark};
use super::model::expires;
use super::renewal::{Obsolete, Outcome, Renewal, Step};
use super::seen::VmMarks;
use super::shortening::Shortening;

const UUID: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
/// A time that is past; all others are to come.
const PAST: i64 = 0;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Field {
    expires: BTreeSet<Expires>,
    claims: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Machine {
    ToRenew,
    Renew(Renewal),
    ToShorten,
    Shorten(Shortening),
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Call {
    First,
    AddTag(Expires),
    AddKey(Expires),
    Read,
    RemoveTags(BTreeSet<Expires>),
    RemoveKeys(BTreeSet<Expires>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Writer {
    machine: Machine,
    own: Expires,
    /// The calls of the present step that are not made yet.
    calls: Vec<Call>,
    is_acknowledged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reaper {
    Start,
    ClaimTag,
    ClaimKey,
    Reread,
    Send,
    Late,
    UnclaimTag,
    UnclaimKey,
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Tool {
    Idle,
    Holds(Field),
    Over,
}

/// What the fields read as: few, and costly to parse at each step.
type Reads = HashMap<(Field, Field), VmMarks>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    None,
    Tags,
    Keys,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    is_alive: bool,
    tags: Field,
    keys: Field,
    writers: Vec<Writer>,
    reapers: Vec<Reaper>,
    tool: Tool,
}

impl State {
    fn new(marks: &[i64], writers: Vec<Writer>, reapers: usize) -> Self {
        let expires = marks.iter().map(|at| expires(*at, 0)).collect();
        let field = Field {
            expires,
            claims: BTreeSet::new(),
        };
        Self {
            is_alive: true,
            tags: field.clone(),
            keys: field,
            writers,
            reapers: vec![Reaper::Start; reapers],
            tool: Tool::Idle,
        }
    }

    fn seen(&self, reads: &mut Reads) -> VmMarks {
        let key = (self.tags.clone(), self.keys.clone());
        reads.entry(key).or_insert_with(|| self.read()).clone()
    }

    fn read(&self) -> VmMarks {
        let text = |field: &Field| -> Vec<String> {
            let expires = field.expires.iter().map(|mark| Mark::Expires(*mark));
            let claims = field.claims.iter().map(|reaper| Mark::Reaping(Ulid(*reaper as u128)));
            let own = [Mark::Vm(UUID.parse().unwrap())];
            expires.chain(claims).chain(own).map(|mark| mark.to_string()).collect()
        };
        let (tags, keys) = (text(&self.tags), text(&self.keys));
        let keys = keys.iter().map(|key| (key.as_str(), ""));
        VmMarks::read(&UUID.parse().unwrap(), tags.iter().map(String::as_str), keys)
    }

    fn latest(&self) -> Option<i64> {
        let marks = self.tags.expires.iter().chain(&self.keys.expires);
        marks.map(|mark| mark.at.as_second()).max()
    }

    fn is_expired(&self) -> bool {
        self.latest() == Some(PAST)
    }

    fn successors(&self, foreign: Foreign, reads: &mut Reads) -> Vec<Self> {
        let mut next = Vec::new();
        for at in 0..self.writers.len() {
            self.write(at, reads, &mut next);
        }
        for at in 0..self.reapers.len() {
            self.reap(at, &mut next);
        }
        if self.is_alive {
            self.meddle(foreign, &mut next);
        }
        next
    }

    /// A writer makes one of its calls, or stops for ever.
    fn write(&self, at: usize, reads: &mut Reads, next: &mut Vec<Self>) {
        let writer = &self.writers[at];
        if writer.calls.is_empty() {
            return;
        }
        let mut stopped = self.clone();
        stopped.writers[at].calls.clear();
        stopped.writers[at].machine = Machine::Over;
        next.push(stopped);
        if !self.is_alive {
            return;
        }
        for call in 0..writer.calls.len() {
            let mut after = self.clone();
            let call = after.writers[at].calls.remove(call);
            match &call {
                Call::AddTag(mark) => {
                    after.tags.expires.insert(*mark);
                }
                Call::AddKey(mark) => {
                    after.keys.expires.insert(*mark);
                }
                Call::RemoveTags(old) => after.tags.expires.retain(|mark| !old.contains(mark)),
                Call::RemoveKeys(old) => after.keys.expires.retain(|mark| !old.contains(mark)),
                Call::First | Call::Read => {}
            }
            if after.writers[at].calls.is_empty() {
                let seen = after.seen(reads);
                after.writers[at].go_on(&seen);
            }
            next.push(after);
        }
    }

    fn reap(&self, at: usize, next: &mut Vec<Self>) {
        let reaper = self.reapers[at];
        if reaper == Reaper::Over {
            return;
        }
        let mut put = |to: Reaper, change: &dyn Fn(&mut Self)| {
            let mut after = self.clone();
            after.reapers[at] = to;
            change(&mut after);
            next.push(after);
        };
        if reaper != Reaper::Late {
            put(Reaper::Over, &|_| {});
        }
        if !self.is_alive {
            return put(Reaper::Over, &|_| {});
        }
        let is_own = self.tags.claims.contains(&at) && self.keys.claims.contains(&at);
        match reaper {
            Reaper::Start if self.is_expired() => put(Reaper::ClaimTag, &|_| {}),
            Reaper::Start | Reaper::Over => {}
            Reaper::ClaimTag => put(Reaper::ClaimKey, &|state| {
                state.tags.claims.insert(at);
            }),
            Reaper::ClaimKey => put(Reaper::Reread, &|state| {
                state.keys.claims.insert(at);
            }),
            Reaper::Reread if self.is_expired() && is_own => put(Reaper::Send, &|_| {}),
            Reaper::Reread => put(Reaper::UnclaimTag, &|_| {}),
            Reaper::Send => put(Reaper::Late, &|_| {}),
            Reaper::Late => put(Reaper::Over, &|state| state.is_alive = false),
            Reaper::UnclaimTag => put(Reaper::UnclaimKey, &|state| {
                state.tags.claims.remove(&at);
            }),
            Reaper::UnclaimKey => put(Reaper::Over, &|state| {
                state.keys.claims.remove(&at);
            }),
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
}

impl Writer {
    fn renewer(at: i64, id: u128) -> Self {
        let own = expires(at, id);
        Self::new(Machine::ToRenew, own)
    }

    fn shortener(at: i64, id: u128) -> Self {
        let own = expires(at, id);
        Self::new(Machine::ToShorten, own)
    }

    fn new(machine: Machine, own: Expires) -> Self {
        Self {
            machine,
            own,
            calls: vec![Call::First],
            is_acknowledged: false,
        }
    }

    /// Asks the product's function for the next step once all calls of the last one are made.
    fn go_on(&mut self, seen: &VmMarks) {
        let (own, mut machine) = (self.own, std::mem::replace(&mut self.machine, Machine::Over));
        if machine == Machine::ToRenew {
            machine = Machine::Renew(Renewal::new(own, seen));
        } else if machine == Machine::ToShorten {
            machine = Machine::Shorten(Shortening::new(own, seen));
        }
        let step = match &mut machine {
            Machine::Renew(renewal) => renewal.next(seen),
            Machine::Shorten(shortening) => shortening.next(seen),
            Machine::ToRenew | Machine::ToShorten | Machine::Over => return,
        };
        let is_renewal = matches!(machine, Machine::Renew(_));
        self.machine = machine;
        match step {
            Step::Add(mark) => self.calls = vec![Call::AddTag(mark), Call::AddKey(mark)],
            Step::Read => self.calls = vec![Call::Read],
            Step::Remove(Obsolete { expires, .. }) => {
                // A renewal that removes others' marks has been judged to stand.
                self.is_acknowledged |= is_renewal && !expires.contains(&self.own);
                self.calls = vec![Call::RemoveTags(expires.clone()), Call::RemoveKeys(expires)];
            }
            Step::Done(outcome) => {
                self.is_acknowledged |= outcome == Outcome::Acknowledged;
                self.machine = Machine::Over;
            }
        }
    }
}

struct Counts {
    states: usize,
    destroyed: usize,
    acknowledged: usize,
}

fn explore(start: State, foreign: Foreign) -> Counts {
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([start]);
    let mut reads = Reads::new();
    let mut counts = Counts {
        states: 0,
        destroyed: 0,
        acknowledged: 0,
    };
    while let Some(state) = queue.pop_front() {
        let is_acknowledged = state.writers.iter().any(|writer| writer.is_acknowledged);
        assert!(
            state.is_alive || !is_acknowledged,
            "acknowledged and destroyed: {state:#?}"
        );
        assert!(
            !state.is_alive || state.latest().is_some(),
            "alive without an expiry: {state:#?}"
        );
        counts.states += 1;
        counts.destroyed += usize::from(!state.is_alive);
        counts.acknowledged += usize::from(is_acknowledged);
        for next in state.successors(foreign, &mut reads) {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    counts
}

/// No rule may hold only because nothing happens.
fn check(marks: &[i64], writers: &[Writer], reapers: usize, foreign: Foreign) {
    let counts = explore(State::new(marks, writers.to_vec(), reapers), foreign);
    assert!(counts.acknowledged > 0, "{} states", counts.states);
    assert!(marks != [PAST] || counts.destroyed > 0, "{} states", counts.states);
}

#[test]
fn a_renewal_and_two_reapers() {
    for foreign in [Foreign::None, Foreign::Tags, Foreign::Keys] {
        check(&[PAST], &[Writer::renewer(1, 1)], 2, foreign);
    }
}

#[test]
fn two_renewals_and_a_reaper() {
    let writers = [Writer::renewer(1, 1), Writer::renewer(2, 2)];
    check(&[PAST], &writers, 1, Foreign::Tags);
}

#[test]
fn two_renewals_to_one_time_and_a_reaper() {
    let writers = [Writer::renewer(1, 1), Writer::renewer(1, 2)];
    check(&[PAST], &writers, 1, Foreign::Keys);
}

#[test]
fn a_renewal_and_a_shortening() {
    for foreign in [Foreign::Tags, Foreign::Keys] {
        check(&[5], &[Writer::renewer(6, 1), Writer::shortener(2, 2)], 1, foreign);
    }
    check(
        &[PAST, 5],
        &[Writer::renewer(3, 1), Writer::shortener(2, 2)],
        1,
        Foreign::Tags,
    );
}

#[test]
fn two_shortenings() {
    for foreign in [Foreign::None, Foreign::Tags, Foreign::Keys] {
        check(&[5], &[Writer::shortener(3, 1), Writer::shortener(2, 2)], 1, foreign);
    }
}
