//! What went wrong with a call, and whether the call may have taken effect all the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::reference::Ref;

/// Says whether the pool may have acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request surely never reached the pool: the call may be repeated.
    NotSent,
    /// The request may have reached the pool: look for its effect before repeating a call that is not idempotent.
    MaybeSent,
    /// The pool answered that it did not do it.
    Rejected,
}

/// The ways in which a call fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The pool answered with a failure.
    #[error("{0}")]
    Failure(Failure),
    /// No connection could be made.
    #[error("no connection to {endpoint}")]
    Unreachable {
        /// The address that was tried.
        endpoint: String,
    },
    /// The certificate is not trusted.
    #[error("the certificate of {endpoint} is not trusted ({reason}); its fingerprint is {fingerprint}")]
    Untrusted {
        /// The address that was tried.
        endpoint: String,
        /// SHA-256 of the certificate as `sha256:AB:CD:...`.
        fingerprint: String,
        /// Why it is not trusted.
        reason: String,
    },
    /// The connection broke while the answer was awaited or read.
    #[error("the connection broke before the answer was complete")]
    Broken,
    /// The answer did not come in time.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    /// The server answered, but not as XenAPI does.
    #[error("the server answered with HTTP status {0}")]
    Http(u16),
    /// The answer cannot be understood.
    #[error("the answer cannot be understood: {0}")]
    Malformed(String),
    /// The request cannot be written.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
    /// The configuration cannot be used.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    /// Behind the address is another pool than before.
    #[error("behind {endpoint} is the pool {found}, not {expected}")]
    OtherPool {
        /// The address that was tried.
        endpoint: String,
        /// UUID of the pool that answered.
        found: String,
        /// UUID of the pool that was expected.
        expected: String,
    },
    /// The task of an asynchronous call vanished before its result was seen.
    #[error("the task vanished before its result was seen")]
    TaskVanished,
    /// An event token belongs to an earlier session: changes may have been missed, so everything must be read again.
    #[error("the event token belongs to an earlier session")]
    StaleToken,
    /// The pool has been logged out.
    #[error("the pool has been logged out")]
    Closed,
}

/// A failed call. Cheap to clone; no text of it holds a password or a session reference.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    pool: String,
    method: &'static str,
    object: Option<String>,
    cause: Option<Arc<Cause>>,
}

