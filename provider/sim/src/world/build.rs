//! From a world to database rows.

use std::collections::{HashMap, HashSet};

use tokio_util::sync::CancellationToken;

use super::PoolSpec;
use crate::class::{no_map, sr};
use crate::control::EventCounters;
use crate::db::{Cls, Db, Ref};
use crate::guest::Leases;
use crate::operations;
use crate::ops::Waiters;
use crate::pool::State;
use crate::random::Random;
use crate::session::Sessions;
use crate::value::Value;

use super::build_vm::{add_default_templates, add_templates, add_vms};

pub(super) const GIB: i64 = 1 << 30;
pub(super) const MIB: i64 = 1 << 20;

/// The state of a pool at the start.
pub(crate) fn build(spec: &PoolSpec, name: &str, seed: u64, addresses: &[String], wall: i64) -> State {
    let mut state = State {
        db: Db::new(),
        random: Random::new(seed),
        sessions: Sessions::default(),
        disks: HashMap::new(),
        leases: Leases::default(),
        waiters: Waiters::default(),
        cancels: HashMap::new(),
        doomed: HashSet::new(),
        cidrs: HashMap::new(),
        used: HashMap::new(),
        backup: None,
        unreachable: HashSet::new(),
        contents: HashMap::new(),
        muted: HashSet::new(),
        workers: HashMap::new(),
        host_refs: Vec::new(),
        epoch: CancellationToken::new(),
        next_domid: 0,
        boots: HashMap::new(),
        counters: EventCounters::default(),
        sr_operations: Vec::new(),
        instants: HashMap::new(),
        wall,
    };
    let networks = add_networks(&mut state, spec);
    add_hosts(&mut state, spec, addresses, &networks);
    let srs = add_srs(&mut state, spec);
    add_pool(&mut state, spec, name, &srs);
    add_default_templates(&mut state);
    let templates = add_templates(&mut state, spec, &srs, &networks);
    add_vms(&mut state, spec, &srs, &networks, &templates);
    let all: Vec<Ref> = srs.values().cloned().collect();
    for sr in all {
        sr::report(&mut state, &sr);
    }
    state
}

pub(super) type ByName = HashMap<String, Ref>;

/// Adds a row with a fresh UUID.
pub(super) fn add(state: &mut State, cls: Cls, mut fields: Vec<(&str, Value)>) -> Ref {
    let reference = state.random.reference();
    let uuid = state.random.uuid();
    fields.push(("uuid", Value::from(uuid)));
    state.db.create(cls, &reference, fields);
    reference
}

fn add_networks(state: &mut State, spec: &PoolSpec) -> ByName {
    let mut networks = ByName::new();
    for (name, network) in &spec.networks {
        let fields = vec![
            ("name_label", Value::str(name)),
            ("bridge", Value::str(&network.bridge)),
            ("MTU", Value::Int(1500)),
            ("managed", Value::Bool(true)),
        ];
        let reference = add(state, Cls::Network, fields);
        if let Ok(cidr) = network.cidr.parse() {
            state.cidrs.insert(reference.clone(), cidr);
        }
        networks.insert(name.clone(), reference);
    }
    let fields = vec![
        ("name_label", Value::str("Host internal management network")),
        ("bridge", Value::str("xenapi")),
        (
            "other_config",
            Value::map([("is_host_internal_management_network", "true")]),
        ),
    ];
    add(state, Cls::Network, fields);
    networks
}

fn add_hosts(state: &mut State, spec: &PoolSpec, addresses: &[String], networks: &ByName) {
    for (index, (name, host)) in spec.hosts.iter().enumerate() {
        let total = i64::try_from(host.memory_gib).unwrap_or(0) * GIB;
        let now = Value::Time(state.wall);
        let metrics_fields = vec![
            ("live", Value::Bool(true)),
            ("memory_total", Value::Int(total)),
            ("memory_free", Value::Int(total - 5 * GIB)),
            ("last_updated", now),
        ];
        let metrics = add(state, Cls::HostMetrics, metrics_fields);
        let cpus = host.cpus.to_string();
        let fields = vec![
            ("name_label", Value::str(name)),
            ("hostname", Value::str(name)),
            (
                "address",
                Value::from(addresses.get(index).cloned().unwrap_or_default()),
            ),
            ("enabled", Value::Bool(host.enabled)),
            ("metrics", Value::from(metrics)),
            ("memory_overhead", Value::Int(GIB)),
            ("API_version_major", Value::Int(2)),
            ("API_version_minor", Value::Int(21)),
            ("API_version_vendor", Value::str("XenSource")),
            ("sched_policy", Value::str("credit")),
            ("software_version", software_version()),
            ("cpu_info", cpu_info(&cpus)),
            ("capabilities", Value::strings(["xen-3.0-x86_64", "hvm-3.0-x86_64"])),
            (
                "other_config",
                Value::map([("agent_start_time", "1.0"), ("boot_time", "1.0")]),
            ),
            ("logging", no_map()),
            ("https_only", Value::Bool(spec.tls)),
        ];
        let reference = add(state, Cls::Host, fields);
        add_cpus(state, &reference, host.cpus);
        add_pifs(state, spec, name, index, &reference, networks);
        add_control_domain(state, name, &reference);
        operations::refresh(&mut state.db, Cls::Host, &reference);
        state.host_refs.push(reference);
    }
}

