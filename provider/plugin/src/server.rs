//! [`Server`]: one run of a provider, from its socket to its end.

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use proto::{
    go_plugin::{
        grpc_broker_server::GrpcBrokerServer, grpc_controller_server::GrpcControllerServer,
        grpc_stdio_server::GrpcStdioServer,
    },
    tfplugin6::provider_server::ProviderServer,
};
use thiserror::Error;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

pub use crate::lifecycle::Ending;
use crate::{
    calls::Calls,
    connection::{Connections, incoming},
    environment::Environment,
    go_plugin::{Broker, Controller, Stdio},
    handshake,
    lifecycle::orphaned,
    provider::Provider,
    rpc::Service,
    socket::Socket,
    tls::{MutualTls, TlsError},
};

/// The largest message in either direction, as Terraform's own library has it. The default would fail on a state of 5
/// MiB.
const LARGEST_MESSAGE: usize = 256 * 1024 * 1024;

/// How long calls in flight may take to end after a signal.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long answers may take to leave. The host keeps streams open, so the end of all streams is not waited for.
const DRAIN: Duration = Duration::from_millis(50);

/// How long everything after the host's word may take. After two seconds the host kills.
const SHUTDOWN: Duration = Duration::from_millis(1500);

/// Why no server could be set up.
#[derive(Debug, Error)]
pub enum BindError {
    /// No socket can be made in the place asked for, nor in `/tmp`.
    #[error("no socket could be made")]
    Socket(#[source] io::Error),
    /// The host's certificate makes no sense, or none of our own could be made.
    #[error("mutual TLS could not be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<TlsError> for BindError {
    fn from(error: TlsError) -> BindError {
        BindError::Tls(Box::new(error))
    }
}

/// A provider's server that listens, but does not answer yet.
pub struct Server {
    socket: Socket,
    tls: Option<MutualTls>,
    handshake_line: String,
    connections: Connections,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("socket", &self.socket)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts to listen, with TLS if the host has shown a certificate.
    ///
    /// # Errors
    ///
    /// If there is no place for a socket, or the host's certificate cannot be read.
    pub fn bind(environment: &Environment) -> Result<Server, BindError> {
        let tls = environment
            .client_certificate
            .as_deref()
            .map(MutualTls::for_client)
            .transpose()?;
        let socket = Socket::bind(environment).map_err(BindError::Socket)?;
        let certificate = tls.as_ref().map(|tls| tls.certificate.as_ref());
        let handshake_line = handshake::line(socket.file.path(), certificate, environment);
        Ok(Server {
            socket,
            tls,
            handshake_line,
            connections: Connections::new(),
        })
    }

    /// The line for the host, with its line end.
    #[must_use]
    pub fn handshake_line(&self) -> &str {
        &self.handshake_line
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.socket.file.path()
    }

    /// Waits until the host is gone without a word.
    pub(crate) fn orphaned(&self) -> impl Future<Output = Ending> + use<> {
        orphaned(self.connections.clone(), std::os::unix::process::parent_id)
    }

    /// Answers until the host says `Shutdown` or `ending` comes, lets the provider go, and removes the socket.
    pub async fn run(self, provider: Arc<dyn Provider>, ending: impl Future<Output = Ending>) -> Ending {
        let Server {
            socket,
            tls,
            connections,
            ..
        } = self;
        let Socket { listener, file } = socket;
        let (shutdown, ended) = (CancellationToken::new(), CancellationToken::new());
        let calls = Calls::new(Arc::clone(&provider));
        let mut accepting = JoinSet::new();
        let mut serving = JoinSet::new();
        let incoming = incoming(listener, tls.map(|tls| tls.acceptor), connections, &mut accepting);
        let services = router(&calls, &shutdown, &ended).await;
        let served = services.serve_with_incoming_shutdown(incoming, ended.clone().cancelled_owned());
        serving.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the server failed");
            }
        });

        let ending = tokio::select! {
            () = shutdown.cancelled() => Ending::Shutdown,
            ending = ending => ending,
        };
        tracing::debug!(?ending, "ending");
        wind_down(&calls, ending, &shutdown).await;
        let deadline = Instant::now() + SHUTDOWN;
        ended.cancel();
        let drained = async { tokio::join!(calls.idle_or_cut(), serving.join_next()) };
        if timeout(DRAIN, drained).await.is_err() {
            tracing::debug!("not everything had ended in time");
        }
        let_go(provider, deadline).await;
        drop(file);
        ending
    }
}

/// Interrupts the calls in flight. Unless the host has said that nobody waits for them, they get time for their answers.
async fn wind_down(calls: &Calls, ending: Ending, shutdown: &CancellationToken) {
    calls.stop();
    match ending {
        Ending::Shutdown => {}
        Ending::Terminated | Ending::Orphaned => {
            tokio::select! {
                _ = timeout(STOP_GRACE, calls.idle()) => {}
                () = shutdown.cancelled() => {}
            }
            calls.cut();
        }
    }
}

/// Has the provider let go of what it holds elsewhere.
async fn let_go(provider: Arc<dyn Provider>, deadline: Instant) {
    // A task of its own: a panic here must not keep the socket.
    let mut closing = JoinSet::new();
    closing.spawn(async move { provider.shutdown().await });
    if timeout_at(deadline, closing.join_next()).await.is_err() {
        tracing::warn!("the provider did not let go in time");
    }
}

/// All services of a plugin.
async fn router(calls: &Calls, shutdown: &CancellationToken, ended: &CancellationToken) -> Router {
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("plugin", tonic_health::ServingStatus::Serving)
        .await;
    let provider = ProviderServer::new(Service::new(calls.clone()))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    tonic::transport::Server::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(Controller {
            shutdown: shutdown.clone(),
        }))
        .add_service(GrpcStdioServer::new(Stdio { ended: ended.clone() }))
        .add_service(GrpcBrokerServer::new(Broker { ended: ended.clone() }))
        .add_service(health_service)
}
