//! The sink that is a SQLite database.
//!
//! Several processes write at once: readers never wait (WAL), a writer waits for the one before it. A write reads what is
//! known, merges, and writes it back, in a transaction that holds the write lock from its start.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use crate::error::Error;
use crate::ledger::{Batch, renewal};
use crate::merge::merge;
use crate::row::{EndReason, Renewal, ServerRow, VmUuid};
use crate::sink::blocking::{blocking, make_folder_of, patiently};
use crate::sink::idle::Idle;
use crate::sink::{COLUMNS, RENEWAL_COLUMNS, Reader, Scope, pending};

const MIGRATIONS: &[&str] = &[include_str!("../migrations/sqlite/0001_servers_and_renewals.sql")];

/// How long SQLite itself waits for another writer before it says "busy"; the rest of the patience is ours.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// A SQLite database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: Arc<Path>,
    idle: Idle<Connection>,
}

impl Sqlite {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            idle: Idle::new(),
        }
    }

    pub(super) async fn reach(&self) -> Result<(), Error> {
        self.run("opening", |_| Ok(())).await
    }

    pub(super) async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.run("writing to", move |connection| write(connection, &batch))
            .await
    }

    pub(super) async fn read<R: Reader>(&self, scope: Scope, reader: R) -> Result<R, Error> {
        self.run("reading", move |connection| read(connection, &scope, reader.clone()))
            .await
    }

    pub(super) async fn renewals(&self, vm: VmUuid) -> Result<Vec<Renewal>, Error> {
        self.run("reading", move |connection| renewals(connection, vm)).await
    }

    /// Closes the connections; the last one to close brings the log home and removes it.
    pub(super) async fn close(self) -> Result<(), Error> {
        let failed = failed("closing", &self.path);
        let connections = self.idle.into_all();
        blocking(move || {
            let closed = connections
                .into_iter()
                .try_for_each(|connection| connection.close().map_err(|(_, error)| error));
            closed.map_err(failed)
        })
        .await
    }

    async fn run<T, W>(&self, doing: &'static str, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    {
        let _turn = self.idle.turn().await;
        let work = Arc::new(work);
        patiently(|| self.attempt(doing, Arc::clone(&work))).await
    }

    async fn attempt<T, W>(&self, doing: &'static str, work: Arc<W>) -> Result<T, Error>
    where
        T: Send + 'static,
        W: Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    {
        let (waiting, path) = (self.idle.take(), Arc::clone(&self.path));
        let attempt = blocking(move || {
            let mut connection = waiting.map_or_else(|| open(&path), Ok)?;
            let done = work(&mut connection).map_err(failed(doing, &path));
            Ok((connection, done))
        });
        let (connection, done) = attempt.await?;
        if done.as_ref().map_or_else(Error::is_busy, |_| true) {
            self.idle.give_back(connection);
        }
        done
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Sqlite { doing, path, source }
}

fn open(path: &Path) -> Result<Connection, Error> {
    create(path)?;
    let mut connection = prepared(path).map_err(failed("opening", path))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Makes an empty database that only its owner can read. The file appears under its name with its mode set and closed
/// again: closing a file that SQLite has open elsewhere in this process would take its locks away.
fn create(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    make_folder_of(path)?;
    let draft = draft_of(path);
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map(drop);
    let named = made.and_then(|()| fs::hard_link(&draft, path));
    // The draft is gone from here on, or was never made.
    let _ = fs::remove_file(&draft);
    match named {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::File {
            doing: "making",
            path: path.to_owned(),
            source: error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", Uuid::new_v4()))
}

fn prepared(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Turning WAL on needs the database for oneself for a moment; it stays on. What was written must outlive a power cut,
    // because the spool forgets it then.
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let sink = || format!("the SQLite database {}", path.display());
    let failed = || failed("bringing up to date", path);
    let found = version(connection).map_err(failed())?;
    if pending(MIGRATIONS, found, sink)?.next().is_none() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed())?;
    // Another process may have been quicker.
    let found = version(&transaction).map_err(failed())?;
    for (number, migration) in pending(MIGRATIONS, found, sink)? {
        apply(&transaction, number, migration).map_err(failed())?;
    }
    transaction.commit().map_err(failed())
}

/// The number of the last migration that was applied; 0 in a new database.
fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'dynvm_history_versions'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let last = "SELECT COALESCE(MAX(version), 0) FROM dynvm_history_versions";
    connection.query_row(last, [], |row| row.get(0))
}

fn apply(transaction: &Transaction<'_>, number: u32, migration: &str) -> rusqlite::Result<()> {
    let table = "CREATE TABLE IF NOT EXISTS dynvm_history_versions (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT";
    transaction.execute_batch(table)?;
    transaction.execute_batch(migration)?;
    let noted = "INSERT INTO dynvm_history_versions VALUES ($1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
    transaction.execute(noted, [number]).map(drop)
}

fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut select = transaction.prepare(&format!("SELECT {COLUMNS} FROM servers WHERE vm_uuid = $1"))?;
        let mut replace = transaction.prepare(&format!(
            "INSERT OR REPLACE INTO servers ({COLUMNS}) VALUES \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
        ))?;
        for (vm, told) in &batch.servers {
            let known = select.query_row([vm.to_string()], server).optional()?;
            let mut row = known.unwrap_or_else(|| ServerRow::new(*vm));
            told.iter().for_each(|told| merge(&mut row, told));
            store(&mut replace, &row)?;
        }
        let mut renew = transaction.prepare(&format!(
            r#"INSERT INTO renewals ({RENEWAL_COLUMNS}) VALUES ($1, $2, $3, $4)
               ON CONFLICT (vm_uuid, "at", expires_at) DO UPDATE SET "by" = COALESCE(renewals."by", excluded."by")"#
        ))?;
        for ((vm, at, expires_at), by) in &batch.renewals {
            renew.execute(params![vm.to_string(), Time(*at), Time(*expires_at), by])?;
        }
    }
    transaction.commit()
}

