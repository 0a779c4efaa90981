//! The operating system inside a VM: it boots, its agent speaks, addresses come one after the other.
//!
//! What a guest is stands on its boot disk, so clones and copies of the disk boot the same system.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Pace;
use crate::db::{Cls, Ref};
use crate::operations;
use crate::pool::{Pool, State};
use crate::value::{Map, Value};
use crate::world::GuestSpec;

/// What is on a disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) guest: Option<Arc<GuestSpec>>,
    /// Differs from its base: deriving from it deepens the chain.
    pub(crate) written: bool,
}

/// Addresses handed out to running guests, by MAC.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    taken: HashSet<IpAddr>,
    by_mac: HashMap<(String, IpNet), IpAddr>,
    cursor: HashMap<IpNet, u128>,
}

impl Leases {
    /// The address of a MAC on a network: always the same while it is held, unlike every other.
    fn lease(&mut self, mac: &str, net: IpNet) -> Option<IpAddr> {
        if let Some(address) = self.by_mac.get(&(mac.to_owned(), net)) {
            return Some(*address);
        }
        let room = u32::from(net.max_prefix_len() - net.prefix_len()).min(64);
        let size = (1u128 << room).saturating_sub(20).max(1);
        let first = self.cursor.get(&net).copied().unwrap_or(0);
        for step in 0..size.min(1 << 20) {
            let at = (first + step) % size;
            let address = offset(net.network(), at + 10);
            if net.contains(&address) && self.taken.insert(address) {
                self.cursor.insert(net, at + 1);
                self.by_mac.insert((mac.to_owned(), net), address);
                return Some(address);
            }
        }
        None
    }

    /// Gives up what a MAC holds.
    pub(crate) fn release(&mut self, mac: &str) {
        let held: Vec<_> = self.by_mac.keys().filter(|(m, _)| m == mac).cloned().collect();
        for key in held {
            if let Some(address) = self.by_mac.remove(&key) {
                self.taken.remove(&address);
            }
        }
    }
}

fn offset(base: IpAddr, by: u128) -> IpAddr {
    match base {
        IpAddr::V4(a) => IpAddr::V4((u32::from(a).wrapping_add(u32::try_from(by).unwrap_or(0))).into()),
        IpAddr::V6(a) => IpAddr::V6(u128::from(a).wrapping_add(by).into()),
    }
}

/// The guest on the first disk of a VM that holds one.
pub(crate) fn of_vm(state: &State, vm: &Ref) -> Option<Arc<GuestSpec>> {
    let vbds = state.db.get(Cls::Vm, vm, "VBDs").ok()?.refs();
    let mut disks: Vec<(String, Ref)> = vbds
        .iter()
        .filter_map(|vbd| state.db.record(Cls::Vbd, vbd).ok())
        .filter(|vbd| vbd.str("type") == "Disk" && !vbd.bool("empty"))
        .map(|vbd| (vbd.str("userdevice").to_owned(), vbd.reference("VDI")))
        .collect();
    disks.sort();
    disks.iter().find_map(|(_, vdi)| state.disks.get(vdi)?.guest.clone())
}

/// Runs the guest of a VM that has just started, until it is gone or has said everything.
pub(crate) fn boot(pool: &Arc<Pool>, vm: &Ref) {
    let found = pool.with(|state| {
        let boot = state.boots.get(vm).copied()?;
        Some((
            of_vm(state, vm)?,
            boot,
            state.db.record(Cls::Vm, vm).ok()?.str("uuid").to_owned(),
        ))
    });
    let Some((guest, boot, uuid)) = found else { return };
    let actor = Actor {
        pool: pool.clone(),
        vm: vm.clone(),
        guest,
        boot,
        uuid,
    };
    pool.background(actor.run());
}

struct Actor {
    pool: Arc<Pool>,
    vm: Ref,
    guest: Arc<GuestSpec>,
    /// Which boot of the VM this is; it survives a migration.
    boot: u64,
    uuid: String,
}

