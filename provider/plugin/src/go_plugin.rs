//! go-plugin's own services: the controller ends the process, stdio and broker are held open and stay silent.

use std::{future::ready, pin::Pin};

use async_trait::async_trait;
use futures::{Stream, StreamExt, stream};
use proto::go_plugin::{
    ConnInfo, Empty, StdioData, grpc_broker_server::GrpcBroker, grpc_controller_server::GrpcController,
    grpc_stdio_server::GrpcStdio,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Ends the process when the host says so.
///
/// The host waits for this answer without a deadline, and then two seconds for the process: so nothing is waited for
/// here.
#[derive(Debug)]
pub(crate) struct Controller {
    /// Cancelled by the call.
    pub(crate) shutdown: CancellationToken,
}

#[async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.shutdown.cancel();
        Ok(Response::new(Empty {}))
    }
}

/// Would carry what is printed. The host reports every byte of it as unexpected, so there is none.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// Cancelled when the server ends.
    pub(crate) ended: CancellationToken,
}

#[async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Answers<StdioData>;

    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        let silence = stream::pending().take_until(self.ended.clone().cancelled_owned());
        Ok(Response::new(Box::pin(silence)))
    }
}

/// Would open further connections. None are needed; what the host announces is read and let go, never echoed.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Cancelled when the server ends.
    pub(crate) ended: CancellationToken,
}

#[async_trait]
impl GrpcBroker for Broker {
    type StartStreamStream = Answers<ConnInfo>;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let drained = request
            .into_inner()
            .filter_map(|_| ready(None))
            .take_until(self.ended.clone().cancelled_owned());
        Ok(Response::new(Box::pin(drained)))
    }
}
