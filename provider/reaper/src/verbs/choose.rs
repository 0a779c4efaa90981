//! Which VMs a person means: one UUID, or servers by name, exactly as many as were expected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use xenapi::{Filter, Host, Pool, Ref, Uuid, Vm, VmRecord};

use super::VerbError;
use crate::cli::{Chosen, Pattern};
use crate::output::plain;
use crate::setup::Setup;
use crate::sight::Sight;
use crate::survey::SurveyError;

/// How long looking through the names of one pool may take.
const LISTING: Duration = Duration::from_secs(120);

/// A VM that a person means.
pub(super) struct Found {
    /// Its pool.
    pub(super) client: Arc<Pool>,
    /// The pool's coordinator, whose clock counts.
    coordinator: Ref<Host>,
    /// The VM.
    pub(super) vm: Ref<Vm>,
    /// As it was when it was found.
    pub(super) record: VmRecord,
}

/// What one pool has of what is meant.
struct Searched {
    uuid: Uuid,
    found: Vec<Found>,
}

/// Finds the VMs. Of names only servers that are `meant` count; a UUID is taken by its word, and the verb says what it thinks of it.
///
/// # Errors
/// Not as many as expected, or not all pools could be asked.
pub(super) async fn choose(setup: &Setup, chosen: &Chosen, meant: fn(&Sight) -> bool) -> Result<Vec<Found>, VerbError> {
    let searches = setup
        .clients
        .iter()
        .map(|client| search(client, &chosen.pattern, meant));
    let mut unread = Vec::new();
    let mut pools = BTreeSet::new();
    let mut found = Vec::new();
    for searched in join_all(searches).await {
        match searched {
            // A pool under two names is one.
            Ok(searched) if pools.insert(searched.uuid) => found.extend(searched.found),
            Ok(_) => {}
            Err(error) => unread.push(error.to_string()),
        }
    }
    let is_open = match chosen.pattern {
        Pattern::Uuid(_) => found.is_empty(),
        Pattern::Name(_) => true,
    };
    if is_open && !unread.is_empty() {
        let unread = unread.join("; ");
        return Err(VerbError::Failed(format!(
            "not all pools could be asked, so that it is open what matches; nothing was changed ({unread})"
        )));
    }
    found.sort_by_cached_key(|one| (one.pool().to_owned(), one.record.name_label.clone(), one.record.uuid));
    if found.len() == chosen.expect {
        Ok(found)
    } else {
        Err(VerbError::Usage(others(chosen, &found)))
    }
}

async fn search(client: &Arc<Pool>, pattern: &Pattern, meant: fn(&Sight) -> bool) -> Result<Searched, SurveyError> {
    let pools = client.pool().all_records().await?;
    let (_, pool) = pools.into_iter().next().ok_or(SurveyError::Nameless)?;
    let mut records = Vec::new();
    match pattern {
        Pattern::Uuid(uuid) => records.extend(client.vm().record_by_uuid(*uuid).await?),
        Pattern::Name(glob) => {
            let names = |vm: Ref<Vm>, record: VmRecord| {
                if glob.matches(&record.name_label) && meant(&Sight::of(&vm, &record)) {
                    records.push((vm, record));
                }
            };
            client.vm().each_where(&Filter::all(), LISTING, names).await?;
        }
    }
    let found = records.into_iter().map(|(vm, record)| Found {
        client: Arc::clone(client),
        coordinator: pool.master.clone(),
        vm,
        record,
    });
    Ok(Searched {
        uuid: pool.uuid,
        found: found.collect(),
    })
}

fn others(chosen: &Chosen, found: &[Found]) -> String {
    let (count, expected) = (found.len(), chosen.expect);
    if count == 0 {
        return "nothing matches; nothing was changed".to_owned();
    }
    let lines: Vec<String> = found.iter().map(|one| format!("\n  {}", one.title())).collect();
    let lines = lines.concat();
    format!(
        "{count} match, and {expected} were expected; nothing was changed. To change them all: --expect {count}{lines}"
    )
}

impl Found {
    /// The name of its pool.
    pub(super) fn pool(&self) -> &str {
        self.client.name()
    }

    /// How it looks to a reaper.
    pub(super) fn sight(&self) -> Sight {
        Sight::of(&self.vm, &self.record)
    }

    /// For people: where it is, its name, its UUID.
    pub(super) fn title(&self) -> String {
        plain(&format!(
            "{}: {} ({})",
            self.pool(),
            self.record.name_label,
            self.record.uuid
        ))
    }

    /// The clock by which its lease is judged.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn now(&self) -> Result<Timestamp, xenapi::Error> {
        self.client.host().servertime(&self.coordinator).await
    }

    /// Reads it again.
    ///
    /// # Errors
    /// The call failed; the VM may be gone.
    pub(super) async fn read(&self) -> Result<VmRecord, xenapi::Error> {
        self.client.vm().record(&self.vm).await
    }
}
