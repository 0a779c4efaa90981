//! The pages for monitoring, which may move when the configuration is read again.

use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::listen::{Health, ListenError, Listener};
use crate::metrics::Metrics;

/// Pages that are served.
pub(super) struct Pages {
    /// As configured: a port 0 stays 0.
    configured: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Pages {
    /// Begins to serve the pages.
    pub(super) async fn open(address: SocketAddr, metrics: &Metrics, health: &Health) -> Result<Self, ListenError> {
        let listener = Listener::bind(address).await?;
        tracing::info!(address = %listener.address(), "serving /healthz, /readyz and /metrics");
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        let served = listener.serve(metrics.clone(), health.clone(), stop.clone());
        task.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the pages are not served any more");
            }
        });
        Ok(Self {
            configured: address,
            stop,
            task,
        })
    }

    /// Says whether they are served there already.
    pub(super) fn are_at(&self, address: SocketAddr) -> bool {
        self.configured == address
    }

    /// Ends them; answers in hand are finished.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while self.task.join_next().await.is_some() {}
    }
}
