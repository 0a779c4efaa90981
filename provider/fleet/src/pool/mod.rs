//! One pool of the fleet: its client, and what is known about it, read once and shared by all that need it.

mod clock;
mod duplicates;
pub(crate) mod inventory;
mod ledger;
mod loader;
mod template;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::task::TaskTracker;
use xenapi::{Ref, Sr, Token, Uuid, Vm};

pub(crate) use self::clock::{later, whole_seconds};
pub(crate) use self::duplicates::serving;
pub(crate) use self::inventory::Inventory;
pub(crate) use self::ledger::{Entry, Ledger, Place};
pub(crate) use self::loader::{Loaded, marks_of, related};
pub(crate) use self::template::{Disks, Template};

use self::clock::PoolClock;
use self::loader::Loader;
use crate::capacity::Sample;
use crate::config::{Duplicates, PoolSettings};
use crate::error::Error;
use crate::flight::{Flight, Flights};

/// How old an inventory may be for resolving names and showing them.
const INVENTORY: Duration = Duration::from_secs(60);
/// How old the answer to a look-up by name may be: names move.
const NAMES: Duration = Duration::from_secs(3);

/// Which pool was met under which entry's name.
pub(crate) type Identities = Mutex<BTreeMap<Uuid, String>>;

/// A pool of the fleet.
pub(crate) struct Member {
    pub(crate) settings: PoolSettings,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tasks: TaskTracker,
    pub(crate) samples: Flight<Arc<Sample>>,
    client: Result<Arc<xenapi::Pool>, Error>,
    identities: Arc<Identities>,
    merged: Once,
    inventory: Flight<Arc<Inventory>>,
    templates: Flights<String, Arc<Template>>,
    disks: Flights<Ref<Vm>, Arc<Disks>>,
    /// The SRs that clones of a template have turned out to be on.
    srs: Mutex<HashMap<Ref<Vm>, BTreeSet<Ref<Sr>>>>,
    clock: PoolClock,
    loader: Loader,
    token: Mutex<Option<Token>>,
    writes: AtomicU64,
}

impl Member {
    /// Makes one; contacts nothing.
    pub(crate) fn new(settings: PoolSettings, identities: Arc<Identities>, tasks: TaskTracker) -> Self {
        let client = xenapi::Pool::new(settings.connection.clone());
        let failed = |cause| Error::call("preparing the connection", crate::error::VmName::unknown(), cause);
        Self {
            settings,
            ledger: Arc::default(),
            tasks,
            samples: Flight::default(),
            client: client.map_err(failed),
            identities,
            merged: Once::new(),
            inventory: Flight::default(),
            templates: Flights::default(),
            disks: Flights::default(),
            srs: Mutex::default(),
            clock: PoolClock::default(),
            loader: Loader::default(),
            token: Mutex::new(None),
            writes: AtomicU64::new(0),
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

    /// What the pool consists of; read at first need.
    pub(crate) async fn inventory(self: &Arc<Self>) -> Result<Arc<Inventory>, Error> {
        self.inventory_within(INVENTORY).await
    }

    /// What the pool consists of, at most so old.
    pub(crate) async fn inventory_within(self: &Arc<Self>, max_age: Duration) -> Result<Arc<Inventory>, Error> {
        let member = Arc::clone(self);
        let take = move || async move {
            let client = member.client()?;
            let inventory = Inventory::take(member.name(), client).await?;
            member.identify(inventory.uuid)?;
            client.pin_identity(inventory.uuid);
            member.saw(&inventory.token);
            Ok(Arc::new(inventory))
        };
        self.inventory.get(max_age, take).await
    }

    /// Resolves a name in the inventory; what is missing in an old one is looked for in a new one.
    pub(crate) async fn resolve<T>(
        self: &Arc<Self>,
        inventory: &Arc<Inventory>,
        find: impl Fn(&Inventory) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match find(inventory) {
            Err(Error::Missing { .. }) if inventory.taken.elapsed() > NAMES => {
                find(&*self.inventory_within(NAMES).await?)
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
        self.disks.of(template.clone()).get(INVENTORY, read).await
    }

    /// The SRs that clones of a template are on, if one has been seen.
    pub(crate) fn srs_of(&self, template: &Ref<Vm>) -> Option<BTreeSet<Ref<Sr>>> {
        self.srs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(template)
            .cloned()
    }

    /// Notes where a clone of a template is: the next ones will be there too.
    pub(crate) fn learn_srs(&self, template: &Ref<Vm>, srs: BTreeSet<Ref<Sr>>) {
        self.srs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(template.clone(), srs);
    }

    /// What the coordinator's clock shows.
    pub(crate) async fn now(self: &Arc<Self>) -> Result<Timestamp, Error> {
        let inventory = self.inventory().await?;
        self.clock.now(self.client()?, &inventory.coordinator).await
    }

    /// Reads a VM and what belongs to it, together with all others that are read at the same time.
    pub(crate) async fn load(self: &Arc<Self>, vm: Uuid) -> Result<Option<Arc<Loaded>>, Error> {
        self.loader.load(self, vm).await
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
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an event token.
    pub(crate) fn saw(&self, token: &Token) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    }

    /// Says, once, that this entry gives way to an earlier one.
    fn say_merged(&self, serving: &str) {
        self.merged.call_once(|| {
            tracing::warn!(
                pool = self.name(),
                serving,
                "both entries are members of one pool: the first serves for both, and may start servers on any host of the pool"
            );
        });
    }

    /// Checks that no other entry has led to the same pool, unless entries may.
    fn identify(&self, uuid: Uuid) -> Result<(), Error> {
        match self.settings.duplicates {
            Duplicates::Error => {}
            Duplicates::GiveWay => return Ok(()),
        }
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let first = identities.entry(uuid).or_insert_with(|| self.name().to_owned());
        if first == self.name() {
            return Ok(());
        }
        Err(Error::SamePool {
            first: first.clone(),
            second: self.name().to_owned(),
            uuid,
        })
    }
}
