//! Which steps lead a server from what it is to what is wanted. Pure.

use xenapi::{Host, PowerState, Ref};

use super::super::address::Before;
use crate::spec::Power;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Cleanly within a bound, then hard.
    Stop,
    /// Set vCPUs and memory; only on a halted server.
    Size,
    Start,
    Suspend,
    Resume,
    Unpause,
    /// Until the guest shows an address: it is of use then, and can be suspended.
    Await(Before),
    /// Live, to another host.
    Move(Ref<Host>),
}

/// What a server is to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) power: Power,
    pub(super) size: Part,
    /// The host to move to, if it runs elsewhere.
    pub(super) moves_to: Option<Ref<Host>>,
}

/// Whether something is another one then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Stays,
    Changes,
}

/// What a server goes on doing of which nothing else is asked.
pub(super) fn goes_on(is: &PowerState) -> Power {
    match is {
        PowerState::Halted => Power::Halted,
        PowerState::Suspended => Power::Suspended,
        PowerState::Running | PowerState::Paused | PowerState::Other(_) => Power::Running,
    }
}

/// The steps, in their order.
///
/// A guest that is suspended or held has not written all that it has in memory: it is not stopped before it runs again. What is
/// started or resumed is put on the right host by that; only what goes on running is moved.
pub(super) fn steps(is: &PowerState, goal: &Goal) -> Vec<Step> {
    let mut steps = Vec::new();
    let wakes = goal.size == Part::Changes || goal.power != goes_on(is);
    let mut at = match is {
        PowerState::Suspended if wakes => {
            steps.push(Step::Resume);
            Power::Running
        }
        PowerState::Paused | PowerState::Other(_) => {
            steps.push(Step::Unpause);
            Power::Running
        }
        PowerState::Halted | PowerState::Running | PowerState::Suspended => goes_on(is),
    };
    if goal.size == Part::Changes {
        if at != Power::Halted {
            steps.push(Step::Stop);
        }
        steps.push(Step::Size);
        at = Power::Halted;
    }
    match (at, goal.power) {
        (Power::Running, Power::Halted) => steps.push(Step::Stop),
        (Power::Running, Power::Suspended) => steps.push(Step::Suspend),
        (Power::Halted, Power::Running) => steps.extend([Step::Start, Step::Await(Before::Stale)]),
        (Power::Halted, Power::Suspended) => steps.extend([Step::Start, Step::Await(Before::Stale), Step::Suspend]),
        (Power::Running, Power::Running) if steps.contains(&Step::Resume) => steps.push(Step::Await(Before::Counts)),
        (Power::Running, Power::Running) => steps.extend(goal.moves_to.clone().map(Step::Move)),
        (Power::Halted, Power::Halted)
        // A suspended guest that is wanted otherwise was woken above.
        | (Power::Suspended, Power::Running | Power::Halted | Power::Suspended) => {}
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps by their names.
    fn check(is: PowerState, power: Power, size: Part, moves_to: Option<&str>, expect: &str) {
        let goal = Goal {
            power,
            size,
            moves_to: moves_to.map(Ref::new),
        };
        let names: Vec<String> = steps(&is, &goal).iter().map(|step| format!("{step:?}")).collect();
        let names: Vec<&str> = names.iter().filter_map(|name| name.split('(').next()).collect();
        assert_eq!(names.join(" "), expect, "{is:?} -> {goal:?}");
    }

    #[test]
    fn power_alone() {
        for (is, wanted, expect) in [
            (PowerState::Running, Power::Running, ""),
            (PowerState::Running, Power::Halted, "Stop"),
            (PowerState::Running, Power::Suspended, "Suspend"),
            (PowerState::Halted, Power::Running, "Start Await"),
            (PowerState::Halted, Power::Halted, ""),
            (PowerState::Halted, Power::Suspended, "Start Await Suspend"),
            (PowerState::Suspended, Power::Running, "Resume Await"),
            (PowerState::Suspended, Power::Halted, "Resume Stop"),
            (PowerState::Suspended, Power::Suspended, ""),
            (PowerState::Paused, Power::Running, "Unpause"),
            (PowerState::Paused, Power::Halted, "Unpause Stop"),
            (PowerState::Paused, Power::Suspended, "Unpause Suspend"),
        ] {
            check(is, wanted, Part::Stays, None, expect);
        }
    }

    #[test]
    fn another_size_needs_a_halted_server_and_ends_as_wanted() {
        for (is, wanted, expect) in [
            (PowerState::Running, Power::Running, "Stop Size Start Await"),
            (PowerState::Running, Power::Halted, "Stop Size"),
            (PowerState::Halted, Power::Halted, "Size"),
            (PowerState::Halted, Power::Running, "Size Start Await"),
            (
                PowerState::Suspended,
                Power::Suspended,
                "Resume Stop Size Start Await Suspend",
            ),
            (PowerState::Paused, Power::Running, "Unpause Stop Size Start Await"),
        ] {
            check(is, wanted, Part::Changes, Some("xen12"), expect);
        }
    }

    #[test]
    fn only_what_goes_on_running_is_moved() {
        for (is, wanted, expect) in [
            (PowerState::Running, Power::Running, "Move"),
            (PowerState::Paused, Power::Running, "Unpause Move"),
            (PowerState::Suspended, Power::Running, "Resume Await"),
            (PowerState::Halted, Power::Halted, ""),
            (PowerState::Suspended, Power::Suspended, ""),
        ] {
            check(is, wanted, Part::Stays, Some("xen12"), expect);
        }
    }
}
