//! The one session of a pool and process.
//!
//! ```text
//!   none --first call--> logging in --ok--> live --SESSION_INVALID, HOST_IS_SLAVE, no connection, or none that holds--> none
//!                            |
//!                            +--error--> none, and for a moment everybody gets that same error
//! ```
//! Login runs in a task of its own, so that a caller that goes away neither loses the session nor makes the others log in again.
//! A refused password costs 5 s on the server, so callers never log in side by side.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::endpoint::{Candidates, Endpoint};
use crate::error::{Error, ErrorKind, Outcome};
use crate::login::{Entered, LOGIN, Login};
use crate::secret::Secret;
use crate::transport::Door;
use crate::uuid::Uuid;

/// How long a failed login is everybody's answer.
const REMEMBERED: Duration = Duration::from_secs(3);
/// One may happen to any connection.
const MAX_STRIKES: u32 = 2;
/// How often one login is sent on to another member.
const MAX_HOPS: usize = 4;

/// Connections that broke one after the other, with no answer in between: the host behind them may be gone, or be the coordinator no more. The
/// next login looks for one that is.
#[derive(Debug, Default)]
pub(crate) struct Strikes(AtomicU32);

impl Strikes {
    /// There was an answer.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Counts one more; says whether that is one too many.
    pub(crate) fn add(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_STRIKES
    }
}

/// A live session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Secret,
    pub(crate) door: Door,
    /// Counts sessions: tokens of earlier ones are worth nothing.
    pub(crate) generation: u64,
    pub(crate) strikes: Strikes,
}

type LoginResult = Option<Result<Arc<Session>, Error>>;

/// Keeps the session.
#[derive(Debug)]
pub(crate) struct Sessions {
    pool: String,
    login: Login,
    state: Mutex<State>,
    /// Number of the latest session, for those that wait on an earlier one.
    latest: watch::Sender<u64>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Debug)]
struct State {
    current: Option<Arc<Session>>,
    login: Option<watch::Receiver<LoginResult>>,
    failed: Option<(Instant, Error)>,
    generation: u64,
    candidates: Candidates,
    identity: Option<Uuid>,
}

impl Sessions {
    pub(crate) fn new(pool: &str, login: Login, urls: Vec<Endpoint>) -> Self {
        Self {
            pool: pool.to_owned(),
            login,
            state: Mutex::new(State {
                current: None,
                login: None,
                failed: None,
                generation: 0,
                candidates: Candidates::new(urls),
                identity: None,
            }),
            latest: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Gives the session, logging in if there is none.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        let mut login = {
            let mut state = self.state();
            if let Some(session) = &state.current {
                return Ok(Arc::clone(session));
            }
            if self.closing.is_cancelled() {
                return Err(self.closed());
            }
            match &state.failed {
                Some((when, error)) if when.elapsed() < REMEMBERED => return Err(error.clone()),
                Some(_) | None => {}
            }
            match &state.login {
                Some(login) => login.clone(),
                None => self.begin_login(&mut state),
            }
        };
        let result = login.wait_for(Option::is_some).await.map(|result| result.clone());
        match result {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => Err(self.closed()),
        }
    }

    /// Forgets a session that no longer works, unless another has taken its place already.
    pub(crate) fn forget(&self, generation: u64) {
        let mut state = self.state();
        if state
            .current
            .as_ref()
            .is_some_and(|session| session.generation == generation)
        {
            state.current = None;
        }
    }

    /// Waits until another session has taken the place of this one: a call in flight to a dead coordinator would not notice.
    pub(crate) async fn replaced(&self, generation: u64) {
        let mut latest = self.latest.subscribe();
        if latest.wait_for(|latest| *latest > generation).await.is_err() {
            std::future::pending().await
        }
    }

    /// Forgets a session because another member is the coordinator, which is tried first from now on.
    pub(crate) fn redirect(&self, session: &Session, address: &str) {
        if let Ok(endpoint) = session.door.endpoint.sibling(address) {
            self.state().candidates.prefer(endpoint);
        }
        self.forget(session.generation);
    }

    /// Tells whether a login ever succeeded.
    pub(crate) fn was_connected(&self) -> bool {
        self.state().generation > 0
    }

    /// Gives the address of the live session.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.state()
            .current
            .as_ref()
            .map(|session| session.door.endpoint.clone())
    }

    /// Takes the management addresses of all members as candidates.
    pub(crate) fn learn(&self, addresses: &[String]) {
        let mut state = self.state();
        if let Some(session) = state.current.clone() {
            state.candidates.learn(&session.door.endpoint, addresses);
        }
    }

