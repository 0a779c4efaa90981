//! That what is said to fit fits, and no more, in pools of any shape.

use fleet::{Capacity, CapacityQuery, Error, Image, LabelChoice, Limit, PoolCapacity, PoolSettings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use sim::World;
use sim::world::{HostSpec, NetworkSpec, PoolSpec, SrSpec, TemplateSpec, VmSpec};

use crate::lab::{Lab, spec};

/// A pool with one template, and what one server of it is.
#[derive(Clone, Debug)]
struct Shape {
    hosts: Vec<Host>,
    storage: Storage,
    disk_gib: u64,
    cpus: u32,
    memory_mib: u64,
    foreign: u32,
    max_servers: Option<u32>,
    overcommit: f64,
}

#[derive(Clone, Debug)]
struct Host {
    cpus: u32,
    memory_gib: u64,
    enabled: bool,
    has_network: bool,
}

#[derive(Clone, Debug)]
struct Storage {
    kind: &'static str,
    size_gib: u64,
    shared: bool,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let host = (
        2_u32..12,
        4_u64..14,
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.85),
    )
        .prop_map(|(cpus, memory_gib, enabled, has_network)| Host {
            cpus,
            memory_gib,
            enabled,
            has_network,
        });
    let storage = (
        prop::sample::select(vec!["ext", "nfs", "lvm", "lvmoiscsi"]),
        40_u64..160,
        any::<bool>(),
    )
        .prop_map(|(kind, size_gib, shared)| Storage { kind, size_gib, shared });
    let server = (
        1_u64..20,
        1_u32..5,
        prop::sample::select(vec![512_u64, 1024, 1536, 3072]),
    );
    let limits = (
        0_u32..4,
        prop::option::weighted(0.3, 0_u32..8),
        prop::sample::select(vec![0.5, 1.0, 1.5]),
    );
    (prop::collection::vec(host, 1..4), storage, server, limits).prop_map(
        |(hosts, storage, (disk_gib, cpus, memory_mib), (foreign, max_servers, overcommit))| Shape {
            hosts,
            storage,
            disk_gib,
            cpus,
            memory_mib,
            foreign,
            max_servers,
            overcommit,
        },
    )
}

impl Shape {
    fn world(&self) -> World {
        let mut pool = PoolSpec::default();
        let mut with_network = Vec::new();
        for (number, host) in self.hosts.iter().enumerate() {
            let name = format!("xen{number}");
            if host.has_network {
                with_network.push(name.clone());
            }
            let spec = HostSpec {
                cpus: host.cpus,
                memory_gib: host.memory_gib,
                enabled: host.enabled,
                port: 0,
            };
            pool.hosts.insert(name, spec);
        }
        // A network that no host has would be one without interfaces, which any host can make.
        if with_network.is_empty() {
            with_network.push("xen0".to_owned());
        }
        let sr = SrSpec {
            kind: self.storage.kind.to_owned(),
            size_gib: self.storage.size_gib,
            shared: self.storage.shared,
            default: true,
            ..SrSpec::default()
        };
        pool.srs.insert("ssd".to_owned(), sr);
        let network = NetworkSpec {
            device: "eth0".to_owned(),
            hosts: with_network,
            ..NetworkSpec::default()
        };
        pool.networks.insert("lan".to_owned(), network);
        let template = TemplateSpec {
            disks_gib: vec![self.disk_gib],
            networks: vec!["lan".to_owned()],
            ..TemplateSpec::default()
        };
        pool.templates.insert("tmpl-debian12".to_owned(), template);
        let foreign = VmSpec {
            count: self.foreign,
            template: "tmpl-debian12".to_owned(),
            cpus: Some(1),
            memory_mib: Some(256),
            ..VmSpec::default()
        };
        if self.foreign > 0 {
            pool.vms.insert("foreign".to_owned(), foreign);
        }
        let mut world = World::default();
        world.pools.insert("lab1".to_owned(), pool);
        world
    }

    fn query(&self) -> CapacityQuery {
        CapacityQuery {
            image: Image::Os("debian12".into()),
            cpus: Some(self.cpus),
            memory_mib: Some(self.memory_mib),
            pool: None,
            labels: LabelChoice::default(),
        }
    }

    fn configure(&self, pools: &mut [PoolSettings]) {
        pools[0].max_servers = self.max_servers;
        pools[0].cpu_overcommit = self.overcommit;
    }
}

