//! `plan`: what `run --once` would do now, by the same planner.

use serde::Serialize;
use xenapi::Uuid;

use super::{VerbError, looker};
use crate::cli::{self, Form};
use crate::decide::{Action, Decision, Plan, Target};
use crate::once::{Looked, Seen};
use crate::output::Printer;
use crate::rails::Rail;
use crate::setup::Setup;
use crate::survey::SurveyError;
use crate::tickets::TicketDecision;

/// The exit code if no pool could be read.
const NO_POOL: u8 = 6;

/// What is decided, as programs read it.
#[derive(Debug, Serialize)]
struct Document {
    decisions: Vec<Decided>,
    rails: Vec<Held>,
    tickets: Vec<Ticket>,
}

/// What is decided about a ticket, as programs read it.
#[derive(Debug, Serialize)]
struct Ticket {
    pool: String,
    ticket: String,
    state: &'static str,
    action: &'static str,
    reason: String,
}

/// A decision, as programs read it.
#[derive(Debug, Serialize)]
pub(super) struct Decided {
    pool: String,
    vm: String,
    /// The disk, where that and not the VM is decided upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
    name: String,
    verdict: &'static str,
    action: &'static str,
    reason: String,
    /// Nothing on it recalls dynvm.
    #[serde(skip)]
    is_unmarked: bool,
}

/// A rail, as programs read it.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pool: String,
    rail: &'static str,
    reason: String,
}

/// Shows the plan.
pub(super) async fn plan(setup: &Setup, options: &cli::Plan, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let looked = looker(setup).look().await;
    let code = if looked.iter().all(|looked| looked.outcome.is_err()) {
        NO_POOL
    } else {
        0
    };
    let document = document(&looked);
    match printer.form() {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show(&document, options, printer)?,
    }
    Ok(code)
}

fn document(looked: &[Looked]) -> Document {
    let mut decisions = Vec::new();
    let mut rails = Vec::new();
    let mut tickets = Vec::new();
    for Looked { pool, outcome } in looked {
        match outcome {
            Ok(seen) => {
                decisions.extend(seen.plan.decisions.iter().map(|decision| Decided::of(pool, decision)));
                decisions.extend(unmarked(pool, seen));
                rails.extend(held(pool, &seen.plan));
                tickets.extend(seen.plan.tickets.iter().map(|decision| Ticket::of(pool, decision)));
            }
            Err(error) => rails.push(Held::unread(pool, error)),
        }
    }
    Document {
        decisions,
        rails,
        tickets,
    }
}

/// What holds a plan back.
pub(super) fn held(pool: &str, plan: &Plan) -> Vec<Held> {
    plan.rails.iter().map(|rail| Held::of(pool, rail)).collect()
}

/// The VMs that the planner does not need to look at.
fn unmarked(pool: &str, seen: &Seen) -> Vec<Decided> {
    let mut others: Vec<&(Uuid, Box<str>)> = seen.ground.survey.others.values().collect();
    others.sort_by_key(|(uuid, name)| (name, uuid));
    let decided = others.into_iter().map(|(uuid, name)| Decided {
        pool: pool.to_owned(),
        vm: uuid.to_string(),
        disk: None,
        name: name.to_string(),
        verdict: "foreign",
        action: Action::Keep.word(),
        reason: "not dynvm's: carries no mark".to_owned(),
        is_unmarked: true,
    });
    decided.collect()
}

impl Decided {
    pub(super) fn of(pool: &str, decision: &Decision) -> Self {
        Self {
            pool: pool.to_owned(),
            vm: decision.vm.to_string(),
            disk: match &decision.target {
                Target::Vm(_) => None,
                Target::Disk(_, disk) => Some(disk.to_string()),
            },
            name: decision.name.clone(),
            verdict: decision.verdict,
            action: decision.action.word(),
            reason: decision.reason.clone(),
            is_unmarked: false,
        }
    }

    /// What is decided upon, for people.
    fn target(&self) -> String {
        match &self.disk {
            Some(disk) => format!("disk {disk}"),
            None => self.vm.clone(),
        }
    }

    /// For people: what, and why.
    pub(super) fn text(&self) -> String {
        format!("{} ({}): {}: {}", self.name, self.target(), self.action, self.reason)
    }
}

impl Ticket {
    fn of(pool: &str, decision: &TicketDecision) -> Self {
        Self {
            pool: pool.to_owned(),
            ticket: decision.key.clone(),
            state: decision.state.label(),
            action: decision.action.word(),
            reason: decision.reason.clone(),
        }
    }

    /// For people: what, where, and why.
    fn text(&self) -> String {
        format!("{} in {}: {}: {}", self.ticket, self.pool, self.action, self.reason)
    }
}

impl Held {
    fn of(pool: &str, rail: &Rail) -> Self {
        Self {
            pool: pool.to_owned(),
            rail: rail.name(),
            reason: rail.to_string(),
        }
    }

    /// A pool that was not read holds back everything there.
    pub(super) fn unread(pool: &str, error: &SurveyError) -> Self {
        let rail = match error {
            SurveyError::Incomplete { listed, counted } => Rail::Incomplete {
                listed: *listed,
                counted: *counted,
            },
            SurveyError::Call(_) | SurveyError::Nameless | SurveyError::OtherPool { .. } => {
                Rail::Unreadable { why: error.to_string() }
            }
        };
        Self::of(pool, &rail)
    }

    /// For people: what holds, where, and why.
    pub(super) fn text(&self) -> String {
        format!("rail {} in {}: {}", self.rail, self.pool, self.reason)
    }
}

fn show(document: &Document, options: &cli::Plan, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    let count = |action: Action| {
        let all = document.decisions.iter().filter(|decided| !decided.is_unmarked);
        all.filter(|decided| decided.action == action.word()).count()
    };
    let unmarked = document.decisions.iter().filter(|decided| decided.is_unmarked).count();
    let shown = document
        .decisions
        .iter()
        .filter(|decided| options.all || !decided.is_unmarked);
    let rows = shown.map(|decided| {
        [
            decided.pool.clone(),
            decided.verdict.to_owned(),
            decided.action.to_owned(),
            decided.name.clone(),
            decided.target(),
            decided.reason.clone(),
        ]
    });
    printer.table(["pool", "verdict", "action", "name", "vm", "reason"], rows.collect())?;
    for rail in &document.rails {
        printer.line(rail.text())?;
    }
    for ticket in &document.tickets {
        printer.line(ticket.text())?;
    }
    let (deleted, kept) = (count(Action::Delete), count(Action::Keep));
    Ok(printer.line(format_args!(
        "{deleted} to delete, {kept} to keep, {unmarked} without any mark"
    ))?)
}
