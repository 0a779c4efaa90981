//! Sections of an INI file that are members of one pool: one pool in all that is counted, and each its own host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet::{
    Capacity, CapacityQuery, Changes, Duplicates, Error, Fleet, Image, LabelChoice, Limit, ListFilter, PoolSettings,
    Power, ReservationChanges, ReservationSpec, Reshape, Server, ServerQuery, ServerSpec, Subject, Within,
};
use sim::World;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, spec};

/// The hosts of the lab, the coordinator first. Each has twelve vCPUs: six servers.
const HOSTS: [&str; 3] = ["xen11", "xen12", "xen13"];
const PLACES: u32 = 6;

/// One pool of so many hosts, each with an SR of its own beside the one that they share, and nothing on it.
async fn lab_of(hosts: usize) -> Lab {
    lab_with(hosts, |_| {}).await
}

async fn lab_with(hosts: usize, change: impl FnOnce(&mut World)) -> Lab {
    Lab::small_with(|world| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        for host in &HOSTS[..hosts] {
            let spec = pool.hosts[0].clone();
            pool.hosts.entry((*host).to_owned()).or_insert(spec).cpus = 12;
            let mut local = pool.srs["hdd"].clone();
            local.host = Some((*host).to_owned());
            pool.srs.insert(format!("local-{host}"), local);
        }
        change(world);
    })
    .await
}

/// A process whose configuration has a section for each host.
fn sections(lab: &Lab, change: impl FnOnce(&mut Vec<PoolSettings>)) -> Arc<Fleet> {
    let members = lab.control.pools().remove(0).member_urls;
    lab.with_settings(|pools| {
        let of_pool = pools.remove(0);
        for (url, number) in members.iter().zip(1..) {
            let mut section = of_pool.clone();
            section.name = format!("xenhost{number}");
            section.connection.name.clone_from(&section.name);
            section.connection.urls = vec![url.parse().unwrap()];
            section.duplicates = Duplicates::OneHostEach;
            pools.push(section);
        }
        change(pools);
    })
}

fn as_they_are(_: &mut Vec<PoolSettings>) {}

fn quick(name: &str) -> ServerSpec {
    let mut wanted = spec(name);
    wanted.wait.for_ip = false;
    wanted
}

fn in_pool(name: &str, pool: &str) -> ServerSpec {
    ServerSpec {
        pool: Some(pool.into()),
        ..quick(name)
    }
}

async fn create(fleet: &Arc<Fleet>, spec: ServerSpec) -> Result<Server, Error> {
    let made = fleet.create(spec, CancellationToken::new(), &|_| {}).await;
    made.map_err(|failure| failure.error)
}

async fn capacity(fleet: &Fleet, pool: Option<&str>) -> Capacity {
    let query = CapacityQuery {
        image: Image::Os("debian12".into()),
        cpus: None,
        memory_mib: None,
        pool: pool.map(str::to_owned),
        labels: LabelChoice::default(),
    };
    fleet.capacity(&query).await.unwrap()
}

