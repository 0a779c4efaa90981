//! What was acknowledged to somebody: a lease until a time, a VM that is kept. Nobody may break it before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fleet::Uuid;
use jiff::Timestamp;

/// The promises of a run.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    until: BTreeMap<Uuid, Timestamp>,
    kept: BTreeSet<Uuid>,
    /// Kept, and somebody who may began to remove it: it may be there or not.
    may_stay: BTreeSet<Uuid>,
}

impl Promises {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was told that the lease ends then.
    pub(crate) fn acknowledge(&self, vm: Uuid, until: Timestamp) {
        self.lock().until.insert(vm, until);
    }

    /// Somebody is about to ask for an earlier end: from now on only that is promised.
    pub(crate) fn at_most(&self, vm: Uuid, until: Timestamp) {
        if let Some(promised) = self.lock().until.get_mut(&vm) {
            *promised = until.min(*promised);
        }
    }

    /// Until when a VM was promised.
    pub(crate) fn until(&self, vm: Uuid) -> Option<Timestamp> {
        self.lock().until.get(&vm).copied()
    }

    /// Its owner, or a person, is about to remove it.
    pub(crate) fn give_up(&self, vm: Uuid) {
        let mut inner = self.lock();
        inner.until.remove(&vm);
        if inner.kept.remove(&vm) {
            inner.may_stay.insert(vm);
        }
    }

    /// A person keeps it.
    pub(crate) fn keep(&self, vm: Uuid) {
        self.lock().kept.insert(vm);
    }

    /// A person keeps it no longer.
    pub(crate) fn unkeep(&self, vm: Uuid) {
        let mut inner = self.lock();
        inner.kept.remove(&vm);
        inner.may_stay.remove(&vm);
    }

    /// What must be there whatever the time.
    pub(crate) fn kept(&self) -> BTreeSet<Uuid> {
        self.lock().kept.clone()
    }

    /// What may be there although its time is over.
    pub(crate) fn may_stay(&self) -> BTreeSet<Uuid> {
        let inner = self.lock();
        inner.kept.union(&inner.may_stay).copied().collect()
    }

    /// Why a VM that is gone should not be.
    pub(crate) fn broken_by_the_end_of(&self, vm: Uuid, now: Timestamp) -> Option<String> {
        let inner = self.lock();
        if inner.kept.contains(&vm) {
            return Some(format!("{vm} is gone, which a person keeps"));
        }
        let until = inner.until.get(&vm).filter(|until| **until > now)?;
        Some(format!(
            "{vm} was gone at {now}, and its lease was acknowledged until {until}"
        ))
    }
}
