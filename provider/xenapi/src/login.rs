//! Login at one address: as whom, on which wire, and whether the right pool is behind it.
//!
//! The login finds out whether the pool knows JSON-RPC, and the session keeps to what it found. Pools older than 7.3 give every POST
//! to their XML parser. It cannot make a call of a JSON text, so nothing is done, and the answer is a failure in XML or, by release,
//! HTTP status 500; either way the login is made again in XML-RPC, and is then the first that was understood. A failure in XML is
//! remembered of that address; a status 500 may be another trouble, so the next login asks again. No other call is ever made twice
//! for this: by then it is known.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::warn;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Outcome};
use crate::secret::Secret;
use crate::transport::{Call, Collect, Door, Heard, One, Repeat, Transport};
use crate::uuid::Uuid;
use crate::wire::{Cut, Raw, Value, Wire, WireChoice, WireError};

/// The method that logs in.
pub(crate) const LOGIN: &str = "session.login_with_password";
/// The version of the API that the client speaks; xapi only records it.
const API_VERSION: &str = "2.21";

/// Who logs in, and as what.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) originator: String,
}

/// A session that has just been made.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) id: Secret,
    pub(crate) door: Door,
}

/// Logs in and out.
#[derive(Debug)]
pub(crate) struct Login {
    pool: String,
    credentials: Credentials,
    limit: Duration,
    wire: WireChoice,
    transport: Arc<Transport>,
    /// Addresses that are known to speak XML-RPC only.
    xml_only: Mutex<HashSet<Endpoint>>,
}

impl Login {
    pub(crate) fn new(
        pool: &str,
        credentials: Credentials,
        limit: Duration,
        wire: WireChoice,
        transport: Arc<Transport>,
    ) -> Self {
        Self {
            pool: pool.to_owned(),
            credentials,
            limit,
            wire,
            transport,
            xml_only: Mutex::new(HashSet::new()),
        }
    }

    /// How long one login may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Logs in at this address, if the pool there is the one that is expected.
    pub(crate) async fn enter(&self, endpoint: &Endpoint, identity: Option<Uuid>) -> Result<Entered, Error> {
        let entered = self.on_some_wire(endpoint).await;
        let entered = entered.map_err(|error| self.without_password(error))?;
        if entered.id.expose().is_empty() {
            let kind = ErrorKind::Malformed("the session is no reference".to_owned());
            return Err(self.error(kind));
        }
        if let Some(expected) = identity
            && let Err(error) = self.check_identity(&entered, expected).await
        {
            let _ = self.leave(&entered.door, &entered.id, self.limit).await;
            return Err(error);
        }
        Ok(entered)
    }

    /// Logs out.
    pub(crate) async fn leave(&self, door: &Door, id: &Secret, limit: Duration) -> Result<(), Error> {
        let call = self.call("session.logout", Vec::new(), limit);
        self.transport.value(door, Some(id), &call).await
    }

    /// Logs in on the wire that is wanted or known, or on the first that is understood.
    async fn on_some_wire(&self, endpoint: &Endpoint) -> Result<Entered, Error> {
        let wire = match self.wire {
            WireChoice::Only(wire) => wire,
            WireChoice::Auto if self.xml_only().contains(endpoint) => Wire::Xml,
            WireChoice::Auto => match self.knock(endpoint, Wire::Json).await {
                Ok(Some(entered)) => return Ok(entered),
                Ok(None) => {
                    self.xml_only().insert(endpoint.clone());
                    self.fall_back()
                }
                Err(error) if is_no_sense(&error) => self.fall_back(),
                Err(error) => return Err(error),
            },
        };
        let entered = self.knock(endpoint, wire).await?;
        entered.ok_or_else(|| self.transport.wrong_wire(&self.call(LOGIN, Vec::new(), self.limit)))
    }

    fn fall_back(&self) -> Wire {
        warn!(pool = %self.pool, "JSON-RPC was not understood: the login is made again in XML-RPC");
        Wire::Xml
    }

    /// Makes one request to log in; `None` if it was not understood.
    async fn knock(&self, endpoint: &Endpoint, wire: Wire) -> Result<Option<Entered>, Error> {
        let params = vec![
            Value::text(&self.credentials.username),
            Value::text(self.credentials.password.expose()),
            Value::text(API_VERSION),
            Value::text(&self.credentials.originator),
        ];
        let call = self.call(LOGIN, params, self.limit);
        let door = Door {
            endpoint: endpoint.clone(),
            wire,
        };
        let mut id = One::<String>::default();
        match self.transport.ask(&door, None, &call, &mut id).await? {
            Heard::Answer => {
                let id = Secret::new(self.transport.taken(&call, id)?);
                Ok(Some(Entered { id, door }))
            }
            Heard::OtherWire => Ok(None),
        }
    }

    fn without_password(&self, error: Error) -> Error {
        match error.failure() {
            Some(failure) => {
                let failure = failure.clone().without(self.credentials.password.expose());
                Error::new(ErrorKind::Failure(failure), error.outcome(), &self.pool, LOGIN)
            }
            None => error,
        }
    }

    /// An ejected member is the coordinator of a pool of its own and takes the same password.
    async fn check_identity(&self, Entered { id, door }: &Entered, expected: Uuid) -> Result<(), Error> {
        let call = self.call("pool.get_all_records", Vec::new(), self.limit);
        let mut identity = Identity::default();
        self.transport.post(door, Some(id), &call, &mut identity).await?;
        let Identity(found) = identity;
        if found == expected.to_string() {
            return Ok(());
        }
        Err(self.error(ErrorKind::OtherPool {
            endpoint: door.endpoint.to_string(),
            found,
            expected: expected.to_string(),
        }))
    }

    fn xml_only(&self) -> MutexGuard<'_, HashSet<Endpoint>> {
        self.xml_only.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, method: &'static str, params: Vec<Value>, limit: Duration) -> Call {
        Call {
            method,
            params,
            limit,
            repeat: Repeat::Idempotent,
            object: None,
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, Outcome::NotSent, &self.pool, LOGIN)
    }
}

/// Whether this is how a pool answers what it cannot parse.
fn is_no_sense(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Http(500))
}

/// Takes the UUID of the pool: of a listing of its one record.
#[derive(Default)]
struct Identity(String);

impl Collect for Identity {
    fn cut(&self) -> Cut {
        Cut::Members
    }

    fn restart(&mut self) -> bool {
        self.0.clear();
        true
    }

    fn take(&mut self, _name: &str, part: Raw<'_>) -> Result<(), WireError> {
        self.0 = part.member("uuid")?.unwrap_or_default();
        Ok(())
    }
}
