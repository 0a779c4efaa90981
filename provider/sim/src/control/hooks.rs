//! What the servers report to, and ask before they act: the request log, faults, held requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::types::{FaultKind, FaultRule, HoldPoint, RequestRecord};

/// Requests remembered at most; older ones are forgotten.
const MOST_RECORDS: usize = 200_000;

/// Shared by all servers of a simulator.
#[derive(Debug)]
pub(crate) struct Hooks {
    inner: Mutex<Inner>,
    /// Moves whenever a request is held or released.
    moved: watch::Sender<u64>,
    /// Cancelled and renewed when faults are cleared: hanging calls end.
    hanging: Mutex<CancellationToken>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    records: BTreeMap<u64, RequestRecord>,
    latest_end: Option<(u64, u64)>,
    faults: Vec<Fault>,
    holds: BTreeSet<(u64, HoldPoint)>,
    held: BTreeSet<u64>,
    severed: BTreeSet<String>,
}

#[derive(Debug)]
struct Fault {
    rule: FaultRule,
    skipped: u64,
    struck: u64,
}

impl Hooks {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            moved: watch::Sender::new(0),
            hanging: Mutex::new(CancellationToken::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the arrival of a request and gives it its index.
    pub(crate) fn begin(&self, mut record: RequestRecord) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let index = inner.next;
        record.index = index;
        record.after = inner.latest_end.map(|(_, index)| index);
        inner.records.insert(index, record);
        if inner.records.len() > MOST_RECORDS {
            inner.records.pop_first();
        }
        index
    }

    /// Notes the end of a request.
    pub(crate) fn end(&self, index: u64, now_us: u64, bytes: u64, outcome: &str) {
        let mut inner = self.lock();
        inner.latest_end = Some((now_us, index));
        if let Some(record) = inner.records.get_mut(&index) {
            record.ended_us = Some(now_us);
            record.response_bytes = bytes;
            outcome.clone_into(&mut record.outcome);
        }
    }

    /// Notes the end of a request that was dropped before it ended by itself.
    pub(crate) fn abandon(&self, index: u64, now_us: u64) {
        if let Some(record) = self.lock().records.get_mut(&index)
            && record.ended_us.is_none()
        {
            record.ended_us = Some(now_us);
            "CUT".clone_into(&mut record.outcome);
        }
    }

    /// Notes that a request hangs.
    pub(crate) fn hangs(&self, index: u64) {
        if let Some(record) = self.lock().records.get_mut(&index) {
            "HANGING".clone_into(&mut record.outcome);
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.lock().next
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        self.lock().records.values().cloned().collect()
    }

    pub(super) fn reset(&self) {
        let mut inner = self.lock();
        inner.records.retain(|_, r| r.ended_us.is_none());
        inner.latest_end = None;
    }

    pub(super) fn add_fault(&self, rule: FaultRule) {
        self.lock().faults.push(Fault {
            rule,
            skipped: 0,
            struck: 0,
        });
    }

    pub(super) fn clear_faults(&self) {
        self.lock().faults.clear();
        let mut hanging = self.hanging.lock().unwrap_or_else(PoisonError::into_inner);
        hanging.cancel();
        *hanging = CancellationToken::new();
    }

    /// Ends when faults are cleared.
    pub(crate) fn hanging(&self) -> CancellationToken {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault that strikes this call, which is then used up by one.
    pub(crate) fn strike(&self, pool: &str, method: &str, body: &str) -> Option<FaultKind> {
        let mut inner = self.lock();
        for fault in &mut inner.faults {
            let rule = &fault.rule;
            let is_meant = rule.pool.as_ref().is_none_or(|p| p == pool)
                && is_match(&rule.method, method)
                && rule.containing.as_ref().is_none_or(|text| body.contains(text));
            if !is_meant || (rule.count > 0 && fault.struck >= rule.count) {
                continue;
            }
            if fault.skipped < rule.skip {
                fault.skipped += 1;
                continue;
            }
            fault.struck += 1;
            return Some(rule.kind.clone());
        }
        None
    }

    pub(super) fn sever(&self, originator: &str) {
        self.lock().severed.insert(originator.to_owned());
    }

    pub(crate) fn is_anybody_severed(&self) -> bool {
        !self.lock().severed.is_empty()
    }

    pub(crate) fn is_severed(&self, originator: &str) -> bool {
        self.lock().severed.contains(originator)
    }

    pub(super) fn hold(&self, index: u64, at: HoldPoint) {
        self.lock().holds.insert((index, at));
    }

    pub(super) fn release(&self, index: u64) {
        let mut inner = self.lock();
        inner.holds.retain(|(held, _)| *held != index);
        drop(inner);
        self.moved.send_modify(|n| *n += 1);
    }

    /// Waits until a request is held.
    pub(super) async fn wait_held(&self, index: u64) {
        let mut moved = self.moved.subscribe();
        while !self.lock().held.contains(&index) {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Holds a request at a point for as long as somebody asks for it.
    pub(crate) async fn pass(&self, index: u64, at: HoldPoint) {
        let mut moved = self.moved.subscribe();
        while self.lock().holds.contains(&(index, at)) {
            self.lock().held.insert(index);
            self.moved.send_modify(|n| *n += 1);
            moved.borrow_and_update();
            if !self.lock().holds.contains(&(index, at)) {
                break;
            }
            if moved.changed().await.is_err() {
                break;
            }
        }
        self.lock().held.remove(&index);
    }

    pub(crate) fn is_held_at(&self, index: u64, at: HoldPoint) -> bool {
        self.lock().holds.contains(&(index, at))
    }
}

/// Whether a name fits a glob of `*` and `?`.
fn is_match(glob: &str, name: &str) -> bool {
    match (glob.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = glob.get(1..).unwrap_or_default();
            let mut tails = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            tails.any(|i| is_match(rest, name.get(i..).unwrap_or_default()))
        }
        (Some(g), Some(n)) if g == '?' || g == n => is_match(
            glob.get(g.len_utf8()..).unwrap_or_default(),
            name.get(n.len_utf8()..).unwrap_or_default(),
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match() {
        assert!(is_match("VM.*", "VM.clone") && is_match("*.get_?ll", "VM.get_all") && is_match("*", ""));
        assert!(!is_match("VM.*", "VBD.plug") && !is_match("VM.clone", "VM.clones"));
    }

    #[test]
    fn rules_skip_and_run_out() {
        let hooks = Hooks::new();
        hooks.add_fault(FaultRule {
            skip: 1,
            ..FaultRule::once("VM.clone", FaultKind::CutAfter)
        });
        let strike = || hooks.strike("lab1", "VM.clone", "");
        assert_eq!([strike(), strike(), strike()], [None, Some(FaultKind::CutAfter), None]);
    }

    #[tokio::test]
    async fn a_held_request_waits_for_its_release() {
        let hooks = std::sync::Arc::new(Hooks::new());
        hooks.hold(3, HoldPoint::Before);
        let waiting = hooks.clone();
        let task = tokio::spawn(async move { waiting.pass(3, HoldPoint::Before).await });
        hooks.wait_held(3).await;
        assert!(!task.is_finished());
        hooks.release(3);
        task.await.unwrap();
        hooks.pass(3, HoldPoint::Before).await;
    }
}
