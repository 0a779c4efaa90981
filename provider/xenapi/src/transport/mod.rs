//! One request over HTTP, with its time limit, its span and its count.

mod upload;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::Instant;
use tokio_util::io::StreamReader;
use tracing::{Instrument, Span, debug, debug_span, field};

pub(crate) use self::upload::Upload;

use crate::counters::{Counters, Sample};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Outcome};
use crate::secret::Secret;
use crate::tls::{TlsTrust, client_config, refused_in};
use crate::wire::{Answer, Cut, FromWire, Raw, ReadError, Value, Wire, WireError, read_answer, request};

/// xapi refuses bodies over 300 KiB by closing the connection, which would look like an unknown outcome.
const MAX_BODY: usize = 300 * 1024;
/// No answer of ours comes near; an endless one ends here.
const MAX_ANSWER: u64 = 1 << 30;
/// A host that is gone without a word is noticed after so long without a sign of life, on a connection that waits for an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Between further signs, when the first stays out.
const KEEP_ASKING: Duration = Duration::from_secs(10);
const ASKED: u32 = 3;
/// The same where something was sent that it does not confirm.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(90);

/// A call as it goes out, without the session.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// Parameters behind the session.
    pub(crate) params: Vec<Value>,
    pub(crate) limit: Duration,
    pub(crate) repeat: Repeat,
    pub(crate) object: Option<String>,
}

/// Whether a call may be repeated when its outcome is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A read, or a write that may happen twice.
    Idempotent,
    /// A write that must not happen twice.
    Once,
}

/// Where a request goes, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) endpoint: Endpoint,
    pub(crate) wire: Wire,
}

/// What answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The pool, on the wire it was asked on.
    Answer,
    /// Something that only knows XML took a JSON request: a pool older than 7.3. It cannot have understood the call.
    OtherWire,
}

/// Receives the parts of an answer as they come.
pub(crate) trait Collect: Send {
    /// Says which parts are wanted.
    fn cut(&self) -> Cut;

    /// Forgets what came, because the call is made again; says no if that is impossible.
    fn restart(&mut self) -> bool;

    /// Takes one part and its name.
    fn take(&mut self, name: &str, part: Raw<'_>) -> Result<(), WireError>;
}

/// Takes an answer that is one value.
pub(crate) struct One<T>(pub(crate) Option<T>);

impl<T> Default for One<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: FromWire + Send> Collect for One<T> {
    fn cut(&self) -> Cut {
        Cut::Whole
    }

    fn restart(&mut self) -> bool {
        self.0 = None;
        true
    }

    fn take(&mut self, _name: &str, part: Raw<'_>) -> Result<(), WireError> {
        self.0 = Some(part.read()?);
        Ok(())
    }
}

/// Makes requests to the members of one pool.
#[derive(Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    pool: String,
    counters: Arc<Counters>,
}

