//! Servers that this process has under way: room that the pool does not show as taken yet.
//!
//! A server is entered when its place is chosen, in one step with the choice, so that the servers of one process never race each other
//! for the same room. It stays until the pool's inventory shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use ulid::Ulid;
use xenapi::{Host, Ref, Sr, Uuid, Vm};

use super::Imagined;
use crate::capacity::{Kind, Need};
use crate::inventory::Inventory;

/// How long after its end an entry may matter that the inventory does not show: longer than a patient follower of events may be behind. One
/// that is not shown by then is gone again.
const LINGERS: Duration = Duration::from_secs(20);

/// The servers under way in one pool.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Shared with the looks at it, which are many.
    server: Arc<UnderWay>,
    /// When its creation ended well.
    ended: Option<Instant>,
}

/// One server under way.
#[derive(Debug, Clone)]
pub(crate) struct UnderWay {
    pub(crate) need: Need,
    pub(crate) os: Option<String>,
    /// Bytes that it takes of each SR.
    pub(crate) storage: BTreeMap<Ref<Sr>, u64>,
    /// The reservation that it draws from.
    pub(crate) reservation: Option<Ulid>,
    /// The host that was chosen for it; none where the pool chooses.
    pub(crate) host: Option<Ref<Host>>,
    /// The VM, once it is there.
    pub(crate) vm: Option<VmId>,
}

/// Which VM it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VmId {
    pub(crate) reference: Ref<Vm>,
    pub(crate) uuid: Uuid,
}

/// What this process has under way in a pool: its servers, and the tickets that hold their room against others. In its own eyes a
/// server counts by its entry here, and its ticket not at all. Servers that are only imagined count for a plan alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ours {
    pub(crate) servers: Vec<Arc<UnderWay>>,
    pub(crate) tickets: BTreeSet<Ulid>,
    pub(crate) imagined: Imagined,
}

/// Holds a place in the ledger as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    ledger: Arc<Ledger>,
    id: u64,
}

impl UnderWay {
    /// A server of a kind, for which a host was chosen, or the pool will choose one.
    pub(crate) fn new(kind: &Kind, host: Option<Ref<Host>>) -> Self {
        Self {
            need: kind.need,
            os: kind.os.clone(),
            storage: kind.storage.clone(),
            reservation: kind.reservation.as_ref().map(|(of, _)| *of),
            host,
            vm: None,
        }
    }
}

impl Ledger {
    /// Enters a server.
    pub(crate) fn enter(self: &Arc<Self>, server: UnderWay) -> Place {
        let mut entries = self.entries();
        entries.last += 1;
        let id = entries.last;
        let server = Arc::new(server);
        entries.entries.insert(id, Entry { server, ended: None });
        Place {
            ledger: Arc::clone(self),
            id,
        }
    }

    /// The servers under way, without those that ended and are shown as running by the inventory.
    pub(crate) fn under_way(&self, inventory: &Inventory) -> Vec<Arc<UnderWay>> {
        let mut entries = self.entries();
        entries
            .entries
            .retain(|_, entry| match (entry.ended, &entry.server.vm) {
                (None, _) => true,
                (Some(ended), Some(vm)) => !inventory.guests().is_placed(&vm.reference) && ended.elapsed() < LINGERS,
                (Some(_), None) => false,
            });
        entries
            .entries
            .values()
            .map(|entry| Arc::clone(&entry.server))
            .collect()
    }

    /// Takes out what has ended for a VM that was stopped since: it takes nothing any more, and its picture need not come first.
    pub(crate) fn is_off(&self, vm: &Ref<Vm>) {
        let is_of_it = |entry: &Entry| entry.server.vm.as_ref().is_some_and(|known| known.reference == *vm);
        self.entries()
            .entries
            .retain(|_, entry| entry.ended.is_none() || !is_of_it(entry));
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut UnderWay)) {
        if let Some(entry) = self.entries().entries.get_mut(&id) {
            change(Arc::make_mut(&mut entry.server));
        }
    }

    fn end(&self, id: u64) {
        if let Some(entry) = self.entries().entries.get_mut(&id) {
            entry.ended = Some(Instant::now());
        }
    }
}

impl Place {
    /// Says which VM it is.
    pub(crate) fn is_vm(&self, reference: &Ref<Vm>, uuid: Uuid) {
        let reference = reference.clone();
        self.ledger
            .change(self.id, |server| server.vm = Some(VmId { reference, uuid }));
    }

    /// Says that it has no VM any more: what had been made is gone.
    pub(crate) fn has_no_vm(&self) {
        self.ledger.change(self.id, |server| server.vm = None);
    }

    /// Says that it is not started: it takes nothing of a host.
    pub(crate) fn stays_halted(&self) {
        self.ledger.change(self.id, |server| {
            server.need = Need { cpus: 0, memory: 0 };
            server.host = None;
        });
    }

    /// The host that was chosen.
    pub(crate) fn host(&self) -> Option<Ref<Host>> {
        let entries = self.ledger.entries();
        entries
            .entries
            .get(&self.id)
            .and_then(|entry| entry.server.host.clone())
    }

    /// Says that it is to run on another host; on none where the pool chooses.
    pub(crate) fn moves_to(&self, host: Option<Ref<Host>>) {
        self.ledger.change(self.id, |server| server.host = host);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger.end(self.id);
    }
}
