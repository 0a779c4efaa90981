//! One pool of the fleet: its client, and what is known about it, read once and shared by all that need it.

mod clock;
mod counter;
pub(crate) mod fabric;
mod imagined;
mod ledger;
mod line;
mod loader;
mod section;
mod template;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use xenapi::{Endpoint, Host, Ref, Token, Uuid, Vm};

pub(crate) use self::clock::{later, whole_seconds};
pub(crate) use self::counter::{Answer, Around, Held, Request};
#[cfg(test)]
pub(crate) use self::fabric::CLASSES;
pub(crate) use self::fabric::{Fabric, HostView};
pub(crate) use self::imagined::{Imagination, Imagined, Part};
pub(crate) use self::ledger::{Ledger, Ours, Place, UnderWay};
pub(crate) use self::loader::{Loaded, marks_of, related};
pub(crate) use self::section::{Section, Whole, by_pool, pools, sections, serving};
pub(crate) use self::template::{Disks, Template};

use self::clock::PoolClock;
use self::counter::Counter;
use self::loader::{Loader, Reads};
use crate::config::{Duplicates, PoolSettings};
use crate::error::Error;
use crate::flight::{Flight, Flights};
use crate::inventory::{Inventory, Live};
use crate::reservation::Desk;

/// How long a logout of one pool may take.
pub(crate) const LOGOUT: Duration = Duration::from_millis(1500);
/// How old a fabric may be for resolving names and showing them.
const FABRIC: Duration = Duration::from_secs(60);
/// How old the answer to a look-up by name may be: names move.
const NAMES: Duration = Duration::from_secs(3);

/// What all pools of a fleet share.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// Which entry each pool was met by first.
    identities: Mutex<BTreeMap<Uuid, Weak<Member>>>,
    /// How many VMs were asked for.
    reads: Mutex<Reads>,
    /// Held while a place is chosen and entered.
    choosing: Mutex<()>,
}

/// An entry of the configuration, with a client of its own: a pool of the fleet, unless [another entry serves](section) its pool.
pub(crate) struct Member {
    pub(crate) settings: PoolSettings,
    pub(crate) ledger: Arc<Ledger>,
    /// Servers that a plan would make.
    pub(crate) imagined: Arc<Imagination>,
    pub(crate) tasks: TaskTracker,
    /// Where this process's servers ask for tickets.
    counter: Counter,
    desk: OnceLock<Arc<Desk>>,
    /// The picture that the pool's events keep.
    pub(crate) live: Live,
    /// What follows the events; ends with the session.
    pub(crate) followers: TaskTracker,
    client: Result<Arc<xenapi::Pool>, Error>,
    common: Arc<Common>,
    /// The member that serves this entry's pool, once that is known.
    served_by: OnceLock<Weak<Member>>,
    /// The entry's addresses in numbers.
    resolved: OnceCell<Vec<Endpoint>>,
    /// Since when it has not answered.
    silent: Mutex<Option<Instant>>,
    fabric: Flight<Arc<Fabric>>,
    templates: Flights<String, Arc<Template>>,
    disks: Flights<Ref<Vm>, Arc<Disks>>,
    clock: PoolClock,
    loader: Loader,
    token: Mutex<Option<Token>>,
    writes: AtomicU64,
    /// Set once the pool has refused to start a VM on a chosen host.
    chooses_no_host: AtomicBool,
}

impl Member {
    /// Makes one; contacts nothing.
    pub(crate) fn new(settings: PoolSettings, common: Arc<Common>, tasks: TaskTracker) -> Self {
        let client = xenapi::Pool::new(settings.connection.clone());
        let failed = |cause| Error::call("preparing the connection", crate::error::VmName::unknown(), cause);
        Self {
            settings,
            ledger: Arc::default(),
            imagined: Arc::default(),
            tasks,
            counter: Counter::default(),
            desk: OnceLock::new(),
            live: Live::default(),
            followers: TaskTracker::new(),
            client: client.map_err(failed),
            common,
            served_by: OnceLock::new(),
            resolved: OnceCell::new(),
            silent: Mutex::default(),
            fabric: Flight::default(),
            templates: Flights::default(),
            disks: Flights::default(),
            clock: PoolClock::default(),
            loader: Loader::default(),
            token: Mutex::new(None),
            writes: AtomicU64::new(0),
            chooses_no_host: AtomicBool::new(false),
        }
    }

    /// The pool's name, as configured.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// The client.
    pub(crate) fn client(&self) -> Result<&Arc<xenapi::Pool>, Error> {
        self.client.as_ref().map_err(Clone::clone)
    }

    /// What the pool consists of: as its events keep it, or read at first need.
    pub(crate) async fn fabric(self: &Arc<Self>) -> Result<Arc<Fabric>, Error> {
        match self.live.fabric() {
            Some(fabric) => Ok(fabric),
            None => self.fabric_within(FABRIC).await,
        }
    }

    /// What the pool consists of, at most so old.
    pub(crate) async fn fabric_within(self: &Arc<Self>, max_age: Duration) -> Result<Arc<Fabric>, Error> {
        let member = Arc::clone(self);
        let take = move || async move {
            let client = member.client()?;
            let fabric = Fabric::take(member.name(), client).await?;
            member.identify(fabric.uuid)?;
            client.pin_identity(fabric.uuid);
            member.saw(&fabric.token);
            Ok(Arc::new(fabric))
        };
        self.fabric.get(max_age, take).await
    }

