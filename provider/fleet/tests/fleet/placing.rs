//! Where servers go: which pool, which host, and what happens when a host refuses.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{CreateFailure, Error, Image, Server, ServerSpec, Subject};
use futures::StreamExt as _;
use sim::world::{HostSpec, NetworkSpec, PoolSpec, SrSpec, TemplateSpec, UserSpec};
use sim::{FaultKind, FaultRule, World};

use crate::lab::{Lab, spec};

fn quick(name: &str) -> ServerSpec {
    let mut wanted = spec(name);
    wanted.wait.for_ip = false;
    wanted
}

/// The small lab with more hosts, all alike.
async fn hosts(names: &[&str]) -> Lab {
    Lab::small_with(|world: &mut World| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        pool.hosts["xen11"] = HostSpec::default();
        for name in names {
            pool.hosts.insert((*name).to_owned(), HostSpec::default());
        }
    })
    .await
}

async fn host_of(lab: &Lab, server: &Server) -> String {
    let host = lab.vm_record(server).await["resident_on"].clone();
    let name = lab.call("host.get_name_label", serde_json::json!([host])).await;
    name.as_str().unwrap().to_owned()
}

async fn refused(lab: &Lab, wanted: ServerSpec) -> Error {
    // Another process: its picture is as new as the change before it.
    let created = lab.second().create(wanted, Default::default(), &|_| {}).await;
    let CreateFailure { error, left } = created.unwrap_err();
    assert!(left.is_none());
    assert!(!lab.requests().iter().any(|request| request.method == "VM.clone"));
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_spread_over_equal_hosts_by_at_most_one() {
    let lab = hosts(&["xen12", "xen13"]).await;
    let creates = (0..20).map(|n| lab.create(quick(&format!("web-{n}"))));
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for made in futures::future::join_all(creates).await {
        *counts.entry(host_of(&lab, &made.unwrap()).await).or_default() += 1;
    }
    assert_eq!(counts.values().sum::<u32>(), 20);
    assert_eq!(
        counts.values().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([6, 7]),
        "{counts:?}"
    );
    let starts = lab
        .requests()
        .iter()
        .filter(|request| request.method.starts_with("VM.start"))
        .count();
    assert_eq!(starts, 20, "none was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_to_the_host_that_it_asks_for_or_nowhere() {
    let lab = hosts(&["xen12", "xen13"]).await;
    for n in 0..3 {
        let mut wanted = quick(&format!("web-{n}"));
        wanted.host = Some("xen12".into());
        let made = lab.create(wanted).await.unwrap();
        assert_eq!(host_of(&lab, &made).await, "xen12");
    }
    lab.control.reset_requests();
    let mut wanted = quick("web");
    wanted.host = Some("xen99".into());
    let error = refused(&lab, wanted.clone()).await;
    assert_eq!(error.subject(), Subject::Host);
    assert!(error.to_string().contains("\"xen12\""), "{error}");
    lab.control.set_host_enabled("lab1", "xen13", false).unwrap();
    wanted.host = Some("xen13".into());
    let error = refused(&lab, wanted).await;
    assert!(error.to_string().contains("limited by host_disabled"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_host_is_tried_when_one_refuses() {
    let lab = hosts(&["xen12", "xen13"]).await;
    let refusal = FaultKind::Error {
        code: "HOST_NOT_ENOUGH_FREE_MEMORY".into(),
        params: vec!["2".into(), "1".into()],
    };
    lab.control.fault(FaultRule::once("VM.start_on", refusal.clone()));
    lab.create(quick("web")).await.unwrap();
    let starts = lab
        .requests()
        .iter()
        .filter(|request| request.method == "VM.start_on")
        .count();
    assert_eq!(starts, 2);
    lab.control.fault(FaultRule::always("VM.start_on", refusal));
    lab.control.reset_requests();
    let failure = lab.create(quick("web")).await.unwrap_err();
    assert!(matches!(failure.error, Error::Full { .. }), "{}", failure.error);
    assert!(failure.left.is_none());
    let starts = lab
        .requests()
        .iter()
        .filter(|request| request.method == "VM.start_on")
        .count();
    assert_eq!(starts, 3, "each host once");
    assert_eq!(lab.traces().await.len(), 1, "what failed is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_less_than_vm_power_admin_the_pool_chooses_the_host() {
    let lab = Lab::small_with(|world: &mut World| {
        let user = UserSpec {
            name: "clerk".into(),
            password: "secret".into(),
            role: "vm-admin".into(),
        };
        world.pools.get_mut("lab1").unwrap().users.push(user);
    })
    .await;
    let fleet = lab.with_settings(|pools| {
        pools[0].connection.username = "clerk".into();
        pools[0].connection.password = "secret".to_owned().into();
    });
    for name in ["a", "b"] {
        fleet.create(quick(name), Default::default(), &|_| {}).await.unwrap();
    }
    let of = |method: &str| lab.requests().iter().filter(|request| request.method == method).count();
    assert_eq!((of("VM.start_on"), of("VM.start")), (1, 2), "it is asked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_labelled_pool_takes_only_those_who_ask_for_it() {
    let lab = Lab::of(World::default_lab()).await;
    let fleet = lab.with_settings(|pools| pools[0].labels = BTreeSet::from(["gpu".to_owned()]));
    let create = |labels: &[&str], pool: Option<&str>| {
        let mut wanted = quick("web");
        wanted.pool_labels = labels.iter().map(|label| (*label).to_owned()).collect();
        wanted.pool = pool.map(str::to_owned);
        let fleet = fleet.clone();
        async move { fleet.create(wanted, Default::default(), &|_| {}).await }
    };
    for _ in 0..3 {
        assert_eq!(create(&[], None).await.unwrap().pool, "lab2");
        assert_eq!(create(&["gpu", "ssd"], None).await.unwrap().pool, "lab1");
    }
    for (labels, pool, says) in [
        (
            &["fpga"][..],
            None,
            "no pool has one of the labels \"fpga\". There is: \"gpu\"",
        ),
        (&[], Some("lab1"), "takes only servers that ask for one of its labels"),
        (
            &["gpu"],
            Some("lab2"),
            "the pool \"lab2\" has none of the labels \"gpu\"",
        ),
    ] {
        let error = create(labels, pool).await.unwrap_err().error;
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.subject(), Subject::PoolLabels);
    }
}

/// Four pools of two hosts and two SRs, with a template on each SR.
fn four_pools() -> World {
    let mut world = World::default();
    for number in 1..=4 {
        let mut pool = PoolSpec::default();
        for host in ["a", "b"] {
            let spec = HostSpec {
                cpus: 512,
                memory_gib: 600,
                ..HostSpec::default()
            };
            pool.hosts.insert(format!("xen{number}{host}"), spec);
        }
        pool.networks.insert(
            "lan".to_owned(),
            NetworkSpec {
                device: "eth0".to_owned(),
                ..NetworkSpec::default()
            },
        );
        for (sr, template) in [("ssd", "tmpl-debian12"), ("nvme", "tmpl-centos7")] {
            let spec = SrSpec {
                kind: "nfs".to_owned(),
                shared: true,
                size_gib: 40_000,
                default: sr == "ssd",
                ..SrSpec::default()
            };
            pool.srs.insert(sr.to_owned(), spec);
            let spec = TemplateSpec {
                sr: Some(sr.to_owned()),
                networks: vec!["lan".to_owned()],
                ..TemplateSpec::default()
            };
            pool.templates.insert(template.to_owned(), spec);
        }
        world.pools.insert(format!("lab{number}"), pool);
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_servers_spread_over_eight_hosts_by_at_most_one() {
    let lab = Lab::of(four_pools()).await;
    let create = |n: usize| {
        let mut wanted = quick(&format!("web-{n}"));
        wanted.image = Image::Os(["debian12", "centos7"][n % 2].to_owned());
        lab.create(wanted)
    };
    let made: Vec<_> = futures::stream::iter((0..1000).map(create))
        .buffer_unordered(100)
        .collect()
        .await;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for server in made {
        *counts.entry(server.unwrap().resident_host.unwrap()).or_default() += 1;
    }
    assert_eq!(
        counts.values().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([125]),
        "{counts:?}"
    );
    let starts = lab
        .requests()
        .iter()
        .filter(|request| request.method.starts_with("VM.start"))
        .count();
    assert_eq!(starts, 1000, "none was refused");
}
