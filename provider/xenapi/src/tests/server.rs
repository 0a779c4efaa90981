//! A scripted HTTP server: answers each call with what the test says, byte for byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::{Endpoint, Limits, Pool, PoolConfig, Secret, TlsTrust};

pub(super) const SESSION: &str = "OpaqueRef:5e551075-ec2e-4000-8000-0123456789ab";
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) head: String,
    pub(super) body: String,
    /// Number of the connection.
    pub(super) connection: usize,
}

impl Seen {
    /// The texts of all `<string>` elements, in order, as they stand in the request.
    pub(super) fn strings(&self) -> Vec<&str> {
        self.body
            .split("<string>")
            .skip(1)
            .filter_map(|rest| rest.split("</string>").next())
            .collect()
    }
}

/// What the server does with a request.
pub(super) enum Reply {
    /// HTTP 200 with this body.
    Xml(String),
    /// Another status.
    Status(u16),
    /// A redirect to this location.
    Found(String),
    /// Closes the connection without an answer.
    Cut,
    /// Announces the whole body, sends only so many bytes of it, and closes.
    Partly(String, usize),
    /// HTTP 200 with these bytes over and over, without end.
    Endless(&'static str, &'static str),
    /// Sends the body byte by byte and never the last one.
    Drip(String),
    /// Answers once the signal came.
    After(Arc<Notify>, Box<Reply>),
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    scheme: &'static str,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(script, None).await
    }

    pub(super) async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(script, Some(acceptor)).await
    }

    /// Logs in and out by itself; the script answers the rest.
    pub(super) async fn xapi(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |seen| match seen.method.as_str() {
            "session.login_with_password" => ok(&format!("<value>{SESSION}</value>")),
            "session.logout" => ok("<value></value>"),
            _ => script(seen),
        })
        .await
    }

    async fn listen(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let arrived = Arc::new(Notify::new());
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        let (log, bell) = (Arc::clone(&seen), Arc::clone(&arrived));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let peer = Peer {
                    script: Arc::clone(&script),
                    seen: Arc::clone(&log),
                    arrived: Arc::clone(&bell),
                    number,
                };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                peer.serve(stream).await;
                            }
                        }
                        None => peer.serve(stream).await,
                    }
                });
            }
        });
        Self {
            address,
            seen,
            arrived,
            scheme,
            _tasks: tasks,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("{}://{}", self.scheme, self.address)).unwrap()
    }

    pub(super) fn config(&self) -> PoolConfig {
        PoolConfig {
            name: "lab1".to_owned(),
            urls: vec![self.endpoint()],
            username: "root".to_owned(),
            password: Secret::new(PASSWORD),
            tls: TlsTrust::Insecure,
            originator: "dynvm-test/1".to_owned(),
            limits: Limits {
                quick: Duration::from_secs(20),
                ..Limits::default()
            },
        }
    }

    pub(super) fn pool(&self) -> Arc<Pool> {
        Pool::new(self.config()).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.method).collect()
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method).count()
    }

    /// Waits until so many requests of a method have arrived.
    pub(super) async fn wait_for(&self, method: &str, count: usize) {
        let wait = async {
            loop {
                let arrival = self.arrived.notified();
                if self.count(method) >= count {
                    return;
                }
                arrival.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("only {:?} arrived", self.methods()));
    }
}

struct Peer {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    number: usize,
}

impl Peer {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let mut buffer = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
            let method = match head.strip_prefix("PUT ") {
                Some(rest) => format!("PUT {}", rest.split([' ', '?']).next().unwrap_or_default()),
                None => between(&body, "<methodName>", "</methodName>").to_owned(),
            };
            let seen = Seen {
                method,
                head,
                body,
                connection: self.number,
            };
            let mut reply = (self.script)(&seen);
            self.seen.lock().unwrap().push(seen);
            self.arrived.notify_waiters();
            while let Reply::After(signal, then) = reply {
                signal.notified().await;
                reply = *then;
            }
            if write_reply(&mut stream, reply).await.is_none() {
                return;
            }
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length: usize = between(&format!("{lower}\r\n"), "content-length: ", "\r\n")
                .parse()
                .ok()?;
            if rest.len() >= length {
                let taken = head.len() + 4 + length;
                let body = rest[..length].to_owned();
                buffer.drain(..taken);
                return Some((head.to_owned(), body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Gives `None` when the connection ends with it.
async fn write_reply<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> Option<()> {
    match reply {
        Reply::Xml(body) => {
            let text = format!("{}{body}", head(body.len()));
            stream.write_all(text.as_bytes()).await.ok()?;
            stream.flush().await.ok()
        }
        Reply::Status(status) => {
            let text = format!(
                "HTTP/1.1 {status} Sorry\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops"
            );
            stream.write_all(text.as_bytes()).await.ok()?;
            let _ = stream.shutdown().await;
            None
        }
        Reply::Found(location) => {
            let text = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await.ok()
        }
        Reply::Cut | Reply::After(..) => None,
        Reply::Partly(body, bytes) => {
            let text = format!("{}{}", head(body.len()), &body[..bytes]);
            stream.write_all(text.as_bytes()).await.ok()?;
            let _ = stream.shutdown().await;
            None
        }
        Reply::Endless(start, again) => {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\n\r\n{start}");
            stream.write_all(text.as_bytes()).await.ok()?;
            let block = again.repeat(1000);
            loop {
                stream.write_all(block.as_bytes()).await.ok()?;
            }
        }
        Reply::Drip(body) => {
            stream.write_all(head(body.len()).as_bytes()).await.ok()?;
            for byte in &body.as_bytes()[..body.len() - 1] {
                stream.write_all(&[*byte]).await.ok()?;
                stream.flush().await.ok()?;
            }
            std::future::pending().await
        }
    }
}

fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncache-control: no-cache, no-store\r\ncontent-type: text/xml\r\n\
         content-length: {length}\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
    )
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start)
        .and_then(|(_, rest)| rest.split_once(end))
        .map_or("", |(found, _)| found)
}

/// A success with this `<value>`.
pub(super) fn ok(value: &str) -> Reply {
    Reply::Xml(success(value))
}

pub(super) fn success(value: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
         <value>Success</value></member><member><name>Value</name>{value}</member></struct></value></param></params></methodResponse>"
    )
}

