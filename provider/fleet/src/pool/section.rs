//! The entries of a configuration, and the pools behind them.
//!
//! ```text
//!   HCL   lab1 -------------------------------------------------> a pool            another entry for it is a mistake
//!   INI   xenhost1 --+
//!         xenhost2 --+--> members of one pool ---> the member that serves: its session, picture, ledger and tickets are the pool's
//!         xenhost3 -----> the only one of its pool -------------> the pool as a whole
//! ```
//! A [`Member`] is an entry with a client of its own. A [`Section`] is a way to place servers: the name and settings of an entry, the
//! member that serves its pool, and, where the pool has several entries, the host that this one means. So room is counted once however
//! many sections a pool has, and yet each has a host, a storage repository, templates, labels and ceilings of its own.
//!
//! Which member serves nobody sees: it is the first that was met, and the others log out. Names in states, lists and messages are those
//! of sections. A server keeps the name by which it was made, which its spec tells; another VM gets that of the section on whose host it
//! is, else that of the pool's first.
//!
//! An entry means the host with its address: as written, as the name resolves, or by the host's own name. A member whose host is down
//! cannot be asked what pool it is in; then the others know it by its address.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use xenapi::{Endpoint, Host, Network, Ref, Sr};

use super::{Fabric, LOGOUT, Loaded, Member, Template};
use crate::config::{Duplicates, NetworkChoice, PoolSettings};
use crate::error::{Error, Subject};

/// How long an entry that did not answer is left alone by those who ask for another.
const SILENT: Duration = Duration::from_secs(60);

/// A way to place servers.
#[derive(Clone)]
pub(crate) struct Section {
    entry: Arc<Member>,
    /// The member that serves the pool.
    pub(crate) member: Arc<Member>,
    /// The only host that it is about; none for the whole pool; an error if that cannot be told.
    host: Result<Option<Ref<Host>>, Error>,
}

/// A pool with its sections.
pub(crate) struct Whole {
    /// The member that serves it.
    pub(crate) member: Arc<Member>,
    /// At least one, in the order of the configuration.
    pub(crate) sections: Vec<Section>,
}

impl Section {
    /// The name of the entry.
    pub(crate) fn name(&self) -> &str {
        self.entry.name()
    }

    /// The settings of the entry.
    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.entry.settings
    }

    /// The only host that it is about; none for the whole pool.
    pub(crate) fn host(&self) -> Result<Option<&Ref<Host>>, Error> {
        self.host.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// What the pool consists of, called by this section's name.
    pub(crate) async fn fabric(&self) -> Result<Arc<Fabric>, Error> {
        Ok(self.member.fabric().await?.named(self.name()))
    }

    /// The template that a name or UUID means.
    pub(crate) async fn template(&self, wanted: &str) -> Result<Arc<Template>, Error> {
        let found = self.member.template(wanted).await;
        found.map_err(|error| error.in_pool(self.name()))
    }

    /// The SR of a server's disks: the one asked for, else the section's; without either the template's.
    pub(crate) async fn storage_for(
        &self,
        fabric: &Arc<Fabric>,
        asked: Option<&str>,
    ) -> Result<Option<Ref<Sr>>, Error> {
        let Some(wanted) = asked.or(self.settings().storage.as_deref()) else {
            return Ok(None);
        };
        let on = self.host()?;
        let found = self.member.resolve(fabric, |fabric| fabric.find_sr(wanted, on)).await;
        found.map(Some).map_err(|error| error.in_pool(self.name()))
    }

    /// The network of a server's primary NIC: the one asked for, else the section's for the os, else the section's, else that of the
    /// lowest physical PIF.
    pub(crate) async fn network_for(
        &self,
        fabric: &Arc<Fabric>,
        asked: Option<&str>,
        os: Option<&str>,
    ) -> Result<Option<Ref<Network>>, Error> {
        let asked = asked.map(|name| NetworkChoice::Named(name.to_owned()));
        let by_os = os.and_then(|os| self.settings().networks.get(os));
        let on = self.host()?;
        match asked.as_ref().or(by_os).or(self.settings().network.as_ref()) {
            Some(choice) => {
                let found = self.member.resolve(fabric, |fabric| fabric.choose_network(choice, on));
                found.await.map(Some).map_err(|error| error.in_pool(self.name()))
            }
            None => Ok(fabric.default_network(on)),
        }
    }
}

