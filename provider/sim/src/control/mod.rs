//! The simulator's own door: looking at the world, breaking things, moving the clock.

mod document;
mod hooks;
pub(crate) mod http;
mod person;
mod poke;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::clock::Clock;
use crate::pool::Pool;
use crate::wire::json;
use crate::{rpc, session};

pub(crate) use hooks::Hooks;
pub use types::{
    ControlError, EventCounters, FaultKind, FaultRule, HoldPoint, PoolAddress, RequestRecord, SrOperation, StringMap,
    VmInstants,
};

/// A handle to everything that a test may look at or break. Cheap to clone. The same calls stand behind `/control/...`.
#[derive(Clone, Debug)]
pub struct Control {
    pools: Arc<Vec<Arc<Pool>>>,
    hooks: Arc<Hooks>,
    clock: Clock,
}

impl Control {
    pub(crate) fn new(pools: Vec<Arc<Pool>>, hooks: Arc<Hooks>, clock: Clock) -> Self {
        Self {
            pools: Arc::new(pools),
            hooks,
            clock,
        }
    }

    pub(crate) async fn ended(&self) {
        for pool in self.pools.iter() {
            pool.tracker.close();
            pool.tracker.wait().await;
        }
    }

    fn pool(&self, name: &str) -> Result<&Arc<Pool>, ControlError> {
        let found = self.pools.iter().find(|pool| pool.name == name);
        found.ok_or_else(|| ControlError::NotFound {
            kind: "pool".to_owned(),
            name: name.to_owned(),
        })
    }

