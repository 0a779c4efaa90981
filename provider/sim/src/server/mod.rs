//! A host's listener: connections, TLS, HTTP limits.

mod answer;
mod import;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::answer::Cut;
use crate::control::Hooks;
use crate::db::{Cls, Ref};
use crate::pool::{Pool, State};

/// Connections served at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 800;

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// What a connection needs to serve requests.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) pool: Arc<Pool>,
    /// Position of the host in the pool.
    pub(crate) host: usize,
    pub(crate) hooks: Arc<Hooks>,
}

/// The record of a request in hand: when its client hangs up and the work is dropped, it ends as cut.
struct OpenRecord<'a> {
    server: &'a Server,
    index: u64,
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        let Server { pool, hooks, .. } = self.server;
        hooks.abandon(self.index, pool.clock.real_us());
    }
}

impl Server {
    /// Whether a session is that of a client that was cut off.
    fn is_severed(&self, session: &Ref) -> bool {
        let Self { pool, hooks, .. } = self;
        let originator = |state: &mut State| {
            let field = state.db.get(Cls::Session, session, "originator");
            field.map_or_else(|_| String::new(), |text| text.as_str().to_owned())
        };
        hooks.is_anybody_severed() && hooks.is_severed(&pool.with(originator))
    }

    /// Holds a request for as long as faults are in force.
    async fn hang(&self, index: u64) {
        let Self { pool, hooks, .. } = self;
        hooks.hangs(index);
        let until = hooks.hanging();
        let end = async {
            tokio::select! { () = until.cancelled() => {}, () = pool.stop.cancelled() => {} }
        };
        pool.clock.park(end).await;
    }

    /// Serves until the simulator ends.
    pub(crate) async fn listen(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.pool.stop.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let Some(endpoint) = self.pool.hosts.get(self.host) else {
                return;
            };
            if !endpoint.reachable.load(Ordering::SeqCst) {
                drop(stream);
                continue;
            }
            let cut = endpoint.connections.lock().map(|t| t.clone()).unwrap_or_default();
            let server = self.clone();
            self.pool.tracker.spawn(async move {
                server.connection(stream, cut).await;
                drop(slot);
            });
        }
    }

    async fn connection(self, stream: TcpStream, cut: CancellationToken) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _unsupported = stream.set_nodelay(true);
        let identity = self
            .pool
            .hosts
            .get(self.host)
            .and_then(|h| h.identity.lock().ok()?.clone());
        match identity {
            None => self.serve(stream, cut).await,
            Some(identity) => {
                let acceptor = TlsAcceptor::from(identity.config);
                let accepted = tokio::select! {
                    accepted = acceptor.accept(stream) => accepted,
                    () = cut.cancelled() => return,
                    () = self.pool.stop.cancelled() => return,
                };
                match accepted {
                    Ok(stream) => self.serve(stream, cut).await,
                    Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                }
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, cut: CancellationToken) {
        let id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let stop = self.pool.stop.clone();
        let server = self.clone();
        let dropped = cut.clone();
        let service = service_fn(move |http| {
            let (server, cut) = (server.clone(), dropped.clone());
            let closes = asks_to_close(&http);
            async move {
                let mut response = request::handle(&server, http, id, &cut).await?;
                if closes {
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Cut>(response)
            }
        });
        let connection = http1::Builder::new()
            .keep_alive(true)
            .max_headers(100)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            ended = connection => if let Err(error) = ended { tracing::debug!(%error, "connection ended") },
            () = cut.cancelled() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the client wants no further answer on its connection.
fn asks_to_close<B>(http: &Request<B>) -> bool {
    let named = http
        .headers()
        .get(CONNECTION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    named.eq_ignore_ascii_case("close") || http.version() == Version::HTTP_10
}
