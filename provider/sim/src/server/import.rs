//! `PUT /import_raw_vdi`: the bytes of a disk.
//!
//! The answer comes before the data is on the disk; until the task ends, the control domain holds the disk.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{Cut, Payload, plain};
use super::{OpenRecord, Server};
use crate::class::{sr, task, vbd, vdi};
use crate::clock::Pace;
use crate::context::Context;
use crate::control::{FaultKind, HoldPoint, RequestRecord};
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::Pool;
use crate::rbac::Role;
use crate::session;
use crate::toolstack;
use crate::value::Value;

/// The name under which the transfer is logged, and under which faults strike it.
const METHOD: &str = "PUT /import_raw_vdi";

pub(super) async fn handle(
    server: &Server,
    parts: &Parts,
    body: Incoming,
    connection: u64,
) -> Result<Response<Payload>, Cut> {
    if parts.uri.path() != "/import_raw_vdi" {
        return Ok(plain(StatusCode::NOT_FOUND));
    }
    if session_of(parts).is_some_and(|session| server.is_severed(&session)) {
        return Err(Cut);
    }
    let Server { pool, hooks, host } = server;
    let _entered = pool.clock.enter();
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let index = hooks.begin(RequestRecord {
        index: 0,
        pool: pool.name.clone(),
        host: pool.hosts.get(*host).map(|h| h.name.clone()).unwrap_or_default(),
        method: METHOD.to_owned(),
        started_us: pool.clock.real_us(),
        ended_us: None,
        request_bytes: length.unwrap_or(0),
        response_bytes: 0,
        outcome: String::new(),
        connection,
        after: None,
    });
    let _record = OpenRecord { server, index };
    if hooks.is_held_at(index, HoldPoint::Before) {
        pool.clock.park(hooks.pass(index, HoldPoint::Before)).await;
    }
    let fault = hooks.strike(&pool.name, METHOD, parts.uri.query().unwrap_or_default());
    let response = suffer(server, index, fault, Asked { parts, body, length }).await;
    if hooks.is_held_at(index, HoldPoint::After) {
        pool.clock.park(hooks.pass(index, HoldPoint::After)).await;
    }
    let outcome = response
        .as_ref()
        .map_or("CUT".to_owned(), |r| format!("HTTP {}", r.status().as_u16()));
    hooks.end(index, pool.clock.real_us(), 0, &outcome);
    response
}

/// The request.
struct Asked<'a> {
    parts: &'a Parts,
    body: Incoming,
    length: Option<u64>,
}

/// Answers, unless a fault is in the way. What fails as a call does fails in the task: the answer has gone before.
async fn suffer(
    server: &Server,
    index: u64,
    fault: Option<FaultKind>,
    asked: Asked<'_>,
) -> Result<Response<Payload>, Cut> {
    let pool = &server.pool;
    match fault {
        None | Some(FaultKind::Truncate(_) | FaultKind::HalfListing) => answer(server, asked, Write::Well).await,
        Some(FaultKind::Error { code, params }) => {
            answer(server, asked, Write::Not(Failure::injected(code, params))).await
        }
        Some(FaultKind::ErrorAfter { code, params }) => {
            answer(server, asked, Write::Badly(Failure::injected(code, params))).await
        }
        Some(FaultKind::CutBefore) => Err(Cut),
        Some(FaultKind::CutAfter) => answer(server, asked, Write::Well).await.and(Err(Cut)),
        Some(FaultKind::HangAfter) => {
            let answered = answer(server, asked, Write::Well).await;
            server.hang(index).await;
            answered.and(Err(Cut))
        }
        Some(FaultKind::Restart) => {
            toolstack::restart(pool);
            Err(Cut)
        }
        Some(FaultKind::RestartAfter) => {
            let answered = answer(server, asked, Write::Well).await;
            toolstack::restart(pool);
            answered.and(Err(Cut))
        }
        Some(FaultKind::Coordinator(host)) => {
            // A host that is not there becomes nothing; the connection is cut all the same.
            let _unknown = toolstack::set_coordinator_called(pool, &host);
            Err(Cut)
        }
        Some(FaultKind::Hang) => {
            server.hang(index).await;
            Err(Cut)
        }
        Some(FaultKind::Http500) => Ok(plain(StatusCode::INTERNAL_SERVER_ERROR)),
        Some(FaultKind::Garbage(bytes)) => Ok(Response::new(Payload::whole(bytes))),
        Some(FaultKind::Delay(ms)) => {
            pool.clock.sleep(Duration::from_millis(ms), Pace::Work).await;
            answer(server, asked, Write::Well).await
        }
        Some(FaultKind::SessionInvalid) => {
            if let Some(session) = session_of(asked.parts) {
                pool.with(|state| session::close(state, &session));
            }
            answer(server, asked, Write::Well).await
        }
    }
}

