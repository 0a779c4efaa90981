//! [`Connection`]: one accepted connection, with or without TLS, and the loop that accepts them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// How long a client may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long nothing is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepted connections that wait for the server to take them.
const BACKLOG: usize = 16;

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    _counted: Counted,
}

#[derive(Debug)]
enum Stream {
    Plain(UnixStream),
    Tls(Box<TlsStream<UnixStream>>),
}

/// How many connections there are.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<watch::Sender<usize>>);

impl Connections {
    pub(crate) fn new() -> Connections {
        Connections(Arc::new(watch::Sender::new(0)))
    }

    /// How many there are now.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    fn counted(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.clone())
    }
}

/// Counts a connection as long as it lives.
#[derive(Debug)]
struct Counted(Connections);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Accepts connections for as long as somebody takes them.
pub(crate) fn incoming(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    connections: Connections,
    tasks: &mut JoinSet<()>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tasks.spawn(accept(listener, tls, connections, sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    connections: Connections,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    // Handshakes run beside each other: a client that dawdles keeps nobody out.
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = handshakes.join_next() => continue,
            () = sender.closed() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: asking again at once would only burn the processor.
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, counted, sender) = (tls.clone(), connections.counted(), sender.clone());
        handshakes.spawn(async move {
            match handshake(stream, tls).await {
                // A closed channel means that the server is ending, and the connection with it.
                Ok(stream) => drop(
                    sender
                        .send(Ok(Connection {
                            stream,
                            _counted: counted,
                        }))
                        .await,
                ),
                Err(error) => tracing::warn!(%error, "a connection was refused"),
            }
        });
    }
}

async fn handshake(stream: UnixStream, tls: Option<TlsAcceptor>) -> io::Result<Stream> {
    match tls {
        None => Ok(Stream::Plain(stream)),
        Some(acceptor) => Ok(Stream::Tls(Box::new(
            timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??,
        ))),
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
