//! The sink that is a PostgreSQL database.
//!
//! A write locks the rows of its VMs, always in the order of their UUIDs, reads what is known, merges, and writes it back.
//! A connection that has broken is left behind; the next call makes a new one.

mod rows;
mod schema;
mod tls;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::error::Error;
use crate::ledger::{Batch, renewal};
use crate::merge::merge;
use crate::row::{Renewal, ServerRow, VmUuid};
use crate::sink::idle::Idle;
use crate::sink::{COLUMNS, RENEWAL_COLUMNS, Reader, Scope};
use crate::url::Server;

/// How long reaching a server may take, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may leave what was sent unanswered on the network, where the URL does not say.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a close may take; the server notices the end of a connection by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many rows are fetched at a time.
const PAGE: i32 = 500;

/// Nothing waits for ever: not here for a lock that a stopped process holds, nor another for ours.
const SESSION: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning";

/// A database of a PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
    /// The URL as it may be shown.
    name: String,
    idle: Idle<Connection>,
}

/// A connection, and the task that carries its bytes.
#[derive(Debug)]
struct Connection {
    client: Client,
    carrier: JoinSet<()>,
}

impl Postgres {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            name: server.to_string(),
            server: Server {
                config: bounded(&server.config),
                trust: server.trust.clone(),
            },
            idle: Idle::new(),
        }
    }

    pub(super) async fn reach(&self) -> Result<(), Error> {
        let _turn = self.idle.turn().await;
        let connection = self.connection().await?;
        self.idle.give_back(connection);
        Ok(())
    }

    pub(super) async fn write(&self, batch: &Batch) -> Result<(), Error> {
        let _turn = self.idle.turn().await;
        let mut connection = self.connection().await?;
        self.write_whole(&mut connection.client, batch).await?;
        self.idle.give_back(connection);
        Ok(())
    }

    pub(super) async fn read<R: Reader>(&self, scope: &Scope, mut reader: R) -> Result<R, Error> {
        let _turn = self.idle.turn().await;
        let mut connection = self.connection().await?;
        self.read_pages(&mut connection.client, scope, &mut reader).await?;
        self.idle.give_back(connection);
        Ok(reader)
    }

    pub(super) async fn renewals(&self, vm: VmUuid) -> Result<Vec<Renewal>, Error> {
        let _turn = self.idle.turn().await;
        let connection = self.connection().await?;
        let select = format!(r#"SELECT {RENEWAL_COLUMNS} FROM renewals WHERE vm_uuid = $1 ORDER BY "at", expires_at"#);
        let rows = connection
            .client
            .query(&select, &[&vm.uuid()])
            .await
            .map_err(self.failed("reading"))?;
        self.idle.give_back(connection);
        let renewals = rows.iter().map(|row| {
            let key = (vm, row.try_get(1)?, row.try_get(2)?);
            Ok(renewal(key, row.try_get(3)?))
        });
        renewals
            .collect::<Result<_, tokio_postgres::Error>>()
            .map_err(self.failed("reading"))
    }

    /// Says good-bye on each connection.
    pub(super) async fn close(self) {
        let closed = async {
            for Connection { client, mut carrier } in self.idle.into_all() {
                drop(client);
                while carrier.join_next().await.is_some() {}
            }
        };
        if timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::debug!(sink = self.name, "the server does not answer a good-bye");
        }
    }

    async fn connection(&self) -> Result<Connection, Error> {
        while let Some(connection) = self.idle.take() {
            if !connection.client.is_closed() {
                return Ok(connection);
            }
        }
        let mut connection = self.connect().await?;
        connection
            .client
            .batch_execute(SESSION)
            .await
            .map_err(self.failed("reaching"))?;
        schema::migrate(&mut connection.client, &self.name).await?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let config = &self.server.config;
        let mut carrier = JoinSet::new();
        let client = if config.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
            let (client, wire) = config.connect(NoTls).await.map_err(self.failed("reaching"))?;
            carrier.spawn(carry(wire));
            client
        } else {
            let tls = tls::client_config(&self.server.trust).await;
            let tls = tls.map_err(|reason| Error::Authorities {
                sink: self.name.clone(),
                reason,
            })?;
            let connected = config.connect(MakeRustlsConnect::new(tls)).await;
            let (client, wire) = connected.map_err(self.failed("reaching"))?;
            carrier.spawn(carry(wire));
            client
        };
        Ok(Connection { client, carrier })
    }

    async fn write_whole(&self, client: &mut Client, batch: &Batch) -> Result<(), Error> {
        let failed = || self.failed("writing to");
        let transaction = client.transaction().await.map_err(failed())?;
        let mut known = self.lock(&transaction, batch).await?;
        let update = transaction.prepare(rows::UPDATE).await.map_err(failed())?;
        for (vm, told) in &batch.servers {
            let mut row = known.remove(vm).unwrap_or_else(|| ServerRow::new(*vm));
            told.iter().for_each(|told| merge(&mut row, told));
            rows::update(&transaction, &update, &row).await.map_err(failed())?;
        }
        let renew = transaction.prepare(rows::RENEW).await.map_err(failed())?;
        for ((vm, at, expires_at), by) in &batch.renewals {
            let values: [&(dyn ToSql + Sync); 4] = [&vm.uuid(), at, expires_at, by];
            transaction.execute(&renew, &values).await.map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())
    }

    /// Locks the rows of the batch's VMs, made where there are none yet, and reads them.
    async fn lock(&self, transaction: &Transaction<'_>, batch: &Batch) -> Result<BTreeMap<VmUuid, ServerRow>, Error> {
        let failed = || self.failed("writing to");
        let vms: Vec<Uuid> = batch.servers.keys().map(|vm| vm.uuid()).collect();
        transaction.execute(rows::MAKE, &[&vms]).await.map_err(failed())?;
        let select = format!("SELECT {COLUMNS} FROM servers WHERE vm_uuid = ANY($1) ORDER BY vm_uuid FOR UPDATE");
        let rows = transaction.query(&select, &[&vms]).await.map_err(failed())?;
        let servers = rows
            .iter()
            .map(|row| rows::server(row, &self.name).map(|row| (row.vm_uuid, row)));
        servers.collect()
    }

    async fn read_pages<R: Reader>(&self, client: &mut Client, scope: &Scope, reader: &mut R) -> Result<(), Error> {
        let failed = || self.failed("reading");
        let transaction = client
            .build_transaction()
            .read_only(true)
            .start()
            .await
            .map_err(failed())?;
        let pool: Vec<&(dyn ToSql + Sync)> = scope.pool.iter().map(|pool| pool as _).collect();
        let portal = transaction.bind(&scope.select(), &pool).await.map_err(failed())?;
        loop {
            let page = transaction.query_portal(&portal, PAGE).await.map_err(failed())?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                if reader.take(rows::server(row, &self.name)?).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error + use<> {
        failed(doing, &self.name)
    }
}

fn failed(doing: &'static str, sink: &str) -> impl FnOnce(tokio_postgres::Error) -> Error + use<> {
    let sink = sink.to_owned();
    move |source| Error::Postgres { doing, sink, source }
}

/// The URL's settings, with a limit to each wait.
fn bounded(config: &Config) -> Config {
    let mut config = config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_application_name().is_none() {
        config.application_name("dynvm");
    }
    config
}

async fn carry<S, T>(wire: tokio_postgres::Connection<S, T>)
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>>,
{
    if let Err(error) = pin!(wire).await {
        tracing::debug!(%error, "a connection to the history's server broke");
    }
}