impl Transport {
    pub(crate) fn new(
        pool: &str,
        originator: &str,
        tls: &TlsTrust,
        connect: Duration,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let unusable = |text: String| Error::new(ErrorKind::Config(text), Outcome::NotSent, pool, "configure");
        let config = client_config(tls).map_err(|error| unusable(error.to_string()))?;
        let agent =
            HeaderValue::from_str(originator).map_err(|_| unusable("the originator is no header text".to_owned()))?;
        // No proxy: only the configuration reads the environment. No redirects: xapi's own go to other hosts and carry the session.
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .user_agent(agent)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(connect)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ASKING)
            .tcp_keepalive_retries(ASKED)
            .pool_idle_timeout(IDLE);
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(UNCONFIRMED);
        let client = builder.build().map_err(|error| unusable(causes(&error).join(": ")))?;
        Ok(Self {
            client,
            pool: pool.to_owned(),
            counters,
        })
    }

    /// Makes one request and reads its answer. Never repeats anything.
    pub(crate) async fn post(
        &self,
        door: &Door,
        session: Option<&Secret>,
        call: &Call,
        collect: &mut dyn Collect,
    ) -> Result<(), Error> {
        match self.ask(door, session, call, collect).await? {
            Heard::Answer => Ok(()),
            Heard::OtherWire => Err(self.wrong_wire(call)),
        }
    }

    /// A pool that knows no JSON-RPC did nothing, but what stands between here and the pool may have answered in its place.
    pub(crate) fn wrong_wire(&self, call: &Call) -> Error {
        let text = "it is XML-RPC: the pool is older than 7.3, or something else answers at /jsonrpc";
        self.error(call, ErrorKind::Malformed(text.to_owned()), Outcome::MaybeSent)
    }

    /// Makes one request for one value.
    pub(crate) async fn value<T: FromWire + Send>(
        &self,
        door: &Door,
        session: Option<&Secret>,
        call: &Call,
    ) -> Result<T, Error> {
        let mut one = One::default();
        self.post(door, session, call, &mut one).await?;
        self.taken(call, one)
    }

    /// The value of an answer that has ended.
    pub(crate) fn taken<T>(&self, call: &Call, one: One<T>) -> Result<T, Error> {
        let kind = || ErrorKind::Malformed("it holds no value".to_owned());
        one.0.ok_or_else(|| self.error(call, kind(), Outcome::MaybeSent))
    }

    /// Makes one request, and tells whether it was understood.
    pub(crate) async fn ask(
        &self,
        door: &Door,
        session: Option<&Secret>,
        call: &Call,
        collect: &mut dyn Collect,
    ) -> Result<Heard, Error> {
        let span = debug_span!(
            "xenapi_request",
            pool = %self.pool,
            method = call.method,
            seconds = field::Empty,
            bytes_out = field::Empty,
            bytes_in = field::Empty,
            code = field::Empty,
        );
        let began = Instant::now();
        let bytes_in = Arc::new(AtomicU64::new(0));
        let mut bytes_out = 0;
        let result = match self.body(door.wire, session, call) {
            Ok(body) => {
                bytes_out = body.len() as u64;
                let exchange = self.exchange(door, session, call, body, &bytes_in, collect);
                match tokio::time::timeout(call.limit, exchange)
                    .instrument(span.clone())
                    .await
                {
                    Ok(result) => result,
                    Err(_) => Err(self.error(call, ErrorKind::TimedOut(call.limit), Outcome::MaybeSent)),
                }
            }
            Err(error) => Err(error),
        };
        let code = match &result {
            Ok(Heard::Answer) => "ok",
            Ok(Heard::OtherWire) => "other_wire",
            Err(error) => code_of(error),
        };
        self.finish(
            &span,
            &Sample {
                method: call.method,
                code,
                bytes_out,
                bytes_in: bytes_in.load(Ordering::Relaxed),
                time: began.elapsed(),
            },
        );
        result
    }

    fn finish(&self, span: &Span, sample: &Sample<'_>) {
        span.record("seconds", sample.time.as_secs_f64());
        span.record("bytes_out", sample.bytes_out);
        span.record("bytes_in", sample.bytes_in);
        span.record("code", sample.code);
        span.in_scope(|| debug!("request ended"));
        self.counters.add(sample);
    }

    fn body(&self, wire: Wire, session: Option<&Secret>, call: &Call) -> Result<String, Error> {
        let mut params = Vec::with_capacity(call.params.len() + 1);
        params.extend(session.map(|session| Value::text(session.expose())));
        params.extend(call.params.iter().cloned());
        let unsendable = |text: String| self.error(call, ErrorKind::Unsendable(text), Outcome::NotSent);
        let body = request(wire, call.method, &params).map_err(|error| unsendable(error.to_string()))?;
        if body.len() > MAX_BODY {
            return Err(unsendable(format!(
                "it is {} bytes long, and pools take {MAX_BODY}",
                body.len()
            )));
        }
        Ok(body)
    }

    async fn exchange(
        &self,
        Door { endpoint, wire }: &Door,
        session: Option<&Secret>,
        call: &Call,
        body: String,
        bytes_in: &Arc<AtomicU64>,
        collect: &mut dyn Collect,
    ) -> Result<Heard, Error> {
        let sent = self
            .client
            .post(format!("{endpoint}{}", wire.path()))
            .header(CONTENT_TYPE, wire.content_type())
            .body(body)
            .send()
            .await;
        let response = sent.map_err(|error| self.send_error(endpoint, call, &error))?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            // Only a refusal says that nothing was done; a 202 of something in between does not.
            let outcome = if status.is_client_error() || status.is_redirection() {
                Outcome::Rejected
            } else {
                Outcome::MaybeSent
            };
            return Err(self.error(call, ErrorKind::Http(status.as_u16()), outcome));
        }
        if *wire == Wire::Json && is_xml(response.headers()) {
            return Ok(Heard::OtherWire);
        }
        let counter = Arc::clone(bytes_in);
        let chunks = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| io::Error::other(causes(&error).join(": ")))?;
            let sofar = counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if sofar > MAX_ANSWER {
                return Err(io::Error::other("the answer does not end"));
            }
            Ok(chunk)
        });
        let stream = StreamReader::new(Box::pin(chunks));
        let answer = read_answer(stream, *wire, collect.cut(), &mut |name, part| collect.take(name, part)).await;
        match answer {
            Ok(Answer::Success) => Ok(Heard::Answer),
            Ok(Answer::Failure(failure)) => {
                let outcome = if failure.is_outcome_unknown() {
                    Outcome::MaybeSent
                } else {
                    Outcome::Rejected
                };
                let failure = session
                    .into_iter()
                    .fold(failure, |failure, session| failure.without(session.expose()));
                Err(self.error(call, ErrorKind::Failure(failure), outcome))
            }
            Err(ReadError::Io(error)) => Err(self
                .error(call, ErrorKind::Broken, Outcome::MaybeSent)
                .with_causes(causes(&error))),
            Err(ReadError::Wire(error)) => {
                Err(self.error(call, ErrorKind::Malformed(error.to_string()), Outcome::MaybeSent))
            }
        }
    }

    fn send_error(&self, endpoint: &Endpoint, call: &Call, error: &reqwest::Error) -> Error {
        let (kind, outcome) = match refused_in(error) {
            Some(refused) => (
                ErrorKind::Untrusted {
                    endpoint: endpoint.to_string(),
                    fingerprint: refused.fingerprint.to_string(),
                    reason: refused.reason.clone(),
                },
                Outcome::NotSent,
            ),
            None if error.is_connect() || error.is_builder() => (
                ErrorKind::Unreachable {
                    endpoint: endpoint.to_string(),
                },
                Outcome::NotSent,
            ),
            None => (ErrorKind::Broken, Outcome::MaybeSent),
        };
        self.error(call, kind, outcome).with_causes(causes(error))
    }

    fn error(&self, call: &Call, kind: ErrorKind, outcome: Outcome) -> Error {
        Error::new(kind, outcome, &self.pool, call.method).with_object(call.object.clone())
    }
}

