//! The small classes of a pool, read in one request: who the pool is, its hosts, SRs and networks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use xenapi::{
    Change, ChangeOp, Class, Endpoint, EventClass, Host, HostMetrics, HostMetricsRecord, HostRecord, Network,
    NetworkRecord, Pbd, PbdRecord, Pif, PifRecord, PoolObject, PoolRecord, Ref, Sr, SrRecord, Token, Uuid,
};

use crate::choices::Choices;
use crate::config::NetworkChoice;
use crate::error::{Error, Subject, VmName, What};
use crate::server::Named;
use crate::ticket::Board;

/// The classes that are read.
pub(crate) const CLASSES: [EventClass; 7] = [
    EventClass::Pool,
    EventClass::Host,
    EventClass::HostMetrics,
    EventClass::Sr,
    EventClass::Pbd,
    EventClass::Network,
    EventClass::Pif,
];

/// Operations of a host during which it takes no guests.
const LEAVING: [&str; 4] = ["evacuate", "reboot", "shutdown", "apply_updates"];

/// What a pool consists of, at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Fabric {
    /// The name in the configuration.
    pub(crate) pool: String,
    pub(crate) uuid: Uuid,
    pub(crate) object: Ref<PoolObject>,
    pub(crate) coordinator: Ref<Host>,
    pub(crate) token: Token,
    pub(crate) taken: Instant,
    record: PoolRecord,
    hosts: BTreeMap<Ref<Host>, HostRecord>,
    metrics: BTreeMap<Ref<HostMetrics>, HostMetricsRecord>,
    srs: BTreeMap<Ref<Sr>, SrRecord>,
    pbds: BTreeMap<Ref<Pbd>, PbdRecord>,
    networks: BTreeMap<Ref<Network>, NetworkRecord>,
    pifs: BTreeMap<Ref<Pif>, PifRecord>,
}

/// A host as a place for guests.
pub(crate) struct HostView<'a> {
    pub(crate) host: &'a Ref<Host>,
    pub(crate) record: &'a HostRecord,
    pub(crate) metrics: Option<&'a HostMetricsRecord>,
    /// Says whether it takes new guests.
    pub(crate) is_usable: bool,
}

impl Fabric {
    /// Reads it.
    pub(crate) async fn take(name: &str, client: &xenapi::Pool) -> Result<Self, Error> {
        let taken = Instant::now();
        let failed = |cause| Error::call("reading the pool", VmName::unknown(), cause);
        let snapshot = client.snapshot(&CLASSES).await.map_err(failed)?;
        let Some((object, record)) = snapshot.of::<PoolObject>().next() else {
            return Err(Error::NotOurs {
                pool: name.to_owned(),
                vm: VmName::unknown(),
                why: "cannot be looked at: the pool does not describe itself".to_owned(),
            });
        };
        Ok(Self {
            pool: name.to_owned(),
            uuid: record.uuid,
            object,
            coordinator: record.master.clone(),
            taken,
            record: record.clone(),
            hosts: snapshot.of::<Host>().map(owned).collect(),
            metrics: snapshot.of::<HostMetrics>().map(owned).collect(),
            srs: snapshot.of::<Sr>().map(owned).collect(),
            pbds: snapshot.of::<Pbd>().map(owned).collect(),
            networks: snapshot.of::<Network>().map(owned).collect(),
            pifs: snapshot.of::<Pif>().map(owned).collect(),
            token: snapshot.token,
        })
    }

    /// Takes in a change of one of its classes; says whether it was one.
    pub(crate) fn apply(&mut self, change: &Change) -> bool {
        if let Some((_, Some(record))) = change.of::<PoolObject>() {
            self.coordinator = record.master.clone();
            self.record = record.clone();
        }
        put(&mut self.hosts, change)
            || put(&mut self.metrics, change)
            || put(&mut self.srs, change)
            || put(&mut self.pbds, change)
            || put(&mut self.networks, change)
            || put(&mut self.pifs, change)
            || change.class == EventClass::Pool
    }

