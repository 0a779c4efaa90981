//! A pool, as its users see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::Objects;
use crate::counters::Counters;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{Delta, EventClass, Interest, Snapshot, Token, Watcher};
use crate::fifo::Fifo;
use crate::login::{Credentials, Login};
use crate::record::{
    Class, GuestMetrics, Host, HostMetrics, Network, Pbd, Pif, PoolObject, Sr, Task, Vbd, Vdi, Vif, Vm, VmMetrics,
};
use crate::reference::Ref;
use crate::retry::Caller;
use crate::secret::Secret;
use crate::session::Sessions;
use crate::tls::TlsTrust;
use crate::transport::{Call, Repeat, Transport};
use crate::uuid::Uuid;
use crate::wire::{FromWire, Value, WireChoice};

/// What is needed to talk to a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Name in the configuration, for messages.
    pub name: String,
    /// Addresses of members, tried in turn.
    pub urls: Vec<Endpoint>,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// Which certificates are trusted.
    pub tls: TlsTrust,
    /// Which protocol is spoken.
    pub wire: WireChoice,
    /// Name of this program and version, such as `dynvm-provider/0.1.0`: sessions are counted by it.
    pub originator: String,
    /// Time limits.
    pub limits: Limits,
}

/// Time limits of calls that name none themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For calls that only touch the pool's database.
    pub quick: Duration,
    /// For one login; a wrong password alone takes 5 s.
    pub login: Duration,
    /// For making a connection.
    pub connect: Duration,
    /// How long to wait after the pool said that it has too much to do.
    pub throttle: Duration,
    /// How long calls to a pool that answered before are repeated while it cannot be reached.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quick: Duration::from_secs(30),
            login: Duration::from_secs(20),
            connect: Duration::from_secs(5),
            throttle: Duration::from_secs(5),
            patience: Duration::from_secs(60),
        }
    }
}

/// A client of one pool: one session, one long poll, one queue per storage repository.
///
/// Every future may be dropped at any time: the session and the other callers are not disturbed. What a dropped call has sent may
/// still take effect.
pub struct Pool {
    name: String,
    originator: String,
    limits: Limits,
    caller: Arc<Caller>,
    counters: Arc<Counters>,
    watcher: Watcher,
    sr_queue: Fifo<Ref<Sr>>,
}

impl Pool {
    /// Makes a client; contacts nothing.
    ///
    /// # Errors
    /// The TLS setting cannot be used, or there is no address.
    pub fn new(config: PoolConfig) -> Result<Arc<Self>, Error> {
        let PoolConfig {
            name,
            urls,
            username,
            password,
            tls,
            wire,
            originator,
            limits,
        } = config;
        if urls.is_empty() {
            let kind = ErrorKind::Config("the pool has no address".to_owned());
            return Err(Error::new(kind, Outcome::NotSent, &name, "configure"));
        }
        let counters = Arc::new(Counters::default());
        let transport = Arc::new(Transport::new(
            &name,
            &originator,
            &tls,
            limits.connect,
            Arc::clone(&counters),
        )?);
        let credentials = Credentials {
            username,
            password,
            originator: originator.clone(),
        };
        let login = Login::new(&name, credentials, limits.login, wire, Arc::clone(&transport));
        let sessions = Arc::new(Sessions::new(&name, login, urls));
        let caller = Arc::new(Caller::new(
            &name,
            transport,
            sessions,
            limits.throttle,
            limits.patience,
        ));
        Ok(Arc::new(Self {
            watcher: Watcher::new(&name, Arc::clone(&caller)),
            name,
            originator,
            limits,
            caller,
            counters,
            sr_queue: Fifo::new(),
        }))
    }

    /// Gives the name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the name under which sessions are made.
    pub fn originator(&self) -> &str {
        &self.originator
    }

    /// Gives the address of the coordinator while there is a session.
    pub fn session_endpoint(&self) -> Option<Endpoint> {
        self.caller.sessions().endpoint()
    }

    /// Logs in, unless there is a session.
    ///
    /// # Errors
    /// The login failed.
    pub async fn connect(&self) -> Result<(), Error> {
        self.caller.sessions().get().await.map(drop)
    }

    /// Demands that every later login finds the pool with this UUID; another one behind the address is
    /// [`ErrorKind::OtherPool`].
    pub fn pin_identity(&self, uuid: Uuid) {
        self.caller.sessions().pin(uuid);
    }

    /// Counts of requests.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The events of this pool.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The queues of operations that exclude each other on a storage repository.
    pub fn sr_queue(&self) -> &Fifo<Ref<Sr>> {
        &self.sr_queue
    }