/// The chain of causes as text: sources of the network stack may hold URLs, and are neither `Clone` nor ours to keep.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    #[source]
    deeper: Option<Box<Cause>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, pool: &str, method: &'static str) -> Self {
        Self(Arc::new(Inner {
            kind,
            outcome,
            pool: pool.to_owned(),
            method,
            object: None,
            cause: None,
        }))
    }

    #[must_use]
    pub(crate) fn with_object(self, object: Option<String>) -> Self {
        self.changed(|inner| inner.object = object)
    }

    #[must_use]
    pub(crate) fn with_outcome(self, outcome: Outcome) -> Self {
        self.changed(|inner| inner.outcome = outcome)
    }

    #[must_use]
    pub(crate) fn with_causes(self, causes: Vec<String>) -> Self {
        let cause = causes.into_iter().rev().fold(None, |deeper, text| {
            Some(Cause {
                text,
                deeper: deeper.map(Box::new),
            })
        });
        self.changed(|inner| inner.cause = cause.map(Arc::new))
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = match Arc::try_unwrap(self.0) {
            Ok(inner) => inner,
            Err(shared) => Inner {
                kind: shared.kind.clone(),
                outcome: shared.outcome,
                pool: shared.pool.clone(),
                method: shared.method,
                object: shared.object.clone(),
                cause: shared.cause.clone(),
            },
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// Gives the way in which the call failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Says whether the pool may have acted.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Gives the configured name of the pool.
    pub fn pool(&self) -> &str {
        &self.0.pool
    }

    /// Gives the method, such as `VM.clone`.
    pub fn method(&self) -> &'static str {
        self.0.method
    }

    /// Gives the reference of the object that the call was about.
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// Gives the pool's answer, if there was one.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.0.kind {
            ErrorKind::Failure(failure) => Some(failure),
            ErrorKind::Unreachable { .. }
            | ErrorKind::Untrusted { .. }
            | ErrorKind::Broken
            | ErrorKind::TimedOut(_)
            | ErrorKind::Http(_)
            | ErrorKind::Malformed(_)
            | ErrorKind::Unsendable(_)
            | ErrorKind::Config(_)
            | ErrorKind::OtherPool { .. }
            | ErrorKind::TaskVanished
            | ErrorKind::StaleToken
            | ErrorKind::Closed => None,
        }
    }

    /// Gives the code of the pool's answer, if there was one.
    pub fn code(&self) -> Option<&str> {
        self.failure().map(Failure::code)
    }

    /// Tells whether the pool's answer satisfies a predicate of [`Failure`].
    pub fn is_failure(&self, predicate: impl FnOnce(&Failure) -> bool) -> bool {
        self.failure().is_some_and(predicate)
    }

    /// Tells whether the object, or one that the call needs, is gone.
    pub fn is_gone(&self) -> bool {
        self.is_failure(Failure::is_gone)
    }

    /// Tells whether exactly this object is gone.
    pub fn is_gone_object<C>(&self, object: &Ref<C>) -> bool {
        self.is_failure(|failure| failure.is_gone_object(object))
    }

    /// Tells whether another operation stands in the way for now.
    pub fn is_busy(&self) -> bool {
        self.is_failure(Failure::is_busy)
    }

    /// Tells whether a role lacks a permission, or the login was refused.
    pub fn is_permission(&self) -> bool {
        self.is_failure(|failure| failure.is_permission() || failure.is_login_refused())
    }

    /// Tells whether the pool could not be reached or understood at all, as opposed to an answer of the pool.
    pub fn is_unreachable(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Unreachable { .. }
            | ErrorKind::Untrusted { .. }
            | ErrorKind::Broken
            | ErrorKind::TimedOut(_)
            | ErrorKind::Http(_) => true,
            ErrorKind::Failure(failure) => failure.is_emergency(),
            ErrorKind::Malformed(_)
            | ErrorKind::Unsendable(_)
            | ErrorKind::Config(_)
            | ErrorKind::OtherPool { .. }
            | ErrorKind::TaskVanished
            | ErrorKind::StaleToken
            | ErrorKind::Closed => false,
        }
    }

    /// Tells whether the same call may succeed later without anybody changing anything. Says nothing about whether it may be
    /// repeated: see [`Error::outcome`].
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Failure(failure) => failure.is_retryable(),
            ErrorKind::Unreachable { .. } | ErrorKind::Broken | ErrorKind::TimedOut(_) | ErrorKind::TaskVanished => {
                true
            }
            ErrorKind::Http(status) => *status >= 500,
            ErrorKind::Untrusted { .. }
            | ErrorKind::Malformed(_)
            | ErrorKind::Unsendable(_)
            | ErrorKind::Config(_)
            | ErrorKind::OtherPool { .. }
            | ErrorKind::StaleToken
            | ErrorKind::Closed => false,
        }
    }

    /// Says in a few words what a person can do about it; may be empty.
    pub fn advice(&self) -> String {
        match &self.0.kind {
            ErrorKind::Failure(failure) => failure.advice().to_owned(),
            ErrorKind::Unreachable { .. } => "check the address, the network and whether the host is up".to_owned(),
            ErrorKind::Untrusted { fingerprint, .. } => {
                format!(
                    "compare the fingerprint with the one on the host's console and pin it: tls = {{ fingerprints = [\"{fingerprint}\"] }}"
                )
            }
            ErrorKind::Broken | ErrorKind::TimedOut(_) | ErrorKind::TaskVanished => match self.0.outcome {
                Outcome::MaybeSent => "it is open whether the call took effect".to_owned(),
                Outcome::NotSent | Outcome::Rejected => "try again later".to_owned(),
            },
            ErrorKind::Http(_) | ErrorKind::Malformed(_) => {
                "check that the address is a XenServer or XCP-ng host, not a proxy or another service".to_owned()
            }
            ErrorKind::OtherPool { .. } => "check the addresses of the pool: members of one pool only".to_owned(),
            ErrorKind::Unsendable(_) | ErrorKind::Config(_) | ErrorKind::StaleToken | ErrorKind::Closed => {
                String::new()
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: {}", self.0.pool, self.0.method)?;
        if let Some(object) = &self.0.object {
            write!(f, " of {object}")?;
        }
        write!(f, ": {}", self.0.kind)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}, {:?}", self.0.outcome)?;
        if let Some(cause) = &self.0.cause {
            write!(f, ", {cause:?}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .cause
            .as_deref()
            .map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