impl Whole {
    /// The name that the pool is called by as a whole: that of its first section.
    pub(crate) fn name(&self) -> &str {
        self.sections.first().map_or(self.member.name(), Section::name)
    }

    /// The name of the section that a VM is called by: the one that made it, else the one on whose host it is, else the pool's.
    pub(crate) fn name_of(&self, loaded: &Loaded) -> &str {
        let marks = loaded.marks();
        let made_by = marks.spec().filter(|_| marks.is_managed());
        let made_by = made_by.and_then(|spec| spec.section.as_deref());
        let host = loaded.vm.resident_on.non_null();
        let named = |section: &&Section| made_by == Some(section.name());
        let on = |section: &&Section| host.is_some() && matches!(section.host(), Ok(only) if only == host);
        let section = self.sections.iter().find(named).or(self.sections.iter().find(on));
        section.map_or(self.name(), Section::name)
    }
}

/// The sections of the entries that were asked for. One that cannot be looked at stays: whoever asks it is told why.
pub(crate) async fn sections(all: &[Arc<Member>], asked: &[Arc<Member>]) -> Vec<Section> {
    if asked.iter().any(|entry| entry.names_a_host()) {
        meet(all).await;
    }
    join_all(asked.iter().map(|entry| section(all, entry))).await
}

/// The pools of the entries that were asked for, each once, with all sections that it has.
pub(crate) async fn pools(all: &[Arc<Member>], asked: &[Arc<Member>]) -> Vec<Whole> {
    let is_asked = |entry: &Arc<Member>| asked.iter().any(|other| Arc::ptr_eq(entry, other));
    let with_hosts = asked.iter().any(|entry| entry.names_a_host());
    let entries = all
        .iter()
        .filter(|entry| is_asked(entry) || with_hosts && entry.names_a_host());
    let sections = sections(all, &entries.cloned().collect::<Vec<_>>()).await;
    let mut pools = by_pool(sections);
    pools.retain(|pool| pool.sections.iter().any(|section| is_asked(&section.entry)));
    pools
}

/// Puts sections together that are of one pool.
pub(crate) fn by_pool(sections: Vec<Section>) -> Vec<Whole> {
    let mut pools: Vec<Whole> = Vec::new();
    for section in sections {
        match pools.iter_mut().find(|pool| Arc::ptr_eq(&pool.member, &section.member)) {
            Some(pool) => pool.sections.push(section),
            None => pools.push(Whole {
                member: Arc::clone(&section.member),
                sections: vec![section],
            }),
        }
    }
    pools
}

/// The member that serves the pool of an entry.
pub(crate) async fn serving(all: &[Arc<Member>], entry: &Arc<Member>) -> Result<Arc<Member>, Error> {
    match entry.serving().await {
        Err(error) if entry.names_a_host() => {
            meet(all).await;
            entry.served_by().ok_or(error)
        }
        met => met,
    }
}

/// Finds out the pools of all entries that name hosts, as far as they can be found out.
async fn meet(all: &[Arc<Member>]) {
    let entries: Vec<_> = all.iter().filter(|entry| entry.names_a_host()).collect();
    let met = join_all(entries.iter().map(|entry| entry.meet())).await;
    let met: Vec<_> = met.into_iter().flatten().collect();
    for entry in entries.iter().filter(|entry| entry.served_by().is_none()) {
        for member in &met {
            if let Ok(fabric) = member.fabric().await
                && let Some(host) = entry.by_address(&fabric).await
            {
                let host = fabric.host_name(&host).unwrap_or_default();
                tracing::warn!(pool = entry.name(), host, "another member of its pool serves");
                entry.is_served_by(member);
                break;
            }
        }
    }
}

