//! What a plan says of room: whether its new servers fit, all of them together.
//!
//! Terraform plans each server in a call of its own, in any order and several at once, and tells a provider nothing of the others. So the servers of one
//! plan meet here, where the fleet's memory of each is kept. Which call is about a new one has to be read from its shape:
//!
//! ```text
//!                                        prior    private    read before as
//!   new                                  null     none
//!   second leg of a replacement          null     a VM's                      the first leg was a call of its own, with a prior
//!   tainted by a failed create           null     none       failed           the refresh still has its private state
//!   tainted by hand                      null     none                        cannot be told from a new one; `-replace` can
//! ```
//!
//! Only a new one takes room that is not its own already. During the apply Terraform plans each server again in another process, and creates it right
//! after. From the first change on, this process is known to apply: what fits is then up to the placement, which sees more, and nothing counts twice.
//!
//! Terraform plans before it destroys, too, and does not destroy if that plan has an error. So what may come right by itself only warns, unless the
//! provider's configuration asks for more.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics, Severity};
use fleet::{Error, Foresight, Imagined, Obstacle, Outlook, What, Why};

use crate::diagnose;

/// What is in the way in a pool without the template.
const LACKS: &str = "lacks the template";

/// What a plan gets that does not fit now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// A warning for each server beyond.
    #[default]
    Warn,
    /// An error for each.
    Error,
    /// Nothing.
    Off,
}

/// Whose room a server takes that a plan would make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Its own.
    New,
    /// That of the server that it replaces.
    Inherited,
}

/// The new servers of one plan, and what is said of them. There is one for each configuration of the provider, and so for each run of Terraform.
#[derive(Debug)]
pub(crate) struct Admission {
    policy: Policy,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    Plan(Plan),
    Apply,
}

#[derive(Debug, Default)]
struct Plan {
    /// The new servers that fit: each keeps its room from the others as long as it is here.
    fit: Vec<Imagined>,
    /// How many do not.
    beyond: usize,
    /// The names of servers that were read, and whose creation had failed: each is about to be replaced by one of its name.
    failed: Vec<String>,
    /// Pools of which it was said that they cannot be asked.
    silent: BTreeSet<String>,
}

impl Admission {
    /// That of a run that has not begun.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Mutex::new(Phase::Plan(Plan::default())),
        }
    }

    /// Notes that this run applies.
    pub(crate) fn apply(&self) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Apply;
    }

    /// Notes a server that was read and that a failed create has left: Terraform holds it for tainted.
    pub(super) fn failed(&self, name: &str) {
        self.in_plan(|plan| plan.failed.push(name.to_owned()));
    }

    /// Notes that such a server is not tainted any more: it is planned as one that exists.
    pub(super) fn stays(&self, name: &str) {
        self.in_plan(|plan| plan.take_failed(name));
    }

    /// Whose room a server would take, which is no other's by its private state; `None` during an apply.
    pub(super) fn room(&self, name: &str, room: Room) -> Option<Room> {
        self.in_plan(|plan| match room {
            Room::New if plan.take_failed(name) => Room::Inherited,
            Room::New | Room::Inherited => room,
        })
    }

    /// What is said of a server with this outlook; the pools that lack its operating system were not looked at.
    pub(super) fn told(&self, room: Room, config: &Value, outlook: Outlook, lacking: &[&str]) -> Diagnostics {
        let severity = match (room, self.policy) {
            (Room::New, Policy::Warn) => Some(Severity::Warning),
            (Room::New, Policy::Error) => Some(Severity::Error),
            (Room::New, Policy::Off) | (Room::Inherited, Policy::Warn | Policy::Error | Policy::Off) => None,
        };
        let Outlook { foresight, unreachable } = outlook;
        // A create that began meanwhile may be what was seen: then that server has been counted twice.
        let told = self.in_plan(|plan| match (foresight, severity) {
            (Foresight::Never(error), _) => diagnose::error_about(config, &error).into(),
            (Foresight::Fits(_) | Foresight::Full { .. } | Foresight::Unknown, None) => Diagnostics::new(),
            (Foresight::Fits(imagined), Some(_)) => {
                plan.fit.push(imagined);
                plan.passed_over(&unreachable)
            }
            (Foresight::Full { fit, pools }, Some(severity)) => {
                let fit = usize::try_from(fit).unwrap_or(usize::MAX);
                let number = fit.saturating_add(plan.beyond).saturating_add(1);
                plan.beyond += 1;
                beyond(number, fit, &reasons(&pools, &unreachable, lacking), severity).into()
            }
            (Foresight::Unknown, Some(_)) => silent(config, &unreachable),
        });
        told.unwrap_or_default()
    }

    fn in_plan<T>(&self, work: impl FnOnce(&mut Plan) -> T) -> Option<T> {
        match &mut *self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Plan(plan) => Some(work(plan)),
            Phase::Apply => None,
        }
    }
}

