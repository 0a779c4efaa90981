//! What is done with everything that a survey shows: pure, and the same for `plan`, `run --once` and the daemon.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use fleet::lease::Expiry;
use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;
use xenapi::{Ref, Uuid, Vdi, Vm};

use crate::classify::{Verdict, classify};
use crate::memory::{Acknowledged, PoolMemory, SEEN_APART};
use crate::policy::{Mode, Policy};
use crate::rails::{MASS_AT_LEAST, MASS_YOUNG_SECONDS, Rail, is_young};
use crate::sight::Sight;
use crate::survey::{Stray, Survey};
use crate::tickets::{self, TicketDecision};

/// How long a clone that nobody marked must be past its deadline for one look to be enough.
const ONE_LOOK: SignedDuration = SignedDuration::from_hours(1);

/// What is decided upon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A VM with its own disks.
    Vm(Ref<Vm>),
    /// A disk whose VM is gone.
    Disk(Ref<Vdi>, Uuid),
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is deleted.
    Delete,
    /// It stays.
    Keep,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it is about.
    pub target: Target,
    /// The VM; of a disk the one that its mark names.
    pub vm: Uuid,
    /// Its name.
    pub name: String,
    /// The verdict's label.
    pub verdict: &'static str,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Since when it is to be deleted, whether that happens now or something holds it up; `None` if it is not.
    pub due_since: Option<Timestamp>,
}

/// All decisions about a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The decisions, by name and UUID.
    pub decisions: Vec<Decision>,
    /// What holds deletions back.
    pub rails: Vec<Rail>,
    /// When something will be due that is not yet, by the coordinator's clock.
    pub next: Option<Timestamp>,
    /// How many things stay only because of a rail.
    pub held_back: usize,
    /// The young marks by which servers are due, or will be while the marks are young: what a person may acknowledge.
    pub young: Vec<Ulid>,
    /// The decisions about tickets, by number.
    pub tickets: Vec<TicketDecision>,
}

/// What decisions depend on beside the survey.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The coordinator's clock.
    pub now: Timestamp,
    /// The rules.
    pub policy: &'a Policy,
    /// What can be known of the past.
    pub mode: Mode,
    /// What is remembered.
    pub memory: &'a PoolMemory,
    /// The marks that a person has let go.
    pub acknowledged: &'a Acknowledged,
    /// What the clocks and the coordinator say.
    pub steadiness: &'a [Rail],
    /// How many more deletions this cycle may see.
    pub allowance: usize,
    /// What is being deleted, or was let go a moment ago.
    pub in_hand: &'a BTreeSet<Uuid>,
    /// What was deleted within the time in which a mark is young.
    pub lately: Lately,
}

/// A thing that may be deleted, before rails and numbers are looked at.
struct Draft {
    decision: Decision,
    is_managed: bool,
    /// The young mark by which it is due, or will be while the mark is young.
    young: Option<Ulid>,
    next: Option<Timestamp>,
}

/// What was deleted lately: it still counts when it is judged whether very many go at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lately {
    /// Servers.
    pub servers: usize,
    /// Those of them that went by young marks.
    pub by_young_marks: usize,
}

/// Says whether a VM is to be deleted by itself: its verdict, its owner, what others are doing with it. The same judgement leads to
/// a claim and is asked again before each step.
///
/// # Errors
/// The verdict, and why it stays.
pub fn due(sight: &Sight, now: Timestamp, policy: &Policy) -> Result<(Verdict, Timestamp), (Verdict, String)> {
    let verdict = classify(sight, now, policy.grace);
    let Some(since) = verdict.due_since() else {
        let reason = verdict.to_string();
        return Err((verdict, reason));
    };
    let owner = sight.marks.owner();
    if !matches!(verdict, Verdict::Leftover { .. }) && !policy.owners.include(owner) {
        let reason = format!("{verdict}; its owner {:?} is not among `owners`", owner.unwrap_or(""));
        return Err((verdict, reason));
    }
    if let Some((operation, reason)) = &sight.block {
        let reason = format!("{verdict}; somebody has blocked {operation} on it: {reason}");
        return Err((verdict, reason));
    }
    Ok((verdict, since))
}

