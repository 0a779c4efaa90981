//! The requests of an operation that nobody disturbs: one axis of the matrix.

use std::collections::BTreeMap;
use std::fmt;

use sim::RequestRecord;

/// A request, by its place in the run.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Position in the run, from 1.
    pub(crate) index: usize,
    /// The method, whether it was called as a task or not.
    pub(crate) method: String,
    /// How many requests of this method came before. What runs side by side changes places from run to run; the third `VDI.destroy`
    /// stays the third.
    pub(crate) before: u64,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "request {} ({}, number {})",
            self.index,
            self.method,
            self.before + 1
        )
    }
}

/// The requests that were recorded.
pub(crate) fn of(records: &[RequestRecord]) -> Vec<Request> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let requests = records.iter().enumerate().map(|(at, record)| {
        let method = plain(&record.method);
        let count = counts.entry(method).or_default();
        *count += 1;
        Request {
            index: at + 1,
            method: method.to_owned(),
            before: *count - 1,
        }
    });
    requests.collect()
}

/// Says whether a run has come to a request.
pub(crate) fn has_come(records: &[RequestRecord], request: &Request) -> bool {
    let same = records.iter().filter(|record| plain(&record.method) == request.method);
    same.count() as u64 > request.before
}

fn plain(method: &str) -> &str {
    method.strip_prefix("Async.").unwrap_or(method)
}
