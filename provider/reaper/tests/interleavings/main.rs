//! All interleavings of renewers, shorteners, persons who keep, a creator, reapers, crashes between any two calls, lost replies,
//! destructive calls that run late, and one tool that writes a field back whole. Each pool call is one atomic step, and the calls of
//! one step run in any order. What everybody does next is asked of the very functions that run against a pool: `Renewal`,
//! `Shortening`, `Confirmation`, `Claim`, `due`.
//!
//! Never: somebody was told that the VM will live, and it is destroyed all the same; a living server has no expiry at all and no birth
//! name that gives it one; a claim is held on what is not dynvm's, not over, or kept.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of a test fail by panicking"
)]

mod actor;
mod state;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use fleet::lease::Mark;
use ulid::Ulid;

use actor::Actor;
use state::{Field, Foreign, Item, Name, Reads, State, expires, field, other, own};

/// A time that is past; all others are to come.
const PAST: i64 = state::NOW;

struct Counts {
    states: usize,
    destroyed: usize,
    acknowledged: usize,
}

/// Each state with the one that it was reached from.
type Reached = HashMap<Rc<State>, Option<Rc<State>>>;

fn explore(start: State, foreign: Foreign) -> Counts {
    let start = Rc::new(start);
    let mut reached = Reached::from([(Rc::clone(&start), None)]);
    let mut queue = VecDeque::from([start]);
    let mut reads = Reads::new();
    let mut counts = Counts {
        states: 0,
        destroyed: 0,
        acknowledged: 0,
    };
    while let Some(state) = queue.pop_front() {
        let is_acknowledged = state.actors.iter().any(|actor| actor.is_acknowledged);
        if !state.is_alive && is_acknowledged {
            panic!("acknowledged and destroyed:\n{}", way(&reached, &state));
        }
        if state.is_alive && !has_an_end(&state, foreign) {
            panic!("alive without an expiry:\n{}", way(&reached, &state));
        }
        counts.states += 1;
        counts.destroyed += usize::from(!state.is_alive);
        counts.acknowledged += usize::from(is_acknowledged);
        for next in state.successors(foreign, &mut reads) {
            if !reached.contains_key(&next) {
                let next = Rc::new(next);
                reached.insert(Rc::clone(&next), Some(Rc::clone(&state)));
                queue.push_back(next);
            }
        }
    }
    counts
}

/// How a state was reached, one line for each step.
fn way(reached: &Reached, end: &Rc<State>) -> String {
    let mut steps = Vec::new();
    let mut at = Some(Rc::clone(end));
    while let Some(state) = at {
        let machines: Vec<String> = state.actors.iter().map(|actor| format!("{:?}", actor.calls)).collect();
        let (tags, keys) = (&state.tags, &state.keys);
        steps.push(format!(
            "{:?} tags {tags:?} keys {keys:?}\n    {}",
            state.name,
            machines.join("\n    ")
        ));
        at = reached.get(&state).cloned().flatten();
    }
    steps.reverse();
    steps.join("\n")
}

/// A tool that writes `other_config` back as it was before the birth makes the server nobody's: only its state file knows it
/// then, and the next apply repairs it.
fn has_an_end(state: &State, foreign: Foreign) -> bool {
    let is_disowned = foreign == Foreign::Keys && !state.keys.contains(&Item::Mark(Mark::Vm(own())));
    let is_timed = |mark: &Mark| matches!(mark, Mark::Expires(_) | Mark::Creating(_));
    is_disowned || matches!(state.name, Name::Birth(_)) || state.marks().any(is_timed)
}

/// No rule may hold only because nothing happens.
fn check(start: State, foreign: Foreign) {
    let counts = explore(start, foreign);
    assert!(counts.acknowledged > 0, "{} states", counts.states);
    assert!(counts.destroyed > 0, "{} states", counts.states);
}

fn reapers(count: u128) -> impl Iterator<Item = Actor> {
    (0..count).map(|at| Actor::reaper(100 + at))
}