/// Decides about a pool.
pub fn decide(survey: &Survey, at: &Circumstances<'_>) -> Plan {
    let vms = survey.sights.values().map(|sight| about_vm(sight, at));
    let mut drafts: Vec<Draft> = vms.collect();
    drafts.extend(survey.strays.iter().map(|stray| about_disk(survey, stray, at)));
    let mut rails = at.steadiness.to_vec();
    if survey.is_paused {
        rails.push(Rail::Paused);
    }
    let young: Vec<Ulid> = drafts.iter().filter_map(|draft| draft.young).collect();
    rails.extend(mass(&drafts, young.len(), at.lately));
    let next = drafts.iter().filter_map(|draft| draft.next).min();
    let mut decisions: Vec<Decision> = drafts.into_iter().map(|draft| draft.decision).collect();
    let due = decisions
        .iter()
        .filter(|decision| decision.action == Action::Delete)
        .count();
    if let Some(rail) = rails.iter().find(|rail| rail.stops_everything()) {
        hold(&mut decisions, rail);
    }
    rails.extend(cap(&mut decisions, at));
    let deleted = decisions
        .iter()
        .filter(|decision| decision.action == Action::Delete)
        .count();
    decisions.sort_by(|a, b| (&a.name, &a.vm, &a.target).cmp(&(&b.name, &b.vm, &b.target)));
    Plan {
        tickets: tickets::decide(&survey.tickets, at.now, &rails),
        decisions,
        rails,
        next,
        held_back: due - deleted,
        young,
    }
}

impl Action {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Action::Delete => "delete",
            Action::Keep => "keep",
        }
    }
}

impl Decision {
    /// The UUID of what is decided upon.
    pub fn uuid(&self) -> Uuid {
        match &self.target {
            Target::Vm(_) => self.vm,
            Target::Disk(_, uuid) => *uuid,
        }
    }
}

impl Plan {
    /// What is deleted, what has waited longest first.
    pub fn deletions(&self) -> Vec<&Decision> {
        let mut deletions: Vec<&Decision> = self
            .decisions
            .iter()
            .filter(|one| one.action == Action::Delete)
            .collect();
        deletions.sort_by_key(|decision| decision.due_since);
        deletions
    }

    /// Says whether there are tickets to clear away.
    pub fn has_leftover_tickets(&self) -> bool {
        self.tickets.iter().any(|ticket| ticket.action == Action::Delete)
    }

    /// Since when the oldest thing is due that is still there.
    pub fn oldest_due(&self) -> Option<Timestamp> {
        self.decisions.iter().filter_map(|decision| decision.due_since).min()
    }
}

fn about_vm(sight: &Sight, at: &Circumstances<'_>) -> Draft {
    let (verdict, due_since, held) = match due(sight, at.now, at.policy) {
        Ok((verdict, since)) => {
            let held = held(sight, &verdict, at);
            (verdict, after_grace(since, at.policy), held)
        }
        Err((verdict, reason)) => (verdict, None, Some((reason, None))),
    };
    let (action, reason, again) = match held {
        None => (Action::Delete, verdict.to_string(), None),
        Some((reason, again)) => (Action::Keep, reason, again),
    };
    let due_at = verdict.due_at().and_then(|due| after_grace(due, at.policy));
    Draft {
        is_managed: verdict.is_managed(),
        young: young(sight, &verdict, action, at),
        next: again.or(due_at),
        decision: Decision {
            target: Target::Vm(sight.vm.clone()),
            vm: sight.uuid,
            name: sight.name.clone(),
            verdict: verdict.label(),
            action,
            reason: reason + &remarks(sight, &verdict, at.policy),
            due_since,
        },
    }
}

fn after_grace(end: Timestamp, policy: &Policy) -> Option<Timestamp> {
    let grace = SignedDuration::try_from(policy.grace).ok()?;
    end.checked_add(grace).ok()
}

/// What stands in the way of something that is due, and when it is worth another look.
fn held(sight: &Sight, verdict: &Verdict, at: &Circumstances<'_>) -> Option<(String, Option<Timestamp>)> {
    if at.in_hand.contains(&sight.uuid) {
        return Some((format!("{verdict}; it is in hand"), None));
    }
    if let Some(operation) = &sight.operation {
        return Some((format!("{verdict}; {operation} is in progress on it"), None));
    }
    if let Some(lost) = at.memory.lost_lease(&sight.marks) {
        let reason = format!(
            "{verdict}; it had a lease until {} that is not there any more: the pool may have come back with an older database. \
             `dynvm-reaper extend` settles it",
            lost.at
        );
        return Some((reason, None));
    }
    if let Some(failures) = at.memory.pausing(&sight.uuid, at.now) {
        return Some((format!("{verdict}; {failures}"), Some(failures.next)));
    }
    if let Verdict::Leftover { since } = verdict {
        let is_old = at.mode == Mode::Once && since.checked_add(ONE_LOOK).is_ok_and(|old| old <= at.now);
        if !is_old && let Some(again) = wait(&sight.uuid, at) {
            let reason = format!("{verdict}; it has to be seen twice, ten minutes apart");
            return Some((reason, Some(again)));
        }
    }
    None
}

/// Until when a thing that has to be seen twice is left alone; `None` when it was.
fn wait(uuid: &Uuid, at: &Circumstances<'_>) -> Option<Timestamp> {
    let first = at.memory.first_seen(uuid).unwrap_or(at.now);
    let again = first.checked_add(SEEN_APART).unwrap_or(Timestamp::MAX);
    (again > at.now).then_some(again)
}

