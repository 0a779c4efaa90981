//! The one place that repeats calls.
//!
//! A call is repeated when the pool surely did not act (never sent, or refused for a reason that passes), or when it may happen twice.
//! Repeats are bounded by number and by the call's own time limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Outcome};
use crate::session::{Session, Sessions};
use crate::transport::{Call, Collect, Heard, One, Repeat, Transport, Upload};
use crate::wire::FromWire;

/// xapi serves 800 connections and then stops accepting; several processes share them.
const MAX_CONCURRENT: usize = 64;
/// As often as XO repeats after TOO_MANY_PENDING_TASKS.
const MAX_THROTTLED: u32 = 10;
const MAX_BACKOFF: Duration = Duration::from_secs(5);
const MAX_HOPS: u32 = 3;
const MAX_LOGINS: u32 = 1;
const MAX_BROKEN: u32 = 3;
const MAX_HTTP: u32 = 2;
const MAX_INTERNAL: u32 = 1;
/// Between a broken connection and the next.
const BREATH: Duration = Duration::from_millis(300);

/// Makes calls on the pool's session, repeating what may be repeated.
#[derive(Debug)]
pub(crate) struct Caller {
    pool: String,
    transport: Arc<Transport>,
    sessions: Arc<Sessions>,
    places: Semaphore,
    throttle: Duration,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Tries {
    logins: u32,
    hops: u32,
    throttled: u32,
    broken: u32,
    http: u32,
    internal: u32,
    unreachable: u32,
}

enum Next {
    GiveUp,
    Repeat(Duration),
}

impl Caller {
    pub(crate) fn new(
        pool: &str,
        transport: Arc<Transport>,
        sessions: Arc<Sessions>,
        throttle: Duration,
        patience: Duration,
    ) -> Self {
        Self {
            pool: pool.to_owned(),
            transport,
            sessions,
            places: Semaphore::new(MAX_CONCURRENT),
            throttle,
            patience,
        }
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Makes a call for one value.
    pub(crate) async fn value<T: FromWire + Send>(&self, call: Call) -> Result<T, Error> {
        self.value_on(call).await.map(|(value, _)| value)
    }

    /// The same, and tells which session answered.
    pub(crate) async fn value_on<T: FromWire + Send>(&self, call: Call) -> Result<(T, u64), Error> {
        let mut one = One::default();
        let generation = self.call_on(call.clone(), &mut one).await?;
        Ok((self.transport.taken(&call, one)?, generation))
    }

    /// Makes a call and collects the parts of its answer; tells which session answered.
    pub(crate) async fn call_on(&self, mut call: Call, collect: &mut dyn Collect) -> Result<u64, Error> {
        let began = Instant::now();
        let deadline = began + call.limit;
        let whole = call.limit;
        let mut tries = Tries::default();
        loop {
            call.limit = deadline.saturating_duration_since(Instant::now());
            let (error, session) = match self.attempt(&call, deadline, whole, collect).await {
                Ok(generation) => return Ok(generation),
                Err(failed) => failed,
            };
            let delay = match self.next(&error, &call, session.as_deref(), &mut tries, began) {
                Next::GiveUp => return Err(error),
                Next::Repeat(delay) => delay,
            };
            if Instant::now() + delay >= deadline || !collect.restart() {
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.sessions.closing().cancelled() => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        deadline: Instant,
        whole: Duration,
        collect: &mut dyn Collect,
    ) -> Result<u64, (Error, Option<Arc<Session>>)> {
        let late = |_| {
            let error = Error::new(ErrorKind::TimedOut(whole), Outcome::NotSent, &self.pool, call.method);
            (error.with_object(call.object.clone()), None)
        };
        let ready = async {
            let place = self.place().await?;
            let session = self.sessions.get().await?;
            Ok::<_, Error>((place, session))
        };
        let (_place, session) = tokio::time::timeout_at(deadline, ready)
            .await
            .map_err(late)?
            .map_err(|error| (error, None))?;
        let result = self.ask(&session, call, collect).await;
        match result {
            Ok(()) => Ok(session.generation),
            Err(error) => Err((error, Some(session))),
        }
    }

    /// Makes one request on a session.
    async fn ask(&self, session: &Session, call: &Call, collect: &mut dyn Collect) -> Result<(), Error> {
        let heard = self.transport.ask(&session.door, Some(&session.id), call, collect);
        match heard.await? {
            Heard::Answer => {
                session.strikes.clear();
                Ok(())
            }
            // The pool is not what it was at the login: the next call logs in anew, and finds out again.
            Heard::OtherWire => {
                self.sessions.forget(session.generation);
                Err(self.transport.wrong_wire(call))
            }
        }
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        let closed = |_| Error::new(ErrorKind::Closed, Outcome::NotSent, &self.pool, "call");
        self.places.acquire().await.map_err(closed)
    }

    /// Sends content up on the pool's session; never repeated, because what was written of it is not known.
    pub(crate) async fn upload(&self, upload: &Upload<'_>) -> Result<(), Error> {
        let session = self.sessions.get().await?;
        let members = self.sessions.members();
        let first = &session.door.endpoint;
        self.transport.upload(first, &members, &session.id, upload).await
    }

    /// Makes one request on the given session, for the long poll that must know on which one it was.
    pub(crate) async fn once(&self, session: &Session, call: &Call, collect: &mut dyn Collect) -> Result<(), Error> {
        let result = self.ask(session, call, collect).await;
        if let Err(error) = &result {
            self.note(error, session);
        }
        result
    }

    /// Drops or moves the session if the error says so.
    fn note(&self, error: &Error, session: &Session) {
        match error.kind() {
            ErrorKind::Failure(failure) => {
                if let Some(address) = failure.master_address() {
                    self.sessions.redirect(session, address);
                } else if failure.is_session_invalid() || failure.is_emergency() {
                    self.sessions.forget(session.generation);
                }
            }
            ErrorKind::Unreachable { .. } | ErrorKind::Untrusted { .. } => self.sessions.forget(session.generation),
            ErrorKind::Broken if session.strikes.add() => self.sessions.forget(session.generation),
            ErrorKind::Broken
            | ErrorKind::TimedOut(_)
            | ErrorKind::Http(_)
            | ErrorKind::Malformed(_)
            | ErrorKind::Unsendable(_)
            | ErrorKind::Config(_)
            | ErrorKind::OtherPool { .. }
            | ErrorKind::TaskVanished
            | ErrorKind::StaleToken
            | ErrorKind::Closed => {}
        }
    }

    fn next(&self, error: &Error, call: &Call, session: Option<&Session>, tries: &mut Tries, began: Instant) -> Next {
        if let Some(session) = session {
            self.note(error, session);
        }
        let may_repeat = error.outcome() != Outcome::MaybeSent || call.repeat == Repeat::Idempotent;
        if !may_repeat {
            return Next::GiveUp;
        }
        match error.kind() {
            ErrorKind::Failure(failure) if failure.is_session_invalid() => {
                bounded(&mut tries.logins, MAX_LOGINS, Duration::ZERO)
            }
            ErrorKind::Failure(failure) if failure.is_other_master() => {
                bounded(&mut tries.hops, MAX_HOPS, Duration::ZERO)
            }
            ErrorKind::Failure(failure) if failure.is_throttled() => {
                bounded(&mut tries.throttled, MAX_THROTTLED, self.throttle)
            }
            ErrorKind::Failure(failure) if failure.is_outcome_unknown() => {
                bounded(&mut tries.internal, MAX_INTERNAL, Duration::from_secs(1))
            }
            ErrorKind::Failure(failure) if failure.is_emergency() => self.be_patient(tries, began),
            ErrorKind::Unreachable { .. } => self.be_patient(tries, began),
            ErrorKind::Broken => self.broken(session, tries, began),
            ErrorKind::Http(500..=599) => bounded(&mut tries.http, MAX_HTTP, BREATH),
            ErrorKind::Failure(_)
            | ErrorKind::Untrusted { .. }
            | ErrorKind::TimedOut(_)
            | ErrorKind::Http(_)
            | ErrorKind::Malformed(_)
            | ErrorKind::Unsendable(_)
            | ErrorKind::Config(_)
            | ErrorKind::OtherPool { .. }
            | ErrorKind::TaskVanished
            | ErrorKind::StaleToken
            | ErrorKind::Closed => Next::GiveUp,
        }
    }

    /// A connection may break and the next one hold. Where the login found nobody, the pool is waited for.
    fn broken(&self, session: Option<&Session>, tries: &mut Tries, began: Instant) -> Next {
        if session.is_none() && self.sessions.was_connected() {
            return self.be_patient(tries, began);
        }
        bounded(&mut tries.broken, MAX_BROKEN, BREATH)
    }

    /// A pool that answered before may be restarting; one that never did is more likely a wrong address.
    fn be_patient(&self, tries: &mut Tries, began: Instant) -> Next {
        if !self.sessions.was_connected() || began.elapsed() >= self.patience {
            return Next::GiveUp;
        }
        tries.unreachable += 1;
        let delay = Duration::from_millis(250).saturating_mul(1 << tries.unreachable.min(5));
        Next::Repeat(delay.min(MAX_BACKOFF))
    }
}

fn bounded(count: &mut u32, limit: u32, delay: Duration) -> Next {
    if *count >= limit {
        return Next::GiveUp;
    }
    *count += 1;
    Next::Repeat(delay)
}