    /// The tickets that stand in the pool's own map.
    pub(crate) fn board(&self) -> Board {
        let map = self.record.other_config.iter();
        Board::read(map.map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// A host's UUID.
    pub(crate) fn host_uuid(&self, host: &Ref<Host>) -> Option<Uuid> {
        self.hosts.get(host).map(|record| record.uuid)
    }

    /// An SR's UUID.
    pub(crate) fn sr_uuid(&self, sr: &Ref<Sr>) -> Option<Uuid> {
        self.srs.get(sr).map(|record| record.uuid)
    }

    /// The hosts.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = HostView<'_>> {
        self.hosts.iter().map(|(host, record)| {
            let metrics = self.metrics.get(&record.metrics);
            let operations = &record.current_operations;
            let is_leaving = operations
                .values()
                .any(|operation| LEAVING.contains(&operation.as_str()));
            HostView {
                host,
                record,
                metrics,
                is_usable: record.enabled && !is_leaving && metrics.is_some_and(|metrics| metrics.live),
            }
        })
    }

    /// The same, called by another name.
    pub(crate) fn named(self: Arc<Self>, name: &str) -> Arc<Self> {
        if self.pool == name {
            return self;
        }
        Arc::new(Self {
            pool: name.to_owned(),
            ..Self::clone(&self)
        })
    }

    /// The host with this address; one without scheme or port has those of the address that is looked for.
    pub(crate) fn host_at(&self, address: &Endpoint) -> Option<Ref<Host>> {
        let is_there = |record: &HostRecord| address.sibling(&record.address).is_ok_and(|known| known == *address);
        let found = self.hosts.iter().find(|(_, record)| is_there(record));
        found.map(|(host, _)| host.clone())
    }

    /// The only host that calls itself so, the domain aside.
    pub(crate) fn host_called(&self, name: &str) -> Option<Ref<Host>> {
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
        let is_called = |record: &HostRecord| {
            [&record.hostname, &record.name_label]
                .into_iter()
                .any(|own| short(own) == short(name))
        };
        let mut found = self.hosts.iter().filter(|(_, record)| is_called(record));
        let first = found.next().filter(|_| name.parse::<IpAddr>().is_err());
        first.filter(|_| found.next().is_none()).map(|(host, _)| host.clone())
    }

    /// The hosts with their addresses, for messages.
    pub(crate) fn addresses(&self) -> String {
        let hosts = self.hosts.values();
        let hosts: BTreeSet<_> = hosts
            .map(|record| format!("{} ({})", record.name_label, record.address))
            .collect();
        hosts.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Finds a host by UUID or name.
    pub(crate) fn find_host(&self, wanted: &str) -> Result<Ref<Host>, Error> {
        let named = self
            .hosts
            .iter()
            .map(|(host, record)| (host, record.uuid, record.name_label.as_str()));
        pick(What::Host, &self.pool, wanted, named)
    }

    /// Says whether a host can put a guest on a network: it has a physical interface for it, or the network needs none.
    pub(crate) fn has_network(&self, host: &Ref<Host>, network: &Ref<Network>) -> bool {
        let mut on = self.pifs.values().filter(|pif| pif.network == *network).peekable();
        on.peek().is_none() || on.any(|pif| pif.host == *host)
    }

    /// The name of a host.
    pub(crate) fn host_name(&self, host: &Ref<Host>) -> Option<String> {
        self.hosts.get(host).map(|record| record.name_label.clone())
    }

    /// Says whether a host sees an SR.
    pub(crate) fn sees(&self, host: &Ref<Host>, sr: &Ref<Sr>) -> bool {
        let mut pbds = self.pbds.values();
        pbds.any(|pbd| pbd.currently_attached && pbd.host == *host && pbd.sr == *sr)
    }

    /// The SRs.
    pub(crate) fn srs(&self) -> &BTreeMap<Ref<Sr>, SrRecord> {
        &self.srs
    }

    /// An SR's record.
    pub(crate) fn sr(&self, sr: &Ref<Sr>) -> Option<&SrRecord> {
        self.srs.get(sr)
    }

    /// An SR's name and UUID.
    pub(crate) fn sr_named(&self, sr: &Ref<Sr>) -> Option<Named> {
        self.srs.get(sr).map(|record| Named {
            uuid: record.uuid,
            name: record.name_label.clone(),
        })
    }

    /// A network's name and UUID.
    pub(crate) fn network_named(&self, network: &Ref<Network>) -> Option<Named> {
        self.networks.get(network).map(|record| Named {
            uuid: record.uuid,
            name: record.name_label.clone(),
        })
    }

    /// Finds an SR for disks by UUID or name. Of several of that name one host may see only one: each has its "Local storage".
    pub(crate) fn find_sr(&self, wanted: &str, on: Option<&Ref<Host>>) -> Result<Ref<Sr>, Error> {
        let disks = self.srs.iter().filter(|(_, record)| holds_disks(record));
        let named: Vec<_> = disks
            .map(|(sr, record)| (sr, record.uuid, record.name_label.as_str()))
            .collect();
        let found = pick(What::Storage, &self.pool, wanted, named.iter().copied());
        match (found, on) {
            (Err(Error::Ambiguous { .. }), Some(host)) => {
                let seen = named.into_iter().filter(|(sr, ..)| self.sees(host, sr));
                pick(What::Storage, &self.pool, wanted, seen)
            }
            (found, _) => found,
        }
    }

    /// Finds the network that a setting means.
    pub(crate) fn choose_network(&self, choice: &NetworkChoice, on: Option<&Ref<Host>>) -> Result<Ref<Network>, Error> {
        match choice {
            NetworkChoice::Named(wanted) => self.find_network(wanted),
            NetworkChoice::Device(wanted) => self.network_of_device(wanted, on),
            NetworkChoice::NamedOrDevice(wanted) => match self.find_network(wanted) {
                Err(missing @ Error::Missing { .. }) => match self.network_of_device(wanted, on) {
                    Err(Error::Missing { .. }) => Err(missing),
                    found => found,
                },
                found => found,
            },
        }
    }

    /// Finds a network by UUID or name.
    fn find_network(&self, wanted: &str) -> Result<Ref<Network>, Error> {
        let named = self
            .networks
            .iter()
            .map(|(network, record)| (network, record.uuid, record.name_label.as_str()));
        pick(What::Network, &self.pool, wanted, named)
    }

    /// The network of the physical PIF whose device is this text, or else contains it.
    fn network_of_device(&self, wanted: &str, on: Option<&Ref<Host>>) -> Result<Ref<Network>, Error> {
        let physical = self.physical(on);
        device_network(
            &self.pool,
            wanted,
            physical.map(|pif| (pif.device.as_str(), &pif.network)),
        )
    }

    /// The network of the lowest physical PIF.
    pub(crate) fn default_network(&self, on: Option<&Ref<Host>>) -> Option<Ref<Network>> {
        let physical = self.physical(on);
        let lowest = physical.min_by(|a, b| device_order(&a.device).cmp(&device_order(&b.device)))?;
        Some(lowest.network.clone())
    }

    /// The physical PIFs of one host, or of all.
    fn physical(&self, on: Option<&Ref<Host>>) -> impl Iterator<Item = &PifRecord> {
        let physical = self.pifs.values().filter(|pif| pif.physical);
        physical.filter(move |pif| on.is_none_or(|host| pif.host == *host))
    }
}

/// Says whether an SR is one for disks.
fn holds_disks(record: &SrRecord) -> bool {
    record.content_type != "iso" && record.kind != "iso" && record.kind != "udev" && !record.is_tools_sr
}

/// Chooses by UUID, or else by name: none and several are two different errors.
pub(crate) fn pick<'a, C: 'a>(
    what: What,
    pool: &str,
    wanted: &str,
    there: impl Iterator<Item = (&'a Ref<C>, Uuid, &'a str)>,
) -> Result<Ref<C>, Error> {
    let there: Vec<_> = there.collect();
    let uuid: Option<Uuid> = wanted.parse().ok();
    if let Some((found, ..)) = there.iter().find(|(_, is, _)| Some(*is) == uuid) {
        return Ok((*found).clone());
    }
    let matches: Vec<_> = there.iter().filter(|(.., name)| *name == wanted).collect();
    match matches.as_slice() {
        [(found, ..)] => Ok((*found).clone()),
        [] => Err(Error::Missing {
            what,
            wanted: wanted.to_owned(),
            pool: pool.to_owned(),
            there: Choices::new(wanted, there.iter().map(|(.., name)| (*name).to_owned())),
        }),
        several => Err(Error::Ambiguous {
            what,
            wanted: wanted.to_owned(),
            pool: pool.to_owned(),
            matches: several
                .iter()
                .map(|(_, uuid, name)| Named {
                    uuid: *uuid,
                    name: (*name).to_owned(),
                })
                .collect(),
        }),
    }
}

/// Chooses a network by the devices on it: one that is called so, or else the only one whose name contains the text. The
/// same device of several hosts is one, as long as it is on one network.
fn device_network<'a>(
    pool: &str,
    wanted: &str,
    there: impl Iterator<Item = (&'a str, &'a Ref<Network>)>,
) -> Result<Ref<Network>, Error> {
    let there: BTreeSet<_> = there.collect();
    let exact = there.iter().filter(|(device, _)| *device == wanted);
    let mut matches: Vec<_> = exact.collect();
    if matches.is_empty() {
        matches = there.iter().filter(|(device, _)| device.contains(wanted)).collect();
    }
    let networks: BTreeSet<_> = matches.iter().map(|(_, network)| *network).collect();
    match (networks.first(), networks.len()) {
        (Some(only), 1) => Ok((*only).clone()),
        (None, _) => Err(Error::Missing {
            what: What::Interface,
            wanted: wanted.to_owned(),
            pool: pool.to_owned(),
            there: Choices::new(wanted, there.iter().map(|(device, _)| (*device).to_owned())),
        }),
        (Some(_), _) => {
            let mut devices: Vec<_> = matches.iter().map(|(device, _)| *device).collect();
            devices.sort_by_key(|device| device_order(device));
            Err(Error::Refused {
                subject: Subject::Network,
                pool: pool.to_owned(),
                reason: format!("{wanted:?} means several physical interfaces: {}", devices.join(", ")),
            })
        }
    }
}

/// Orders eth2 before eth10.
fn device_order(device: &str) -> (String, u64) {
    let name = device.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = device.strip_prefix(name).and_then(|number| number.parse().ok());
    (name.to_owned(), number.unwrap_or_default())
}

/// Puts a change into the map of its class; says whether it was of that class.
pub(crate) fn put<C: Class>(map: &mut BTreeMap<Ref<C>, C::Record>, change: &Change) -> bool {
    let Some((object, record)) = change.of::<C>() else {
        return false;
    };
    match (change.op, record) {
        (ChangeOp::Del, _) => {
            map.remove(&object);
        }
        (ChangeOp::Add | ChangeOp::Mod, Some(record)) => {
            map.insert(object, record.clone());
        }
        // It could not be decoded: what was known stays.
        (ChangeOp::Add | ChangeOp::Mod, None) => {}
    }
    true
}

fn owned<C, R: Clone>((reference, record): (Ref<C>, &R)) -> (Ref<C>, R) {
    (reference, record.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_ordered_by_number() {
        let mut devices = ["eth10", "eth2", "bond0", "eth0"];
        devices.sort_by_key(|device| device_order(device));
        assert_eq!(devices, ["bond0", "eth0", "eth2", "eth10"]);
    }

    #[test]
    fn a_part_of_a_device_means_one_network() {
        let refs: Vec<Ref<Network>> = (0..4).map(|n| Ref::new(&format!("OpaqueRef:{n}"))).collect();
        let devices = ["eth0", "eth1", "eth1", "eth10", "bond0"];
        let networks = [0, 1, 1, 2, 3];
        let find = |wanted: &str| {
            let there = devices.iter().zip(networks).map(|(device, at)| (*device, &refs[at]));
            device_network("lab1", wanted, there).map_err(|error| error.to_string())
        };
        assert_eq!(find("eth0"), Ok(refs[0].clone()));
        assert_eq!(
            find("eth1"),
            Ok(refs[1].clone()),
            "the same device of two hosts; not eth10"
        );
        assert_eq!(find("10"), Ok(refs[2].clone()));
        assert_eq!(find("bond"), Ok(refs[3].clone()));
        let several = find("eth").unwrap_err();
        assert!(
            several.contains("eth0, eth1, eth1, eth10") || several.contains("eth0, eth1, eth10"),
            "{several}"
        );
        let none = find("eth7").unwrap_err();
        assert!(
            none.contains("no physical interface \"eth7\"") && none.contains("\"bond0\""),
            "{none}"
        );
    }

    #[test]
    fn none_and_several_are_two_errors() {
        let uuid = |n: u8| Uuid::from_bytes([n; 16]);
        let refs: Vec<Ref<Sr>> = (0..3).map(|n| Ref::new(&format!("OpaqueRef:{n}"))).collect();
        let names = ["ssd", "ssd", "hdd"];
        let find = |wanted: &str| {
            let there = refs
                .iter()
                .zip(names)
                .zip(1_u8..)
                .map(|((sr, name), n)| (sr, uuid(n), name));
            pick(What::Storage, "lab1", wanted, there)
        };
        assert_eq!(find("hdd").unwrap(), refs[2]);
        assert_eq!(find(&uuid(2).to_string()).unwrap(), refs[1]);
        let several = find("ssd").unwrap_err();
        assert!(matches!(&several, Error::Ambiguous { matches, .. } if matches.len() == 2));
        assert!(
            several.to_string().contains(&uuid(1).to_string()) && several.to_string().contains(&uuid(2).to_string())
        );
        let none = find("hddd").unwrap_err();
        assert_eq!(
            none.to_string(),
            r#"pool "lab1" has no storage repository "hddd". Did you mean "hdd"? There is: "hdd", "ssd""#
        );
    }
}
