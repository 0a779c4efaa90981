//! Servers that this process has under way: room that the pool does not show as taken yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use xenapi::{Ref, Sr, Uuid};

use crate::capacity::Need;

/// How long an entry may matter after its server runs: no sample of a pool is kept longer.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The servers under way in one pool.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<(u64, BTreeMap<u64, Entry>)>,
}

/// One server under way.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) need: Need,
    pub(crate) os: Option<String>,
    pub(crate) storage: Vec<(Ref<Sr>, u64)>,
    pub(crate) vm: Option<Uuid>,
    /// Since when the pool itself shows what the server takes, or shows that it takes nothing.
    pub(crate) shown_since: Option<Instant>,
}

/// Holds a place in the ledger as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    ledger: Arc<Ledger>,
    id: u64,
}

impl Ledger {
    /// Enters a server.
    pub(crate) fn enter(self: &Arc<Self>, entry: Entry) -> Place {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, entries) = &mut *entries;
        *next += 1;
        entries.insert(*next, entry);
        Place {
            ledger: Arc::clone(self),
            id: *next,
        }
    }

    /// The servers that a sample taken at that time, which shows these VMs as running, does not show.
    pub(crate) fn unseen(&self, taken: Instant, running: &BTreeSet<Uuid>) -> Vec<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .1
            .retain(|_, entry| entry.shown_since.is_none_or(|since| since.elapsed() < FORGOTTEN));
        let is_unseen = |entry: &&Entry| {
            entry.shown_since.is_none_or(|since| since > taken) && !entry.vm.is_some_and(|vm| running.contains(&vm))
        };
        entries.1.values().filter(is_unseen).cloned().collect()
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.1.get_mut(&id) {
            change(entry);
        }
    }
}

impl Place {
    /// Says which VM it is.
    pub(crate) fn is_vm(&self, vm: Uuid) {
        self.ledger.change(self.id, |entry| entry.vm = Some(vm));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger
            .change(self.id, |entry| entry.shown_since = Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let need = Need {
            cpus: 1,
            memory: 1,
            overhead: 0,
        };
        Entry {
            need,
            os: None,
            storage: Vec::new(),
            vm: None,
            shown_since: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_counts_until_a_later_sample_shows_it() {
        let ledger = Arc::new(Ledger::default());
        let none = BTreeSet::new();
        let before = Instant::now();
        let place = ledger.enter(entry());
        assert_eq!(ledger.unseen(before, &none).len(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(place);
        assert_eq!(
            ledger.unseen(before, &none).len(),
            1,
            "the sample is older than its start"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ledger.unseen(Instant::now(), &none).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_the_sample_shows_does_not_count_twice() {
        let ledger = Arc::new(Ledger::default());
        let place = ledger.enter(entry());
        let vm = Uuid::from_bytes([1; 16]);
        place.is_vm(vm);
        assert_eq!(ledger.unseen(Instant::now(), &BTreeSet::from([vm])).len(), 0);
    }
}
