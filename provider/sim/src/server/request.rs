//! One HTTP request: limits, dialect, faults, the call, the answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::answer::{Cut, Payload, plain, rpc};
use super::{OpenRecord, Server, import};
use crate::clock::Pace;
use crate::control::{FaultKind, HoldPoint, RequestRecord};
use crate::db::Ref;
use crate::failure::Failure;
use crate::rpc::{self as calls, Answer};
use crate::session;
use crate::toolstack;
use crate::value::Value;
use crate::wire::{self, Dialect, json, xml};

/// Request line and headers together.
const MOST_HEADERS: usize = 1024;
/// Body of a call.
const MOST_BODY: usize = 300 * 1024;

/// Serves a request; `Err` closes the connection without an answer.
pub(super) async fn handle(
    server: &Server,
    http: Request<Incoming>,
    connection: u64,
    cut: &CancellationToken,
) -> Result<Response<Payload>, Cut> {
    let (parts, body) = http.into_parts();
    if parts.method == Method::PUT {
        return import::handle(server, &parts, body, connection).await;
    }
    if header_bytes(&parts) > MOST_HEADERS {
        return Ok(plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if parts.method != Method::POST {
        return Ok(plain(StatusCode::NOT_FOUND));
    }
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if parts.headers.contains_key(TRANSFER_ENCODING) || length.is_none_or(|n| n > MOST_BODY) {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let Ok(body) = Limited::new(body, MOST_BODY).collect().await else {
        return Err(Cut);
    };
    let body = body.to_bytes();
    let is_json = parts.uri.path().starts_with("/jsonrpc");
    if is_json && !server.pool.spec.json_rpc {
        let failure = Failure::internal("Xmlrpc.parse_error");
        return Ok(rpc("text/xml", Payload::whole(xml::response(&Err(failure)))));
    }
    if is_json && std::str::from_utf8(&body).is_err() {
        let text = r#"{"jsonrpc":"2.0","error":["INVALID_VALUE","Invalid UTF-8 string in parameter",""],"id":0}"#;
        return Ok(rpc("application/json", Payload::whole(text)));
    }
    let parsed = if is_json {
        json::parse_request(&body)
    } else {
        xml::parse_request(&body)
    };
    let Some(request) = parsed else {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR));
    };
    let job = Job {
        server: server.clone(),
        request,
        body,
        connection,
    };
    // A poll ends with its connection; anything else goes on when the caller hangs up.
    if job.request.method.ends_with("event.from") || job.request.method == "event_from" {
        return job.run().await;
    }
    let work = server.pool.tracker.spawn(job.run());
    tokio::select! {
        done = work => done.unwrap_or(Err(Cut)),
        () = cut.cancelled() => Err(Cut),
    }
}

/// What the request line and the headers take on the wire.
fn header_bytes(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1\r\n ".len();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

/// Every second member of a listing.
fn half(listing: Value) -> Value {
    match listing {
        Value::Map(map) => Value::Map(map.into_iter().step_by(2).collect()),
        Value::Set(items) => Value::Set(items.into_iter().step_by(2).collect()),
        other => other,
    }
}

struct Job {
    server: Server,
    request: wire::Request,
    body: Bytes,
    connection: u64,
}

/// What to do with the answer once there is one.
enum After {
    Send,
    Cut,
    Hang,
    Truncate(u64),
    Halve,
    Replace(Failure),
    Restart,
}

/// An answer without a call, and the outcome that is logged for it.
type Early = (String, Result<Response<Payload>, Cut>);

impl Job {
    /// Serves the request of a client that is there from its beginning to its end.
    async fn run(self) -> Result<Response<Payload>, Cut> {
        if self.is_severed() {
            return Err(Cut);
        }
        let answer = self.serve().await;
        if self.is_severed() { Err(Cut) } else { answer }
    }

    fn is_severed(&self) -> bool {
        let params = &self.request.params;
        if self.plain_name().ends_with("login_with_password") {
            let originator = params.get(3).map(Value::as_str).unwrap_or_default();
            return self.server.hooks.is_severed(originator);
        }
        let session = params.first().map_or_else(Ref::null, Value::as_ref);
        self.server.is_severed(&session)
    }

    async fn serve(&self) -> Result<Response<Payload>, Cut> {
        let Server { pool, hooks, host } = &self.server;
        let _entered = pool.clock.enter();
        let index = hooks.begin(self.record());
        let _record = OpenRecord {
            server: &self.server,
            index,
        };
        if !pool.clock.is_virtual() {
            pool.pause(pool.latencies.request_ms).await;
        }
        if hooks.is_held_at(index, HoldPoint::Before) {
            pool.clock.park(hooks.pass(index, HoldPoint::Before)).await;
        }
        let after = match self.fault(index).await {
            Ok(after) => after,
            Err((outcome, early)) => {
                hooks.end(index, pool.clock.real_us(), 0, &outcome);
                return early;
            }
        };
        let answer = calls::serve(pool, *host, &self.request.method, self.request.params.clone()).await;
        self.finish(index, answer, after).await
    }

    async fn finish(&self, index: u64, answer: Answer, after: After) -> Result<Response<Payload>, Cut> {
        let Server { pool, hooks, .. } = &self.server;
        let answer = match after {
            After::Replace(ref failure) => Answer {
                outcome: Err(failure.clone()),
                bare: false,
            },
            After::Halve => Answer {
                outcome: answer.outcome.map(half),
                ..answer
            },
            After::Send | After::Cut | After::Hang | After::Truncate(_) | After::Restart => answer,
        };
        if hooks.is_held_at(index, HoldPoint::After) {
            pool.clock.park(hooks.pass(index, HoldPoint::After)).await;
        }
        let outcome = answer
            .outcome
            .as_ref()
            .map_or_else(|f| f.code.to_string(), |_| "OK".to_owned());
        let (content_type, text) = self.encode(&answer);
        let bytes = text.len() as u64;
        if self.request.method.starts_with("event") {
            pool.with(|state| state.counters.bytes += bytes);
        }
        match after {
            After::Cut => {
                hooks.end(index, pool.clock.real_us(), 0, "CUT");
                Err(Cut)
            }
            After::Hang => {
                self.server.hang(index).await;
                hooks.end(index, pool.clock.real_us(), 0, "CUT");
                Err(Cut)
            }
            After::Restart => {
                toolstack::restart(pool);
                hooks.end(index, pool.clock.real_us(), 0, "CUT");
                Err(Cut)
            }
            After::Truncate(keep) => {
                hooks.end(index, pool.clock.real_us(), keep.min(bytes), "CUT");
                Ok(rpc(content_type, Payload::truncated(text, keep)))
            }
            After::Send | After::Halve | After::Replace(_) => {
                hooks.end(index, pool.clock.real_us(), bytes, &outcome);
                Ok(rpc(content_type, Payload::whole(text)))
            }
        }
    }

    fn encode(&self, answer: &Answer) -> (&'static str, String) {
        match (&self.request.dialect, &answer.outcome) {
            (Dialect::Xml, Ok(value)) if answer.bare => ("text/xml", xml::bare_response(value)),
            (Dialect::Xml, outcome) => ("text/xml", xml::response(outcome)),
            (Dialect::JsonV1 { id }, outcome) => ("application/json", json::response(false, id, outcome)),
            (Dialect::JsonV2 { id }, outcome) => ("application/json", json::response(true, id, outcome)),
        }
    }

    fn record(&self) -> RequestRecord {
        let Server { pool, host, .. } = &self.server;
        RequestRecord {
            index: 0,
            pool: pool.name.clone(),
            host: pool.hosts.get(*host).map(|h| h.name.clone()).unwrap_or_default(),
            method: self.request.method.clone(),
            started_us: pool.clock.real_us(),
            ended_us: None,
            request_bytes: self.body.len() as u64,
            response_bytes: 0,
            outcome: String::new(),
            connection: self.connection,
            after: None,
        }
    }

    fn plain_name(&self) -> &str {
        let method = self.request.method.as_str();
        method.strip_prefix("Async.").unwrap_or(method)
    }

    /// Suffers the injected fault, if one is meant for this call. `Err` is the whole answer and how it is logged.
    async fn fault(&self, index: u64) -> Result<After, Early> {
        let Server { pool, hooks, .. } = &self.server;
        let body = String::from_utf8_lossy(&self.body);
        let Some(kind) = hooks.strike(&pool.name, self.plain_name(), &body) else {
            return Ok(After::Send);
        };
        match kind {
            FaultKind::Error { code, params } => {
                let answer = Answer {
                    outcome: Err(Failure::injected(code.clone(), params)),
                    bare: false,
                };
                let (content_type, text) = self.encode(&answer);
                Err((code, Ok(rpc(content_type, Payload::whole(text)))))
            }
            FaultKind::ErrorAfter { code, params } => Ok(After::Replace(Failure::injected(code, params))),
            FaultKind::CutBefore => Err(("CUT".to_owned(), Err(Cut))),
            FaultKind::CutAfter => Ok(After::Cut),
            FaultKind::HangAfter => Ok(After::Hang),
            FaultKind::Hang => {
                self.server.hang(index).await;
                Err(("CUT".to_owned(), Err(Cut)))
            }
            FaultKind::Http500 => Err(("HTTP 500".to_owned(), Ok(plain(StatusCode::INTERNAL_SERVER_ERROR)))),
            FaultKind::Garbage(bytes) => {
                Err(("GARBAGE".to_owned(), Ok(rpc("application/json", Payload::whole(bytes)))))
            }
            FaultKind::Truncate(keep) => Ok(After::Truncate(keep)),
            FaultKind::HalfListing => Ok(After::Halve),
            FaultKind::Delay(ms) => {
                pool.clock.sleep(Duration::from_millis(ms), Pace::Work).await;
                Ok(After::Send)
            }
            FaultKind::SessionInvalid => {
                if let Some(session) = self.request.params.first().map(Value::as_ref) {
                    pool.with(|state| session::close(state, &session));
                }
                Ok(After::Send)
            }
            FaultKind::Restart => {
                toolstack::restart(pool);
                Err(("CUT".to_owned(), Err(Cut)))
            }
            FaultKind::RestartAfter => Ok(After::Restart),
            FaultKind::Coordinator(host) => {
                // A host that is not there becomes nothing; the connection is cut all the same.
                let _unknown = toolstack::set_coordinator_called(pool, &host);
                Err(("CUT".to_owned(), Err(Cut)))
            }
        }
    }
}