fn add_cpus(state: &mut State, host: &Ref, count: u32) {
    for number in 0..count.min(64) {
        let fields = vec![
            ("host", Value::from(host)),
            ("number", Value::Int(i64::from(number))),
            ("vendor", Value::str("GenuineIntel")),
            ("modelname", Value::str("Simulated CPU")),
            ("speed", Value::Int(2400)),
        ];
        add(state, Cls::HostCpu, fields);
    }
}

fn software_version() -> Value {
    Value::map([
        ("product_version", "8.3.0"),
        ("product_brand", "XCP-ng"),
        ("platform_version", "3.4.0"),
        ("platform_name", "XCP"),
        ("xapi", "24.19"),
        ("xen", "4.17.5"),
    ])
}

fn cpu_info(cpus: &str) -> Value {
    Value::map([
        ("cpu_count", cpus),
        ("socket_count", "1"),
        ("threads_per_core", "1"),
        ("nr_nodes", "1"),
        ("vendor", "GenuineIntel"),
        ("speed", "2400.000"),
        ("modelname", "Simulated CPU"),
        ("family", "6"),
        ("model", "85"),
        ("stepping", "4"),
    ])
}

fn add_pifs(state: &mut State, spec: &PoolSpec, host: &str, index: usize, reference: &Ref, networks: &ByName) {
    for (position, (name, network)) in spec.networks.iter().enumerate() {
        let is_here = network.hosts.is_empty() || network.hosts.iter().any(|h| h == host);
        let Some(target) = networks.get(name).filter(|_| is_here && !network.device.is_empty()) else {
            continue;
        };
        let metrics = add(
            state,
            Cls::PifMetrics,
            vec![("carrier", Value::Bool(true)), ("speed", Value::Int(10_000))],
        );
        let fields = vec![
            ("device", Value::str(&network.device)),
            ("network", Value::from(target)),
            ("host", Value::from(reference)),
            ("MAC", Value::from(format!("52:54:00:{index:02x}:{position:02x}:01"))),
            ("MTU", Value::Int(1500)),
            ("VLAN", Value::Int(-1)),
            ("physical", Value::Bool(true)),
            ("management", Value::Bool(position == 0)),
            ("currently_attached", Value::Bool(true)),
            ("metrics", Value::from(metrics)),
            (
                "ip_configuration_mode",
                Value::str(if position == 0 { "Static" } else { "None" }),
            ),
            (
                "IP",
                Value::from(if position == 0 {
                    format!("192.0.2.{}", index + 1)
                } else {
                    String::new()
                }),
            ),
        ];
        add(state, Cls::Pif, fields);
    }
}

fn add_control_domain(state: &mut State, host: &str, reference: &Ref) {
    let memory = Value::Int(4 * GIB);
    let metrics = add(
        state,
        Cls::VmMetrics,
        vec![("memory_actual", memory.clone()), ("VCPUs_number", Value::Int(8))],
    );
    let fields = vec![
        ("name_label", Value::from(format!("Control domain on host: {host}"))),
        ("is_control_domain", Value::Bool(true)),
        ("power_state", Value::str("Running")),
        ("domid", Value::Int(0)),
        ("resident_on", Value::from(reference)),
        ("affinity", Value::from(reference)),
        ("memory_static_max", memory.clone()),
        ("memory_static_min", memory.clone()),
        ("memory_dynamic_max", memory.clone()),
        ("memory_dynamic_min", memory.clone()),
        ("memory_target", memory),
        ("VCPUs_max", Value::Int(8)),
        ("VCPUs_at_startup", Value::Int(8)),
        ("metrics", Value::from(metrics)),
        ("actions_after_crash", Value::str("destroy")),
        ("actions_after_reboot", Value::str("destroy")),
        ("actions_after_shutdown", Value::str("destroy")),
        ("domain_type", Value::str("pv")),
    ];
    let domain = add(state, Cls::Vm, fields);
    state
        .db
        .set_if(Cls::Host, reference, "control_domain", Value::from(domain));
}

