//! The fleet: all pools of one configuration, and what can be asked of them.
//!
//! What changes a pool runs in a task of its own, which outlives the call that asked for it: a caller that goes away leaves
//! no step half done.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use xenapi::{Host, Ref, Uuid};

use crate::capacity::{self, Capacity};
use crate::choices::Choices;
use crate::config::FleetConfig;
use crate::error::Error;
use crate::lifecycle::{self, CreateFailure, DeleteReport, Knock, Origin, Progress, Tcp, UpdateFailure, Updated};
use crate::list;
use crate::placement::{self, Outlook};
use crate::pool::{LOGOUT, Member, Whole, by_pool, pools, sections, serving};
use crate::reservation::{self, ChangeFailure, Reservation, ReservationChanges, ReservationKey, ReservationSpec};
use crate::server::Server;
use crate::spec::{
    CapacityQuery, Changes, Image, ListFilter, Reshape, ServerKey, ServerQuery, ServerSpec, Wish, Within,
};
use crate::view;

/// How long whoever cancels work waits for it to come to its next safe point, and so to its end.
const SAFE_POINT: Duration = Duration::from_millis(500);

/// All pools of one configuration.
pub struct Fleet {
    members: Vec<Arc<Member>>,
    origin: Origin,
    knock: Arc<dyn Knock>,
    default_ttl: Duration,
    max_ttl: Duration,
    tasks: TaskTracker,
}

impl Fleet {
    /// Makes one; contacts nothing.
    pub fn new(config: FleetConfig) -> Arc<Self> {
        Self::with_knock(config, Arc::new(Tcp))
    }

    /// Makes one that tries the ports of new servers in another way.
    pub fn with_knock(config: FleetConfig, knock: Arc<dyn Knock>) -> Arc<Self> {
        let common = Arc::default();
        let tasks = TaskTracker::new();
        let member = |settings| Arc::new(Member::new(settings, Arc::clone(&common), tasks.clone()));
        Arc::new(Self {
            members: config.pools.into_iter().map(member).collect(),
            origin: Origin {
                owner: config.owner,
                version: config.version,
            },
            knock,
            default_ttl: config.default_ttl,
            max_ttl: config.max_ttl,
            tasks,
        })
    }

    /// The ttl of a server that asks for none.
    pub fn default_ttl(&self) -> Duration {
        self.default_ttl
    }

