//! A relay in front of a pool that remembers all that passes: the one witness of secrets that belongs to neither side.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

/// A relay to a pool that speaks plain HTTP.
#[derive(Debug)]
pub struct Wiretap {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
    relay: JoinHandle<()>,
}

impl Wiretap {
    pub(crate) fn start(runtime: &Handle, pool_url: &str) -> Self {
        let pool = pool_url
            .strip_prefix("http://")
            .expect("only plain HTTP can be listened to")
            .trim_end_matches('/')
            .to_owned();
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a listener on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let relay = runtime.spawn(relay(listener, pool, heard.clone()));
        Self {
            url: format!("http://{address}"),
            heard,
            relay,
        }
    }

    /// Where to connect instead of to the pool.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All that was sent to the pool so far.
    #[must_use]
    pub fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// The references of sessions that were used: the first parameter of every call that takes one.
    #[must_use]
    pub fn sessions(&self) -> BTreeSet<String> {
        let first = Regex::new(
            r#"(?:</methodName>\s*<params>\s*<param>\s*<value>\s*(?:<string>)?|"params":\s*\[\s*")(OpaqueRef:[^<"\s]+)"#,
        );
        let first = first.expect("a pattern");
        first
            .captures_iter(&self.heard())
            .filter_map(|found| found.get(1).map(|reference| reference.as_str().to_owned()))
            .collect()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(listener: TcpListener, pool: String, heard: Arc<Mutex<Vec<u8>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if let Ok(server) = TcpStream::connect(&pool).await {
            connections.spawn(connection(client, server, heard.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, server: TcpStream, heard: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let part = buffer.get(..length).unwrap_or_default();
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(part);
            if to_server.write_all(part).await.is_err() {
                break;
            }
        }
        drop(to_server.shutdown().await);
    };
    let answers = async {
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
        drop(to_client.shutdown().await);
    };
    tokio::join!(requests, answers);
}
