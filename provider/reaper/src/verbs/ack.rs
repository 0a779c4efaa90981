//! `ack`: a person has looked at what the rail mass-expiry holds back, and lets it go.

use std::collections::BTreeSet;

use fleet::lease::Expiry;
use serde::Serialize;
use ulid::Ulid;

use super::{Unread, VerbError, looker};
use crate::cli::{self, Form};
use crate::memory::{Acknowledged, StateDir};
use crate::once::{Looked, Seen};
use crate::output::{Printer, plain};
use crate::rails::Rail;
use crate::setup::Setup;

/// What is let go, as programs read it.
#[derive(Debug, Serialize)]
struct Document {
    acknowledged: Vec<LetGo>,
    unread: Vec<Unread>,
}

/// A server whose expiry is meant.
#[derive(Debug, Serialize)]
struct LetGo {
    pool: String,
    vm: String,
    name: String,
    /// The identity of the mark that lets it expire.
    mark: String,
    #[serde(skip)]
    id: Ulid,
}

/// Lets go what is held back now; gives the exit code.
pub(super) async fn ack(setup: &Setup, asked: &cli::Ack, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    let named = asked.pool.as_deref();
    if let Some(pool) = named.filter(|pool| setup.clients.iter().all(|client| client.name() != *pool)) {
        return Err(VerbError::Usage(format!("no pool {pool:?} is configured")));
    }
    let looked = looker(setup).look().await;
    let before = StateDir::for_reading(&setup.config.state_dir).acknowledged();
    let mut document = document(&looked, named);
    document.acknowledged.retain(|one| !before.contains(&one.id));
    if !document.acknowledged.is_empty() {
        remember(setup, &document, &looked)?;
    }
    match printer.form() {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show(&document, printer)?,
    }
    Ok(u8::from(!document.unread.is_empty()))
}

fn document(looked: &[Looked], named: Option<&str>) -> Document {
    let mut document = Document {
        acknowledged: Vec::new(),
        unread: Vec::new(),
    };
    let meant = looked.iter().filter(|one| named.is_none_or(|pool| pool == one.pool));
    for Looked { pool, outcome } in meant {
        match outcome {
            Ok(seen) => document.acknowledged.extend(held(pool, seen)),
            Err(error) => document.unread.push(Unread::new(pool, error)),
        }
    }
    document
}

/// The servers that the rail holds back in one pool: those that count for it.
fn held(pool: &str, seen: &Seen) -> Vec<LetGo> {
    let rails = &seen.plan.rails;
    let is_held = rails.iter().any(|rail| matches!(rail, Rail::MassExpiry { .. }));
    let sights = seen.ground.survey.sights.values().filter(|_| is_held);
    let held = sights.filter_map(|sight| match sight.marks.expiry() {
        Expiry::Lease(expires) if seen.plan.young.contains(&expires.id) => Some(LetGo {
            pool: pool.to_owned(),
            vm: sight.uuid.to_string(),
            name: sight.name.clone(),
            mark: expires.id.to_string(),
            id: expires.id,
        }),
        Expiry::Lease(_) | Expiry::Creating(_) | Expiry::Never => None,
    });
    held.collect()
}

/// Writes down what is let go, beside what was before. What no VM carries any more is forgotten, if that can be known.
fn remember(setup: &Setup, document: &Document, looked: &[Looked]) -> Result<(), VerbError> {
    let state = setup.open_state_dir()?;
    let mut marks = state.acknowledged();
    let seen: Vec<&Seen> = looked.iter().filter_map(|one| one.outcome.as_ref().ok()).collect();
    if seen.len() == looked.len() {
        let there = carried(&seen);
        marks.retain(|mark| there.contains(mark));
    }
    marks.extend(document.acknowledged.iter().map(|one| one.id));
    state.acknowledge(&marks).map_err(|error| {
        let folder = state.path().display();
        VerbError::Failed(format!("nothing is let go: {folder} cannot be written to: {error}"))
    })
}

fn carried(seen: &[&Seen]) -> Acknowledged {
    let sights = seen.iter().flat_map(|seen| seen.ground.survey.sights.values());
    let marks: BTreeSet<_> = sights.flat_map(|sight| sight.marks.expires()).collect();
    marks.into_iter().map(|mark| mark.id).collect()
}

fn show(document: &Document, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    for one in &document.acknowledged {
        let line = format!("{}: {} ({}) may go", one.pool, one.name, one.vm);
        printer.line(plain(&line))?;
    }
    for unread in &document.unread {
        printer.line(unread)?;
    }
    if document.acknowledged.is_empty() {
        printer.line("nothing is held back by mass-expiry")?;
    } else {
        printer.line(format_args!("{} servers are let go", document.acknowledged.len()))?;
    }
    Ok(())
}