    /// The names of the pools.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name())
    }

    /// Logs out of all pools in parallel. The fleet cannot be used any more.
    pub async fn logout(&self) {
        let logouts = self
            .members
            .iter()
            .filter_map(|member| member.client().ok())
            .map(|client| client.logout(LOGOUT));
        join_all(logouts).await;
    }

    /// Waits for what is under way to end.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Makes a server. `progress` is told of it as soon as it is there, again after each larger step, and when an attempt is
    /// undone.
    ///
    /// # Errors
    /// The failure says what went wrong, and names the server if it exists still: it is to be kept, tainted.
    pub async fn create(
        self: &Arc<Self>,
        spec: ServerSpec,
        cancel: CancellationToken,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Server, CreateFailure> {
        self.check_ttl(spec.ttl)
            .map_err(|error| CreateFailure { error, left: None })?;
        let (steps, mut seen) = mpsc::unbounded_channel();
        let fleet = Arc::clone(self);
        let made = self.run(async move {
            let spec = Arc::new(spec);
            let (origin, knock) = (fleet.origin.clone(), Arc::clone(&fleet.knock));
            let plan = lifecycle::plan(&fleet.members, spec, origin, knock, cancel).await;
            let plan = plan.map_err(|error| CreateFailure { error, left: None })?;
            lifecycle::create(plan, &steps).await
        });
        let watch = async {
            while let Some(step) = seen.recv().await {
                progress(&step);
            }
        };
        let (made, ()) = tokio::join!(made, watch);
        made.unwrap_or(Err(CreateFailure {
            error: Error::Cancelled { left: None },
            left: None,
        }))
    }

    /// Reads a server; never waits for anything about it. `None` only when the very pool it was made in says that it is gone.
    ///
    /// # Errors
    /// When the pool is not configured, cannot be reached, or is another one.
    pub async fn read(&self, key: &ServerKey) -> Result<Option<Server>, Error> {
        let member = self.serving(&key.pool).await?;
        let (fabric, loaded) = lifecycle::load(&member, key).await?;
        Ok(loaded.map(|loaded| view::server(&fabric, &loaded)))
    }

    /// Changes a server in place.
    ///
    /// # Errors
    /// The failure says what went wrong, and how the server is now, if that could be read.
    pub async fn update(
        self: &Arc<Self>,
        key: &ServerKey,
        changes: Changes,
        limit: Duration,
        cancel: CancellationToken,
    ) -> Result<Updated, UpdateFailure> {
        let failed = |error| UpdateFailure {
            error,
            server: None,
            is_lease_changed: false,
            renewed: None,
        };
        if let Some(ttl) = changes.ttl {
            self.check_ttl(ttl).map_err(failed)?;
        }
        let settled = async {
            let member = self.serving(&key.pool).await?;
            match &changes.reshape {
                Some(_) => Ok((member, self.home(&key.pool).await?)),
                None => Ok((member, None)),
            }
        };
        let (member, home) = unless_cancelled(&cancel, settled).await.map_err(failed)?;
        let (origin, default_ttl, key) = (self.origin.clone(), self.default_ttl, key.clone());
        let asked = lifecycle::Asked {
            changes,
            origin,
            default_ttl,
            home,
        };
        let updated = self.run(async move { lifecycle::update(&member, &key, &asked, limit, cancel).await });
        updated.await.unwrap_or(Err(failed(Error::Cancelled { left: None })))
    }

    /// Says what can never be of a change of size or host, before anything is done.
    ///
    /// # Errors
    /// When the server cannot have the size, no host has it, or the host does not reach what the server needs; when the pool cannot be asked.
    pub async fn may_reshape(&self, key: &ServerKey, wanted: &Reshape) -> Result<(), Error> {
        let member = self.serving(&key.pool).await?;
        let home = self.home(&key.pool).await?;
        lifecycle::possible(&member, key, wanted, home.as_ref()).await
    }

    /// Removes a server with its own disks.
    ///
    /// # Errors
    /// When the VM is not the server, or something could not be removed; what is left is marked still.
    pub async fn delete(
        self: &Arc<Self>,
        key: &ServerKey,
        timeout: Duration,
        cancel: CancellationToken,
    ) -> Result<DeleteReport, Error> {
        let member = unless_cancelled(&cancel, self.serving(&key.pool)).await?;
        let key = key.clone();
        let deleted = self.run(async move { lifecycle::delete(&member, &key, timeout, cancel).await });
        deleted.await.unwrap_or(Err(Error::Cancelled { left: None }))
    }

    /// Finds the one server that a query means.
    ///
    /// # Errors
    /// None and several are two different errors, the latter listing them.
    pub async fn find(&self, query: &ServerQuery) -> Result<Server, Error> {
        let pool = match query {
            ServerQuery::Id { pool, .. } | ServerQuery::Name { pool, .. } => pool.as_deref(),
        };
        list::find(&self.pools_named(pool).await?, query).await
    }

    /// Finds a VM that can become a server, in one pool or in any. Nothing is changed.
    ///
    /// # Errors
    /// When there is none, or it is a template, a snapshot or a control domain; when a pool that may have it cannot be read.
    pub async fn adoptable(&self, within: Within<'_>, vm: Uuid) -> Result<Server, Error> {
        let entry = match within {
            Within::Entry(name) => Some(name),
            Within::AnyPool | Within::Pool(_) => None,
        };
        list::adoptable(&self.pools_named(entry).await?, within, vm).await
    }

    /// Lists servers, sorted by pool, name and UUID.
    ///
    /// # Errors
    /// When a pool cannot be read: a list that lacks a pool would be taken for the whole.
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<Server>, Error> {
        list::list(&self.pools_named(filter.pool.as_deref()).await?, filter).await
    }

    /// Says whether a server that is planned will find room, beside all that this process has imagined so far.
    pub async fn foresee(&self, wish: &Wish) -> Outlook {
        placement::foresee(&self.members, wish).await
    }

    /// Says how many servers of a kind fit now, by pool, sorted by name.
    ///
    /// # Errors
    /// When a pool cannot be read, or no pool has a template for the os.
    pub async fn capacity(&self, query: &CapacityQuery) -> Result<Capacity, Error> {
        let mut members = members_named(&self.members, query.pool.as_deref())?;
        members.retain(|member| query.labels.allows(&member.settings.labels));
        if let Image::Os(os) = &query.image
            && !members.iter().any(|member| member.settings.templates.contains_key(os))
        {
            let aliases = members
                .iter()
                .flat_map(|member| member.settings.templates.keys().cloned());
            return Err(Error::UnknownOs {
                os: os.clone(),
                there: Choices::new(os, aliases),
            });
        }
        let asked = by_pool(sections(&self.members, &members).await);
        let asked = asked.iter().map(|pool| capacity::of_pool(pool, query));
        let mut pools = join_all(asked).await.into_iter().collect::<Result<Vec<_>, Error>>()?;
        pools.sort_by(|a, b| a.pool.cmp(&b.pool));
        let available = pools.iter().fold(0_u32, |sum, pool| sum.saturating_add(pool.available));
        Ok(Capacity { available, pools })
    }

    /// Reserves room: all or none, over all pools. Waits for its turn at most as long as the wish says.
    ///
    /// # Errors
    /// There is no room, or a pool could not be asked. What was taken before is given back, or ends with its time.
    pub async fn reserve(
        self: &Arc<Self>,
        spec: ReservationSpec,
        cancel: CancellationToken,
    ) -> Result<Reservation, Error> {
        self.check_ttl(spec.ttl)?;
        let (fleet, owner, stop) = (Arc::clone(self), self.origin.by(), cancel.clone());
        let (answer, mut told) = oneshot::channel();
        let asked = async move { reservation::reserve(&fleet.members, &spec, &owner, &stop, answer).await };
        ends_soon(&cancel, self.run(asked)).await;
        // What is not told from here on is given back.
        told.close();
        told.try_recv().unwrap_or(Err(Error::Cancelled { left: None }))
    }

    /// Looks at a reservation; never waits. `None` if its pools hold nothing of it: it was released, or its time is over.
    ///
    /// # Errors
    /// When a pool cannot be read, or is another one than it was.
    pub async fn reservation(&self, key: &ReservationKey) -> Result<Option<Reservation>, Error> {
        self.check_pools(key)?;
        reservation::look(&self.members, key).await
    }

    /// Changes a reservation, all or none. `each` is what one of its servers asks of the pools.
    ///
    /// # Errors
    /// There is no room, or a pool could not be asked. Then it is as it was, or the failure says what is held.
    pub async fn change_reservation(
        self: &Arc<Self>,
        key: &ReservationKey,
        each: Wish,
        changes: ReservationChanges,
        cancel: CancellationToken,
    ) -> Result<Reservation, ChangeFailure> {
        self.check_pools(key)?;
        if let Some(ttl) = changes.ttl {
            self.check_ttl(ttl)?;
        }
        let (fleet, key, stop) = (Arc::clone(self), key.clone(), cancel.clone());
        let changed = async move { reservation::change(&fleet.members, &key, &each, changes, &stop).await };
        let changed = ends_soon(&cancel, self.run(changed)).await;
        changed.unwrap_or(Err(Error::Cancelled { left: None }.into()))
    }

    /// Releases a reservation. What is released or over is no error.
    ///
    /// # Errors
    /// When a pool cannot be asked; what it holds ends with its time.
    pub async fn release(self: &Arc<Self>, key: &ReservationKey) -> Result<(), Error> {
        self.check_pools(key)?;
        let (fleet, key) = (Arc::clone(self), key.clone());
        let released = self.run(async move { reservation::release(&fleet.members, &key).await });
        released.await.unwrap_or(Err(Error::Cancelled { left: None }))
    }

    /// Checks that all pools of a reservation are configured.
    fn check_pools(&self, key: &ReservationKey) -> Result<(), Error> {
        key.pools.keys().try_for_each(|pool| self.member(pool).map(|_| ()))
    }

    /// The UUID of the template that a name or UUID means in a pool.
    ///
    /// # Errors
    /// None and several are two different errors, both listing what there is.
    pub async fn resolve_template(&self, pool: &str, template: &str) -> Result<Uuid, Error> {
        let member = self.serving(pool).await?;
        member.fabric().await?;
        Ok(member.template(template).await?.uuid())
    }

    /// What the clock of a pool's coordinator shows: the one that leases are measured by.
    ///
    /// # Errors
    /// When the pool cannot be read.
    pub async fn clock(&self, pool: &str) -> Result<jiff::Timestamp, Error> {
        self.serving(pool).await?.now().await
    }

    /// Says whether this process has read a pool. One that it has not may be out of reach.
    pub fn has_met(&self, pool: &str) -> bool {
        let has_met = |member: Arc<Member>| member.token().is_some();
        self.member(pool)
            .is_ok_and(|entry| has_met(entry.served_by().unwrap_or_else(|| Arc::clone(entry))))
    }

    /// Says from where to where a server's disks would be copied in full, if they would not stay where the template's are.
    ///
    /// # Errors
    /// When a name means nothing, or a pool cannot be read.
    pub async fn full_copy(
        &self,
        image: &Image,
        pool: Option<&str>,
        storage: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let sections = sections(&self.members, &members_named(&self.members, pool)?).await;
        lifecycle::full_copy(&sections, image, storage).await
    }

    /// The pool of that name with all its sections, or all pools.
    async fn pools_named(&self, name: Option<&str>) -> Result<Vec<Whole>, Error> {
        Ok(pools(&self.members, &members_named(&self.members, name)?).await)
    }

    /// The member that serves the pool of an entry.
    async fn serving(&self, name: &str) -> Result<Arc<Member>, Error> {
        serving(&self.members, self.member(name)?).await
    }

    /// The only host that servers of an entry are put on; none where it is the whole pool.
    async fn home(&self, name: &str) -> Result<Option<Ref<Host>>, Error> {
        let entry = Arc::clone(self.member(name)?);
        let section = sections(&self.members, &[entry]).await.into_iter().next();
        match section {
            Some(section) => Ok(section.host()?.cloned()),
            None => Ok(None),
        }
    }

    fn member(&self, name: &str) -> Result<&Arc<Member>, Error> {
        self.members
            .iter()
            .find(|member| member.name() == name)
            .ok_or_else(|| unknown_pool(&self.members, name))
    }

    fn check_ttl(&self, ttl: Duration) -> Result<(), Error> {
        if ttl > self.max_ttl {
            Err(Error::TtlTooLong { ttl, max: self.max_ttl })
        } else {
            Ok(())
        }
    }

    /// Runs work in a task of its own; `None` if the runtime ended it. Its panic is the caller's.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        match self.tasks.spawn(work).await {
            Ok(done) => Some(done),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }
}

/// The pool of that name, or all.
pub(crate) fn members_named(members: &[Arc<Member>], pool: Option<&str>) -> Result<Vec<Arc<Member>>, Error> {
    let Some(name) = pool else {
        return if members.is_empty() {
            Err(Error::NoPools)
        } else {
            Ok(members.to_vec())
        };
    };
    let found = members.iter().find(|member| member.name() == name);
    found
        .map(|member| vec![Arc::clone(member)])
        .ok_or_else(|| unknown_pool(members, name))
}

/// Waits for work. Once that is cancelled, it waits only as long as the work may take to its next safe point; `None` if it goes on still.
async fn ends_soon<T>(cancel: &CancellationToken, work: impl Future<Output = Option<T>>) -> Option<T> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        () = cancel.cancelled() => tokio::time::timeout(SAFE_POINT, work).await.ok().flatten(),
    }
}

/// Settles something before the operation itself begins, as long as nobody ends that.
async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    settled: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled { left: None }),
        settled = settled => settled,
    }
}

fn unknown_pool(members: &[Arc<Member>], wanted: &str) -> Error {
    let there = Choices::new(wanted, members.iter().map(|member| member.name().to_owned()));
    Error::UnknownPool {
        wanted: wanted.to_owned(),
        there,
    }
}