/// How the data gets to the disk.
enum Write {
    Well,
    /// Not at all.
    Not(Failure),
    /// It does, and the task fails all the same.
    Badly(Failure),
}

async fn answer(server: &Server, asked: Asked<'_>, how: Write) -> Result<Response<Payload>, Cut> {
    let Server { pool, host, .. } = server;
    let Asked { parts, body, length } = asked;
    match role(pool, parts) {
        Some(role) if role >= Role::VmAdmin => {}
        Some(_) => return Ok(plain(StatusCode::FORBIDDEN)),
        None => return Ok(plain(StatusCode::UNAUTHORIZED)),
    }
    let query = Query::of(parts);
    let Some(length) = length else {
        return Ok(plain(StatusCode::BAD_REQUEST));
    };
    let Some(target) = target(pool, &query) else {
        return Ok(plain(StatusCode::BAD_REQUEST));
    };
    if let Some(location) = elsewhere(pool, *host, target.sr(pool).as_ref(), parts) {
        let mut response = plain(StatusCode::FOUND);
        if let Ok(value) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(LOCATION, value);
        }
        return Ok(response);
    }
    let Ok(data) = body.collect().await else {
        return Err(Cut);
    };
    let task = query.get("task_id").map(|t| Ref::new(&t));
    let is_made = task.is_none();
    let task = task.unwrap_or_else(|| pool.with(|state| task::create(state, "VDI.import_raw", "")));
    let import = Import {
        ctx: Context::work_of(pool, task),
        target,
        data: data.to_bytes(),
        length,
        is_made,
        how,
    };
    pool.background(import.run());
    let mut response = Response::new(Payload::whole(Bytes::new()));
    response.headers_mut().insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store"),
    );
    Ok(response)
}

/// The session that a request names: in its query, or as a cookie.
fn session_of(parts: &Parts) -> Option<Ref> {
    let cookie = || cookie_session(parts.headers.get(COOKIE)?.to_str().ok()?);
    let named = Query::of(parts).get("session_id").or_else(cookie);
    named.map(|session| Ref::new(&session))
}

/// Who asks: by a session, or by name and password.
fn role(pool: &Pool, parts: &Parts) -> Option<Role> {
    if let Some(session) = session_of(parts) {
        return pool
            .with(|state| session::check(state, &session))
            .map(|session| session.role)
            .ok();
    }
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = BASE64_STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    session::authenticate(pool, user, password)
}

/// Where the bytes go.
enum Target {
    Disk(Ref),
    Storage(Ref),
}

impl Target {
    fn sr(&self, pool: &Pool) -> Option<Ref> {
        match self {
            Self::Storage(sr) => Some(sr.clone()),
            Self::Disk(vdi) => pool.with(|state| state.db.get(Cls::Vdi, vdi, "SR").map(Value::as_ref).ok()),
        }
    }
}

struct Query(Vec<(String, String)>);

