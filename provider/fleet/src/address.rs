//! Which of the addresses that a guest reports can be used.
//!
//! Agents name a NIC by its device number, older ones by the number in the guest's own name for it, which may begin at 1.
//! The map is replaced as a whole, and often shows a link-local address first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::spec::Family;

/// A NIC, as far as it says which one is the primary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nic {
    /// The device number.
    pub(crate) device: u32,
    /// The MAC address.
    pub(crate) mac: String,
}

/// What stands between a guest and a usable address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// The VM does not run.
    NotStarted,
    /// Nothing was ever published.
    NoAgent,
    /// The agent runs, and names no address of the primary NIC.
    NoAddress,
    /// Only addresses that no other machine can reach.
    OnlyLinkLocal,
    /// Usable ones, none of the family asked for.
    WrongFamily,
    /// Usable ones, none inside `ip_cidrs`.
    OutsideCidrs,
    /// A usable one, at which nobody answers on this port.
    PortClosed(u16),
}

/// Orders NICs: the first is the primary one.
pub(crate) fn sort_nics(nics: &mut [Nic]) {
    nics.sort_by_key(|nic| (nic.device, nic.mac.to_ascii_lowercase()));
}

/// All addresses that the guest reports for the primary NIC, usable or not, IPv4 first.
pub(crate) fn of_primary(networks: &BTreeMap<String, String>, nics: &[Nic]) -> Vec<IpAddr> {
    let reported = by_number(networks);
    let Some(number) = primary_number(&reported, nics) else {
        return Vec::new();
    };
    let mut addresses = Vec::new();
    for (_, address) in reported.get(&number).into_iter().flatten() {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    addresses
}

/// The usable addresses of all NICs, sorted as text.
pub(crate) fn all_usable(networks: &BTreeMap<String, String>) -> Vec<IpAddr> {
    let usable: BTreeMap<String, IpAddr> = by_number(networks)
        .into_values()
        .flatten()
        .map(|(_, address)| address)
        .filter(|address| is_usable(*address))
        .map(|address| (address.to_string(), address))
        .collect();
    usable.into_values().collect()
}

/// Says whether other machines can reach an address at all.
pub fn is_usable(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_usable(IpAddr::V4(v4)),
            None => !is_link_local(v6),
        },
    }
}

/// Chooses among usable addresses of the primary NIC: the present one while it still counts, else the first that does.
pub(crate) fn choose(usable: &[IpAddr], family: Family, cidrs: &[IpNet], present: Option<IpAddr>) -> Option<IpAddr> {
    let counts = |address: &&IpAddr| family.holds(**address) && is_inside(**address, cidrs);
    let kept = present.and_then(|present| usable.iter().filter(counts).find(|address| **address == present));
    kept.or_else(|| usable.iter().find(counts)).copied()
}

/// Names the stage that a running guest missed, from what it reports.
pub(crate) fn missed(has_agent: bool, reported: &[IpAddr], family: Family, cidrs: &[IpNet]) -> Option<Missed> {
    let usable: Vec<IpAddr> = reported.iter().copied().filter(|address| is_usable(*address)).collect();
    if choose(&usable, family, cidrs, None).is_some() {
        return None;
    }
    Some(if usable.iter().any(|address| family.holds(*address)) {
        Missed::OutsideCidrs
    } else if !usable.is_empty() {
        Missed::WrongFamily
    } else if !reported.is_empty() {
        Missed::OnlyLinkLocal
    } else if has_agent {
        Missed::NoAddress
    } else {
        Missed::NoAgent
    })
}

fn is_inside(address: IpAddr, cidrs: &[IpNet]) -> bool {
    cidrs.is_empty() || cidrs.iter().any(|cidr| cidr.contains(&address))
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80)
}

/// Addresses by NIC number, each in the order in which it should be looked at.
fn by_number(networks: &BTreeMap<String, String>) -> BTreeMap<u32, BTreeSet<(u32, IpAddr)>> {
    let mut reported: BTreeMap<u32, BTreeSet<(u32, IpAddr)>> = BTreeMap::new();
    for (key, value) in networks {
        let Some((number, rank)) = parse_key(key) else {
            continue;
        };
        // A zone ("fe80::1%eth0") or a prefix length is of no use to a caller.
        let text = value.trim().split(['%', '/']).next().unwrap_or_default();
        let entry = reported.entry(number).or_default();
        if let Ok(address) = text.parse::<IpAddr>() {
            let family = if address.is_ipv4() { 0 } else { 1 << 20 };
            entry.insert((family + rank, address));
        }
    }
    reported
}

