//! Servers that a plan would make: what they would take of a pool, in sum.
//!
//! A plan of thousands looks at the room beside them once for each, so they are added up as they come and go. Nobody asks for one of
//! them again: none has a VM, and each has its host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xenapi::{Host, Ref, Sr};

use crate::capacity::{Kind, Need};

/// What is imagined in one pool.
#[derive(Debug, Default)]
pub(crate) struct Imagination {
    sum: Mutex<Imagined>,
}

/// The sum of all that is imagined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imagined {
    /// What the servers of each alias, and of none, take of each host.
    pub(crate) places: BTreeMap<(Ref<Host>, Option<String>), Taken>,
    /// Bytes of each SR.
    pub(crate) storage: BTreeMap<Ref<Sr>, u64>,
}

/// So many servers, and what they need together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) servers: u32,
    pub(crate) need: Need,
}

const NOTHING: Taken = Taken {
    servers: 0,
    need: Need { cpus: 0, memory: 0 },
};

/// One server's part of the sum, which ends with it.
#[derive(Debug)]
pub(crate) struct Part {
    imagination: Arc<Imagination>,
    server: Server,
}

#[derive(Debug, Clone)]
struct Server {
    need: Need,
    place: (Ref<Host>, Option<String>),
    storage: BTreeMap<Ref<Sr>, u64>,
}

impl Imagination {
    /// Adds a server of a kind on a host.
    pub(crate) fn enter(self: &Arc<Self>, kind: &Kind, host: Ref<Host>) -> Part {
        let server = Server {
            need: kind.need,
            place: (host, kind.os.clone()),
            storage: kind.storage.clone(),
        };
        self.sum().add(&server);
        Part {
            imagination: Arc::clone(self),
            server,
        }
    }

    /// All that is imagined now.
    pub(crate) fn all(&self) -> Imagined {
        self.sum().clone()
    }

    fn sum(&self) -> MutexGuard<'_, Imagined> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Imagined {
    /// How many servers it is.
    pub(crate) fn count(&self) -> u32 {
        self.places.values().map(|taken| taken.servers).sum()
    }

    fn add(&mut self, server: &Server) {
        let taken = self.places.entry(server.place.clone()).or_insert(NOTHING);
        taken.servers += 1;
        taken.need.cpus += server.need.cpus;
        taken.need.memory += server.need.memory;
        for (sr, bytes) in &server.storage {
            *self.storage.entry(sr.clone()).or_default() += bytes;
        }
    }

    fn take_off(&mut self, server: &Server) {
        if let Some(taken) = self.places.get_mut(&server.place) {
            taken.servers -= 1;
            taken.need.cpus -= server.need.cpus;
            taken.need.memory -= server.need.memory;
        }
        for (sr, bytes) in &server.storage {
            if let Some(sum) = self.storage.get_mut(sr) {
                *sum -= bytes;
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.imagination.sum().take_off(&self.server);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = (Kind, Ref<Host>)> {
        let os = prop::option::of(prop::sample::select(vec!["debian12", "centos7"]));
        let storage = prop::collection::btree_map(0_u8..2, 0_u64..9, 0..3);
        (1_u32..4, 1_u64..4, 0_u8..2, os, storage).prop_map(|(cpus, memory_mib, host, os, storage)| {
            let storage = storage
                .into_iter()
                .map(|(sr, bytes)| (Ref::new(&format!("OpaqueRef:sr-{sr}")), bytes));
            let kind = Kind {
                os: os.map(str::to_owned),
                storage: storage.collect(),
                ..Kind::unknown(Some(cpus), Some(memory_mib))
            };
            (kind, Ref::new(&format!("OpaqueRef:host-{host}")))
        })
    }

    /// Without what is zero: a row that was and one that never was say the same.
    fn rows(mut sum: Imagined) -> Imagined {
        sum.places.retain(|_, taken| *taken != NOTHING);
        sum.storage.retain(|_, bytes| *bytes > 0);
        sum
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_all_who_are_there(
            changes in prop::collection::vec((kind(), prop::option::of(any::<prop::sample::Index>())), 0..40)
        ) {
            let imagination = Arc::new(Imagination::default());
            let mut parts: Vec<Part> = Vec::new();
            for ((kind, host), leaves) in changes {
                parts.push(imagination.enter(&kind, host));
                if let Some(index) = leaves {
                    parts.swap_remove(index.index(parts.len()));
                }
                let mut expect = Imagined::default();
                for part in &parts {
                    expect.add(&part.server);
                }
                prop_assert_eq!(imagination.all().count() as usize, parts.len());
                prop_assert_eq!(rows(imagination.all()), rows(expect));
            }
        }
    }
}