/// A failure with this code and these parameters.
pub(super) fn failure(texts: &[&str]) -> Reply {
    let items: String = texts.iter().map(|text| format!("<value>{text}</value>")).collect();
    Reply::Xml(format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
         <value>Failure</value></member><member><name>ErrorDescription</name><value><array><data>{items}</data></array>\
         </value></member></struct></value></param></params></methodResponse>"
    ))
}

/// A `<struct>` value of members that are XML already.
pub(super) fn record(members: &[(&str, &str)]) -> String {
    let text: String = members
        .iter()
        .map(|(name, value)| format!("<member><name>{name}</name>{value}</member>"))
        .collect();
    format!("<value><struct>{text}</struct></value>")
}

pub(super) const EMPTY_SET: &str = "<value><array><data></data></array></value>";
pub(super) const EMPTY_MAP: &str = "<value><struct></struct></value>";
pub(super) const YES: &str = "<value><boolean>1</boolean></value>";
pub(super) const NO: &str = "<value><boolean>0</boolean></value>";

/// A host_metrics record.
pub(super) fn host_metrics(free: &str) -> String {
    record(&[
        ("uuid", "<value>11111111-2222-3333-4444-555555555555</value>"),
        ("memory_total", "<value>68719476736</value>"),
        ("memory_free", &format!("<value>{free}</value>")),
        ("live", YES),
        (
            "last_updated",
            "<value><dateTime.iso8601>20260821T12:34:56Z</dateTime.iso8601></value>",
        ),
        ("other_config", EMPTY_MAP),
    ])
}

/// A task record.
pub(super) fn task(status: &str, result: &str) -> String {
    record(&[
        ("uuid", "<value>11111111-2222-3333-4444-666666666666</value>"),
        ("name_label", "<value>Async.VM.copy</value>"),
        ("status", &format!("<value>{status}</value>")),
        ("progress", "<value><double>0.5</double></value>"),
        ("result", &format!("<value>{result}</value>")),
        (
            "error_info",
            if status == "failure" {
                "<value><array><data><value>SR_BACKEND_FAILURE_44</value><value></value><value>There is insufficient space</value><value></value></data></array></value>"
            } else {
                EMPTY_SET
            },
        ),
    ])
}

/// An answer of `event.from`.
pub(super) fn events(token: &str, items: &[String]) -> Reply {
    ok(&record(&[
        (
            "events",
            &format!("<value><array><data>{}</data></array></value>", items.concat()),
        ),
        (
            "valid_ref_counts",
            "<value><struct><member><name>vm</name><value><i4>42</i4></value></member></struct></value>",
        ),
        ("token", &format!("<value>{token}</value>")),
    ]))
}

/// One event.
pub(super) fn event(class: &str, operation: &str, object: &str, snapshot: Option<&str>) -> String {
    let mut members = vec![
        ("id", "<value>17</value>".to_owned()),
        ("timestamp", "<value>0.0</value>".to_owned()),
        ("class", format!("<value>{class}</value>")),
        ("operation", format!("<value>{operation}</value>")),
        ("ref", format!("<value>{object}</value>")),
    ];
    // Before the class, to show that the order of members does not matter.
    members.extend(snapshot.map(|snapshot| ("snapshot", snapshot.to_owned())));
    members.reverse();
    let borrowed: Vec<(&str, &str)> = members.iter().map(|(name, value)| (*name, value.as_str())).collect();
    record(&borrowed)
}
