//! Calls on hosts.

use jiff::Timestamp;

use super::Objects;
use crate::error::Error;
use crate::record::Host;
use crate::reference::Ref;
use crate::wire::Value;

impl Objects<'_, Host> {
    /// Reads a host's clock, to the second.
    ///
    /// # Errors
    /// The call failed.
    pub async fn servertime(self, host: &Ref<Host>) -> Result<Timestamp, Error> {
        self.get("host.get_servertime", host, Vec::new()).await
    }

    /// Computes how many bytes of memory a host has left for guests, by the pool's own formula: what is promised counts as used.
    ///
    /// # Errors
    /// The call failed.
    pub async fn compute_free_memory(self, host: &Ref<Host>) -> Result<i64, Error> {
        self.get("host.compute_free_memory", host, Vec::new()).await
    }

    /// Adds one key atomically. Never repeated when the outcome is open.
    ///
    /// # Errors
    /// `is_duplicate_key` if the key is there, even with the same value.
    pub async fn add_to_other_config(self, host: &Ref<Host>, key: &str, value: &str) -> Result<(), Error> {
        self.add_pair("host.add_to_other_config", host, key, value).await
    }

    /// Removes one key, whatever its value; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_from_other_config(self, host: &Ref<Host>, key: &str) -> Result<(), Error> {
        self.set("host.remove_from_other_config", host, vec![Value::text(key)])
            .await
    }
}
