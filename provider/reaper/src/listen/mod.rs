//! The pages for machines that watch the reaper: `/healthz`, `/readyz`, `/metrics`. They show figures and names of pools, never an
//! address, a user or a secret; nothing can be changed through them.

mod health;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::{CONTENT_TYPE, Metrics, Reading};

pub use health::{Ailing, Health, Pulse};

/// How long answers in hand may take once the end was asked for.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the pages are not served.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is taken, not this machine's, or forbidden.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The listener broke while it served.
    #[error("no longer listening on {address}")]
    Broken {
        /// Where.
        address: SocketAddr,
        /// How.
        #[source]
        cause: io::Error,
    },
}

/// Serves the pages until the end is asked for.
///
/// # Errors
/// The address cannot be listened on, or the listener broke.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    Listener::bind(address).await?.serve(metrics, health, stop).await
}

/// An open address that does not answer yet: so that a daemon can refuse to start before it does anything else.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens the address; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |cause| ListenError::Bind { address, cause };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// Gives the address that was opened, its port never 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the pages until the end is asked for. Answers in hand are finished, within a short time.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve(self, metrics: Metrics, health: Health, stop: CancellationToken) -> Result<(), ListenError> {
        let Self { socket, address } = self;
        let drained = stop.clone().cancelled_owned();
        let served = axum::serve(socket, pages(metrics, health)).with_graceful_shutdown(drained);
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            ended = served.into_future() => ended.map_err(|cause| ListenError::Broken { address, cause }),
            () = late => Ok(()),
        }
    }
}

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    health: Health,
}

fn pages(metrics: Metrics, health: Health) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(figures))
        .fallback(nothing)
        .with_state(Sources { metrics, health })
}

/// Alive while every loop makes progress: what a supervisor restarts by.
async fn healthz(State(sources): State<Sources>) -> (StatusCode, String) {
    let ailing = sources.health.ailing();
    if ailing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let text = ailing.iter().map(|one| format!("{one}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Ready once a pool was read. One pool that is down for long does not make a reaper of several useless, and a pool that was read
/// before will be read again: so neither takes the readiness away. The text says how each of them is.
async fn readyz(State(sources): State<Sources>) -> (StatusCode, String) {
    let readings = sources.metrics.readings();
    let (status, head) = if readings.iter().any(|(_, reading)| reading.was_read()) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: no pool has been read yet")
    };
    let mut text = format!("{head}\n");
    for (pool, reading) in readings {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{pool}: {}", in_words(reading));
    }
    (status, text)
}

fn in_words(reading: Reading) -> &'static str {
    match reading {
        Reading::Untried => "not tried yet",
        Reading::Unreadable => "could not be read so far",
        Reading::Read => "read",
        Reading::Lost => "read before, could not be read the last time",
    }
}

async fn figures(State(sources): State<Sources>) -> Response {
    match sources.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn nothing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n")
}
