//! The figures of the reaper, for Prometheus.
//!
//! ```text
//! pool loop --PoolMetrics--> series of the pool --+
//! xenapi::Pool's own counters --------------------+--> Exposition --> text
//! cycle, history queue ---------------------------+
//! ```
//!
//! [`NAMES`] is the table of what is exported; nothing else is.

mod exposition;
mod names;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use names::{Kind, NAMES, Name};
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
pub use series::{Deletion, Due, PoolMetrics, RailState, Reading};

use exposition::Exposition;
use series::Series;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Upper bounds of cycle times, in seconds: from an idle cycle on loopback to one that deletes fifty VMs on slow storage.
const BOUNDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// All metrics of the process. A clone is another handle on the same ones.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
}

struct Shared {
    cycle: Histogram,
    history_queue: AtomicU64,
    pools: Mutex<BTreeMap<String, Arc<Mutex<Series>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let shared = Arc::new(Shared {
            cycle: Histogram::new(BOUNDS),
            history_queue: AtomicU64::new(0),
            pools: Mutex::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Exposition(Arc::clone(&shared))));
        Self {
            shared,
            registry: Arc::new(registry),
        }
    }
}

impl Metrics {
    /// Gives the handle of a pool, by its name in the configuration. A pool that is known already keeps its counts.
    pub fn pool(&self, name: &str) -> PoolMetrics {
        let mut pools = self.shared.pools();
        PoolMetrics::new(Arc::clone(pools.entry(name.to_owned()).or_default()))
    }

    /// Clears all series of a pool that the configuration no longer names.
    pub fn remove(&self, pool: &str) {
        self.shared.pools().remove(pool);
    }

    /// A cycle of one pool took so long.
    pub fn cycle(&self, took: Duration) {
        self.shared.cycle.observe(took.as_secs_f64());
    }

    /// So many entries wait for a history sink.
    pub fn history_queue(&self, entries: u64) {
        self.shared.history_queue.store(entries, Ordering::Relaxed);
    }

    /// Says of each pool what came of the attempts to read it; sorted by name.
    pub fn readings(&self) -> Vec<(String, Reading)> {
        let pools = self.shared.copy();
        pools.into_iter().map(|(pool, series)| (pool, series.reading)).collect()
    }

    /// Writes all of them as Prometheus text, to be served as [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// The encoder refuses a value; it has no reason to.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Shared {
    fn pools(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Mutex<Series>>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of each pool at this moment.
    fn copy(&self) -> Vec<(String, Series)> {
        self.pools()
            .iter()
            .map(|(pool, series)| {
                let series = series.lock().unwrap_or_else(PoisonError::into_inner);
                (pool.clone(), series.clone())
            })
            .collect()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("pools", &self.pools().keys())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.shared).finish()
    }
}
