//! `run --once`: one look at each pool, and what follows from it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::VerbError;
use super::plan::{Held, held};
use crate::act::Deed;
use crate::chronicle::Chronicle;
use crate::cli::Form;
use crate::decide::{Decision, Target};
use crate::ground::{Ground, Job, Memories};
use crate::once::{Done, Ending, Listener, Once};
use crate::output::{Printer, plain};
use crate::report;
use crate::setup::Setup;

/// How long the end waits for the history to tell what it knows.
const RECOLLECTION: Duration = Duration::from_secs(10);

/// What was done, as programs read it.
#[derive(Debug, Serialize)]
struct Document {
    deletions: Vec<Deletion>,
    pools: Vec<PoolSummary>,
    rails: Vec<Held>,
    code: u8,
}

/// One thing that was to be deleted.
#[derive(Debug, Serialize)]
struct Deletion {
    pool: String,
    vm: String,
    /// The disk, where that and not the VM was to be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
    name: String,
    verdict: &'static str,
    result: &'static str,
    /// Why it was to be deleted, or why it was not.
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// Disks that were attached and are not the server's own.
    kept_disks: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct PoolSummary {
    pool: String,
    deleted: usize,
    /// Gone before they were deleted.
    gone: usize,
    /// Left alone at the last look.
    given_up: usize,
    failed: usize,
    /// Kept only because of a rail.
    held_back: usize,
    /// Tickets that held nothing any more.
    cleared_tickets: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
}

/// Deletes what is due; gives the exit code.
pub(super) async fn run_once(
    setup: &Setup,
    stop: &CancellationToken,
    printer: &mut Printer<'_>,
) -> Result<u8, VerbError> {
    let state = setup.open_state_dir()?;
    let chronicle = setup.open_chronicle(&state);
    let once = Once {
        clients: setup.clients.clone(),
        policy: setup.policy.clone(),
        memories: std::sync::Arc::new(Memories::load(state)),
        stop: stop.clone(),
    };
    let form = printer.form();
    let told = Told {
        chronicle: &chronicle,
        recollections: Mutex::default(),
        printer: Mutex::new((form == Form::Table).then_some(&mut *printer)),
    };
    let done = once.run(&told).await;
    // A history that is slow to answer has held up no deletion, and holds up the end only for a while.
    let recollections = std::mem::take(&mut *lock(&told.recollections));
    let _ = tokio::time::timeout(RECOLLECTION, join_all(recollections)).await;
    drop(told);
    chronicle.close().await;
    let document = document(&done);
    match form {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show(&document, printer)?,
    }
    Ok(document.code)
}

/// Tells people and the history how it goes.
struct Told<'a, 'b> {
    chronicle: &'a Chronicle,
    recollections: Mutex<Vec<BoxFuture<'static, ()>>>,
    printer: Mutex<Option<&'a mut Printer<'b>>>,
}

impl Listener for Told<'_, '_> {
    fn looked(&self, ground: &Ground, now: Timestamp) {
        self.chronicle.surveyed(&ground.survey, now);
        let recollection = self.chronicle.recollect(&ground.survey, now);
        lock(&self.recollections).push(Box::pin(recollection));
    }

    fn ended(&self, ground: &Ground, job: &Job, deed: &Deed) {
        let pool = ground.survey.pool.as_str();
        report::ended(pool, &job.decision, deed);
        self.chronicle.deleted(&ground.survey, job, deed, ground.now());
        if let Some(printer) = lock(&self.printer).as_mut() {
            // A reader that has gone away does not stop a deletion.
            let _ = printer.line(Deletion::of(pool, &job.decision, deed).text());
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn document(done: &[Done]) -> Document {
    let mut document = Document {
        deletions: Vec::new(),
        pools: Vec::new(),
        rails: Vec::new(),
        code: Ending::of(done).code(),
    };
    for Done {
        pool,
        outcome,
        cleared_tickets,
    } in done
    {
        let mut summary = PoolSummary {
            pool: pool.clone(),
            cleared_tickets: *cleared_tickets,
            ..PoolSummary::default()
        };
        match outcome {
            Ok((plan, deeds)) => {
                summary.held_back = plan.held_back;
                document.rails.extend(held(pool, plan));
                for (decision, deed) in deeds {
                    summary.count(deed);
                    document.deletions.push(Deletion::of(pool, decision, deed));
                }
            }
            Err(error) => {
                summary.unread = Some(error.to_string());
                document.rails.push(Held::unread(pool, error));
            }
        }
        document.pools.push(summary);
    }
    document
}

impl PoolSummary {
    fn count(&mut self, deed: &Deed) {
        match deed {
            Deed::Deleted { .. } => self.deleted += 1,
            Deed::Gone => self.gone += 1,
            Deed::GivenUp { .. } => self.given_up += 1,
            Deed::Failed { .. } => self.failed += 1,
        }
    }

    fn text(&self) -> String {
        if self.unread.is_some() {
            return format!("{}: not read, nothing deleted", self.pool);
        }
        let counts = [
            (self.gone, "gone already"),
            (self.given_up, "left alone at the last look"),
            (self.failed, "failed"),
            (self.held_back, "held back"),
        ];
        let mut text = format!("{}: {} deleted", self.pool, self.deleted);
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!(", {count} {what}"));
        }
        if self.cleared_tickets > 0 {
            text.push_str(&format!(", {} tickets cleared away", self.cleared_tickets));
        }
        text
    }
}

impl Deletion {
    fn of(pool: &str, decision: &Decision, deed: &Deed) -> Self {
        let (result, reason, took) = match deed {
            Deed::Deleted { took, .. } => ("deleted", decision.reason.clone(), Some(took.as_secs_f64())),
            Deed::Gone => ("gone", "gone already".to_owned(), None),
            Deed::GivenUp { why } => ("given_up", why.clone(), None),
            Deed::Failed { why } => ("failed", why.clone(), None),
        };
        let kept = match deed {
            Deed::Deleted { kept, .. } => kept.as_slice(),
            Deed::Gone | Deed::GivenUp { .. } | Deed::Failed { .. } => &[],
        };
        Self {
            pool: pool.to_owned(),
            vm: decision.vm.to_string(),
            disk: match &decision.target {
                Target::Vm(_) => None,
                Target::Disk(_, disk) => Some(disk.to_string()),
            },
            name: decision.name.clone(),
            verdict: decision.verdict,
            result,
            reason,
            seconds: took,
            kept_disks: kept.iter().map(|disk| disk.uuid.to_string()).collect(),
        }
    }

    fn text(&self) -> String {
        let what = match &self.disk {
            Some(disk) => format!("disk {disk}"),
            None => self.vm.clone(),
        };
        let took = self
            .seconds
            .map(|seconds| format!(" in {seconds:.1} s"))
            .unwrap_or_default();
        let result = self.result.replace('_', " ");
        let text = format!(
            "{}: {result} {:?} ({what}){took}: {}",
            self.pool, self.name, self.reason
        );
        plain(&text)
    }
}

fn show(document: &Document, printer: &mut Printer<'_>) -> Result<(), VerbError> {
    for rail in &document.rails {
        printer.line(rail.text())?;
    }
    for pool in &document.pools {
        printer.line(pool.text())?;
    }
    Ok(())
}
