//! How many requests were made, and how they ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts requests per method and code.
#[derive(Debug, Default)]
pub struct Counters {
    tallies: Mutex<BTreeMap<(&'static str, String), Sums>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: u64,
    bytes_out: u64,
    bytes_in: u64,
    time: Duration,
}

/// The count of one method and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Method, such as `VM.clone`.
    pub method: &'static str,
    /// `ok`, the pool's failure code, or how the request ended otherwise (`unreachable`, `broken`, `timeout`, ...).
    pub code: String,
    /// Number of requests.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_out: u64,
    /// Bytes of answer bodies.
    pub bytes_in: u64,
    /// Time until the answers were complete, in all.
    pub time: Duration,
}

/// One request that ended.
pub(crate) struct Sample<'a> {
    pub(crate) method: &'static str,
    pub(crate) code: &'a str,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) time: Duration,
}

impl Counters {
    pub(crate) fn add(&self, sample: &Sample<'_>) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = tallies.entry((sample.method, sample.code.to_owned())).or_default();
        sums.requests += 1;
        sums.bytes_out += sample.bytes_out;
        sums.bytes_in += sample.bytes_in;
        sums.time += sample.time;
    }

    /// Reads all counts, sorted by method and code.
    pub fn snapshot(&self) -> Vec<Tally> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies
            .iter()
            .map(|((method, code), sums)| Tally {
                method,
                code: code.clone(),
                requests: sums.requests,
                bytes_out: sums.bytes_out,
                bytes_in: sums.bytes_in,
                time: sums.time,
            })
            .collect()
    }

    /// Counts the requests of one method, however they ended.
    pub fn requests(&self, method: &str) -> u64 {
        self.snapshot()
            .iter()
            .filter(|tally| tally.method == method)
            .map(|tally| tally.requests)
            .sum()
    }

    /// Counts all requests.
    pub fn total(&self) -> u64 {
        self.snapshot().iter().map(|tally| tally.requests).sum()
    }
}
