//! The small classes of a pool, read in one request: who the pool is, its hosts, SRs and networks.

use std::collections::BTreeMap;

use tokio::time::Instant;
use xenapi::{
    EventClass, Host, HostMetrics, HostMetricsRecord, HostRecord, Network, NetworkRecord, Pbd, Pif, PifRecord,
    PoolObject, Ref, Sr, SrRecord, Token, Uuid,
};

use crate::choices::Choices;
use crate::error::{Error, VmName, What};
use crate::server::Named;

/// The classes that are read.
const CLASSES: [EventClass; 7] = [
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
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(crate) pool: String,
    pub(crate) uuid: Uuid,
    pub(crate) coordinator: Ref<Host>,
    pub(crate) token: Token,
    pub(crate) taken: Instant,
    hosts: BTreeMap<Ref<Host>, HostRecord>,
    metrics: BTreeMap<Ref<HostMetrics>, HostMetricsRecord>,
    srs: BTreeMap<Ref<Sr>, SrRecord>,
    /// Attached pairs.
    attached: Vec<(Ref<Host>, Ref<Sr>)>,
    networks: BTreeMap<Ref<Network>, NetworkRecord>,
    pifs: Vec<PifRecord>,
}

impl Inventory {
    /// Reads it.
    pub(crate) async fn take(name: &str, client: &xenapi::Pool) -> Result<Self, Error> {
        let taken = Instant::now();
        let failed = |cause| Error::call("reading the pool", VmName::unknown(), cause);
        let snapshot = client.snapshot(&CLASSES).await.map_err(failed)?;
        let Some((_, record)) = snapshot.of::<PoolObject>().next() else {
            return Err(Error::NotOurs {
                pool: name.to_owned(),
                vm: VmName::unknown(),
                why: "cannot be looked at: the pool does not describe itself".to_owned(),
            });
        };
        let pbds = snapshot.of::<Pbd>().filter(|(_, pbd)| pbd.currently_attached);
        let srs: BTreeMap<Ref<Sr>, SrRecord> = snapshot.of::<Sr>().map(owned).collect();
        Ok(Self {
            pool: name.to_owned(),
            uuid: record.uuid,
            coordinator: record.master.clone(),
            taken,
            hosts: snapshot.of::<Host>().map(owned).collect(),
            metrics: snapshot.of::<HostMetrics>().map(owned).collect(),
            srs,
            attached: pbds.map(|(_, pbd)| (pbd.host.clone(), pbd.sr.clone())).collect(),
            networks: snapshot.of::<Network>().map(owned).collect(),
            pifs: snapshot.of::<Pif>().map(|(_, pif)| pif.clone()).collect(),
            token: snapshot.token,
        })
    }

    /// The hosts, with what is measured of them, and whether they take new guests.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&Ref<Host>, &HostRecord, Option<&HostMetricsRecord>, bool)> {
        self.hosts.iter().map(|(host, record)| {
            let metrics = self.metrics.get(&record.metrics);
            let leaving = record
                .current_operations
                .values()
                .any(|operation| LEAVING.contains(&operation.as_str()));
            let usable = record.enabled && !leaving && metrics.is_some_and(|metrics| metrics.live);
            (host, record, metrics, usable)
        })
    }

    /// The name of a host.
    pub(crate) fn host_name(&self, host: &Ref<Host>) -> Option<String> {
        self.hosts.get(host).map(|record| record.name_label.clone())
    }

    /// Says whether a host sees an SR.
    pub(crate) fn sees(&self, host: &Ref<Host>, sr: &Ref<Sr>) -> bool {
        self.attached.iter().any(|(h, s)| h == host && s == sr)
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

    /// All SRs for disks.
    pub(crate) fn disk_srs(&self) -> impl Iterator<Item = &Ref<Sr>> {
        self.srs
            .iter()
            .filter(|(_, record)| holds_disks(record))
            .map(|(sr, _)| sr)
    }

    /// A network's name and UUID.
    pub(crate) fn network_named(&self, network: &Ref<Network>) -> Option<Named> {
        self.networks.get(network).map(|record| Named {
            uuid: record.uuid,
            name: record.name_label.clone(),
        })
    }

    /// Finds an SR for disks by UUID or name.
    pub(crate) fn find_sr(&self, wanted: &str) -> Result<Ref<Sr>, Error> {
        let disks = self.srs.iter().filter(|(_, record)| holds_disks(record));
        let named = disks.map(|(sr, record)| (sr, record.uuid, record.name_label.as_str()));
        pick(What::Storage, &self.pool, wanted, named)
    }

    /// Finds a network by UUID or name.
    pub(crate) fn find_network(&self, wanted: &str) -> Result<Ref<Network>, Error> {
        let named = self
            .networks
            .iter()
            .map(|(network, record)| (network, record.uuid, record.name_label.as_str()));
        pick(What::Network, &self.pool, wanted, named)
    }

    /// The network of the lowest physical PIF.
    pub(crate) fn default_network(&self) -> Option<Ref<Network>> {
        let physical = self.pifs.iter().filter(|pif| pif.physical);
        let lowest = physical.min_by(|a, b| device_order(&a.device).cmp(&device_order(&b.device)))?;
        Some(lowest.network.clone())
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

/// Orders eth2 before eth10.
fn device_order(device: &str) -> (String, u64) {
    let name = device.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = device.strip_prefix(name).and_then(|number| number.parse().ok());
    (name.to_owned(), number.unwrap_or_default())
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
