//! How messages call a VM.

use std::fmt;

use xenapi::Uuid;

/// A VM, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmName {
    /// Its name, if it is known.
    pub name: Option<String>,
    /// Its UUID, if it is known.
    pub uuid: Option<Uuid>,
}

impl VmName {
    /// A VM of which nothing is known yet.
    pub fn unknown() -> Self {
        Self { name: None, uuid: None }
    }

    /// A VM by its UUID.
    pub fn uuid(uuid: Uuid) -> Self {
        Self {
            name: None,
            uuid: Some(uuid),
        }
    }

    /// A VM by name and UUID.
    pub fn new(name: &str, uuid: Uuid) -> Self {
        Self {
            name: Some(name.to_owned()),
            uuid: Some(uuid),
        }
    }
}

/// Prints with a leading space, so that a VM of which nothing is known leaves no trace in a sentence.
impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.uuid) {
            (Some(name), Some(uuid)) => write!(f, " {name:?} ({uuid})"),
            (Some(name), None) => write!(f, " {name:?}"),
            (None, Some(uuid)) => write!(f, " {uuid}"),
            (None, None) => Ok(()),
        }
    }
}
