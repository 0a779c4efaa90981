//! What the reaper writes into the history: what it sees of servers in spec and marks, and how they end. A lab in which nothing else
//! writes a history still has all rows.
//!
//! A fact is told when it is settled: of a server under its creation lease nothing is told yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::lease::{Expires, Expiry};
use history::{EndReason, Entry, History, Recorder, Renewal, ServerRow, SinkUrl, Spool, VmUuid};
use jiff::Timestamp;
use xenapi::Uuid;

use crate::act::Deed;
use crate::ground::Job;
use crate::sight::Sight;
use crate::survey::Survey;

/// How long the end waits for entries to be delivered; what is left waits in the spool.
const CLOSING: Duration = Duration::from_secs(5);

/// Writes the history, or nothing if none is configured.
#[derive(Clone, Default)]
pub struct Chronicle(Option<Arc<Inner>>);

struct Inner {
    recorder: Recorder,
    /// The same history, for reading.
    reader: History,
    told: Mutex<BTreeMap<Uuid, Told>>,
}

/// What was told of a server last.
#[derive(Clone)]
struct Told {
    row: ServerRow,
    pool: Uuid,
    marks: BTreeSet<Expires>,
    /// It was seen before it had a lease: when that began is when it was ready.
    was_unborn: bool,
}

impl Chronicle {
    /// Writes to this history; entries wait in the spool while it is down.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn new(url: &SinkUrl, spool: Spool) -> Result<Self, history::Error> {
        let inner = Inner {
            recorder: Recorder::start(History::new(url), spool)?,
            reader: History::new(url),
            told: Mutex::default(),
        };
        Ok(Self(Some(Arc::new(inner))))
    }

    /// Takes in a whole pool: what is new is told, what was there and is not any more has vanished.
    pub fn surveyed(&self, survey: &Survey, now: Timestamp) {
        let Some(inner) = &self.0 else { return };
        let mut entries: Vec<Entry> = survey
            .sights
            .values()
            .flat_map(|sight| inner.seen(survey, sight))
            .collect();
        entries.extend(inner.missing(survey, now));
        inner.record(entries);
    }

    /// Looks for servers that vanished while nobody looked: no end of them is known, and they are not there any more. A history
    /// that cannot be read now is asked at the next start. Needs the survey no more once it has begun.
    pub fn recollect(&self, survey: &Survey, now: Timestamp) -> impl Future<Output = ()> + Send + 'static {
        let chronicle = self.clone();
        let pool = survey.pool.clone();
        let there: BTreeSet<String> = survey.sights.values().map(|sight| sight.uuid.to_string()).collect();
        async move {
            let Some(inner) = &chronicle.0 else { return };
            match inner.reader.open_rows(&pool).await {
                Ok(rows) => {
                    let gone = rows.into_iter().filter(|row| !there.contains(&row.vm_uuid.to_string()));
                    inner.record(gone.map(|row| Entry::Server(vanished(row.vm_uuid, now))).collect());
                }
                Err(error) => tracing::warn!(pool, %error, "the history cannot be read"),
            }
        }
    }

    /// Takes in a VM that is new or has changed.
    pub fn seen(&self, survey: &Survey, sight: &Sight) {
        if let Some(inner) = &self.0 {
            inner.record(inner.seen(survey, sight));
        }
    }

    /// Takes in a VM that is gone without this reaper's doing.
    pub fn vanished(&self, sight: &Sight, now: Timestamp) {
        let Some(inner) = &self.0 else { return };
        if inner.forget(&sight.uuid).is_some()
            && let Some(vm) = vm_uuid(&sight.uuid)
        {
            inner.record(vec![Entry::Server(vanished(vm, now))]);
        }
    }

    /// Takes in how a deletion ended.
    pub fn deleted(&self, survey: &Survey, job: &Job, deed: &Deed, now: Timestamp) {
        let Some(inner) = &self.0 else { return };
        let (Some(sight), Some(vm)) = (job.sight(), vm_uuid(&job.decision.vm)) else {
            return;
        };
        let (disk_bytes, took) = match deed {
            Deed::Deleted { disk_bytes, took, .. } => (disk_bytes, took),
            Deed::Gone => return self.vanished(sight, now),
            Deed::GivenUp { .. } | Deed::Failed { .. } => return,
        };
        let known = inner
            .forget(&sight.uuid)
            .map(|told| told.row)
            .or_else(|| row(survey, sight));
        let row = ServerRow {
            disk_bytes: *disk_bytes,
            deleted_at: Some(now),
            delete_seconds: Some(took.as_secs_f64()),
            end_reason: Some(reason(sight)),
            ..known.unwrap_or_else(|| ServerRow::new(vm))
        };
        inner.record(vec![Entry::Server(row)]);
    }

    /// How many entries wait.
    pub fn waiting(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| *inner.recorder.waiting().borrow())
    }

    /// Delivers what can be delivered, and ends. Whoever holds another handle writes on.
    pub async fn close(self) {
        if let Some(inner) = self.0.and_then(Arc::into_inner) {
            let left = inner.recorder.close(CLOSING).await;
            if left > 0 {
                tracing::warn!(left, "entries of the history wait for the next start");
            }
        }
    }
}