impl Plan {
    fn take_failed(&mut self, name: &str) -> bool {
        let found = self.failed.iter().position(|failed| failed == name);
        found.map(|index| self.failed.swap_remove(index)).is_some()
    }

    /// Pools that cannot be asked while others have room: a word for each, once in a plan.
    fn passed_over(&mut self, pools: &[(String, Error)]) -> Diagnostics {
        let new = pools.iter().filter(|(pool, _)| self.silent.insert(pool.clone()));
        let warnings = new.map(|(pool, error)| {
            let detail = format!(
                "New servers go to other pools, for \"{pool}\" cannot be asked now: {error}. {}",
                error.hint()
            );
            Diagnostic::warning("Pool passed over", detail)
        });
        warnings.collect()
    }
}

/// `4th new server of this plan, 3 fit: lab1 limited by memory, lab2 lacks the template.`
fn beyond(number: usize, fit: usize, reasons: &[String], severity: Severity) -> Diagnostic {
    let what_to_do = match severity {
        Severity::Warning => {
            "By the time of the apply there may be more; a server that finds no room then fails before it is cloned."
        }
        Severity::Error => {
            "Destroy servers, ask for fewer or smaller ones, or add a pool. With `admission = \"warn\"` in the provider, the plan goes on."
        }
    };
    let fits = if fit == 1 { "fits" } else { "fit" };
    let detail = format!(
        "{} new server of this plan, {fit} {fits}: {}. {what_to_do}",
        ordinal(number),
        reasons.join(", ")
    );
    Diagnostic {
        severity,
        summary: "No room for a new server".to_owned(),
        detail,
        path: None,
    }
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        (_, _) => "th",
    };
    format!("{number}{ending}")
}

/// What is in the way in each pool.
fn reasons(pools: &[Obstacle], unreachable: &[(String, Error)], lacking: &[&str]) -> Vec<String> {
    let reason = |obstacle: &Obstacle| match &*obstacle.why {
        Why::Full(room) => format!("limited by {}", room.limited_by),
        Why::Cannot(
            Error::UnknownOs { .. }
            | Error::Missing {
                what: What::Template, ..
            },
        ) => LACKS.to_owned(),
        Why::Cannot(error) => format!("cannot take it ({error})"),
    };
    let seen = pools
        .iter()
        .map(|obstacle| format!("{} {}", obstacle.pool, reason(obstacle)));
    let silent = unreachable.iter().map(|(pool, _)| format!("{pool} cannot be asked"));
    let lacking = lacking.iter().map(|pool| format!("{pool} {LACKS}"));
    let mut reasons: Vec<String> = seen.chain(silent).chain(lacking).collect();
    reasons.sort();
    reasons
}

