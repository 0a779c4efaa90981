//! Capacity and placement.

use fleet::{CapacityQuery, Error, Image, Limit};
use sim::World;

use crate::lab::{Lab, spec};

fn query(cpus: Option<u32>, memory_mib: Option<u64>) -> CapacityQuery {
    CapacityQuery {
        image: Image::Os("debian12".into()),
        cpus,
        memory_mib,
        pool: None,
        labels: fleet::LabelChoice::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_fit_fits_and_no_more() {
    let lab = Lab::small_with(|world: &mut World| world.pools["lab1"].hosts["xen11"].memory_gib = 24).await;
    let mut wanted = spec("web");
    wanted.memory_mib = Some(4096);
    wanted.wait.for_ip = false;
    let room = lab.fleet.capacity(&query(None, Some(4096))).await.unwrap();
    assert_eq!(room.pools[0].limited_by, Limit::Memory);
    let fits = room.available;
    assert!((2..6).contains(&fits), "{room:?}");
    for n in 0..fits {
        let mut wanted = wanted.clone();
        wanted.name = format!("web-{n}");
        lab.create(wanted).await.unwrap();
    }
    let failure = lab.create(wanted).await.unwrap_err();
    assert!(matches!(failure.error, Error::Full { .. }), "{}", failure.error);
    assert_eq!(
        lab.second().capacity(&query(None, Some(4096))).await.unwrap().available,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpus_count_those_of_others_but_not_the_control_domains() {
    let lab = Lab::small().await;
    let room = lab.fleet.capacity(&query(Some(2), Some(512))).await.unwrap();
    let pool = &room.pools[0];
    assert_eq!((pool.cpus_total, pool.cpus_free), (32, 32 - 3 * 2));
    assert_eq!((pool.available, pool.limited_by), (13, Limit::Cpu));
    assert_eq!(pool.in_progress, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_host_and_a_missing_template_leave_no_room() {
    let lab = Lab::small().await;
    let mut missing = query(None, None);
    missing.image = Image::Template("nowhere".into());
    let room = lab.fleet.capacity(&missing).await.unwrap();
    assert_eq!((room.available, room.pools[0].limited_by), (0, Limit::Template));
    lab.control.set_host_enabled("lab1", "xen11", false).unwrap();
    let room = lab.second().capacity(&query(None, None)).await.unwrap();
    assert_eq!((room.available, room.pools[0].limited_by), (0, Limit::HostDisabled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ceiling_stops_a_server_before_its_clone() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(|pools| pools[0].max_servers = Some(2));
    let create = |name: &str| {
        let (fleet, mut wanted) = (fleet.clone(), spec(name));
        wanted.wait.for_ip = false;
        async move { fleet.create(wanted, Default::default(), &|_| {}).await }
    };
    let made = futures::future::join_all(["a", "b", "c"].map(create)).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 2);
    let refused = made.into_iter().find_map(Result::err).unwrap();
    assert!(
        refused.error.to_string().contains("limited by max_servers"),
        "{}",
        refused.error
    );
    assert_eq!(
        lab.requests()
            .iter()
            .filter(|request| request.method == "VM.clone")
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_one_run_spread_over_the_pools() {
    let lab = Lab::of(World::default_lab()).await;
    let creates = (0..8).map(|n| {
        let mut wanted = spec(&format!("web-{n}"));
        wanted.wait.for_ip = false;
        lab.create(wanted)
    });
    let made = futures::future::join_all(creates).await;
    let of = |pool: &str| {
        made.iter()
            .filter(|server| server.as_ref().unwrap().pool == pool)
            .count()
    };
    assert_eq!(of("lab1") + of("lab2"), 8);
    assert!(
        lab.requests()
            .iter()
            .filter(|request| request.method == "VM.get_all_records_where")
            .count()
            <= 8
    );
    let room = lab.fleet.capacity(&query(None, None)).await.unwrap();
    let names: Vec<&str> = room.pools.iter().map(|pool| pool.pool.as_str()).collect();
    assert_eq!(names, ["lab1", "lab2"]);
    assert_eq!(
        room.available,
        room.pools.iter().map(|pool| pool.available).sum::<u32>()
    );
}