/// Tells whether an answer says that it is XML.
fn is_xml(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).is_some_and(|kind| {
        matches!(
            kind.trim().to_ascii_lowercase().as_str(),
            "text/xml" | "application/xml"
        )
    })
}

/// Names for counters and spans how a request ended.
fn code_of(error: &Error) -> &str {
    match error.kind() {
        ErrorKind::Failure(failure) => failure.code(),
        ErrorKind::Unreachable { .. } => "unreachable",
        ErrorKind::Untrusted { .. } => "untrusted",
        ErrorKind::Broken => "broken",
        ErrorKind::TimedOut(_) => "timeout",
        ErrorKind::Http(_) => "http",
        ErrorKind::Malformed(_) => "malformed",
        ErrorKind::Unsendable(_) => "unsendable",
        ErrorKind::Config(_) => "config",
        ErrorKind::OtherPool { .. } => "other_pool",
        ErrorKind::TaskVanished => "task_vanished",
        ErrorKind::StaleToken => "stale_token",
        ErrorKind::Closed => "closed",
    }
}

/// Texts of an error and its sources. The outermost text of the HTTP library names the URL, so it is left out.
fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<reqwest::Error>().is_none() {
            texts.push(error.to_string());
        }
        next = error.source();
        if texts.len() > 8 {
            break;
        }
    }
    texts.dedup();
    texts
}