/// The young mark by which a server is due now, in hand, or due while the mark is young.
fn young(sight: &Sight, verdict: &Verdict, action: Action, at: &Circumstances<'_>) -> Option<Ulid> {
    let Expiry::Lease(expires) = sight.marks.expiry() else {
        return None;
    };
    let soon = at.now.as_second().saturating_add(MASS_YOUNG_SECONDS);
    let counts = match (verdict.due_since(), verdict.due_at()) {
        (Some(_), _) => action == Action::Delete || at.in_hand.contains(&sight.uuid),
        (None, Some(until)) => until.as_second() <= soon && at.policy.owners.include(sight.marks.owner()),
        (None, None) => false,
    };
    let is_young = is_young(expires.made_at(), at.now) && !at.acknowledged.contains(&expires.id);
    (counts && is_young).then_some(expires.id)
}

/// What a person may want to know of a server beside its verdict.
fn remarks(sight: &Sight, verdict: &Verdict, policy: &Policy) -> String {
    let mut remarks = String::new();
    let ttl = sight.marks.lease_record().map(|record| record.ttl());
    if let (Verdict::Living { .. } | Verdict::Expired { .. }, Some(max), Some(ttl)) = (verdict, policy.max_ttl, ttl)
        && ttl > max
    {
        remarks += &format!(
            "; leased for {} s, longer than max_ttl ({} s)",
            ttl.as_secs(),
            max.as_secs()
        );
    }
    if verdict.is_managed() && verdict.due_since().is_none() && !sight.marks.claims().is_empty() {
        remarks += "; it carries the claim of a reaper, and cannot be renewed: `dynvm-reaper unclaim` if none is at work on it";
    }
    remarks
}

fn about_disk(survey: &Survey, stray: &Stray, at: &Circumstances<'_>) -> Draft {
    let (action, reason, next) = if survey.has_vm(&stray.vm) {
        (Action::Keep, "detached, and its VM is there".to_owned(), None)
    } else if at.in_hand.contains(&stray.uuid()) {
        (Action::Keep, "it is in hand".to_owned(), None)
    } else if let Some(why) = stray.keeps() {
        (Action::Keep, why, None)
    } else if let Some(failures) = at.memory.pausing(&stray.uuid(), at.now) {
        (Action::Keep, failures.to_string(), Some(failures.next))
    } else if stray.names_itself() {
        (Action::Delete, "its VM is gone".to_owned(), None)
    } else if let Some(again) = wait(&stray.uuid(), at) {
        // It may be the disk of a clone that is being made of a template that was made from a server.
        let reason = "its VM is gone; it has to be seen twice, ten minutes apart".to_owned();
        (Action::Keep, reason, Some(again))
    } else {
        (Action::Delete, "its VM is gone".to_owned(), None)
    };
    Draft {
        is_managed: false,
        young: None,
        next,
        decision: Decision {
            target: Target::Disk(stray.vdi.clone(), stray.uuid()),
            vm: stray.vm,
            name: stray.record.name_label.clone(),
            verdict: "disk",
            action,
            reason,
            due_since: (action == Action::Delete).then_some(at.now),
        },
    }
}

/// Very many at once: also when their ends are spread over the minutes in which a mark is young. It shows when the first is due.
fn mass(drafts: &[Draft], young: usize, lately: Lately) -> Option<Rail> {
    let is_due = |draft: &Draft| draft.young.is_some() && draft.decision.action == Action::Delete;
    let managed = drafts.iter().filter(|draft| draft.is_managed).count() + lately.servers;
    let due = young + lately.by_young_marks;
    let is_mass = drafts.iter().any(is_due) && managed >= MASS_AT_LEAST && due * 2 > managed;
    is_mass.then_some(Rail::MassExpiry { due, managed })
}

fn hold(decisions: &mut [Decision], rail: &Rail) {
    for decision in decisions.iter_mut().filter(|one| one.action == Action::Delete) {
        decision.action = Action::Keep;
        decision.reason = format!("{}; held back: {rail}", decision.reason);
    }
}

/// Keeps what is beyond the number that a cycle may delete: what became due last waits.
fn cap(decisions: &mut [Decision], at: &Circumstances<'_>) -> Option<Rail> {
    let mut deleted: Vec<&mut Decision> = decisions
        .iter_mut()
        .filter(|one| one.action == Action::Delete)
        .collect();
    let waiting = deleted.len().saturating_sub(at.allowance);
    if waiting == 0 {
        return None;
    }
    let rail = Rail::MaxDeletions {
        waiting,
        max: at.policy.max_deletions,
    };
    deleted.sort_by_key(|decision| Reverse(decision.due_since));
    for decision in deleted.into_iter().take(waiting) {
        decision.action = Action::Keep;
        decision.reason = format!("{}; waits for the next cycle", decision.reason);
    }
    Some(rail)
}