/// Creates servers until none fits, and compares that with what was said at the start and after each.
async fn stops_exactly_there(shape: &Shape) -> Result<(), TestCaseError> {
    let lab = Lab::of(shape.world()).await;
    let fleet = lab.with_settings(|pools| shape.configure(pools));
    let said = fleet.capacity(&shape.query()).await.unwrap();
    for left in (0..said.available).rev() {
        let mut wanted = spec(&format!("web-{left}"));
        wanted.cpus = Some(shape.cpus);
        wanted.memory_mib = Some(shape.memory_mib);
        wanted.wait.for_ip = false;
        let made = fleet.create(wanted, Default::default(), &|_| {}).await;
        prop_assert!(
            made.is_ok(),
            "{left} were said to be left of {said:?}: {}",
            made.unwrap_err().error
        );
        let now = fleet.capacity(&shape.query()).await.unwrap();
        prop_assert_eq!(now.available, left, "{:?}, at first {:?}", now, said);
    }
    let clones = |lab: &Lab| {
        lab.requests()
            .iter()
            .filter(|request| request.method == "VM.clone")
            .count()
    };
    let before = clones(&lab);
    let mut wanted = spec("one-too-many");
    wanted.cpus = Some(shape.cpus);
    wanted.memory_mib = Some(shape.memory_mib);
    wanted.wait.for_ip = false;
    let failure = fleet.create(wanted, Default::default(), &|_| {}).await.unwrap_err();
    let is_refused = matches!(failure.error, Error::Full { .. } | Error::Refused { .. });
    prop_assert!(is_refused && clones(&lab) == before, "{}", failure.error);
    let other = lab.with_settings(|pools| shape.configure(pools));
    let now = other.capacity(&shape.query()).await.unwrap();
    prop_assert_eq!(now.available, 0);
    // CPUs are handed out by dynvm's rule, not by the pool's: where they are the limit the pool would start one more.
    let PoolCapacity { hosts, storages, .. } = &now.pools[0];
    let has_space = storages.iter().all(|storage| storage.available != Some(0));
    if now.pools[0].limited_by == Limit::Memory && has_space && hosts.iter().all(|host| host.limited_by != Limit::Cpu) {
        pool_refuses_too(&lab, shape, &now).await?;
    }
    Ok(())
}

/// The pool's own refusal: no host starts one more such VM, for its memory.
async fn pool_refuses_too(lab: &Lab, shape: &Shape, now: &Capacity) -> Result<(), TestCaseError> {
    let templates = lab.call("VM.get_by_name_label", json!(["tmpl-debian12"])).await;
    let vm = lab.call("VM.clone", json!([templates[0], "one-too-many"])).await;
    lab.call("VM.set_is_a_template", json!([vm, false])).await;
    let bytes = shape.memory_mib << 20;
    lab.call("VM.set_memory_limits", json!([vm, bytes, bytes, bytes, bytes]))
        .await;
    // The template has two: growing, the ceiling goes first; shrinking, last.
    let mut setters = ["VM.set_VCPUs_max", "VM.set_VCPUs_at_startup"];
    if shape.cpus < 2 {
        setters.reverse();
    }
    for method in setters {
        lab.call(method, json!([vm, shape.cpus])).await;
    }
    let hosts = lab.call("host.get_all", json!([])).await;
    for host in hosts.as_array().unwrap() {
        let params = vec![vm.clone(), host.clone(), Value::Bool(false), Value::Bool(false)];
        let started = lab.control.call("lab1", "VM.start_on", params).await;
        prop_assert!(started.is_err(), "a host had room: {now:?}");
        let refusal = started.unwrap_err().join(" ");
        let is_closed = ["HOST_DISABLED", "VM_REQUIRES_NETWORK", "VM_REQUIRES_SR"]
            .iter()
            .any(|code| refusal.contains(code));
        prop_assert!(
            is_closed || refusal.contains("HOST_NOT_ENOUGH_FREE_MEMORY"),
            "{refusal}"
        );
    }
    Ok(())
}

#[test]
fn creating_stops_exactly_where_capacity_says() {
    let config = Config {
        cases: 24,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&shapes(), |shape| runtime.block_on(stops_exactly_there(&shape)))
        .unwrap();
}