async fn section(all: &[Arc<Member>], entry: &Arc<Member>) -> Section {
    let member = entry.served_by().unwrap_or_else(|| Arc::clone(entry));
    let is_of_it = |other: &&Arc<Member>| other.served_by().is_some_and(|serving| Arc::ptr_eq(&serving, &member));
    let host = if all.iter().filter(is_of_it).count() > 1 {
        entry.host_in(&member).await.map(Some)
    } else {
        Ok(None)
    };
    Section {
        entry: Arc::clone(entry),
        member,
        host,
    }
}

impl Member {
    /// Says whether the entry names a host, which may be one of several of a pool.
    fn names_a_host(&self) -> bool {
        match self.settings.duplicates {
            Duplicates::Error => false,
            Duplicates::OneHostEach => true,
        }
    }

    /// The member that serves this entry's pool, if that is known.
    pub(crate) fn served_by(&self) -> Option<Arc<Self>> {
        self.served_by.get().and_then(Weak::upgrade)
    }

    /// Notes who serves; the session of one that does not is not needed any more.
    pub(super) fn is_served_by(self: &Arc<Self>, member: &Arc<Self>) {
        let is_new = self.served_by.set(Arc::downgrade(member)).is_ok();
        if is_new
            && !Arc::ptr_eq(self, member)
            && let Ok(client) = self.client()
        {
            let client = Arc::clone(client);
            self.tasks.spawn(async move { client.logout(LOGOUT).await });
        }
    }

    /// The member that serves, as far as it can be found out; one that has just not answered is left alone for a while.
    async fn meet(self: &Arc<Self>) -> Option<Arc<Self>> {
        let is_silent = |since: Instant| since.elapsed() < SILENT;
        if self.silent().is_some_and(is_silent) {
            return None;
        }
        match self.serving().await {
            Ok(member) => Some(member),
            Err(error) => {
                tracing::warn!(pool = self.name(), %error, "cannot be asked");
                *self.silent() = Some(Instant::now());
                None
            }
        }
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member that serves; asks the pool who it is, if need be.
    async fn serving(self: &Arc<Self>) -> Result<Arc<Self>, Error> {
        if self.names_a_host() && self.served_by().is_none() {
            self.fabric().await?;
        }
        Ok(self.served_by().unwrap_or_else(|| Arc::clone(self)))
    }

    /// The host that this entry means in its pool.
    async fn host_in(&self, member: &Arc<Self>) -> Result<Ref<Host>, Error> {
        let fabric = member.fabric().await?;
        let found = match self.by_address(&fabric).await {
            Some(host) => Some(host),
            None => self.urls().iter().find_map(|url| fabric.host_called(url.host())),
        };
        found.ok_or_else(|| Error::Refused {
            subject: Subject::Pool(self.name().to_owned()),
            pool: self.name().to_owned(),
            reason: format!(
                "its address, as written and as its name resolves now, is none of those of the hosts of its XenAPI pool, of which other sections name \
                 other hosts: {}",
                fabric.addresses()
            ),
        })
    }

    /// The host with the address of this entry.
    async fn by_address(&self, fabric: &Fabric) -> Option<Ref<Host>> {
        let written = self.urls().iter().find_map(|url| fabric.host_at(url));
        if written.is_some() {
            return written;
        }
        // What cannot be resolved now is tried again the next time.
        let resolved = self.resolved.get_or_try_init(|| self.in_numbers()).await.ok()?;
        resolved.iter().find_map(|url| fabric.host_at(url))
    }

    /// The same addresses in numbers, within the time that a connection may take.
    async fn in_numbers(&self) -> std::io::Result<Vec<Endpoint>> {
        let mut resolved = Vec::new();
        for url in self.urls().iter().filter(|url| url.host().parse::<IpAddr>().is_err()) {
            let looked_up = tokio::net::lookup_host((url.host(), url.port()));
            let found = tokio::time::timeout(self.settings.connection.limits.connect, looked_up).await;
            let found = found.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
            resolved.extend(found.filter_map(|address| url.sibling(&address.to_string()).ok()));
        }
        Ok(resolved)
    }

    fn urls(&self) -> &[Endpoint] {
        &self.settings.connection.urls
    }
}