impl Query {
    fn of(parts: &Parts) -> Self {
        Self::parse(parts.uri.query().unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let decode = |t: &str| {
            percent_decode_str(&t.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        Self(
            text.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
    }
}

fn cookie_session(cookie: &str) -> Option<String> {
    let pairs = cookie.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs
        .into_iter()
        .find(|(k, _)| *k == "session_id")
        .map(|(_, v)| v.to_owned())
}

/// References and UUIDs are both taken.
fn target(pool: &Pool, query: &Query) -> Option<Target> {
    pool.with(|state| {
        let find = |cls: Cls, text: String| {
            let reference = Ref::new(&text);
            if state.db.exists(cls, &reference) {
                Some(reference)
            } else {
                state.db.by_uuid(cls, &text).cloned()
            }
        };
        let disk = query.get("vdi").and_then(|text| find(Cls::Vdi, text)).map(Target::Disk);
        disk.or_else(|| {
            query
                .get("sr_id")
                .and_then(|text| find(Cls::Sr, text))
                .map(Target::Storage)
        })
    })
}

/// The URL to repeat the request at, when this host does not see the SR.
fn elsewhere(pool: &Pool, host: usize, sr: Option<&Ref>, parts: &Parts) -> Option<String> {
    let sr = sr?;
    let seeing = pool.with(|state| {
        let sees = |i: &usize| {
            state
                .host_refs
                .get(*i)
                .is_some_and(|h| sr::is_seen_by(&state.db, sr, h))
        };
        if sees(&host) {
            None
        } else {
            (0..state.host_refs.len()).find(sees)
        }
    })?;
    let scheme = if pool.spec.tls { "https" } else { "http" };
    let address = &pool.hosts.get(seeing)?.address;
    Some(format!(
        "{scheme}://{address}{}",
        parts.uri.path_and_query().map_or("/", |p| p.as_str())
    ))
}

struct Import {
    ctx: Context,
    target: Target,
    data: Bytes,
    length: u64,
    /// The task was made here and goes with the import.
    is_made: bool,
    how: Write,
}

impl Import {
    async fn run(self) {
        let outcome = match &self.how {
            Write::Well => self.write().await,
            Write::Not(failure) => Err(failure.clone()),
            Write::Badly(failure) => self.write().await.and(Err(failure.clone())),
        };
        self.ctx.with(|state| {
            task::complete(state, &self.ctx.task, &outcome);
            if self.is_made {
                task::drop_row(state, &self.ctx.task);
            }
        });
    }

    async fn write(&self) -> Outcome<Value> {
        let ctx = &self.ctx;
        let size = i64::try_from(self.length).unwrap_or(i64::MAX);
        let (disk, result) = match &self.target {
            Target::Disk(vdi) => (vdi.clone(), Value::Void),
            Target::Storage(sr) => {
                let made = vdi::create_plain(ctx, sr, size.max(1)).await?;
                ctx.with(|state| state.db.set_if(Cls::Vdi, &made, "name_label", "Imported VDI"));
                (made.clone(), Value::from(made))
            }
        };
        let held = self.plug(&disk)?;
        ctx.pool.pause(ctx.pool.latencies.hotplug_ms).await;
        let per_gib = ctx.pool.pick(ctx.pool.latencies.import_ms_per_gib);
        #[expect(clippy::cast_precision_loss, reason = "disk sizes are far below 2^53")]
        let gib = self.length as f64 / f64::from(1 << 30);
        ctx.pool.clock.sleep(per_gib.mul_f64(gib), Pace::Work).await;
        ctx.with(|state| {
            state.contents.insert(disk.clone(), self.data.clone());
            state.db.delete(Cls::Vbd, &held);
            operations::refresh(&mut state.db, Cls::Vdi, &disk);
        });
        Ok(result)
    }

    /// The control domain attaches the disk.
    fn plug(&self, disk: &Ref) -> Outcome<Ref> {
        self.ctx.with(|state| {
            state.db.record(Cls::Vdi, disk)?;
            let host = crate::class::pool::master(state);
            let domain = state
                .db
                .get(Cls::Host, &host, "control_domain")
                .map_or_else(|_| Ref::null(), Value::as_ref);
            let held = vbd::attach_disk(state, &domain, disk, "autodetect");
            state.db.set(Cls::Vbd, &held, "currently_attached", Value::Bool(true))?;
            operations::refresh(&mut state.db, Cls::Vdi, disk);
            Ok(held)
        })
    }
}