    /// The host that a name or UUID means, where one is asked for.
    pub(crate) async fn host_for(
        self: &Arc<Self>,
        fabric: &Arc<Fabric>,
        wanted: Option<&str>,
    ) -> Result<Option<Ref<Host>>, Error> {
        match wanted {
            Some(wanted) => self.resolve(fabric, |fabric| fabric.find_host(wanted)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Resolves a name in the fabric; what is missing in an old one that nobody keeps is looked for in a new one.
    pub(crate) async fn resolve<T>(
        self: &Arc<Self>,
        fabric: &Arc<Fabric>,
        find: impl Fn(&Fabric) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match find(fabric) {
            Err(Error::Missing { .. }) if fabric.taken.elapsed() > NAMES && self.live.fabric().is_none() => {
                find(&*self.fabric_within(NAMES).await?)
            }
            found => found,
        }
    }

    /// The template that a name or UUID means.
    pub(crate) async fn template(self: &Arc<Self>, wanted: &str) -> Result<Arc<Template>, Error> {
        let member = Arc::clone(self);
        let name = wanted.to_owned();
        let find = move || async move {
            Template::find(member.name(), member.client()?, &name)
                .await
                .map(Arc::new)
        };
        self.templates.of(wanted.to_owned()).get(NAMES, find).await
    }

    /// Where a template's disks are.
    pub(crate) async fn disks(self: &Arc<Self>, template: &Ref<Vm>) -> Result<Arc<Disks>, Error> {
        let member = Arc::clone(self);
        let of = template.clone();
        let read = move || async move { Disks::read(member.client()?, &of).await.map(Arc::new) };
        self.disks.of(template.clone()).get(FABRIC, read).await
    }

    /// What the coordinator's clock shows.
    pub(crate) async fn now(self: &Arc<Self>) -> Result<Timestamp, Error> {
        let fabric = self.fabric().await?;
        self.clock.now(self.client()?, &fabric.coordinator).await
    }

    /// Reads a VM and what belongs to it, together with all others that are read at the same time.
    pub(crate) async fn load(self: &Arc<Self>, vm: Uuid) -> Result<Option<Arc<Loaded>>, Error> {
        self.loader.load(self, vm).await
    }

    /// Keeps other choices of this process away from the step in which a place is chosen and entered.
    pub(crate) fn choosing(&self) -> MutexGuard<'_, ()> {
        self.common.choosing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reads of the whole process.
    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.common.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this process has changed something: listings from before are not used again.
    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// How many changes this process has made.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// The newest event token seen: changes after it are news.
    pub(crate) fn token(&self) -> Option<Token> {
        let seen = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let followed = self.live.peek(|inventory| inventory.reached().clone());
        match (seen, followed) {
            (Some(seen), Some(followed)) if followed.is_after(&seen) => Some(followed),
            (seen, followed) => seen.or(followed),
        }
    }

    /// Notes an event token.
    pub(crate) fn saw(&self, token: &Token) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    }

    /// What this process has under way here.
    pub(crate) fn ours(&self, inventory: &Inventory) -> Ours {
        Ours {
            servers: self.ledger.under_way(inventory),
            tickets: self.counter.tickets(inventory.board()),
            imagined: Imagined::default(),
        }
    }

    /// The desk where this pool's tickets are taken.
    pub(crate) fn desk(&self, fabric: &Fabric) -> Result<Arc<Desk>, Error> {
        let client = self.client()?;
        let open = || Desk::new(Arc::clone(client), fabric.object.clone(), self.tasks.clone());
        Ok(Arc::clone(self.desk.get_or_init(open)))
    }

    /// Asks for the room of a server, against all other processes.
    pub(crate) async fn ask(self: &Arc<Self>, request: Request) -> Result<Answer, Error> {
        self.counter.ask(self, request).await
    }

    /// Says whether a VM may be started on a host of our choice, as far as is known.
    pub(crate) fn may_choose_host(&self) -> bool {
        !self.chooses_no_host.load(Ordering::Acquire)
    }

    /// Notes that the role does not allow it, and says so once.
    pub(crate) fn must_not_choose_host(&self) {
        if !self.chooses_no_host.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                pool = self.name(),
                "the user may not choose hosts (VM.start_on needs the role vm-power-admin): the pool chooses them: servers may be spread unevenly, and those of an INI section run on any host of its pool"
            );
        }
    }

    /// Notes which pool the entry has led to. Whether another may lead there too is a matter of its settings.
    fn identify(self: &Arc<Self>, uuid: Uuid) -> Result<(), Error> {
        let first = {
            let mut identities = self.common.identities.lock().unwrap_or_else(PoisonError::into_inner);
            let first = identities.entry(uuid).or_insert_with(|| Arc::downgrade(self));
            first.upgrade().unwrap_or_else(|| Arc::clone(self))
        };
        match self.settings.duplicates {
            Duplicates::OneHostEach => {
                self.is_served_by(&first);
                Ok(())
            }
            Duplicates::Error if Arc::ptr_eq(&first, self) => Ok(()),
            Duplicates::Error => Err(Error::SamePool {
                first: first.name().to_owned(),
                second: self.name().to_owned(),
                uuid,
            }),
        }
    }
}