    /// The addresses of the pool's hosts: those that were configured, and those that the pool has named.
    pub(crate) fn members(&self) -> Vec<Endpoint> {
        self.state().candidates.in_turn()
    }

    /// Demands that every later login finds this pool.
    pub(crate) fn pin(&self, identity: Uuid) {
        self.state().identity = Some(identity);
    }

    /// The tasks of this pool, which `close` waits for.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Ends when the pool is closed.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Logs out for good, waiting at most `limit`. What is being tidied up gets most of that time and may still use the session;
    /// nobody logs in any more.
    pub(crate) async fn close(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.closing.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(limit * 2 / 3, self.tasks.wait()).await;
        let session = self.state().current.take();
        if let Some(session) = session {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.login.leave(&session.door, &session.id, left).await {
                debug!(pool = %self.pool, error = %error, "logout failed");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, Outcome::NotSent, &self.pool, LOGIN)
    }

    fn begin_login(self: &Arc<Self>, state: &mut State) -> watch::Receiver<LoginResult> {
        let (sender, receiver) = watch::channel(None);
        state.login = Some(receiver.clone());
        let candidates = state.candidates.in_turn();
        let identity = state.identity;
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let result = this.login_at_any(candidates, identity).await;
            let result = this.settle(result);
            sender.send_replace(Some(result));
        });
        receiver
    }

    /// Writes down how a login ended.
    fn settle(&self, result: Result<Entered, Error>) -> Result<Arc<Session>, Error> {
        let mut state = self.state();
        state.login = None;
        match result {
            Ok(Entered { id, door }) => {
                state.generation += 1;
                state.candidates.prefer(door.endpoint.clone());
                let session = Arc::new(Session {
                    id,
                    door,
                    generation: state.generation,
                    strikes: Strikes::default(),
                });
                state.current = Some(Arc::clone(&session));
                state.failed = None;
                self.latest.send_replace(session.generation);
                Ok(session)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Tries the candidates in turn; a member that names the coordinator sends the login there next.
    async fn login_at_any(&self, candidates: Vec<Endpoint>, identity: Option<Uuid>) -> Result<Entered, Error> {
        let mut queue = VecDeque::from(candidates);
        let mut tried: Vec<Endpoint> = Vec::new();
        let mut hops = 0;
        let mut telling: Option<Error> = None;
        let began = Instant::now();
        while let Some(endpoint) = queue.pop_front() {
            if tried.contains(&endpoint) {
                continue;
            }
            // Addresses that swallow packets take their whole time each; the next login goes on with the preferred one.
            if !tried.is_empty() && began.elapsed() >= self.login.limit() {
                break;
            }
            tried.push(endpoint.clone());
            let error = match self.login.enter(&endpoint, identity).await {
                Ok(entered) => return Ok(entered),
                Err(error) => error,
            };
            debug!(pool = %self.pool, error = %error, "login failed");
            if let Some(address) = error.failure().and_then(|failure| failure.master_address()) {
                hops += 1;
                if let (true, Ok(coordinator)) = (hops <= MAX_HOPS, endpoint.sibling(address)) {
                    queue.push_front(coordinator);
                }
            }
            let is_final = error.is_permission();
            if telling.as_ref().is_none_or(|earlier| weight(&error) > weight(earlier)) {
                telling = Some(error);
            }
            if is_final {
                break;
            }
        }
        let error = telling.unwrap_or_else(|| {
            Error::new(
                ErrorKind::Config("the pool has no address".to_owned()),
                Outcome::NotSent,
                &self.pool,
                LOGIN,
            )
        });
        // Whatever became of the login, the call that wanted it was never sent.
        Err(error.with_outcome(Outcome::NotSent))
    }
}

/// Ranks errors of several members by what they tell a person.
fn weight(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Failure(failure) if failure.is_login_refused() || failure.is_permission() => 6,
        ErrorKind::OtherPool { .. } => 5,
        ErrorKind::Failure(failure) if !failure.is_other_master() => 4,
        ErrorKind::Untrusted { .. } => 3,
        ErrorKind::Http(_) | ErrorKind::Malformed(_) => 2,
        ErrorKind::Unreachable { .. } | ErrorKind::Broken | ErrorKind::TimedOut(_) => 1,
        ErrorKind::Failure(_)
        | ErrorKind::Unsendable(_)
        | ErrorKind::Config(_)
        | ErrorKind::TaskVanished
        | ErrorKind::StaleToken
        | ErrorKind::Closed => 0,
    }
}