/// Pool and host of a server.
fn place(server: &Server) -> (&str, &str) {
    (&server.pool, server.resident_host.as_deref().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_places_servers_on_its_host_and_they_keep_its_name() {
    let lab = lab_of(3).await;
    let fleet = sections(&lab, as_they_are);
    for (pool, host) in ["xenhost2", "xenhost3", "xenhost1"]
        .into_iter()
        .zip(["xen12", "xen13", "xen11"])
    {
        let server = create(&fleet, in_pool(pool, pool)).await.unwrap();
        assert_eq!(place(&server), (pool, host));
        for process in [&fleet, &sections(&lab, as_they_are)] {
            let read = process.read(&server.key()).await.unwrap().unwrap();
            assert_eq!(place(&read), (pool, host), "a refresh shows no difference");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_section_starts_again_on_its_host_although_others_are_emptier() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, as_they_are);
    let server = create(&fleet, in_pool("web", "xenhost2")).await.unwrap();
    create(&fleet, in_pool("other", "xenhost2")).await.unwrap();
    let changed = async |cpus: Option<u32>, power: Power| {
        let reshape = Reshape {
            cpus,
            memory_mib: None,
            power: Some(power),
            host: None,
            is_moved: false,
            wait: quick("web").wait,
        };
        let changes = Changes {
            reshape: Some(reshape),
            ..Changes::default()
        };
        let process = sections(&lab, as_they_are);
        let limit = Duration::from_secs(60);
        process
            .update(&server.key(), changes, limit, CancellationToken::new())
            .await
    };
    changed(None, Power::Halted).await.unwrap();
    let other = sections(&lab, as_they_are);
    let found = other.adoptable(Within::AnyPool, server.id).await.unwrap();
    assert_eq!(found.pool, "xenhost2", "also where it runs nowhere");
    let filter = ListFilter {
        managed: Some(true),
        pool: Some("xenhost2".into()),
        ..ListFilter::default()
    };
    assert_eq!(other.list(&filter).await.unwrap().len(), 2);
    let started = changed(Some(4), Power::Running).await.unwrap().server;
    assert_eq!(place(&started), ("xenhost2", "xen12"));
    let refused = changed(Some(11), Power::Running).await.unwrap_err().error;
    assert!(
        matches!(&refused, Error::Full { pools, .. } if pools[0].pool == "xenhost2"),
        "{refused}"
    );
    let reshape = Reshape {
        cpus: Some(13),
        memory_mib: None,
        power: None,
        host: None,
        is_moved: false,
        wait: quick("web").wait,
    };
    let said = sections(&lab, as_they_are)
        .may_reshape(&server.key(), &reshape)
        .await
        .unwrap_err();
    assert_eq!(said.subject(), Subject::Cpus, "{said}");
    let elsewhere = Reshape {
        cpus: None,
        host: Some("xen11".into()),
        is_moved: true,
        ..reshape
    };
    let said = sections(&lab, as_they_are)
        .may_reshape(&server.key(), &elsewhere)
        .await
        .unwrap_err();
    assert_eq!(said.subject(), Subject::Host, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_for_no_section_is_spread_over_all_and_each_server_is_listed_once() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, as_they_are);
    let make = |n: usize| create(&fleet, quick(&format!("web-{n}")));
    let made = futures::future::join_all((0..4).map(make)).await;
    let mut places: Vec<_> = made.iter().map(|server| place(server.as_ref().unwrap())).collect();
    places.sort_unstable();
    let (one, two) = (("xenhost1", "xen11"), ("xenhost2", "xen12"));
    assert_eq!(places, [one, one, two, two]);
    let other = sections(&lab, as_they_are);
    for managed in [None, Some(true)] {
        let of = async |pool: Option<&str>| {
            let filter = ListFilter {
                managed,
                pool: pool.map(str::to_owned),
                ..ListFilter::default()
            };
            other.list(&filter).await.unwrap()
        };
        let all = of(None).await;
        assert_eq!(all.iter().map(place).collect::<Vec<_>>(), places);
        let second = of(Some("xenhost2")).await;
        assert_eq!(second.iter().map(place).collect::<Vec<_>>(), [two, two]);
    }
    let wanted = made[0].as_ref().unwrap();
    let find = async |pool: Option<&str>| {
        let pool = pool.map(str::to_owned);
        let found = other.find(&ServerQuery::Id { id: wanted.id, pool }).await.unwrap();
        found.pool
    };
    assert_eq!(find(None).await, wanted.pool);
    let adopted = other.adoptable(Within::AnyPool, wanted.id).await.unwrap();
    assert_eq!(place(&adopted), place(wanted), "an import without a pool");
    for pool in ["xenhost1", "xenhost2"] {
        assert_eq!(
            find(Some(pool)).await,
            pool,
            "by its UUID it is found wherever it has moved"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_counted_once() {
    for hosts in [2, 3] {
        let lab = lab_of(hosts).await;
        let fleet = sections(&lab, as_they_are);
        let all = PLACES * u32::try_from(hosts).unwrap();
        let seen = capacity(&fleet, None).await;
        assert_eq!((seen.available, seen.pools.len()), (all, 1), "{seen:?}");
        assert_eq!(
            (seen.pools[0].pool.as_str(), seen.pools[0].hosts.len()),
            ("xenhost1", hosts)
        );
        let second = capacity(&fleet, Some("xenhost2")).await;
        assert_eq!(second.available, PLACES);
        assert_eq!(second.pools[0].hosts[0].host, "xen12");
        create(&fleet, in_pool("web", "xenhost2")).await.unwrap();
        assert_eq!(capacity(&fleet, None).await.available, all - 1);
        assert_eq!(capacity(&fleet, Some("xenhost1")).await.available, PLACES);
        assert_eq!(capacity(&fleet, Some("xenhost2")).await.available, PLACES - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_sections_share_caps_them_once() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, as_they_are);
    lab.control.set_sr_free("lab1", "ssd", 500 << 30).unwrap();
    let one = capacity(&fleet, Some("xenhost1")).await.available;
    let both = capacity(&fleet, None).await;
    assert!(
        one < 2 * PLACES && both.available == one.min(both.pools[0].storages[0].available.unwrap()),
        "{both:?}"
    );
    // Sizes that differ make two kinds of servers, and what the first take the second do not find.
    let fleet = sections(&lab, |pools| {
        pools[1].templates.insert("debian12".into(), "tmpl-two-nics".into());
    });
    let (first, second) = (
        capacity(&fleet, Some("xenhost1")).await.available,
        capacity(&fleet, Some("xenhost2")).await.available,
    );
    let both = capacity(&fleet, None).await.available;
    assert!(
        both < first + second && both >= first.max(second),
        "{first} and {second}: {both}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_section_has_settings_of_its_own() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, |pools| {
        pools[0].storage = Some("local-xen11".into());
        pools[1].storage = Some("local-xen12".into());
        pools[1].max_servers_by_os.insert("debian12".into(), 1);
        pools[0].templates.remove("centos7");
    });
    assert_eq!(capacity(&fleet, None).await.available, PLACES + 1);
    let first = create(&fleet, in_pool("a", "xenhost2")).await.unwrap();
    assert_eq!(first.storage.unwrap().name, "local-xen12");
    let refused = create(&fleet, in_pool("b", "xenhost2")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Full { pools, .. } if pools[0].limited_by == Limit::MaxServers && pools[0].pool == "xenhost2"),
        "{refused}"
    );
    assert_eq!(place(&create(&fleet, quick("b")).await.unwrap()), ("xenhost1", "xen11"));
    let centos = ServerSpec {
        image: Image::Os("centos7".into()),
        ..quick("c")
    };
    assert_eq!(place(&create(&fleet, centos).await.unwrap()), ("xenhost2", "xen12"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_no_servers_closes_its_section_alone() {
    let lab = lab_of(2).await;
    lab.control.set_host_enabled("lab1", "xen12", false).unwrap();
    let fleet = sections(&lab, as_they_are);
    assert_eq!(capacity(&fleet, None).await.available, PLACES);
    let refused = create(&fleet, in_pool("web", "xenhost2")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Full { pools, .. } if pools[0].limited_by == Limit::HostDisabled),
        "{refused}"
    );
    for n in 0..2 {
        let server = create(&fleet, quick(&format!("web-{n}"))).await.unwrap();
        assert_eq!(place(&server), ("xenhost1", "xen11"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_down_is_known_to_the_others() {
    let lab = lab_of(2).await;
    let server = create(&sections(&lab, as_they_are), in_pool("web", "xenhost2"))
        .await
        .unwrap();
    lab.control.set_host_reachable("lab1", "xen12", false).unwrap();
    let fleet = sections(&lab, as_they_are);
    let read = fleet.read(&server.key()).await.unwrap().unwrap();
    assert_eq!(read.pool, "xenhost2");
    assert_eq!(capacity(&fleet, None).await.pools.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_is_left_of_all() {
    let lab = lab_of(3).await;
    let fleet = sections(&lab, as_they_are);
    fleet.list(&ListFilter::default()).await.unwrap();
    fleet.settle().await;
    let counts = lab.control.request_counts();
    assert_eq!(counts["session.logout"], 2, "{counts:?}");
    fleet.logout().await;
    assert_eq!(lab.control.request_counts()["session.logout"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_that_is_alone_is_its_pool_as_a_whole() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, |pools| pools.truncate(1));
    assert_eq!(capacity(&fleet, None).await.available, 2 * PLACES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_than_the_sections_is_refused() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, as_they_are);
    let on = |pool: Option<&str>| ServerSpec {
        host: Some("xen12".into()),
        pool: pool.map(str::to_owned),
        ..quick("web")
    };
    let refused = create(&fleet, on(Some("xenhost1"))).await.unwrap_err();
    assert_eq!(refused.subject(), Subject::Host);
    assert!(refused.to_string().contains("\"xen11\""), "{refused}");
    assert_eq!(place(&create(&fleet, on(None)).await.unwrap()), ("xenhost2", "xen12"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_host_is_meant_must_be_told_where_there_are_several() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, |pools| {
        let host = pools[1].connection.urls.remove(0);
        let elsewhere = format!("http://localhost:{}", host.port());
        pools[1].connection.urls.push(elsewhere.parse().unwrap());
        pools.push(pools[0].clone());
        pools[2].name = "xenhost3".into();
        pools[2].connection.urls = pools[0].connection.urls.clone();
    });
    // As numbers both addresses are the same; and two sections may mean one host.
    let server = create(&fleet, in_pool("web", "xenhost2")).await.unwrap();
    assert_eq!(place(&server), ("xenhost2", "xen12"));
    assert_eq!(capacity(&fleet, None).await.available, 2 * PLACES - 1);
}

/// A reservation for so many servers, wherever.
fn room_for(servers: u32) -> ReservationSpec {
    ReservationSpec {
        each: quick("any").wish(),
        servers,
        ttl: Duration::from_secs(3600),
        queue: Duration::ZERO,
    }
}

fn held(placements: &[(&str, u32)]) -> BTreeMap<String, u32> {
    placements
        .iter()
        .map(|(pool, servers)| ((*pool).to_owned(), *servers))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_holds_room_on_the_hosts_of_all_sections() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, as_they_are);
    let cancel = CancellationToken::new;
    let refused = fleet.reserve(room_for(2 * PLACES + 1), cancel()).await.unwrap_err();
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    let made = fleet.reserve(room_for(2 * PLACES - 2), cancel()).await.unwrap();
    assert_eq!(made.placements, held(&[("xenhost1", 2 * PLACES - 2)]));
    let mut places = Vec::new();
    for pool in ["xenhost1", "xenhost2"] {
        let wanted = ServerSpec {
            reservation: Some(made.key.id),
            ..in_pool(pool, pool)
        };
        places.push(create(&fleet, wanted).await.unwrap());
    }
    let places: Vec<_> = places.iter().map(place).collect();
    assert_eq!(places, [("xenhost1", "xen11"), ("xenhost2", "xen12")]);
    // Another process meets the members in another order, and finds it by the same name.
    let other = sections(&lab, as_they_are);
    other
        .find(&ServerQuery::Name {
            name: "xenhost2".into(),
            pool: Some("xenhost2".into()),
        })
        .await
        .unwrap();
    let seen = other.reservation(&made.key).await.unwrap().unwrap();
    assert_eq!((&seen.placements, seen.used), (&made.placements, 2));
    let changes = |servers: u32| ReservationChanges {
        servers: Some(servers),
        ttl: None,
    };
    let each = || quick("any").wish();
    let grown = other
        .change_reservation(&made.key, each(), changes(2 * PLACES), cancel())
        .await
        .unwrap();
    assert_eq!(grown.placements, held(&[("xenhost1", 2 * PLACES)]));
    let failure = other
        .change_reservation(&made.key, each(), changes(2 * PLACES + 1), cancel())
        .await
        .unwrap_err();
    assert!(
        matches!(failure.error, Error::Full { .. }) && failure.now.is_none(),
        "{}",
        failure.error
    );
    assert_eq!(capacity(&other, None).await.available, 0);
    fleet.release(&made.key).await.unwrap();
    assert_eq!(capacity(&fleet, None).await.available, 2 * PLACES - 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ceiling_of_a_section_holds_for_reservations_too() {
    let lab = lab_of(2).await;
    let fleet = sections(&lab, |pools| {
        pools[0].max_servers_by_os.insert("debian12".into(), 1);
        pools[1].max_servers_by_os.insert("debian12".into(), 2);
    });
    assert_eq!(capacity(&fleet, None).await.available, 3);
    let cancel = CancellationToken::new;
    assert!(fleet.reserve(room_for(4), cancel()).await.is_err());
    let made = fleet.reserve(room_for(3), cancel()).await.unwrap();
    assert!(create(&fleet, quick("web")).await.is_err());
    for n in 0..3 {
        let wanted = ServerSpec {
            reservation: Some(made.key.id),
            ..quick(&format!("web-{n}"))
        };
        create(&fleet, wanted).await.unwrap();
    }
    assert_eq!(capacity(&fleet, None).await.available, 0);
}