    /// Reads all objects of some classes in one request; meant for classes with few objects. The token lets
    /// [`Pool::changes_since`] and the watcher go on from here.
    ///
    /// # Errors
    /// The call failed, or a record cannot be decoded.
    pub async fn snapshot(&self, classes: &[EventClass]) -> Result<Snapshot, Error> {
        let delta = self.watcher.read(classes).await?;
        let snapshot = Snapshot::new(delta);
        if classes.contains(&EventClass::Host) {
            let addresses: Vec<String> = snapshot
                .of::<Host>()
                .map(|(_, host)| host.address.clone())
                .filter(|address| !address.is_empty())
                .collect();
            self.caller.sessions().learn(&addresses);
        }
        self.watcher.prime(&snapshot.token);
        Ok(snapshot)
    }

    /// Reads what changed in some classes since a token, without waiting. At most one change per object, the latest.
    ///
    /// # Errors
    /// The call failed; [`ErrorKind::StaleToken`] if the session has changed since, so that changes may be missing.
    pub async fn changes_since(&self, classes: &[EventClass], token: &Token) -> Result<Delta, Error> {
        self.changes_of(&Interest::classes(classes), token).await
    }

    /// The same of what somebody is interested in: of a class with many objects that change all the time, only the few that matter are told.
    ///
    /// # Errors
    /// As of [`Pool::changes_since`].
    pub async fn changes_of(&self, interest: &Interest, token: &Token) -> Result<Delta, Error> {
        self.watcher.read_since(interest, token).await
    }

    /// Touches the pool's own record, and gives a point that every event of before lies at or before: who has heard of changes beyond it
    /// has heard of all that was written before this call.
    ///
    /// # Errors
    /// The call failed.
    pub async fn inject(&self, pool: &Ref<PoolObject>) -> Result<Token, Error> {
        self.watcher.inject(pool, self.limits.quick).await
    }

    /// Ends the session for good, waiting at most `limit`. Later calls fail with [`ErrorKind::Closed`].
    pub async fn logout(&self, limit: Duration) {
        self.caller.sessions().close(limit).await;
    }

    /// Calls on VMs.
    pub fn vm(&self) -> Objects<'_, Vm> {
        self.objects()
    }

    /// Calls on VM metrics.
    pub fn vm_metrics(&self) -> Objects<'_, VmMetrics> {
        self.objects()
    }

    /// Calls on what guests report.
    pub fn guest_metrics(&self) -> Objects<'_, GuestMetrics> {
        self.objects()
    }

    /// Calls on virtual block devices.
    pub fn vbd(&self) -> Objects<'_, Vbd> {
        self.objects()
    }

    /// Calls on virtual network interfaces.
    pub fn vif(&self) -> Objects<'_, Vif> {
        self.objects()
    }

    /// Calls on disk images.
    pub fn vdi(&self) -> Objects<'_, Vdi> {
        self.objects()
    }

    /// Calls on storage repositories.
    pub fn sr(&self) -> Objects<'_, Sr> {
        self.objects()
    }

    /// Calls on connections of hosts to storage repositories.
    pub fn pbd(&self) -> Objects<'_, Pbd> {
        self.objects()
    }

    /// Calls on hosts.
    pub fn host(&self) -> Objects<'_, Host> {
        self.objects()
    }

    /// Calls on host metrics.
    pub fn host_metrics(&self) -> Objects<'_, HostMetrics> {
        self.objects()
    }

    /// Calls on the pool's own record.
    pub fn pool(&self) -> Objects<'_, PoolObject> {
        self.objects()
    }

    /// Calls on networks.
    pub fn network(&self) -> Objects<'_, Network> {
        self.objects()
    }

    /// Calls on physical interfaces.
    pub fn pif(&self) -> Objects<'_, Pif> {
        self.objects()
    }

    /// Calls on tasks.
    pub fn task(&self) -> Objects<'_, Task> {
        self.objects()
    }

    fn objects<C: Class>(&self) -> Objects<'_, C> {
        Objects::new(self)
    }

    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub(crate) fn quick(&self) -> Duration {
        self.limits.quick
    }

    /// Makes a call whose answer is one value.
    pub(crate) async fn value<T: FromWire + Send>(
        &self,
        method: &'static str,
        object: Option<&str>,
        params: Vec<Value>,
        limit: Duration,
        repeat: Repeat,
    ) -> Result<T, Error> {
        let call = Call {
            method,
            params,
            limit,
            repeat,
            object: object.map(str::to_owned),
        };
        self.caller.value(call).await
    }

    /// An answer of another type than the call has.
    pub(crate) fn malformed(&self, method: &'static str, object: Option<&str>, text: impl fmt::Display) -> Error {
        let kind = ErrorKind::Malformed(text.to_string());
        Error::new(kind, Outcome::MaybeSent, &self.name, method).with_object(object.map(str::to_owned))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}
