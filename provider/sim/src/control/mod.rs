//! The simulator's own door: looking at the world, breaking things, moving the clock.

mod types;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

pub use types::{
    ControlError, EventCounters, FaultKind, FaultRule, HoldPoint, PoolAddress, RequestRecord,
    SrOperation, StringMap, VmInstants,
};

/// A handle to everything that a test may look at or break. Cheap to clone. The same calls stand behind `/control/...`.
#[derive(Clone, Debug)]
pub struct Control {}

impl Control {
    /// Where the pools are and how to log in.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolAddress> {
        Vec::new()
    }
    /// All objects of all pools in a canonical form: equal before a create and after the destroy.
    #[must_use]
    pub fn world(&self) -> Json {
        Json::Null
    }
    /// Every request since the last reset, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        Vec::new()
    }
    /// Forgets the requests that have ended; indices go on.
    pub fn reset_requests(&self) {}
    /// Index of the latest request that arrived.
    #[must_use]
    pub fn request_index(&self) -> u64 {
        0
    }
    /// Injects a fault; rules are tried in the order in which they came.
    pub fn fault(&self, _rule: FaultRule) {}
    /// Removes all faults; hanging calls are cut.
    pub fn clear_faults(&self) {}
    /// Holds the request with this index at this point until [`Control::release`].
    pub fn hold(&self, _index: u64, _at: HoldPoint) {}
    /// Waits until the request is held.
    pub async fn held(&self, _index: u64) {}
    /// Lets a held request go on; unknown indices are ignored.
    pub fn release(&self, _index: u64) {}
    /// Calls a method as the superuser, in process, without a request record.
    ///
    /// # Errors
    /// The failure's code and parameters.
    pub async fn call(
        &self,
        _pool: &str,
        _method: &str,
        _params: Vec<Json>,
    ) -> Result<Json, Vec<String>> {
        Ok(Json::Null)
    }
    /// Removes a VM with its disks, as a person would.
    ///
    /// # Errors
    /// No such VM.
    pub fn destroy_vm(&self, _uuid: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Sets the power state to `Running`, `Halted`, `Paused` or `Suspended` at once.
    ///
    /// # Errors
    /// No such VM or state, or no host for it.
    pub fn set_power_state(&self, _uuid: &str, _state: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Replaces the tags of a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn set_tags(&self, _uuid: &str, _tags: Vec<String>) -> Result<(), ControlError> {
        Ok(())
    }
    /// Replaces the `other_config` of a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn set_other_config(&self, _uuid: &str, _map: StringMap) -> Result<(), ControlError> {
        Ok(())
    }
    /// Replaces `guest_metrics.networks` of a VM.
    ///
    /// # Errors
    /// No such VM.
    pub fn set_networks(&self, _uuid: &str, _networks: StringMap) -> Result<(), ControlError> {
        Ok(())
    }
    /// Makes the guest of a VM silent: it names no address from now on.
    ///
    /// # Errors
    /// No such VM.
    pub fn guest_never(&self, _uuid: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Enables or disables a host by name.
    ///
    /// # Errors
    /// No such host.
    pub fn set_host_enabled(
        &self,
        _pool: &str,
        _host: &str,
        _enabled: bool,
    ) -> Result<(), ControlError> {
        Ok(())
    }
    /// Restarts xapi: connections are cut, operations under way die where they stand, sessions and tasks are forgotten.
    ///
    /// # Errors
    /// No such pool.
    pub fn restart_toolstack(&self, _pool: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Gives the pool object a new UUID, as if another pool stood behind the URL; returns it.
    ///
    /// # Errors
    /// No such pool.
    pub fn change_pool_uuid(&self, _pool: &str) -> Result<String, ControlError> {
        Ok(String::new())
    }
    /// Replaces everything behind the pool's URLs by a freshly built pool with other UUIDs.
    ///
    /// # Errors
    /// No such pool.
    pub fn replace_pool(&self, _pool: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Gives every host of the pool a new certificate.
    ///
    /// # Errors
    /// No such pool, or one without TLS.
    pub fn change_certificate(&self, _pool: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Moves the pool's wall clock this many seconds against the real one.
    ///
    /// # Errors
    /// No such pool.
    pub fn set_clock_offset(&self, _pool: &str, _seconds: i64) -> Result<(), ControlError> {
        Ok(())
    }
    /// Leaves this many bytes free on an SR.
    ///
    /// # Errors
    /// No such SR.
    pub fn set_sr_free(&self, _pool: &str, _sr: &str, _bytes: u64) -> Result<(), ControlError> {
        Ok(())
    }
    /// Makes another host the coordinator; sessions and tasks are forgotten.
    ///
    /// # Errors
    /// No such host.
    pub fn set_coordinator(&self, _pool: &str, _host: &str) -> Result<(), ControlError> {
        Ok(())
    }
    /// Makes a host unreachable (connections are refused at once) or reachable again.
    ///
    /// # Errors
    /// No such host.
    pub fn set_host_reachable(
        &self,
        _pool: &str,
        _host: &str,
        _reachable: bool,
    ) -> Result<(), ControlError> {
        Ok(())
    }
    /// Moves the clock of a simulator with [`crate::ClockMode::Manual`] or `Auto`, firing everything due on the way in order.
    ///
    /// # Errors
    /// The clock is not virtual.
    pub async fn advance(&self, _by: Duration) -> Result<(), ControlError> {
        Ok(())
    }
    /// Time on the simulator's clock since it started.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::ZERO
    }
    /// What latencies are divided by.
    #[must_use]
    pub fn time_scale(&self) -> f64 {
        1.0
    }
    /// Counters of the event interface by pool.
    #[must_use]
    pub fn events(&self) -> BTreeMap<String, EventCounters> {
        BTreeMap::new()
    }
    /// What each SR did when, since the start.
    #[must_use]
    pub fn sr_operations(&self) -> Vec<SrOperation> {
        Vec::new()
    }
    /// When things became visible, by VM UUID.
    #[must_use]
    pub fn instants(&self) -> BTreeMap<String, VmInstants> {
        BTreeMap::new()
    }
}
