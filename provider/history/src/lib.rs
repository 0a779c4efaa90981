//! The history of servers: who had which VM, where, for how long, and why it ended.
//!
//! Two writers tell a [`History`] what they know: the provider, a process of seconds, what it does
//! ([`History::write_within`]); the reaper, a daemon, what it sees (a [`Recorder`], which queues while the sink is down). They
//! tell [`Entry`]s; [`merge`] sums those to one [`ServerRow`] a VM, the same in each sink and in whatever order they come.
//!
//! The crate reads no environment and no clock, and prints nothing. A [`History`] that is not used has opened nothing.

mod error;
mod filter;
mod ledger;
mod merge;
mod recorder;
mod row;
#[cfg(test)]
mod samples;
mod sink;
mod spool;
mod storable;
mod totals;
mod url;

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

pub use error::Error;
pub use filter::Filter;
pub use merge::merge;
pub use recorder::Recorder;
pub use row::{EndReason, Entry, InvalidEndReason, InvalidVmUuid, Renewal, ServerRow, VmUuid};
pub use spool::{Segment, Spool};
pub use totals::{GroupBy, Total};
pub use url::{InvalidSinkUrl, SinkUrl};

use filter::Matcher;
use sink::{Reader, Scope, Sink};
use totals::Summing;

/// A history, kept in a sink.
///
/// Calls may come from several tasks at once. Each reaches the sink anew if it has to, so a sink that was down is used again
/// as soon as it is up.
#[derive(Debug)]
pub struct History {
    url: SinkUrl,
    sink: Sink,
}

impl History {
    /// A history that is opened by its first use.
    #[must_use]
    pub fn new(url: &SinkUrl) -> Self {
        Self {
            url: url.clone(),
            sink: Sink::new(url),
        }
    }

    /// Opens a history: makes the file and its folder if need be, or reaches the server, and brings the schema up to date.
    ///
    /// # Errors
    /// The sink cannot be reached or used, or it is of a newer version.
    pub async fn open(url: &SinkUrl) -> Result<Self, Error> {
        let history = Self::new(url);
        history.sink.reach().await?;
        Ok(history)
    }

    /// Where it is kept.
    #[must_use]
    pub fn url(&self) -> &SinkUrl {
        &self.url
    }

    /// Writes entries: all of them, or none.
    ///
    /// # Errors
    /// The sink cannot be reached or used, or it is of a newer version.
    pub async fn write(&self, entries: &[Entry]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        self.sink.write(entries).await
    }

    /// Writes entries, and stops waiting after a time.
    ///
    /// # Errors
    /// As for [`write`](Self::write), or it takes too long; then the entries may still be written.
    pub async fn write_within(&self, entries: &[Entry], limit: Duration) -> Result<(), Error> {
        let written = timeout(limit, self.write(entries)).await;
        written.unwrap_or_else(|_| {
            let sink = self.url.to_string();
            Err(Error::Late { sink, limit })
        })
    }

    /// The servers that a filter lets through, the newest first, those whose birth is not known last; `limit` of them at most.
    ///
    /// # Errors
    /// The sink cannot be reached or read.
    pub async fn rows(&self, filter: &Filter, limit: usize) -> Result<Vec<ServerRow>, Error> {
        let reader = Listing {
            matcher: Matcher::new(filter),
            limit,
            rows: Vec::new(),
        };
        if limit == 0 {
            return Ok(reader.rows);
        }
        Ok(self.sink.read(Scope::of(filter), reader).await?.rows)
    }

    /// The servers of a pool of which no end is known, the newest first.
    ///
    /// # Errors
    /// The sink cannot be reached or read.
    pub async fn open_rows(&self, pool: &str) -> Result<Vec<ServerRow>, Error> {
        let filter = Filter {
            pool: Some(pool.to_owned()),
            living: true,
            ..Filter::default()
        };
        self.rows(&filter, usize::MAX).await
    }

    /// Sums over the servers that a filter lets through, sorted by what they are summed by; `now` ends the lives that go on.
    ///
    /// # Errors
    /// The sink cannot be reached or read.
    pub async fn totals(&self, filter: &Filter, by: GroupBy, now: Timestamp) -> Result<Vec<Total>, Error> {
        let reader = Sum {
            matcher: Matcher::new(filter),
            summing: Summing::new(filter, by, now),
        };
        Ok(self.sink.read(Scope::of(filter), reader).await?.summing.totals())
    }

    /// The renewals of a VM, the oldest first.
    ///
    /// # Errors
    /// The sink cannot be reached or read.
    pub async fn renewals(&self, vm: VmUuid) -> Result<Vec<Renewal>, Error> {
        self.sink.renewals(vm).await
    }

    /// Closes the history. Without it nothing is lost; the other side only hears of it later.
    ///
    /// # Errors
    /// A file could not be closed in order.
    pub async fn close(self) -> Result<(), Error> {
        self.sink.close().await
    }
}

/// Lists rows.
#[derive(Clone)]
struct Listing {
    matcher: Matcher,
    limit: usize,
    rows: Vec<ServerRow>,
}

impl Reader for Listing {
    fn take(&mut self, row: ServerRow) -> ControlFlow<()> {
        if self.matcher.matches(&row) {
            self.rows.push(row);
        }
        if self.rows.len() < self.limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

/// Sums rows up.
#[derive(Clone)]
struct Sum {
    matcher: Matcher,
    summing: Summing,
}

impl Reader for Sum {
    fn take(&mut self, row: ServerRow) -> ControlFlow<()> {
        if self.matcher.matches(&row) {
            self.summing.add(row);
        }
        ControlFlow::Continue(())
    }
}