fn server(expiries: &[i64], writers: &[Actor], count: u128) -> State {
    let actors = writers.iter().cloned().chain(reapers(count));
    State::server(expiries, actors.collect())
}

/// A clone of a template that carries all marks: it was made from a server that was kept and claimed.
fn all_marks() -> Field {
    let mut marks = field([
        Mark::Vm(other()),
        Mark::Expires(expires(PAST, 50)),
        Mark::Keep,
        Mark::Reaping(Ulid(51)),
    ]);
    marks.insert(Item::Spec);
    marks
}

const EVERY: [Foreign; 3] = [Foreign::None, Foreign::Tags, Foreign::Keys];

#[test]
fn a_renewal_and_two_reapers() {
    for foreign in EVERY {
        check(server(&[PAST], &[Actor::renewer(expires(1, 1))], 2), foreign);
    }
}

#[test]
fn two_renewals_and_a_reaper() {
    let writers = [Actor::renewer(expires(1, 1)), Actor::renewer(expires(2, 2))];
    check(server(&[PAST], &writers, 1), Foreign::Tags);
    check(server(&[PAST], &writers, 1), Foreign::Keys);
}

#[test]
fn two_renewals_to_one_time_and_two_reapers() {
    let writers = [Actor::renewer(expires(1, 1)), Actor::renewer(expires(1, 2))];
    check(server(&[PAST], &writers, 2), Foreign::None);
    check(server(&[PAST], &writers, 1), Foreign::Keys);
}

#[test]
fn a_renewal_and_a_shortening() {
    let writers = [Actor::renewer(expires(6, 1)), Actor::shortener(expires(2, 2))];
    for foreign in EVERY {
        let counts = explore(server(&[5], &writers, 1), foreign);
        assert!(
            counts.acknowledged > 0 && counts.destroyed == 0,
            "{} states",
            counts.states
        );
    }
    let writers = [Actor::renewer(expires(3, 1)), Actor::shortener(expires(2, 2))];
    let counts = explore(server(&[PAST, 5], &writers, 1), Foreign::Tags);
    assert!(counts.acknowledged > 0, "{} states", counts.states);
}

#[test]
fn two_shortenings() {
    let writers = [Actor::shortener(expires(3, 1)), Actor::shortener(expires(2, 2))];
    for foreign in EVERY {
        let counts = explore(server(&[5], &writers, 1), foreign);
        assert!(
            counts.acknowledged > 0 && counts.destroyed == 0,
            "{} states",
            counts.states
        );
    }
}

#[test]
fn a_person_keeps_what_is_expired() {
    for foreign in EVERY {
        check(server(&[PAST], &[Actor::keeper()], 2), foreign);
    }
    let writers = [Actor::keeper(), Actor::renewer(expires(1, 1))];
    check(server(&[PAST], &writers, 1), Foreign::None);
}

#[test]
fn lost_replies() {
    for foreign in EVERY {
        let actors = vec![Actor::renewer(expires(1, 1)).losing(2), Actor::reaper(100).losing(2)];
        check(State::server(&[PAST], actors), foreign);
    }
}

#[test]
fn a_creator_that_is_late_and_two_reapers() {
    for template in [Field::new(), all_marks()] {
        let actors = || [Actor::creator(expires(9, 1))].into_iter().chain(reapers(2)).collect();
        check(State::clone_of(template.clone(), actors()), Foreign::None);
    }
}

#[test]
fn a_creator_that_is_late_and_a_tool() {
    for template in [Field::new(), all_marks()] {
        for foreign in [Foreign::Tags, Foreign::Keys] {
            let actors = vec![Actor::creator(expires(9, 1)), Actor::reaper(100)];
            check(State::clone_of(template.clone(), actors), foreign);
        }
    }
}

#[test]
fn a_creator_whose_replies_are_lost() {
    let actors = vec![Actor::creator(expires(9, 1)).losing(2), Actor::reaper(100).losing(1)];
    check(State::clone_of(all_marks(), actors), Foreign::None);
}