impl Inner {
    fn record(&self, entries: Vec<Entry>) {
        for entry in entries {
            self.recorder.record(entry);
        }
    }

    fn forget(&self, vm: &Uuid) -> Option<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(vm)
    }

    /// What is to be told of a VM that was not told yet.
    fn seen(&self, survey: &Survey, sight: &Sight) -> Vec<Entry> {
        let Some(mut row) = row(survey, sight) else {
            return Vec::new();
        };
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(&sight.uuid);
        // A mark without its record is on its way, or a person's: what it means is told when both are there.
        let marks: BTreeSet<Expires> = sight.marks.expires();
        let marks: BTreeSet<Expires> = marks
            .into_iter()
            .filter(|mark| sight.marks.record(mark).is_some())
            .collect();
        if marks.is_empty() {
            all.entry(sight.uuid).or_insert(Told {
                row,
                pool: survey.uuid,
                marks,
                was_unborn: true,
            });
            return Vec::new();
        }
        let was_unborn = before.is_some_and(|told| told.was_unborn);
        row.ready_at = match before {
            Some(told) if told.was_unborn && told.marks.is_empty() => {
                sight.marks.lease_record().map(|record| record.start)
            }
            Some(told) => told.row.ready_at,
            None => None,
        };
        let mut entries = Vec::new();
        if before.is_none_or(|told| told.row != row || told.marks.is_empty()) {
            entries.push(Entry::Server(row.clone()));
        }
        if let Some(told) = before.filter(|told| !told.marks.is_empty()) {
            let new = marks.difference(&told.marks);
            entries.extend(new.filter_map(|mark| renewal(sight, mark)).map(Entry::Renewed));
        }
        let pool = survey.uuid;
        let told = Told {
            row,
            pool,
            marks,
            was_unborn,
        };
        all.insert(sight.uuid, told);
        entries
    }

    /// Those of a pool that were told of and are not there any more.
    fn missing(&self, survey: &Survey, now: Timestamp) -> Vec<Entry> {
        let there: BTreeSet<Uuid> = survey.sights.values().map(|sight| sight.uuid).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |vm: &Uuid, told: &mut Told| told.pool == survey.uuid && !there.contains(vm);
        let gone = told.extract_if(.., is_missing);
        gone.filter_map(|(vm, _)| Some(Entry::Server(vanished(vm_uuid(&vm)?, now))))
            .collect()
    }
}

/// What is known of a server; `None` if it is none.
fn row(survey: &Survey, sight: &Sight) -> Option<ServerRow> {
    if !sight.marks.is_managed() {
        return None;
    }
    let spec = sight.marks.spec()?;
    let expires_at = match sight.marks.expiry() {
        Expiry::Lease(expires) => Some(expires.at),
        Expiry::Creating(_) | Expiry::Never => None,
    };
    Some(ServerRow {
        name: sight.birth.is_none().then(|| sight.name.clone()),
        owner: sight.marks.owner().map(str::to_owned),
        pool: Some(survey.pool.clone()),
        host: survey.host_name(&sight.host).map(str::to_owned),
        os: spec.os.clone(),
        template: Some(spec.template_name.clone()).filter(|name| !name.is_empty()),
        cpus: u32::try_from(sight.cpus).ok(),
        memory_bytes: u64::try_from(sight.memory_bytes).ok(),
        created_at: Some(spec.created_at),
        expires_at,
        ..ServerRow::new(vm_uuid(&sight.uuid)?)
    })
}

fn renewal(sight: &Sight, mark: &Expires) -> Option<Renewal> {
    Some(Renewal {
        vm_uuid: vm_uuid(&sight.uuid)?,
        at: mark.made_at(),
        expires_at: mark.at,
        by: sight.marks.record(mark).map(|record| record.by.clone()),
    })
}

/// A server that never had a lease was never handed out.
fn reason(sight: &Sight) -> EndReason {
    if sight.marks.expires().is_empty() {
        EndReason::Failed
    } else {
        EndReason::Expired
    }
}

fn vanished(vm: VmUuid, at: Timestamp) -> ServerRow {
    ServerRow {
        deleted_at: Some(at),
        end_reason: Some(EndReason::Vanished),
        ..ServerRow::new(vm)
    }
}

fn vm_uuid(uuid: &Uuid) -> Option<VmUuid> {
    uuid.to_string().parse().ok()
}
