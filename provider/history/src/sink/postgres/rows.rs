//! Rows as PostgreSQL has them.

use std::net::IpAddr;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement, Transaction};

use crate::error::Error;
use crate::row::{EndReason, ServerRow, VmUuid};

/// Makes the rows of VMs that have none; the parameter is a list of UUIDs.
pub(super) const MAKE: &str = "INSERT INTO servers (vm_uuid) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING";

/// Writes all columns of a row; the parameters are in the order of `COLUMNS`.
pub(super) const UPDATE: &str = "UPDATE servers SET name = $2, owner = $3, pool = $4, host = $5, os = $6, template = $7, \
    cpus = $8, memory_bytes = $9, disk_bytes = $10, ip_addresses = $11, created_at = $12, ready_at = $13, \
    expires_at = $14, deleted_at = $15, create_seconds = $16, live_seconds = $17, delete_seconds = $18, end_reason = $19 \
    WHERE vm_uuid = $1";

/// Writes a renewal, or who made it where that is not known yet; the parameters are in the order of `RENEWAL_COLUMNS`.
pub(super) const RENEW: &str = r#"INSERT INTO renewals (vm_uuid, "at", expires_at, "by") VALUES ($1, $2, $3, $4)
    ON CONFLICT (vm_uuid, "at", expires_at) DO UPDATE SET "by" = COALESCE(renewals."by", excluded."by")"#;

pub(super) async fn update(
    transaction: &Transaction<'_>,
    update: &Statement,
    row: &ServerRow,
) -> Result<(), tokio_postgres::Error> {
    let addresses: Vec<IpAddr> = row.ip_addresses.iter().copied().collect();
    let values: [&(dyn ToSql + Sync); 19] = [
        &row.vm_uuid.uuid(),
        &row.name,
        &row.owner,
        &row.pool,
        &row.host,
        &row.os,
        &row.template,
        &row.cpus.map(i64::from),
        &row.memory_bytes.map(u64::cast_signed),
        &row.disk_bytes.map(u64::cast_signed),
        &addresses,
        &row.created_at,
        &row.ready_at,
        &row.expires_at,
        &row.deleted_at,
        &row.create_seconds,
        &row.live_seconds,
        &row.delete_seconds,
        &row.end_reason.map(EndReason::as_str),
    ];
    transaction.execute(update, &values).await.map(drop)
}

/// Reads a row whose columns are `COLUMNS`.
pub(super) fn server(row: &Row, sink: &str) -> Result<ServerRow, Error> {
    let unreadable = |reason: String| Error::Unreadable {
        sink: sink.to_owned(),
        reason,
    };
    let mut read = columns(row).map_err(|error| unreadable(error.to_string()))?;
    let reason: Option<&str> = row.try_get(18).map_err(|error| unreadable(error.to_string()))?;
    let reason = reason.map(str::parse).transpose();
    read.end_reason = reason.map_err(|error: crate::row::InvalidEndReason| unreadable(error.to_string()))?;
    Ok(read)
}

/// All columns but the reason, which the database has as text.
fn columns(row: &Row) -> Result<ServerRow, tokio_postgres::Error> {
    let bytes = |column: usize| {
        row.try_get::<_, Option<i64>>(column)
            .map(|bytes| bytes.map(i64::unsigned_abs))
    };
    let cpus: Option<i64> = row.try_get(7)?;
    Ok(ServerRow {
        vm_uuid: VmUuid::from_uuid(row.try_get(0)?),
        name: row.try_get(1)?,
        owner: row.try_get(2)?,
        pool: row.try_get(3)?,
        host: row.try_get(4)?,
        os: row.try_get(5)?,
        template: row.try_get(6)?,
        cpus: cpus.and_then(|cpus| u32::try_from(cpus).ok()),
        memory_bytes: bytes(8)?,
        disk_bytes: bytes(9)?,
        ip_addresses: row.try_get::<_, Vec<IpAddr>>(10)?.into_iter().collect(),
        created_at: row.try_get(11)?,
        ready_at: row.try_get(12)?,
        expires_at: row.try_get(13)?,
        deleted_at: row.try_get(14)?,
        create_seconds: row.try_get(15)?,
        live_seconds: row.try_get(16)?,
        delete_seconds: row.try_get(17)?,
        end_reason: None,
    })
}
