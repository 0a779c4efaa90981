//! All interleavings of processes that reserve, create, draw, change, release and clear, with crashes between any two calls, lost
//! answers, calls that are carried out late, one tool that writes the whole map back, and time that passes while the views of the
//! clock are apart. Each call is one atomic step. What everybody does next is asked of the machines that run against a pool:
//! `Taking`, `Releasing`, `Clearing`.
//!
//! Never: more is promised than there is room for; somebody who came later is served while one before him goes without; a ticket that
//! somebody relies on is gone; a released ticket lives again; a number is given twice; more is drawn than was reserved; something
//! is left at the end that cannot be cleared. And where nobody is killed or disturbed, as many are served as there is room for.
//!
//! What a tool takes away it takes away: its victim is served no better than that, and all others as before. That the rules can
//! break is shown by mistakes, each of which breaks one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of a test fail by panicking"
)]

mod actor;
mod rules;
mod shared;
mod state;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use fleet::ticket::Kind;
use ulid::Ulid;

use actor::{Actor, Intent, ticket};
use shared::QuickMap;
use state::{Mistake, State, World};

/// Each state with the one that it was reached from.
type Reached = QuickMap<Rc<State>, Option<Rc<State>>>;

struct Counts {
    states: usize,
    /// How many servers there were at the ends.
    servers: BTreeSet<usize>,
}

/// Looks at every state, up to the first one that must not be.
fn explore(start: State, world: &World) -> Result<Counts, String> {
    let start = Rc::new(start);
    let mut reached: Reached = [(Rc::clone(&start), None)].into_iter().collect();
    let mut queue = VecDeque::from([start]);
    let mut servers = BTreeSet::new();
    let mut cleared = QuickMap::default();
    while let Some(state) = queue.pop_front() {
        if let Some(flaw) = state.flaw {
            return Err(format!("{flaw}:\n{}", way(&reached, &state)));
        }
        if state.is_over() {
            servers.insert(state.vms.len());
            let known = cleared.entry(state.keys.clone());
            if !*known.or_insert_with(|| state.is_cleared_at_last()) {
                return Err(format!("something is left for ever:\n{}", way(&reached, &state)));
            }
        }
        for next in state.successors(world) {
            if let Entry::Vacant(place) = reached.entry(Rc::new(next)) {
                queue.push_back(Rc::clone(place.key()));
                place.insert(Some(Rc::clone(&state)));
            }
        }
    }
    Ok(Counts {
        states: reached.len(),
        servers,
    })
}

/// How a state was reached, one paragraph for each step.
fn way(reached: &Reached, end: &Rc<State>) -> String {
    let mut steps = Vec::new();
    let mut at = Some(Rc::clone(end));
    while let Some(state) = at {
        let deeds: Vec<String> = state.actors.iter().map(|actor| format!("{:?}", actor.deed)).collect();
        let keys: Vec<&str> = state.keys.map.keys().map(String::as_str).collect();
        steps.push(format!(
            "time {} keys {keys:?} servers {:?}\n    {}",
            state.time,
            state.vms,
            deeds.join("\n    ")
        ));
        at = reached.get(&state).cloned().flatten();
    }
    steps.reverse();
    steps.join("\n")
}

const QUIET: World = World {
    room: 2,
    may_crash: false,
    may_be_late: false,
    has_tool: false,
    skew: None,
    mistake: None,
};

const CRASHING: World = World {
    may_crash: true,
    ..QUIET
};

#[track_caller]
fn check(world: World, actors: impl IntoIterator<Item = Actor>) -> Counts {
    let counts = explore(State::new(actors), &world).unwrap_or_else(|flaw| panic!("{flaw}"));
    // No rule may hold only because nothing happens.
    assert!(!counts.servers.is_empty(), "{} states", counts.states);
    counts
}

fn creator(id: u128) -> Actor {
    Actor::creator(id, 1)
}

/// A reservation with the id 1 that is changed and then released.
fn changer(servers: u32, to: u32) -> Actor {
    let kind = Kind::Change {
        of: Ulid(1),
        replaces: 0,
    };
    let change = Intent::Take(ticket(9, kind, to));
    Actor::reserver(1, servers, [change, Intent::Release])
}

/// A reservation with the id 1 that stays.
fn keeper(servers: u32) -> Actor {
    Actor::reserver(1, servers, [])
}

/// A reservation with the id 1 that is released at some time.
fn releaser(servers: u32) -> Actor {
    Actor::reserver(1, servers, [Intent::Release])
}

fn drawer(id: u128) -> Actor {
    Actor::drawer(id, 1, 1)
}

/// Another process that changes the reservation with the id 1.
fn other_changer(to: u32) -> Actor {
    let kind = Kind::Change {
        of: Ulid(1),
        replaces: 1,
    };
    let change = Intent::Take(ticket(8, kind, to));
    Actor::new([change]).after(1)
}

