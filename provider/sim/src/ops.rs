//! Operations on objects: `current_operations`, who excludes whom, and the wait of those who come second.
//!
//! A call that meets a conflicting operation does not fail. It sleeps a random 1 to 20 seconds and looks again, for up to
//! two hours; the end of any operation wakes the sleepers that are still listed. The list is kept as the real server keeps
//! it: a sleeper that wakes takes the *latest* entry of its object off the list, which need not be its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Pace;
use crate::context::Context;
use crate::control::SrOperation;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::{Pool, State};
use crate::value::Value;

/// How long the standard policy waits in all.
pub(crate) const STANDARD: Duration = Duration::from_secs(2 * 3600);
/// How long `VM.start` waits for its disks.
pub(crate) const SHORT: Duration = Duration::from_secs(120);
/// Waiting calls of a pool above which further ones fail at once.
const MOST_WAITING: usize = 100;

/// Calls that wait for operations to end.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    listed: Vec<(Ref, Arc<Notify>)>,
    waiting: usize,
}

impl Waiters {
    /// Wakes everybody on the list.
    pub(crate) fn broadcast(&self) {
        for (_, notify) in &self.listed {
            notify.notify_one();
        }
    }
}

/// An operation on an object.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) cls: Cls,
    pub(crate) reference: Ref,
    pub(crate) op: &'static str,
}

impl Mark {
    pub(crate) fn new(cls: Cls, reference: &Ref, op: &'static str) -> Self {
        Self {
            cls,
            reference: reference.clone(),
            op,
        }
    }
}

/// Operations under way; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pool: Arc<Pool>,
    key: Arc<str>,
    marks: Vec<Mark>,
    /// Position in the record of SR operations.
    sr_entry: Option<usize>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let now_us = sim_us(&self.pool);
        self.pool.with(|state| {
            for mark in &self.marks {
                unmark(state, mark, &self.key);
            }
            if let Some(entry) = self.sr_entry.and_then(|i| state.sr_operations.get_mut(i)) {
                entry.ended_us = Some(now_us);
            }
            state.waiters.broadcast();
        });
    }
}

/// Begins operations as soon as `check` allows them.
pub(crate) async fn begin(
    ctx: &Context,
    marks: Vec<Mark>,
    patience: Duration,
    check: impl Fn(&State) -> Outcome<()>,
) -> Outcome<Running> {
    let mut conflicts = 0;
    let deadline = ctx.pool.clock.now() + patience;
    loop {
        let attempt: Outcome<Running> = ctx.pool.with(|state| {
            check(state)?;
            Ok(start(ctx, state, &marks, conflicts))
        });
        match attempt {
            Ok(running) => return Ok(running),
            Err(failure) if failure.code == "OTHER_OPERATION_IN_PROGRESS" && ctx.pool.clock.now() < deadline => {
                conflicts += 1;
                let object = marks.first().map_or_else(Ref::null, |m| m.reference.clone());
                wait(ctx, &object).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Begins operations on objects of one kind that exclude every other operation.
pub(crate) async fn exclusive(ctx: &Context, marks: Vec<Mark>, patience: Duration) -> Outcome<Running> {
    let wanted = marks.clone();
    begin(ctx, marks, patience, move |state| {
        wanted
            .iter()
            .try_for_each(|mark| idle(state, mark.cls, &mark.reference))
    })
    .await
}

/// Fails with the operation that is under way on an object, if there is one.
pub(crate) fn idle(state: &State, cls: Cls, reference: &Ref) -> Outcome<()> {
    let current = state.db.get(cls, reference, "current_operations")?.as_map();
    match current.iter().next() {
        None => Ok(()),
        Some((key, op)) => Err(in_progress(cls, reference, op.as_str(), key)),
    }
}

/// The failure of those who come second.
pub(crate) fn in_progress(cls: Cls, reference: &Ref, op: &str, key: &str) -> Failure {
    Failure::new("OTHER_OPERATION_IN_PROGRESS", [cls.name(), reference.as_str(), op, key])
}

fn start(ctx: &Context, state: &mut State, marks: &[Mark], conflicts: u32) -> Running {
    let key: Arc<str> = ctx.task.to_arc();
    for mark in marks {
        let edit = state
            .db
            .edit_map(mark.cls, &mark.reference, "current_operations", |map| {
                map.insert(key.clone(), Value::str(mark.op));
            });
        // `check` has just found the object.
        debug_assert!(edit.is_ok(), "{edit:?}");
        operations::refresh(&mut state.db, mark.cls, &mark.reference);
    }
    let sr = marks.iter().find(|m| m.cls == Cls::Sr);
    let sr_entry = sr.map(|mark| {
        let name = state
            .db
            .get(Cls::Sr, &mark.reference, "name_label")
            .map(|v| v.as_str().to_owned());
        state.sr_operations.push(SrOperation {
            pool: ctx.pool.name.clone(),
            sr: name.unwrap_or_default(),
            operation: mark.op.to_owned(),
            started_us: sim_us(&ctx.pool),
            ended_us: None,
            conflicts,
        });
        state.sr_operations.len() - 1
    });
    Running {
        pool: ctx.pool.clone(),
        key,
        marks: marks.to_vec(),
        sr_entry,
    }
}

fn unmark(state: &mut State, mark: &Mark, key: &Arc<str>) {
    // The object may be gone: its operation was its removal.
    let _gone = state
        .db
        .edit_map(mark.cls, &mark.reference, "current_operations", |map| {
            map.remove(key);
        });
    operations::refresh(&mut state.db, mark.cls, &mark.reference);
}

async fn wait(ctx: &Context, object: &Ref) -> Outcome<()> {
    let notify = Arc::new(Notify::new());
    let time = ctx.pool.with(|state| {
        if state.waiters.waiting >= MOST_WAITING {
            return None;
        }
        state.waiters.waiting += 1;
        state.waiters.listed.push((object.clone(), notify.clone()));
        Some(state.random.span(ctx.pool.latencies.conflict_retry_ms))
    });
    let Some(time) = time else {
        return Err(Failure::new("TOO_MANY_PENDING_TASKS", []));
    };
    let _listed = Listed {
        pool: ctx.pool.clone(),
        object: object.clone(),
    };
    tokio::select! {
        () = ctx.pool.clock.sleep(time, Pace::Work) => {}
        () = notify.notified() => {}
        () = ctx.cancelled.cancelled() => return Err(ctx.cancellation()),
    }
    Ok(())
}

struct Listed {
    pool: Arc<Pool>,
    object: Ref,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.pool.with(|state| {
            state.waiters.waiting = state.waiters.waiting.saturating_sub(1);
            if let Some(latest) = state.waiters.listed.iter().rposition(|(r, _)| *r == self.object) {
                state.waiters.listed.remove(latest);
            }
        });
    }
}

fn sim_us(pool: &Pool) -> u64 {
    u64::try_from(pool.clock.now().as_micros()).unwrap_or(u64::MAX)
}
