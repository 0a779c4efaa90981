//! Plays the host of the real provider, in this process: any bytes as any call.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _};
use dynvm::DynvmProvider;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use plugin::Environment;
use plugin::server::{Ending, Server};
use prost::Message as _;
use proto::tfplugin6::{self as wire, get_provider_schema};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// More than any answer here.
const LARGEST: usize = 64 << 20;

/// A running provider and a connection to it.
pub(crate) struct Host {
    channel: Channel,
    _running: JoinSet<Ending>,
    _directory: TempDir,
}

impl Host {
    /// Starts the provider as a host that attaches: without TLS, which is not what is tested here.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::bind(&Environment {
            socket_directory: directory.path().to_owned(),
            ..Environment::default()
        })
        .unwrap();
        let socket = server.socket().to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        let mut running = JoinSet::new();
        running.spawn(server.run(Arc::new(DynvmProvider::new()), std::future::pending()));
        Self {
            channel: Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector),
            _running: running,
            _directory: directory,
        }
    }

    /// Makes a call with these bytes as its message.
    pub(crate) async fn call(&self, name: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut client = Grpc::new(self.channel.clone())
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST);
        client.ready().await.expect("a connection");
        let path = PathAndQuery::try_from(format!("/tfplugin6.Provider/{name}")).unwrap();
        let answer = client.unary(Request::new(message), path, Raw).await?;
        Ok(answer.into_inner())
    }

    /// What the provider says that it offers.
    pub(crate) async fn schemas(&self) -> wire::get_provider_schema::Response {
        let answer = self.call("GetProviderSchema", Vec::new()).await.unwrap();
        get_provider_schema::Response::decode(answer.as_slice()).unwrap()
    }
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
