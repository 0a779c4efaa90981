//! Calls on the pool's own record.

use std::collections::BTreeSet;

use super::Objects;
use crate::error::Error;
use crate::record::{PoolObject, TextMap};
use crate::reference::Ref;
use crate::wire::Value;

impl Objects<'_, PoolObject> {
    /// Reads `other_config` alone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get_other_config(self, pool: &Ref<PoolObject>) -> Result<TextMap, Error> {
        self.get("pool.get_other_config", pool, Vec::new()).await
    }

    /// Adds one key atomically; needs pool-operator. Never repeated when the outcome is open.
    ///
    /// # Errors
    /// `is_duplicate_key` if the key is there, even with the same value.
    pub async fn add_to_other_config(self, pool: &Ref<PoolObject>, key: &str, value: &str) -> Result<(), Error> {
        self.add_pair("pool.add_to_other_config", pool, key, value).await
    }

    /// Removes one key, whatever its value; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_from_other_config(self, pool: &Ref<PoolObject>, key: &str) -> Result<(), Error> {
        self.set("pool.remove_from_other_config", pool, vec![Value::text(key)])
            .await
    }

    /// Reads the tags alone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get_tags(self, pool: &Ref<PoolObject>) -> Result<BTreeSet<String>, Error> {
        self.get("pool.get_tags", pool, Vec::new()).await
    }

    /// Adds one tag; silent if it is there.
    ///
    /// # Errors
    /// The call failed.
    pub async fn add_tags(self, pool: &Ref<PoolObject>, tag: &str) -> Result<(), Error> {
        self.set("pool.add_tags", pool, vec![Value::text(tag)]).await
    }

    /// Removes one tag; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_tags(self, pool: &Ref<PoolObject>, tag: &str) -> Result<(), Error> {
        self.set("pool.remove_tags", pool, vec![Value::text(tag)]).await
    }
}