    /// Where the pools are and how to log in.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolAddress> {
        self.pools.iter().map(|pool| address(pool)).collect()
    }

    /// All objects of all pools in a canonical form: equal before a create and after the destroy.
    ///
    /// Sessions, tasks, messages, metrics and what follows from the history of a disk are left out.
    #[must_use]
    pub fn world(&self) -> Json {
        let pools = self
            .pools
            .iter()
            .map(|pool| (pool.name.clone(), pool.with(|state| document::of(state))));
        Json::Object(pools.collect())
    }

    /// Every request since the last reset, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.hooks.records()
    }

    /// How often each method was called since the last reset.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for record in self.hooks.records() {
            *counts.entry(record.method).or_default() += 1;
        }
        counts
    }

    /// The longest chain of requests since the last reset of which each began after the one before had ended.
    #[must_use]
    pub fn longest_chain(&self) -> u64 {
        let records = self.hooks.records();
        let mut ends: Vec<(u64, u64)> = Vec::new();
        let mut longest = 0;
        for record in &records {
            let before = ends
                .iter()
                .filter(|(end, _)| *end <= record.started_us)
                .map(|(_, length)| *length);
            let length = before.max().unwrap_or(0) + 1;
            ends.extend(record.ended_us.map(|end| (end, length)));
            longest = longest.max(length);
        }
        longest
    }

    /// Forgets the requests that have ended; indices go on.
    pub fn reset_requests(&self) {
        self.hooks.reset();
    }

    /// Index of the latest request that arrived.
    #[must_use]
    pub fn request_index(&self) -> u64 {
        self.hooks.index()
    }

    /// Injects a fault; rules are tried in the order in which they came.
    pub fn fault(&self, rule: FaultRule) {
        self.hooks.add_fault(rule);
    }

    /// Removes all faults; hanging calls are cut.
    pub fn clear_faults(&self) {
        self.hooks.clear_faults();
    }

    /// Cuts off the clients of an originator for good, as if their process had been killed: nothing of them arrives any more, and no
    /// answer reaches them. What has arrived goes on, and their sessions stay.
    pub fn sever(&self, originator: &str) {
        self.hooks.sever(originator);
    }

    /// Holds the request with this index at this point until [`Control::release`].
    pub fn hold(&self, index: u64, at: HoldPoint) {
        self.hooks.hold(index, at);
    }

    /// Waits until the request is held.
    pub async fn held(&self, index: u64) {
        self.hooks.wait_held(index).await;
    }

    /// Lets a held request go on; unknown indices are ignored.
    pub fn release(&self, index: u64) {
        self.hooks.release(index);
    }

    /// Calls a method as the superuser, in process, without a request record. The session parameter is left out.
    ///
    /// # Errors
    /// The failure's code and parameters.
    pub async fn call(&self, pool: &str, method: &str, params: Vec<Json>) -> Result<Json, Vec<String>> {
        let pool = self
            .pool(pool)
            .map_err(|error| vec!["INTERNAL_ERROR".to_owned(), error.to_string()])?;
        let _entered = self.clock.enter();
        let session = pool.with(|state| session::open_internal(pool, state));
        let mut all = vec![crate::value::Value::from(&session)];
        all.extend(params.iter().map(json::from_json));
        let (coordinator, _) = pool.coordinator();
        let answer = rpc::serve(pool, coordinator, method, all).await;
        // An asynchronous call goes on without its session.
        pool.with(|state| session::close(state, &session));
        let value = answer.outcome.map_err(|failure| failure.description())?;
        let mut text = String::new();
        json::write(&mut text, &value);
        serde_json::from_str(&text).map_err(|error| vec!["INTERNAL_ERROR".to_owned(), error.to_string()])
    }

    /// Moves the clock of a simulator with [`crate::ClockMode::Manual`] or `Auto`, firing everything due on the way in order.
    ///
    /// # Errors
    /// The clock is not virtual.
    pub async fn advance(&self, by: Duration) -> Result<(), ControlError> {
        if self.clock.advance(by).await {
            return Ok(());
        }
        Err(ControlError::Refused {
            message: "the clock is not virtual".to_owned(),
        })
    }

    /// Time on the simulator's clock since it started.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Real microseconds since the simulator started: the scale of request records and instants.
    #[must_use]
    pub fn real_us(&self) -> u64 {
        self.clock.real_us()
    }

    /// What latencies are divided by.
    #[must_use]
    pub fn time_scale(&self) -> f64 {
        self.clock.scale()
    }

    /// Counters of the event interface by pool.
    #[must_use]
    pub fn events(&self) -> BTreeMap<String, EventCounters> {
        self.pools
            .iter()
            .map(|pool| (pool.name.clone(), pool.with(|state| state.counters.clone())))
            .collect()
    }

    /// What each SR did when, since the start.
    #[must_use]
    pub fn sr_operations(&self) -> Vec<SrOperation> {
        self.pools
            .iter()
            .flat_map(|pool| pool.with(|state| state.sr_operations.clone()))
            .collect()
    }

    /// When things became visible, by VM UUID.
    #[must_use]
    pub fn instants(&self) -> BTreeMap<String, VmInstants> {
        self.pools
            .iter()
            .flat_map(|pool| pool.with(|state| state.instants.clone()))
            .collect()
    }

    /// What was written to a disk through `/import_raw_vdi`, by the disk's UUID.
    #[must_use]
    pub fn disk_content(&self, uuid: &str) -> Option<Vec<u8>> {
        let found = self.pools.iter().find_map(|pool| {
            pool.with(|state| {
                state
                    .contents
                    .get(state.db.by_uuid(crate::db::Cls::Vdi, uuid)?)
                    .cloned()
            })
        });
        found.map(|bytes| bytes.to_vec())
    }
}

fn address(pool: &Pool) -> PoolAddress {
    let scheme = if pool.spec.tls { "https" } else { "http" };
    let (coordinator, master) = pool.coordinator();
    let identity = |index: usize| pool.hosts.get(index).and_then(|h| h.identity.lock().ok()?.clone());
    let fingerprints = (0..pool.hosts.len())
        .filter_map(identity)
        .map(|i| i.fingerprint)
        .collect();
    PoolAddress {
        name: pool.name.clone(),
        url: format!("{scheme}://{master}"),
        member_urls: pool.hosts.iter().map(|h| format!("{scheme}://{}", h.address)).collect(),
        certificate_fingerprint: identity(coordinator).map(|i| i.fingerprint),
        certificate_pem: identity(coordinator).map(|i| i.pem),
        member_fingerprints: fingerprints,
        username: pool.spec.username.clone(),
        password: pool.spec.password.clone(),
        uuid: pool.with(|state| {
            state
                .db
                .record(crate::db::Cls::Pool, &state.db.pool())
                .map(|r| r.str("uuid").to_owned())
                .unwrap_or_default()
        }),
    }
}