#[test]
fn as_many_are_served_as_there_is_room_for() {
    for (room, served) in [(1, 1), (2, 2), (3, 3)] {
        let counts = check(World { room, ..QUIET }, [creator(1), creator(2), creator(3)]);
        assert_eq!(counts.servers, BTreeSet::from([served]), "room for {room}");
    }
}

#[test]
fn wishes_of_several_servers() {
    let counts = check(QUIET, [Actor::creator(1, 2), creator(2), creator(3)]);
    assert_eq!(counts.servers.last(), Some(&2));
    check(CRASHING, [Actor::creator(1, 2), creator(2)]);
}

#[test]
fn creations_that_are_killed() {
    check(CRASHING, [releaser(2), creator(2), creator(3)]);
    check(CRASHING, [creator(1), creator(2), creator(3)]);
}

#[test]
fn two_who_clear() {
    check(CRASHING, [creator(1), creator(2), Actor::clearer(), Actor::clearer()]);
    check(CRASHING, [creator(2), releaser(1), Actor::clearer()]);
}

#[test]
fn lost_answers() {
    let late = World {
        may_be_late: true,
        room: 1,
        ..CRASHING
    };
    check(late, [creator(1).losing(1), creator(2).losing(1)]);
    check(late, [creator(1).losing(1), creator(2), Actor::clearer().losing(1)]);
    check(late, [changer(1, 1).losing(2), creator(3)]);
}

#[test]
fn a_reservation_that_is_drawn_from() {
    check(CRASHING, [keeper(1), drawer(2), creator(3)]);
    check(CRASHING, [keeper(1), drawer(2), drawer(3)]);
}

#[test]
fn a_reservation_that_is_released_while_it_is_drawn_from() {
    for room in [1, 2] {
        check(World { room, ..CRASHING }, [releaser(1), drawer(2), creator(3)]);
    }
}

#[test]
fn a_reservation_that_is_changed() {
    for (from, to) in [(1, 2), (2, 1)] {
        check(CRASHING, [changer(from, to), creator(2)]);
        check(QUIET, [changer(from, to), drawer(2), creator(3)]);
    }
    let longer = check(World { room: 1, ..QUIET }, [changer(1, 1), creator(2)]);
    assert_eq!(longer.servers, BTreeSet::from([0, 1]));
    check(QUIET, [changer(2, 1), Actor::drawer(2, 1, 2), creator(3)]);
}

#[test]
fn a_reservation_that_another_process_changes() {
    check(QUIET, [keeper(2), other_changer(1), drawer(2), creator(3)]);
    check(CRASHING, [keeper(1), other_changer(2), creator(3)]);
}

#[test]
fn time_passes() {
    let passing = World {
        skew: Some(15),
        room: 1,
        ..CRASHING
    };
    check(passing, [creator(1), creator(3)]);
    check(passing, [keeper(1), drawer(2), creator(3)]);
    check(passing, [keeper(1), drawer(3), creator(4)]);
    check(passing, [changer(1, 1), creator(4)]);
}

#[test]
fn a_tool_writes_the_map_back() {
    let tool = World {
        has_tool: true,
        ..CRASHING
    };
    check(tool, [creator(1), creator(2)]);
    check(tool, [keeper(1), drawer(2)]);
    check(World { room: 1, ..tool }, [creator(1), creator(2), Actor::clearer()]);
    check(World { room: 1, ..tool }, [changer(1, 1), creator(3)]);
}

#[track_caller]
fn breaks(world: World, actors: impl IntoIterator<Item = Actor>, rule: &str) {
    let flaw = explore(State::new(actors), &world).err().unwrap_or_default();
    assert!(flaw.starts_with(rule), "{world:?}: {flaw:?}");
}

#[test]
fn a_look_at_the_servers_before_the_tickets_breaks_a_rule() {
    let mistake = Some(Mistake::ServersFirst);
    let world = World {
        room: 1,
        mistake,
        ..QUIET
    };
    let rule = "more is promised than there is";
    breaks(world, [creator(1), creator(2)], rule);
}

#[test]
fn a_mark_that_goes_before_its_ticket_breaks_a_rule() {
    let mistake = Some(Mistake::MarkFirst);
    let world = World { mistake, ..QUIET };
    breaks(
        world,
        [creator(1), creator(2), Actor::clearer()],
        "a released ticket lives again",
    );
}

#[test]
fn a_highest_number_that_is_cleared_breaks_a_rule() {
    let mistake = Some(Mistake::Highest);
    let world = World { mistake, ..QUIET };
    breaks(
        world,
        [creator(1), creator(2), Actor::clearer()],
        "a number is given twice",
    );
}

#[test]
fn clocks_that_are_further_apart_than_allowed_break_a_rule() {
    let world = World {
        skew: Some(17),
        room: 1,
        ..QUIET
    };
    let rule = "somebody who came later was served first";
    breaks(world, [creator(1), creator(3)], rule);
}