impl Actor {
    async fn run(self) {
        self.wait(self.guest.boot_seconds, Pace::Work).await;
        if self.guest.no_agent {
            return;
        }
        self.pool.pause(self.pool.latencies.guest_write_ms).await;
        let guest = self.guest.clone();
        let introduced = self.with_metrics(|state, metrics| {
            drivers(state, metrics, &guest);
            operations::refresh(&mut state.db, Cls::Vm, &self.vm);
        });
        if !introduced {
            return;
        }
        let stages = self.pool.with(|state| stages(state, &self.vm, &self.guest));
        // The agent's first report comes when it starts; further ones each period, or at once.
        let mut since_agent = 0.0;
        for (i, addresses) in stages.into_iter().enumerate() {
            let due = if i == 0 && addresses.is_early {
                0.0
            } else {
                self.guest.dhcp_seconds
            };
            let at = if self.guest.agent_event {
                due
            } else {
                next_tick(due, self.guest.agent_period_seconds)
            };
            let at = if at <= since_agent && i > 0 {
                since_agent + self.guest.agent_period_seconds
            } else {
                at
            };
            self.wait(at - since_agent, Pace::Work).await;
            since_agent = at.max(since_agent);
            self.pool.pause(self.pool.latencies.guest_write_ms).await;
            if !self.with_metrics(|state, metrics| self.publish(state, metrics, &addresses)) {
                return;
            }
        }
    }

    async fn wait(&self, seconds: f64, pace: Pace) {
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        self.pool.clock.sleep(time, pace).await;
    }

    /// Works on the guest metrics of the VM while this boot of it lasts.
    fn with_metrics(&self, work: impl FnOnce(&mut State, &Ref)) -> bool {
        self.pool.with(|state| {
            let Ok(record) = state.db.record(Cls::Vm, &self.vm) else {
                return false;
            };
            if state.boots.get(&self.vm) != Some(&self.boot) {
                return false;
            }
            let metrics = record.reference("guest_metrics");
            if state.db.exists(Cls::VmGuestMetrics, &metrics) {
                work(state, &metrics);
            }
            true
        })
    }

    fn publish(&self, state: &mut State, metrics: &Ref, stage: &Stage) {
        if self.guest.never || state.muted.contains(&self.vm) {
            return;
        }
        let now = Value::Time(state.wall);
        state
            .db
            .set_if(Cls::VmGuestMetrics, metrics, "networks", stage.networks.clone());
        state.db.set_if(Cls::VmGuestMetrics, metrics, "last_updated", now);
        if stage.is_usable {
            let instants = state.instants.entry(self.uuid.clone()).or_default();
            instants.address_us.get_or_insert(self.pool.clock.real_us());
        }
    }
}

/// When an agent that looks every `period` seconds notices something that is so from `due` on.
fn next_tick(due: f64, period: f64) -> f64 {
    if period <= 0.0 {
        due
    } else {
        (due / period).ceil() * period
    }
}

/// Shows that the drivers run inside a guest.
pub(crate) fn drivers(state: &mut State, metrics: &Ref, guest: &GuestSpec) {
    let os = [
        ("name", guest.os_version.as_str()),
        ("distro", "linux"),
        ("uname", "6.1.0"),
        ("major", "1"),
        ("minor", "0"),
    ];
    let version = [("major", "8"), ("minor", "2"), ("micro", "0"), ("build", "1")];
    let now = Value::Time(state.wall);
    let db = &mut state.db;
    let cls = Cls::VmGuestMetrics;
    db.set_if(cls, metrics, "os_version", Value::map(os));
    db.set_if(cls, metrics, "PV_drivers_version", Value::map(version));
    db.set_if(cls, metrics, "PV_drivers_up_to_date", Value::Bool(true));
    db.set_if(cls, metrics, "can_use_hotplug_vbd", "yes");
    db.set_if(cls, metrics, "can_use_hotplug_vif", "yes");
    db.set_if(
        cls,
        metrics,
        "other",
        Value::map([
            ("feature-shutdown", "1"),
            ("feature-balloon", "1"),
            ("feature-suspend", "1"),
        ]),
    );
    db.set_if(cls, metrics, "last_updated", now);
    db.set_if(cls, metrics, "PV_drivers_detected", Value::Bool(true));
}

/// A version of `networks`, which is always replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) networks: Map,
    /// Holds something that is not link-local.
    pub(crate) is_usable: bool,
    /// Known as soon as the agent runs.
    is_early: bool,
}

/// What the guest of a VM will publish, in order.
pub(crate) fn stages(state: &mut State, vm: &Ref, guest: &GuestSpec) -> Vec<Stage> {
    let mut steps: Vec<&str> = guest.addresses.iter().map(String::as_str).collect();
    if steps.is_empty() {
        steps.push("dhcp");
    }
    if guest.link_local_first {
        steps.insert(0, "fe80");
    }
    let nics = nics(state, vm);
    steps.iter().map(|step| stage(state, &nics, guest, step)).collect()
}

