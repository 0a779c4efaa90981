//! [`Private`]: what a provider remembers beside the state of one object. It is not encrypted: no secrets.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// JSON by key, stored with an object but not shown. Keys that start with a point belong to the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Private(BTreeMap<String, Json>);

/// Says why stored bytes, or a key, are no private state.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The stored bytes are something else.
    #[error("the private state is no JSON object")]
    Malformed(#[source] serde_json::Error),
    /// The key belongs to the engine.
    #[error("the key {0:?} is reserved: keys must not start with a point")]
    Reserved(String),
}

impl Private {
    /// Remembers nothing.
    #[must_use]
    pub const fn new() -> Private {
        Private(BTreeMap::new())
    }

    /// Reads what was stored. No bytes at all are an empty memory.
    ///
    /// # Errors
    /// If the bytes are no JSON object.
    pub fn from_bytes(bytes: &[u8]) -> Result<Private, PrivateError> {
        if bytes.is_empty() {
            return Ok(Private::new());
        }
        serde_json::from_slice(bytes)
            .map(Private)
            .map_err(PrivateError::Malformed)
    }

    /// Writes it for storing: keys in order, so that equal memories are equal bytes; no bytes if there is nothing.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&self.0).unwrap_or_default()
        }
    }

    /// What is remembered under the key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }

    /// The text remembered under the key.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Json::as_str)
    }

    /// Remembers something under the key.
    ///
    /// # Errors
    /// If the key belongs to the engine.
    pub fn set(&mut self, key: &str, json: impl Into<Json>) -> Result<(), PrivateError> {
        if key.starts_with('.') {
            return Err(PrivateError::Reserved(key.to_owned()));
        }
        self.0.insert(key.to_owned(), json.into());
        Ok(())
    }

    /// Forgets what is remembered under the key.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        self.0.remove(key)
    }

    /// Says whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The engine's own keys.
impl Private {
    const IMPORTED: &'static str = ".imported";

    /// Marks an object that was just imported, so that its first read can tell.
    pub fn mark_imported(&mut self) {
        self.0.insert(Self::IMPORTED.to_owned(), Json::Bool(true));
    }

    /// Says whether the object was just imported, and forgets it.
    pub fn take_imported(&mut self) -> bool {
        self.0.remove(Self::IMPORTED).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        let mut private = Private::new();
        assert_eq!(private.to_bytes(), b"");
        private.set("pool", "lab1").unwrap();
        private.set("attempt", 2).unwrap();
        let bytes = private.to_bytes();
        assert_eq!(bytes, br#"{"attempt":2,"pool":"lab1"}"#);
        let mut read = Private::from_bytes(&bytes).unwrap();
        assert_eq!(read, private);
        assert_eq!(read.get_str("pool"), Some("lab1"));
        assert_eq!(read.remove("pool"), Some("lab1".into()));
        assert_eq!(read.get("pool"), None);
    }

    #[test]
    fn keys_with_a_point_belong_to_the_engine() {
        let mut private = Private::new();
        assert!(matches!(private.set(".imported", true), Err(PrivateError::Reserved(_))));
        private.mark_imported();
        assert!(private.take_imported());
        assert!(!private.take_imported());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(Private::from_bytes(b"[]").is_err());
        assert!(Private::from_bytes(b"\x00").is_err());
        assert!(Private::from_bytes(b"").unwrap().is_empty());
    }
}
