//! A server as a pool shows it, in the words of the table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cty::Value;
use fleet::{Family, Named, Server, Timings, Uuid};
use ipnet::IpNet;
use jiff::Timestamp;

use super::identity::Meant;

/// What Terraform knows, overlaid with what the pool shows. Where Terraform's text names the same thing in other words (a network by its UUID), its text
/// stays.
pub(super) fn shown(known: &Value, meant: &Meant, server: &Server) -> Value {
    let mut fields = known.as_map().cloned().unwrap_or_default();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("id", server.id.to_string().into());
    put("name", server.name.as_str().into());
    put("pool", server.pool.as_str().into());
    put("tags", own_tags(known.get("tags"), &server.tags));
    put("cpus", i64::from(server.cpus).into());
    put("memory_mib", server.memory_mib.into());
    put(
        "storage",
        named(known.get("storage"), meant.storage, server.storage.as_ref()),
    );
    put(
        "network",
        named(known.get("network"), meant.network, server.network.as_ref()),
    );
    put("mac_address", server.mac_address.clone().into());
    put("ip_address", address(known, server).into());
    put(
        "ip_addresses",
        Value::list(server.ip_addresses.iter().map(ToString::to_string)),
    );
    put("power_state", server.power_state.to_string().into());
    put("os_version", server.os_version.clone().into());
    put(
        "template_uuid",
        fact(
            known.get("template_uuid"),
            server.template_uuid.map(|uuid| uuid.to_string()).into(),
        ),
    );
    put("resident_host", server.resident_host.clone().into());
    put("created_at", fact(known.get("created_at"), instant(server.created_at)));
    put("lease_started_at", instant(server.lease.started_at));
    put("expires_at", instant(server.lease.expires_at));
    put("disk_bytes", server.disk_bytes.into());
    if let Some(timings) = &server.timings {
        put("timings", seconds(timings));
    }
    if fields.get("timings").is_none_or(Value::is_unknown) {
        fields.insert("timings".to_owned(), Value::Null);
    }
    Value::Map(fields)
}

/// The answer to an apply: whatever was planned known is returned as planned, the rest as the pool shows it. A later refresh corrects what differs.
pub(super) fn applied(planned: &Value, meant: &Meant, server: &Server) -> Value {
    let mut fields = shown(planned, meant, server).as_map().cloned().unwrap_or_default();
    for (name, value) in planned.as_map().into_iter().flatten() {
        if value.is_wholly_known() {
            fields.insert(name.clone(), value.clone());
        }
    }
    Value::Map(fields)
}

/// A fact of the server's birth. A VM that has lost its marks tells it no more, but it stays true.
fn fact(known: &Value, told: Value) -> Value {
    if told.is_null() && known.is_set() {
        known.clone()
    } else {
        told
    }
}

/// The tags that Terraform put there and that are still there. Tags of others are no difference.
fn own_tags(known: &Value, present: &BTreeSet<String>) -> Value {
    known.as_list().map_or(Value::Null, |own| {
        Value::set(
            own.iter()
                .filter(|tag| tag.as_str().is_some_and(|tag| present.contains(tag)))
                .cloned(),
        )
    })
}

/// The name of an object; the words that Terraform knows it by while they mean the same one, though it may have been renamed.
fn named(known: &Value, meant: Option<Uuid>, object: Option<&Named>) -> Value {
    let Some(object) = object else {
        return Value::Null;
    };
    let says_the_same = known.as_str().is_some_and(|text| {
        text == object.name || meant == Some(object.uuid) || text.eq_ignore_ascii_case(&object.uuid.to_string())
    });
    if says_the_same {
        known.clone()
    } else {
        object.name.as_str().into()
    }
}

/// The address to show: the one that Terraform knows while it is still usable, else the best.
fn address(known: &Value, server: &Server) -> Option<String> {
    let present: Option<IpAddr> = known.get("ip_address").as_str().and_then(|text| text.parse().ok());
    server
        .address_for(family(known), &cidrs(known), present)
        .map(|address| address.to_string())
}

/// `ip_family`, ipv4 unless it says otherwise.
pub(super) fn family(object: &Value) -> Family {
    match object.get("ip_family").as_str() {
        Some("ipv6") => Family::Ipv6,
        Some("any") => Family::Any,
        _ => Family::Ipv4,
    }
}

/// `ip_cidrs`, as far as they are networks (the table has checked that all are).
pub(super) fn cidrs(object: &Value) -> Vec<IpNet> {
    object
        .get("ip_cidrs")
        .as_list()
        .unwrap_or_default()
        .iter()
        .filter_map(|cidr| cidr.as_str()?.parse().ok())
        .collect()
}

fn instant(at: Option<Timestamp>) -> Value {
    at.map(|at| at.to_string()).into()
}

fn seconds(timings: &Timings) -> Value {
    let second = |value: f64| {
        let milliseconds = (value * 1000.0).round() / 1000.0;
        cty::Number::from_f64(milliseconds).map_or(Value::Null, Value::Number)
    };
    Value::object([
        ("queue", second(timings.queue)),
        ("clone", second(timings.clone)),
        ("configure", second(timings.configure)),
        ("drive", second(timings.drive)),
        ("start", second(timings.start)),
        ("address", second(timings.address)),
        ("ports", second(timings.ports)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_keeps_the_words_that_name_it() {
        let uuid = "6f0c7d52-9a1e-4a7f-8d5b-0f5c2f6f3a10";
        let network = Named {
            uuid: uuid.parse().expect("a UUID"),
            name: "lab-net".to_owned(),
        };
        let check = |known: Value, expect: &str| {
            assert_eq!(named(&known, None, Some(&network)).as_str(), Some(expect));
        };
        check("lab-net".into(), "lab-net");
        check(uuid.into(), uuid);
        check(uuid.to_uppercase().into(), &uuid.to_uppercase());
        check("other".into(), "lab-net");
        check(Value::unknown(), "lab-net");
        assert_eq!(named(&"lab-net".into(), None, None), Value::Null);
        let renamed = named(&"old-name".into(), Some(network.uuid), Some(&network));
        assert_eq!(renamed.as_str(), Some("old-name"), "renamed in the pool: no difference");
    }

    #[test]
    fn tags_of_others_are_no_difference() {
        let present: BTreeSet<String> = ["mine".to_owned(), "theirs".to_owned()].into();
        let known = Value::set(["mine", "lost"]);
        assert_eq!(own_tags(&known, &present), Value::set(["mine"]));
        assert_eq!(own_tags(&Value::Null, &present), Value::Null);
    }
}