fn add_srs(state: &mut State, spec: &PoolSpec) -> ByName {
    let mut srs = ByName::new();
    let mut kinds: Vec<&str> = Vec::new();
    for (name, sr) in &spec.srs {
        let is_iso = sr.kind == "iso" || sr.kind == "udev";
        let size = if sr.kind == "udev" {
            0
        } else {
            i64::try_from(sr.size_gib).unwrap_or(0) * GIB
        };
        let fields = vec![
            ("name_label", Value::str(name)),
            ("type", Value::str(&sr.kind)),
            ("content_type", Value::str(if is_iso { "iso" } else { "user" })),
            ("shared", Value::Bool(sr.shared)),
            ("physical_size", Value::Int(size)),
        ];
        let reference = add(state, Cls::Sr, fields);
        let hosts: Vec<(String, Ref)> = spec
            .hosts
            .keys()
            .cloned()
            .zip(state.host_refs.iter().cloned())
            .collect();
        let only = sr.host.clone().or_else(|| spec.hosts.keys().next().cloned());
        for (host, host_ref) in hosts {
            if !sr.shared && only.as_ref() != Some(&host) {
                continue;
            }
            let attached = !sr.unplugged_on.contains(&host);
            let fields = vec![
                ("SR", Value::from(&reference)),
                ("host", Value::from(host_ref)),
                ("currently_attached", Value::Bool(attached)),
                ("device_config", no_map()),
            ];
            add(state, Cls::Pbd, fields);
        }
        for iso in &sr.isos {
            add_iso(state, &reference, iso);
        }
        if !kinds.contains(&sr.kind.as_str()) {
            kinds.push(&sr.kind);
        }
        srs.insert(name.clone(), reference);
    }
    for kind in kinds {
        let fields = vec![
            ("type", Value::str(kind)),
            ("name_label", Value::str(kind)),
            ("vendor", Value::str("XCP-ng")),
        ];
        add(state, Cls::Sm, fields);
    }
    add_tools(state);
    srs
}

fn add_iso(state: &mut State, sr: &Ref, name: &str) -> Ref {
    let fields = vec![
        ("name_label", Value::str(name)),
        ("location", Value::str(name)),
        ("SR", Value::from(sr)),
        ("type", Value::str("user")),
        ("virtual_size", Value::Int(700 * MIB)),
        ("physical_utilisation", Value::Int(700 * MIB)),
        ("read_only", Value::Bool(true)),
        ("sharable", Value::Bool(true)),
        ("managed", Value::Bool(true)),
    ];
    let iso = add(state, Cls::Vdi, fields);
    operations::refresh(&mut state.db, Cls::Vdi, &iso);
    iso
}

fn add_tools(state: &mut State) {
    let fields = vec![
        ("name_label", Value::str("XCP-ng Tools")),
        ("type", Value::str("iso")),
        ("content_type", Value::str("iso")),
        ("shared", Value::Bool(true)),
        ("is_tools_sr", Value::Bool(true)),
        ("physical_size", Value::Int(-1)),
        ("physical_utilisation", Value::Int(-1)),
    ];
    let sr = add(state, Cls::Sr, fields);
    for host in state.host_refs.clone() {
        let fields = vec![
            ("SR", Value::from(&sr)),
            ("host", Value::from(host)),
            ("currently_attached", Value::Bool(true)),
        ];
        add(state, Cls::Pbd, fields);
    }
    let iso = add_iso(state, &sr, "guest-tools.iso");
    state.db.set_if(Cls::Vdi, &iso, "is_tools_iso", Value::Bool(true));
    operations::refresh(&mut state.db, Cls::Sr, &sr);
}

fn add_pool(state: &mut State, spec: &PoolSpec, name: &str, srs: &ByName) {
    let default = spec
        .srs
        .iter()
        .find(|(_, sr)| sr.default)
        .and_then(|(name, _)| srs.get(name))
        .cloned();
    let master = state.host_refs.first().cloned().unwrap_or_else(Ref::null);
    let sr = default.unwrap_or_else(Ref::null);
    let fields = vec![
        ("name_label", Value::str(name)),
        ("master", Value::from(master)),
        ("default_SR", Value::from(&sr)),
        ("suspend_image_SR", Value::from(&sr)),
        ("crash_dump_SR", Value::from(&sr)),
        ("tags", Value::strings(&spec.tags)),
        (
            "other_config",
            Value::map(spec.other_config.iter().map(|(k, v)| (k, v.as_str()))),
        ),
    ];
    add(state, Cls::Pool, fields);
}
