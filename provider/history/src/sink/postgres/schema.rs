//! The schema of the database, brought up to date.

use tokio_postgres::{Client, GenericClient};

use super::failed;
use crate::error::Error;
use crate::sink::pending;

const MIGRATIONS: &[&str] = &[include_str!("../../migrations/postgres/0001_servers_and_renewals.sql")];

/// Serialises migrations of all processes ("dynvmhis" as a number).
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'64796e766d686973'::bigint)";

/// Makes the table of the migrations that were applied.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS dynvm_history_versions \
    (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";

/// Brings the schema up to date. A database that is so already is only read: writers need no right to make tables.
///
/// # Errors
/// A newer version of dynvm has been at the database, or the server refuses.
pub(super) async fn migrate(client: &mut Client, sink: &str) -> Result<(), Error> {
    let failed = || failed("bringing up to date", sink);
    let found = version(client).await.map_err(failed())?;
    if pending(MIGRATIONS, found, || sink.to_owned())?.next().is_none() {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(failed())?;
    transaction.batch_execute(LOCK).await.map_err(failed())?;
    // Another process may have been quicker. The server remembers in this transaction that there was no table of versions;
    // a statement that would make one looks again.
    transaction.batch_execute(VERSIONS).await.map_err(failed())?;
    let found = last_version(&transaction).await.map_err(failed())?;
    for (number, migration) in pending(MIGRATIONS, found, || sink.to_owned())? {
        apply(&transaction, number, migration).await.map_err(failed())?;
    }
    transaction.commit().await.map_err(failed())
}

/// The number of the last migration that was applied; 0 in a new database.
async fn version(client: &impl GenericClient) -> Result<u32, tokio_postgres::Error> {
    let exists = "SELECT to_regclass('dynvm_history_versions') IS NOT NULL";
    if client.query_one(exists, &[]).await?.try_get(0)? {
        last_version(client).await
    } else {
        Ok(0)
    }
}

async fn last_version(client: &impl GenericClient) -> Result<u32, tokio_postgres::Error> {
    let last = "SELECT COALESCE(MAX(version), 0) FROM dynvm_history_versions";
    let last: i32 = client.query_one(last, &[]).await?.try_get(0)?;
    Ok(last.unsigned_abs())
}

async fn apply(client: &impl GenericClient, number: u32, migration: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(migration).await?;
    let noted = "INSERT INTO dynvm_history_versions (version) VALUES ($1)";
    client.execute(noted, &[&number.cast_signed()]).await.map(drop)
}