fn read<R: Reader>(connection: &Connection, scope: &Scope, mut reader: R) -> rusqlite::Result<R> {
    let mut select = connection.prepare(&scope.select())?;
    let mut rows = match &scope.pool {
        Some(pool) => select.query([pool])?,
        None => select.query([])?,
    };
    while let Some(row) = rows.next()? {
        if reader.take(server(row)?).is_break() {
            break;
        }
    }
    Ok(reader)
}

fn renewals(connection: &Connection, vm: VmUuid) -> rusqlite::Result<Vec<Renewal>> {
    let mut select = connection.prepare(&format!(
        r#"SELECT {RENEWAL_COLUMNS} FROM renewals WHERE vm_uuid = $1 ORDER BY "at", expires_at"#
    ))?;
    let renewals = select.query_map([vm.to_string()], |row| {
        let key = (vm, row.get::<_, Time>(1)?.0, row.get::<_, Time>(2)?.0);
        Ok(renewal(key, row.get(3)?))
    })?;
    renewals.collect()
}

fn store(replace: &mut rusqlite::Statement<'_>, row: &ServerRow) -> rusqlite::Result<()> {
    let addresses: Vec<String> = row.ip_addresses.iter().map(ToString::to_string).collect();
    let addresses =
        serde_json::to_string(&addresses).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    replace.execute(params![
        row.vm_uuid.to_string(),
        row.name,
        row.owner,
        row.pool,
        row.host,
        row.os,
        row.template,
        row.cpus,
        row.memory_bytes.map(u64::cast_signed),
        row.disk_bytes.map(u64::cast_signed),
        addresses,
        row.created_at.map(Time),
        row.ready_at.map(Time),
        row.expires_at.map(Time),
        row.deleted_at.map(Time),
        row.create_seconds,
        row.live_seconds,
        row.delete_seconds,
        row.end_reason.map(EndReason::as_str),
    ])?;
    Ok(())
}

/// Reads a row whose columns are [`COLUMNS`].
fn server(row: &Row<'_>) -> rusqlite::Result<ServerRow> {
    let time = |column: usize| row.get::<_, Option<Time>>(column).map(|time| time.map(|time| time.0));
    let bytes = |column: usize| {
        row.get::<_, Option<i64>>(column)
            .map(|bytes| bytes.map(i64::unsigned_abs))
    };
    Ok(ServerRow {
        vm_uuid: row.get::<_, Parsed<VmUuid>>(0)?.0,
        name: row.get(1)?,
        owner: row.get(2)?,
        pool: row.get(3)?,
        host: row.get(4)?,
        os: row.get(5)?,
        template: row.get(6)?,
        cpus: row.get(7)?,
        memory_bytes: bytes(8)?,
        disk_bytes: bytes(9)?,
        ip_addresses: row.get::<_, Addresses>(10)?.0,
        created_at: time(11)?,
        ready_at: time(12)?,
        expires_at: time(13)?,
        deleted_at: time(14)?,
        create_seconds: row.get(15)?,
        live_seconds: row.get(16)?,
        delete_seconds: row.get(17)?,
        end_reason: row.get::<_, Option<Parsed<EndReason>>>(18)?.map(|reason| reason.0),
    })
}

/// A time as text of one width, so that it sorts as text.
struct Time(Timestamp);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(format!("{:.6}", self.0).into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Parsed::column_result(value).map(|time| Self(time.0))
    }
}

/// A text that is read strictly.
struct Parsed<T>(T);

impl<T> FromSql for Parsed<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// Addresses as a JSON list.
struct Addresses(std::collections::BTreeSet<std::net::IpAddr>);

impl FromSql for Addresses {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}
