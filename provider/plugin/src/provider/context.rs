//! [`Context`]: what a call may know about the one who asks.

use std::sync::{Arc, Mutex, PoisonError};

use cty::Value;
use engine::private::Private;
use tokio_util::sync::CancellationToken;

/// What a call may know about the one who asks.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Cancelled when the user interrupts the run: end at the next safe point and answer with what exists.
    pub cancel: CancellationToken,
    /// What is answered in this call's place if it panics or is cut.
    pub partial: Partial,
    /// Whether a change may be put off to a later run.
    pub deferral_allowed: bool,
    /// Whether write-only attributes may be set.
    pub write_only_allowed: bool,
}

/// A state and its private data, as they would be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// What exists.
    pub state: Value,
    /// What is remembered about it.
    pub private: Private,
}

/// A cell that holds what would be saved if the call ended here.
#[derive(Clone, Debug, Default)]
pub struct Partial(Arc<Mutex<Option<Saved>>>);

impl Partial {
    /// Notes what exists by now. A value that is still unknown is saved as null.
    pub fn save(&self, state: Value, private: Private) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Saved { state, private });
    }

    /// Forgets what was noted: nothing exists any more.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What was noted last.
    #[must_use]
    pub fn saved(&self) -> Option<Saved> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