struct Nic {
    device: u32,
    mac: String,
    net: Option<IpNet>,
}

fn nics(state: &State, vm: &Ref) -> Vec<Nic> {
    let vifs = state.db.get(Cls::Vm, vm, "VIFs").map(Value::refs).unwrap_or_default();
    let mut nics: Vec<Nic> = vifs
        .iter()
        .filter_map(|vif| state.db.record(Cls::Vif, vif).ok())
        .map(|vif| Nic {
            device: vif.str("device").parse().unwrap_or(0),
            mac: vif.str("MAC").to_owned(),
            net: state.cidrs.get(&vif.reference("network")).copied(),
        })
        .collect();
    nics.sort_by_key(|nic| nic.device);
    nics
}

fn stage(state: &mut State, nics: &[Nic], guest: &GuestSpec, step: &str) -> Stage {
    let mut networks = Map::new();
    let mut is_usable = false;
    for (position, nic) in nics.iter().enumerate() {
        let n = nic.device + guest.first_device;
        let step = if position == 0 || matches!(step, "fe80" | "169.254") {
            step
        } else {
            "dhcp"
        };
        let mut add = |key: String, text: String| networks.insert(key.into(), Value::from(text));
        let v4 = match step {
            "fe80" => None,
            "169.254" => Some(IpAddr::from([169, 254, octet(&nic.mac, 4), octet(&nic.mac, 5)])),
            "dhcp" => nic.net.and_then(|net| state.leases.lease(&nic.mac, net)),
            text => match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
                (Ok(net), _) => state.leases.lease(&nic.mac, net),
                (_, literal) => literal.ok(),
            },
        };
        match v4 {
            Some(IpAddr::V4(address)) => {
                add(format!("{n}/ip"), address.to_string());
                add(format!("{n}/ipv4/0"), address.to_string());
                is_usable |= !address.is_link_local();
            }
            Some(IpAddr::V6(address)) => {
                add(format!("{n}/ipv6/0"), address.to_string());
                is_usable = true;
            }
            None => {}
        }
        if guest.link_local_first || step == "fe80" {
            add(format!("{n}/ipv6/0"), link_local(&nic.mac).to_string());
        }
        if let Some(prefix) = guest.ipv6.as_ref().and_then(|p| p.parse::<IpNet>().ok())
            && step != "fe80"
            && let Some(address) = state.leases.lease(&nic.mac, prefix)
        {
            add(format!("{n}/ipv6/1"), address.to_string());
            is_usable = true;
        }
    }
    Stage {
        networks,
        is_usable,
        is_early: matches!(step, "fe80" | "169.254"),
    }
}

fn octet(mac: &str, index: usize) -> u8 {
    mac.split(':')
        .nth(index)
        .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        .unwrap_or(1)
}

/// The link-local address that a MAC gives (EUI-64).
fn link_local(mac: &str) -> Ipv6Addr {
    let o = |i| octet(mac, i);
    let low = u64::from_be_bytes([o(0) ^ 2, o(1), o(2), 0xff, 0xfe, o(3), o(4), o(5)]);
    Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_unique_stable_and_come_back() {
        let net: IpNet = "10.1.0.0/27".parse().unwrap();
        let mut leases = Leases::default();
        let first = leases.lease("a", net).unwrap();
        assert_eq!(leases.lease("a", net), Some(first));
        let mut seen = HashSet::from([first]);
        for i in 1..12 {
            let address = leases.lease(&format!("m{i}"), net).unwrap();
            assert!(net.contains(&address) && seen.insert(address));
        }
        assert_eq!(leases.lease("one too many", net), None);
        leases.release("a");
        assert_eq!(leases.lease("one too many", net), Some(first));
    }

    #[test]
    fn slow_agents_notice_at_their_next_look() {
        assert!((next_tick(3.0, 60.0) - 60.0).abs() < 1e-9);
        assert!((next_tick(0.0, 60.0) - 0.0).abs() < 1e-9);
        assert!((next_tick(3.0, 0.0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn link_local_addresses_follow_from_the_mac() {
        assert_eq!(link_local("02:00:00:00:00:01").to_string(), "fe80::ff:fe00:1");
    }
}
