//! A scripted HTTP server: answers each call with what the test says, on the wire it was asked on, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::said::Said;
use crate::{Endpoint, Limits, Pool, PoolConfig, Secret, TlsTrust, Wire, WireChoice};

pub(super) const SESSION: &str = "OpaqueRef:5e551075-ec2e-4000-8000-0123456789ab";
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) wire: Wire,
    pub(super) method: String,
    pub(super) head: String,
    pub(super) body: String,
    /// Number of the connection.
    pub(super) connection: usize,
}

impl Seen {
    /// The texts and whole numbers of all parameters, in order.
    pub(super) fn strings(&self) -> Vec<String> {
        match self.wire {
            Wire::Xml => {
                let texts = self.body.split("<string>").skip(1);
                texts
                    .filter_map(|rest| rest.split("</string>").next())
                    .map(unescaped)
                    .collect()
            }
            Wire::Json => {
                let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
                let mut texts = Vec::new();
                gather(&body["params"], &mut texts);
                texts
            }
        }
    }
}

fn gather(value: &serde_json::Value, texts: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => texts.push(text.clone()),
        serde_json::Value::Number(number) if number.is_i64() => texts.push(number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        serde_json::Value::Object(members) => members.values().for_each(|member| gather(member, texts)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#13;", "\r"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// What the server does with a request.
pub(super) enum Reply {
    /// A success with this value.
    Success(Said),
    /// A failure with this code and these parameters.
    Failure(Vec<String>),
    /// HTTP 200 with this body.
    Body(String),
    /// The same with another content type.
    Typed(&'static str, String),
    /// Another status.
    Status(u16),
    /// A redirect to this location.
    Found(String),
    /// Closes the connection without an answer.
    Cut,
    /// Announces the whole answer, sends only so many bytes of it, and closes.
    Partly(Said, usize),
    /// HTTP 200 with these bytes over and over, without end.
    Endless(&'static str, &'static str),
    /// Sends the answer byte by byte and never the last one.
    Drip(Said),
    /// Answers once the signal came.
    After(Arc<Notify>, Box<Reply>),
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    scheme: &'static str,
    wire: Wire,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(wire: Wire, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(wire, script, None).await
    }

    pub(super) async fn start_tls(
        wire: Wire,
        acceptor: TlsAcceptor,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(wire, script, Some(acceptor)).await
    }

    /// Logs in and out by itself; the script answers the rest.
    pub(super) async fn xapi(wire: Wire, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(wire, move |seen| match seen.method.as_str() {
            "session.login_with_password" => ok(SESSION),
            "session.logout" => ok(""),
            _ => script(seen),
        })
        .await
    }

    async fn listen(
        wire: Wire,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        acceptor: Option<TlsAcceptor>,
    ) -> Self {
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
            wire,
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
            wire: WireChoice::Only(self.wire),
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
            let wire = if head.starts_with("POST /jsonrpc ") {
                Wire::Json
            } else {
                Wire::Xml
            };
            let method = match (head.strip_prefix("PUT "), wire) {
                (Some(rest), _) => format!("PUT {}", rest.split([' ', '?']).next().unwrap_or_default()),
                (None, Wire::Xml) => between(&body, "<methodName>", "</methodName>").to_owned(),
                (None, Wire::Json) => between(&body, "\"method\":\"", "\"").to_owned(),
            };
            let seen = Seen {
                wire,
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
            if write_reply(&mut stream, wire, reply).await.is_none() {
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
async fn write_reply<S: AsyncWrite + Unpin>(stream: &mut S, wire: Wire, reply: Reply) -> Option<()> {
    match reply {
        Reply::Success(said) => write_body(stream, wire.content_type(), &said.success(wire)).await,
        Reply::Failure(texts) => write_body(stream, wire.content_type(), &failure_text(wire, &texts)).await,
        Reply::Body(body) => write_body(stream, wire.content_type(), &body).await,
        Reply::Typed(content_type, body) => write_body(stream, content_type, &body).await,
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
        Reply::Partly(said, bytes) => {
            let body = said.success(wire);
            let text = format!("{}{}", head(wire.content_type(), body.len()), &body[..bytes]);
            stream.write_all(text.as_bytes()).await.ok()?;
            let _ = stream.shutdown().await;
            None
        }
        Reply::Endless(start, again) => {
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n\r\n{start}",
                wire.content_type()
            );
            stream.write_all(text.as_bytes()).await.ok()?;
            let block = again.repeat(1000);
            loop {
                stream.write_all(block.as_bytes()).await.ok()?;
            }
        }
        Reply::Drip(said) => {
            let body = said.success(wire);
            stream
                .write_all(head(wire.content_type(), body.len()).as_bytes())
                .await
                .ok()?;
            for byte in &body.as_bytes()[..body.len() - 1] {
                stream.write_all(&[*byte]).await.ok()?;
                stream.flush().await.ok()?;
            }
            std::future::pending().await
        }
    }
}

async fn write_body<S: AsyncWrite + Unpin>(stream: &mut S, content_type: &str, body: &str) -> Option<()> {
    let text = format!("{}{body}", head(content_type, body.len()));
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

fn head(content_type: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncache-control: no-cache, no-store\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
    )
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start)
        .and_then(|(_, rest)| rest.split_once(end))
        .map_or("", |(found, _)| found)
}

/// A success with this value.
pub(super) fn ok(value: impl Into<Said>) -> Reply {
    Reply::Success(value.into())
}

/// A failure with this code and these parameters.
pub(super) fn failure(texts: &[&str]) -> Reply {
    Reply::Failure(texts.iter().map(ToString::to_string).collect())
}

/// The body of a failure.
pub(super) fn failure_text(wire: Wire, texts: &[String]) -> String {
    let set = Said::Set(texts.iter().map(|text| Said::from(text.as_str())).collect());
    match wire {
        Wire::Xml => format!(
            "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
             <value>Failure</value></member><member><name>ErrorDescription</name>{}</member></struct></value></param></params></methodResponse>",
            set.xml()
        ),
        Wire::Json => {
            let [code, params @ ..] = texts else {
                panic!("a failure without a code")
            };
            let params = Said::Set(params.iter().map(|text| Said::from(text.as_str())).collect());
            let (code, params) = (Said::from(code.as_str()).json(), params.json());
            format!(r#"{{"jsonrpc":"2.0","error":{{"code":1,"message":{code},"data":{params}}},"id":1}}"#)
        }
    }
}
