//! The language between the machines of this module and whoever carries their steps out.

use jiff::Timestamp;

use super::board::Board;
use super::hold::Room;

/// The next thing to do. Each is one atomic call on the pool, or one look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// Read the pool's `other_config` and its coordinator's clock.
    Read,
    /// Look at the pool's servers. What was seen before the last read does not count.
    Look,
    /// Add a key to the pool's `other_config`, with the pool's test-and-set.
    Add {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Remove a key from the pool's `other_config`.
    Remove(String),
    /// It is over.
    Done(T),
}

impl<T> Step<T> {
    /// The same step of a machine that ends in another way.
    pub fn map<U>(self, end: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Read => Step::Read,
            Step::Look => Step::Look,
            Step::Add { key, value } => Step::Add { key, value },
            Step::Remove(key) => Step::Remove(key),
            Step::Done(ended) => Step::Done(end(ended)),
        }
    }
}

/// What came of the last step.
pub enum Heard<'a> {
    /// Nothing was asked yet.
    Nothing,
    /// Of a read.
    Read(Board, Timestamp),
    /// Of a look.
    Servers(&'a dyn Room),
    /// Of adding or removing a key.
    Call(Call),
}

/// What came of a call that changes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// It is done.
    Done,
    /// The key to add is there already.
    AlreadyThere,
    /// Nobody knows whether it was done.
    Unknown,
}

/// A protocol without I/O: told what came of a step, it names the next one.
pub trait Machine {
    /// How it ends.
    type End;

    /// Names the next step. Told of something that it did not ask for, it asks again.
    fn next(&mut self, heard: Heard<'_>) -> Step<Self::End>;
}
