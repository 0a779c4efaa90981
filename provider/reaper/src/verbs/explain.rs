//! `explain`: all that is known about one VM, and what follows from it.

mod show;

use std::collections::BTreeMap;

use fleet::lease::{Expires, LeaseRecord, PREFIX, SpecRecord};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use xenapi::{Ref, Uuid, Vm, VmRecord};

use super::plan::{Decided, Held, held};
use super::{Unread, VerbError, looker};
use crate::classify::classify;
use crate::cli::{self, Form};
use crate::decide::{Decision, Target};
use crate::once::{Looked, Seen};
use crate::output::Printer;
use crate::setup::Setup;
use crate::sight::{Kind, Sight};

/// All about one VM, as programs read it.
#[derive(Debug, Serialize)]
struct Document {
    pool: String,
    vm: String,
    name: String,
    kind: &'static str,
    power_state: String,
    host: Option<String>,
    verdict: &'static str,
    action: &'static str,
    /// Why, and what is in the way.
    reason: String,
    /// When it is due, grace included, by the coordinator's clock.
    due_at: Option<Timestamp>,
    /// The coordinator's clock.
    now: Timestamp,
    owner: Option<String>,
    is_kept: bool,
    claims: Vec<String>,
    /// An operation that is in progress on it.
    operation: Option<String>,
    marks: Marks,
    leases: Vec<Lease>,
    spec: Option<SpecRecord>,
    /// Disks that carry its mark and hang on nothing.
    stray_disks: Vec<Decided>,
    rails: Vec<Held>,
}

/// What is written on it, word for word.
#[derive(Debug, Serialize)]
struct Marks {
    tags: Vec<String>,
    /// Says whether the tags name this VM: else they do not count.
    tags_count: bool,
    other_config: BTreeMap<String, String>,
}

/// One expiry mark.
#[derive(Debug, Serialize)]
struct Lease {
    expires_at: Timestamp,
    made_at: Timestamp,
    /// Says whether it stands on both sides.
    is_on_both_sides: bool,
    #[serde(flatten)]
    record: Option<LeaseRecord>,
}

/// Explains one VM; gives the exit code.
pub(super) async fn explain(setup: &Setup, asked: &cli::Explain, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let looked = looker(setup).look().await;
    let Some((pool, seen, vm)) = find(&looked, asked.uuid) else {
        return Err(VerbError::Failed(missing(&looked, asked.uuid)));
    };
    let record = seen.ground.crew().client.vm().record(&vm).await;
    let record = record.map_err(|error| VerbError::Failed(error.to_string()))?;
    let document = Document::of(pool, seen, &vm, &record, setup);
    match printer.form() {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show::show(&document, printer)?,
    }
    Ok(0)
}

fn find(looked: &[Looked], uuid: Uuid) -> Option<(&str, &Seen, Ref<Vm>)> {
    looked.iter().find_map(|looked| {
        let seen = looked.outcome.as_ref().ok()?;
        let survey = &seen.ground.survey;
        let sights = survey.sights.iter().map(|(vm, sight)| (vm, sight.uuid));
        let mut all = sights.chain(survey.others.iter().map(|(vm, (uuid, _))| (vm, *uuid)));
        let (vm, _) = all.find(|(_, found)| *found == uuid)?;
        Some((looked.pool.as_str(), seen, vm.clone()))
    })
}

/// Why it cannot be explained.
fn missing(looked: &[Looked], uuid: Uuid) -> String {
    let (mut read, mut unread) = (Vec::new(), String::new());
    for looked in looked {
        match &looked.outcome {
            Ok(_) => read.push(looked.pool.as_str()),
            Err(error) => unread.push_str(&format!("; {}", Unread::new(&looked.pool, error))),
        }
    }
    let seen = looked.iter().filter_map(|looked| looked.outcome.as_ref().ok());
    let left: String = seen
        .flat_map(|seen| &seen.plan.decisions)
        .filter(|decision| decision.vm == uuid)
        .map(|decision| format!("; its disk {} is left: {}", decision.uuid(), decision.reason))
        .collect();
    let read = if read.is_empty() {
        "no pool".to_owned()
    } else {
        read.join(", ")
    };
    format!("no VM {uuid} among those of {read}{unread}{left}")
}

impl Document {
    fn of(pool: &str, seen: &Seen, vm: &Ref<Vm>, record: &VmRecord, setup: &Setup) -> Self {
        let sight = Sight::of(vm, record);
        let verdict = classify(&sight, seen.now, setup.policy.grace);
        let decided = seen.plan.decisions.iter().filter(|decision| decision.vm == sight.uuid);
        let (disks, mut decided): (Vec<&Decision>, Vec<&Decision>) =
            decided.partition(|decision| matches!(decision.target, Target::Disk(..)));
        let decided = decided.pop();
        let grace = SignedDuration::try_from(setup.policy.grace).unwrap_or_default();
        let due_at = verdict.due_at().or(verdict.due_since());
        Self {
            pool: pool.to_owned(),
            vm: sight.uuid.to_string(),
            name: sight.name.clone(),
            kind: kind(sight.kind),
            power_state: sight.power_state.as_str().to_lowercase(),
            host: seen.ground.survey.host_name(&sight.host).map(str::to_owned),
            verdict: verdict.label(),
            action: decided.map_or("keep", |decision| decision.action.word()),
            reason: decided.map_or_else(|| verdict.to_string(), |decision| decision.reason.clone()),
            due_at: due_at.and_then(|due| due.checked_add(grace).ok()),
            now: seen.now,
            owner: sight.marks.owner().map(str::to_owned),
            is_kept: sight.marks.is_kept(),
            claims: sight.marks.claims().iter().map(ToString::to_string).collect(),
            operation: sight.operation.clone(),
            marks: Marks::of(&sight, record),
            leases: sight
                .marks
                .expires()
                .iter()
                .map(|mark| Lease::of(&sight, mark))
                .collect(),
            spec: sight.marks.spec().cloned(),
            stray_disks: disks.into_iter().map(|disk| Decided::of(pool, disk)).collect(),
            rails: held(pool, &seen.plan),
        }
    }
}

impl Marks {
    fn of(sight: &Sight, record: &VmRecord) -> Self {
        let is_ours = |text: &String| text.starts_with(PREFIX);
        let keys = record.other_config.iter().filter(|(key, _)| is_ours(key));
        Self {
            tags: record.tags.iter().filter(|tag| is_ours(tag)).cloned().collect(),
            tags_count: sight.marks.is_named_by_tags(),
            other_config: keys.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

impl Lease {
    fn of(sight: &Sight, mark: &Expires) -> Self {
        Self {
            expires_at: mark.at,
            made_at: mark.made_at(),
            is_on_both_sides: sight.marks.has_on_both_sides(mark),
            record: sight.marks.record(mark).cloned(),
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Vm => "vm",
        Kind::Template => "template",
        Kind::DefaultTemplate => "default template",
        Kind::Snapshot => "snapshot",
        Kind::ControlDomain => "control domain",
    }
}