/// No pool can be asked. A server that names its pool goes nowhere else: that is an error. Any other is worth trying.
fn silent(config: &Value, pools: &[(String, Error)]) -> Diagnostics {
    if config.get("pool").is_set() {
        return pools.iter().map(|(_, error)| diagnose::error(error)).collect();
    }
    let reasons: Vec<String> = pools.iter().map(|(pool, error)| format!("{pool}: {error}")).collect();
    let warning = || {
        let detail = format!(
            "Whether there is room for the server is not known, for no pool that could take it can be asked ({}). The apply asks again.",
            reasons.join("; ")
        );
        Diagnostic::warning("No pool can be asked", detail)
    };
    (!reasons.is_empty()).then(warning).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Foresight {
        let obstacle = |pool: &str, error: Error| Obstacle {
            pool: pool.to_owned(),
            why: Box::new(Why::Cannot(error)),
        };
        Foresight::Full {
            fit: 3,
            pools: vec![obstacle("lab2", unknown_os()), obstacle("lab1", Error::NoPools)],
        }
    }

    fn unknown_os() -> Error {
        Error::UnknownOs {
            os: "plan9".to_owned(),
            there: fleet::Choices::new("plan9", []),
        }
    }

    /// What is said, one a line.
    fn say(admission: &Admission, room: Room, config: &Value, foresight: Foresight, unreachable: &[&str]) -> String {
        let unreachable = unreachable.iter().map(|pool| ((*pool).to_owned(), Error::NoPools));
        let outlook = Outlook {
            foresight,
            unreachable: unreachable.collect(),
        };
        let found = admission.told(room, config, outlook, &["lab3"]);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn config() -> Value {
        super::super::schema::table().empty().with("os", "plan9")
    }

    #[test]
    fn one_that_takes_the_place_of_a_failed_one_counts_nothing() {
        let admission = Admission::new(Policy::Warn);
        let room = |name: &str| admission.room(name, Room::New);
        admission.failed("web");
        admission.failed("web");
        assert_eq!(room("web"), Some(Room::Inherited));
        assert_eq!(room("db"), Some(Room::New));
        assert_eq!(room("web"), Some(Room::Inherited));
        assert_eq!(room("web"), Some(Room::New), "only two had failed");
        assert_eq!(admission.room("db", Room::Inherited), Some(Room::Inherited));
        admission.failed("db");
        admission.stays("db");
        assert_eq!(room("db"), Some(Room::New), "it was untainted");
    }

    #[test]
    fn an_apply_leaves_it_to_the_placement() {
        let admission = Admission::new(Policy::Error);
        assert_ne!(say(&admission, Room::New, &config(), full(), &[]), "");
        admission.apply();
        assert_eq!(
            say(&admission, Room::New, &config(), full(), &[]),
            "",
            "a create has begun"
        );
        assert_eq!(admission.room("b", Room::New), None);
    }

    #[test]
    fn what_is_said_follows_the_policy() {
        let pinned = config().with("pool", "lab1");
        for (policy, on_full, on_unknown, on_pinned) in [
            (
                Policy::Warn,
                "warning: No room for a new server",
                "warning: No pool can be asked",
                "error: No pool",
            ),
            (
                Policy::Error,
                "error: No room for a new server",
                "warning: No pool can be asked",
                "error: No pool",
            ),
            (Policy::Off, "", "", ""),
        ] {
            let check = |room: Room, config: &Value, foresight: Foresight, expect: &str| {
                let said = say(&Admission::new(policy), room, config, foresight, &["lab1"]);
                let title = said.rsplit_once(": ").map(|(title, _)| title).unwrap_or_default();
                assert!(
                    title.starts_with(expect) && said.is_empty() == expect.is_empty(),
                    "{policy:?}: {said}"
                );
            };
            check(Room::New, &config(), full(), on_full);
            check(Room::New, &config(), Foresight::Unknown, on_unknown);
            check(Room::New, &pinned, Foresight::Unknown, on_pinned);
            check(Room::Inherited, &config(), full(), "");
            check(Room::Inherited, &pinned, Foresight::Unknown, "");
            for room in [Room::New, Room::Inherited] {
                check(
                    room,
                    &config(),
                    Foresight::Never(unknown_os()),
                    "error: Unknown os (os)",
                );
            }
        }
    }

    #[test]
    fn the_text_counts() {
        let admission = Admission::new(Policy::Warn);
        for number in ["4th", "5th"] {
            let said = say(&admission, Room::New, &config(), full(), &["lab0"]);
            let expect = format!(
                "warning: No room for a new server: {number} new server of this plan, 3 fit: lab0 cannot be asked, lab1 cannot take it (no pool is \
                 configured), lab2 lacks the template, lab3 lacks the template. By the time"
            );
            assert!(said.starts_with(&expect), "{said}");
        }
        let shown: Vec<String> = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 101, 111, 113].map(ordinal).into();
        let expect = "1st 2nd 3rd 4th 10th 11th 12th 13th 21st 22nd 101st 111th 113th";
        assert_eq!(shown.join(" "), expect);
    }

    #[test]
    fn a_silent_pool_is_told_once() {
        let mut plan = Plan::default();
        let pools = |names: &[&str]| -> Vec<(String, Error)> {
            names.iter().map(|name| ((*name).to_owned(), Error::NoPools)).collect()
        };
        assert_eq!(plan.passed_over(&pools(&["lab1"])).len(), 1);
        assert_eq!(plan.passed_over(&pools(&["lab1", "lab2"])).len(), 1);
        assert_eq!(plan.passed_over(&pools(&["lab1"])).len(), 0);
    }
}
