//! The sinks: three places to keep one history in.
//!
//! Each writes entries by the merge rule, all of a call or none, and gives rows back, the newest first.

#[cfg(test)]
mod agreement;
mod blocking;
mod idle;
mod jsonl;
mod postgres;
mod sqlite;

use std::ops::ControlFlow;

use crate::error::Error;
use crate::filter::Filter;
use crate::ledger::Batch;
use crate::row::{Entry, Renewal, ServerRow, VmUuid};
use crate::url::{Kind, SinkUrl};

pub(crate) use blocking::{blocking, make_folder};
pub(crate) use jsonl::lines;

/// The columns of `servers`, in the order in which statements have them.
const COLUMNS: &str = "vm_uuid, name, owner, pool, host, os, template, cpus, memory_bytes, disk_bytes, ip_addresses, \
    created_at, ready_at, expires_at, deleted_at, create_seconds, live_seconds, delete_seconds, end_reason";

/// The columns of `renewals`.
const RENEWAL_COLUMNS: &str = r#"vm_uuid, "at", expires_at, "by""#;

/// One of the sinks. Making it touches nothing.
#[derive(Debug)]
pub(crate) enum Sink {
    Sqlite(sqlite::Sqlite),
    Postgres(Box<postgres::Postgres>),
    Jsonl(jsonl::Jsonl),
}

impl Sink {
    pub(crate) fn new(url: &SinkUrl) -> Self {
        match &url.0 {
            Kind::Sqlite(path) => Self::Sqlite(sqlite::Sqlite::new(path)),
            Kind::Postgres(server) => Self::Postgres(Box::new(postgres::Postgres::new(server))),
            Kind::Jsonl(path) => Self::Jsonl(jsonl::Jsonl::new(path)),
        }
    }

    /// Reaches the sink and brings its schema up to date.
    pub(crate) async fn reach(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(sink) => sink.reach().await,
            Self::Postgres(sink) => sink.reach().await,
            Self::Jsonl(sink) => sink.reach().await,
        }
    }

    /// Writes all entries, or none.
    pub(crate) async fn write(&self, entries: &[Entry]) -> Result<(), Error> {
        match self {
            Self::Sqlite(sink) => sink.write(Batch::of(entries)).await,
            Self::Postgres(sink) => sink.write(&Batch::of(entries)).await,
            Self::Jsonl(sink) => sink.write(entries).await,
        }
    }

    /// Shows rows to a reader, the newest first, until it has enough.
    pub(crate) async fn read<R: Reader>(&self, scope: Scope, reader: R) -> Result<R, Error> {
        match self {
            Self::Sqlite(sink) => sink.read(scope, reader).await,
            Self::Postgres(sink) => sink.read(&scope, reader).await,
            Self::Jsonl(sink) => sink.read(reader).await,
        }
    }

    /// The renewals of a VM, the oldest first.
    pub(crate) async fn renewals(&self, vm: VmUuid) -> Result<Vec<Renewal>, Error> {
        match self {
            Self::Sqlite(sink) => sink.renewals(vm).await,
            Self::Postgres(sink) => sink.renewals(vm).await,
            Self::Jsonl(sink) => sink.renewals(vm).await,
        }
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(sink) => sink.close().await,
            Self::Postgres(sink) => {
                sink.close().await;
                Ok(())
            }
            Self::Jsonl(_) => Ok(()),
        }
    }
}

/// Takes rows one by one; a fresh copy starts over where a sink has to.
pub(crate) trait Reader: Clone + Send + Sync + 'static {
    /// Takes a row; `Break` when no more are wanted.
    fn take(&mut self, row: ServerRow) -> ControlFlow<()>;
}

/// The part of a filter that a database does better: a few rows of many, found by an index. Readers check the whole filter.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pool: Option<String>,
    living: bool,
}

impl Scope {
    pub(crate) fn of(filter: &Filter) -> Self {
        Self {
            pool: filter.pool.clone(),
            living: filter.living,
        }
    }

    /// The statement that reads the rows, the newest first; its one parameter, where there is a pool, is the pool.
    fn select(&self) -> String {
        let pool = self.pool.as_ref().map(|_| "pool = $1");
        let living = self.living.then_some("end_reason IS NULL AND deleted_at IS NULL");
        let conditions: Vec<&str> = pool.into_iter().chain(living).collect();
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!("WHERE {} ", conditions.join(" AND "))
        };
        format!("SELECT {COLUMNS} FROM servers {filter}ORDER BY created_at DESC NULLS LAST, vm_uuid")
    }
}

/// Which of the migrations a database lacks, each with its number.
///
/// # Errors
/// The database is of a newer version.
fn pending(
    migrations: &'static [&'static str],
    found: u32,
    sink: impl Fn() -> String,
) -> Result<impl Iterator<Item = (u32, &'static str)>, Error> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        let sink = sink();
        return Err(Error::Newer { sink, found, known });
    }
    Ok((1..)
        .zip(migrations.iter().copied())
        .filter(move |(number, _)| *number > found))
}