/// Reads "<n>/ip", "<n>/ipv4/<i>" and "<n>/ipv6/<i>" as NIC number and rank.
fn parse_key(key: &str) -> Option<(u32, u32)> {
    let mut parts = key.split('/');
    let number = parts.next()?.parse().ok()?;
    let rank = match (parts.next()?, parts.next()) {
        ("ip", None) => 0,
        ("ipv4" | "ipv6", Some(index)) => index.parse::<u16>().ok().map(|index| u32::from(index) + 1)?,
        (_, Some(_) | None) => return None,
    };
    parts.next().is_none().then_some((number, rank))
}

/// Finds the number under which the primary NIC is reported.
fn primary_number(reported: &BTreeMap<u32, BTreeSet<(u32, IpAddr)>>, nics: &[Nic]) -> Option<u32> {
    let devices: BTreeSet<u32> = nics.iter().map(|nic| nic.device).collect();
    let numbers_are_devices = reported.keys().all(|number| devices.contains(number));
    match devices.first() {
        Some(primary) if numbers_are_devices && devices.len() > 1 => Some(*primary),
        Some(primary) if reported.contains_key(primary) && numbers_are_devices => Some(*primary),
        // Numbered by the guest: the order is the same, the beginning may not be.
        Some(_) | None => reported.keys().next().copied(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn nics(devices: &[u32]) -> Vec<Nic> {
        devices
            .iter()
            .map(|device| Nic {
                device: *device,
                mac: String::new(),
            })
            .collect()
    }

    fn check(entries: &[(&str, &str)], devices: &[u32], expect: &[&str]) {
        let found: Vec<String> = of_primary(&networks(entries), &nics(devices))
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(found, expect, "{entries:?} {devices:?}");
    }

    #[test]
    fn finds_the_addresses_of_the_primary_nic() {
        check(
            &[("0/ip", "10.0.0.2"), ("0/ipv4/0", "10.0.0.2"), ("0/ipv6/0", "fe80::1")],
            &[0],
            &["10.0.0.2", "fe80::1"],
        );
        check(
            &[("0/ipv4/1", "10.0.0.3"), ("0/ipv4/0", "10.0.0.2")],
            &[0],
            &["10.0.0.2", "10.0.0.3"],
        );
        check(&[("1/ip", "10.0.0.2")], &[0], &["10.0.0.2"]);
        check(&[("1/ip", "10.0.0.2"), ("2/ip", "10.1.0.2")], &[0, 1], &["10.0.0.2"]);
        check(&[("0/ip", "10.0.0.2"), ("1/ip", "10.1.0.2")], &[0, 1], &["10.0.0.2"]);
        check(&[("1/ip", "10.1.0.2")], &[0, 1], &[]);
        check(&[("2/ip", "10.1.0.2")], &[2, 5], &["10.1.0.2"]);
        check(&[("0/ip", "10.0.0.2")], &[], &["10.0.0.2"]);
        check(
            &[("0/ipv6/0", "2001:db8::1"), ("0/ipv6/1", "fe80::1%eth0")],
            &[0],
            &["2001:db8::1", "fe80::1"],
        );
        check(
            &[
                ("0/ip", ""),
                ("x/ip", "10.0.0.2"),
                ("0/mac", "aa:bb"),
                ("0", "10.0.0.2"),
                ("0/ip/9", "10.0.0.2"),
            ],
            &[0],
            &[],
        );
    }

    #[test]
    fn the_primary_nic_is_the_lowest_device_then_mac() {
        let nic = |device, mac: &str| Nic {
            device,
            mac: mac.to_owned(),
        };
        let mut nics = vec![nic(10, "aa"), nic(2, "bb"), nic(2, "AB")];
        sort_nics(&mut nics);
        assert_eq!(nics, [nic(2, "AB"), nic(2, "bb"), nic(10, "aa")]);
    }

    #[test]
    fn what_no_other_machine_reaches_is_not_usable() {
        for text in [
            "169.254.3.4",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "febf::1",
            "::1",
            "::",
            "ff02::1",
        ] {
            assert!(!is_usable(text.parse().unwrap()), "{text}");
        }
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "fec0::1",
        ] {
            assert!(is_usable(text.parse().unwrap()), "{text}");
        }
        assert!(!is_usable("::ffff:169.254.1.1".parse().unwrap()));
    }

    #[test]
    fn chooses_by_policy_and_keeps_the_present_one() {
        let usable: Vec<IpAddr> = ["10.0.0.2", "10.1.0.2", "2001:db8::1"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        let cidr = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        let pick = |family, cidrs: &[IpNet], present: Option<&str>| {
            choose(&usable, family, cidrs, present.map(|a| a.parse().unwrap())).map(|a| a.to_string())
        };
        assert_eq!(pick(Family::Ipv4, &[], None).as_deref(), Some("10.0.0.2"));
        assert_eq!(pick(Family::Any, &[], None).as_deref(), Some("10.0.0.2"));
        assert_eq!(pick(Family::Ipv6, &[], None).as_deref(), Some("2001:db8::1"));
        assert_eq!(
            pick(Family::Ipv4, &cidr("10.1.0.0/16"), None).as_deref(),
            Some("10.1.0.2")
        );
        assert_eq!(pick(Family::Ipv4, &cidr("10.2.0.0/16"), None), None);
        assert_eq!(pick(Family::Ipv4, &[], Some("10.1.0.2")).as_deref(), Some("10.1.0.2"));
        assert_eq!(pick(Family::Ipv4, &[], Some("10.9.0.2")).as_deref(), Some("10.0.0.2"));
        assert_eq!(
            pick(Family::Ipv6, &[], Some("10.1.0.2")).as_deref(),
            Some("2001:db8::1")
        );
    }

    #[test]
    fn names_the_stage_that_was_missed() {
        let addresses = |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let inside = vec!["10.1.0.0/16".parse::<IpNet>().unwrap()];
        let check = |agent, reported: &[&str], family, cidrs: &[IpNet], expect| {
            assert_eq!(
                missed(agent, &addresses(reported), family, cidrs),
                expect,
                "{reported:?}"
            );
        };
        check(false, &[], Family::Ipv4, &[], Some(Missed::NoAgent));
        check(true, &[], Family::Ipv4, &[], Some(Missed::NoAddress));
        check(true, &["fe80::1"], Family::Ipv4, &[], Some(Missed::OnlyLinkLocal));
        check(
            true,
            &["fe80::1", "2001:db8::1"],
            Family::Ipv4,
            &[],
            Some(Missed::WrongFamily),
        );
        check(true, &["10.0.0.1"], Family::Ipv4, &inside, Some(Missed::OutsideCidrs));
        check(true, &["10.0.0.1", "10.1.0.1"], Family::Ipv4, &inside, None);
    }

    proptest! {
        #[test]
        fn any_map_is_read_without_panic(map in proptest::collection::btree_map("[0-9]{0,3}/?(ip|ipv4|ipv6)?/?[0-9]{0,3}", "[0-9a-f.:%/]{0,20}", 0..8), devices in proptest::collection::vec(0_u32..4, 0..4)) {
            let primary = of_primary(&map, &nics(&devices));
            let all = all_usable(&map);
            for address in primary.iter().filter(|address| is_usable(**address)) {
                prop_assert!(all.contains(address));
            }
        }

        #[test]
        fn what_is_chosen_counts(octets in proptest::collection::vec(any::<u32>(), 0..6), prefix in 0_u8..=32, net in any::<u32>()) {
            let usable: Vec<IpAddr> = octets.iter().map(|o| IpAddr::from(o.to_be_bytes())).filter(|a| is_usable(*a)).collect();
            let cidr = IpNet::new(IpAddr::from(net.to_be_bytes()), prefix).unwrap();
            match choose(&usable, Family::Ipv4, &[cidr], None) {
                Some(address) => prop_assert!(usable.contains(&address) && cidr.contains(&address)),
                None => prop_assert!(usable.iter().all(|address| !cidr.contains(address))),
            }
        }
    }
}
