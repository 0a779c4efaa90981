//! Pools that lose their coordinator, a host, their room or their speed while somebody works with them.

use std::sync::Arc;
use std::time::Duration;

use fleet::{CreateFailure, Error, Fleet, Server, ServerSpec};
use serde_json::Value;
use sim::World;
use sim::world::Span;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, spec};

const POOL: &str = "lab1";
/// The coordinator first.
const HOSTS: [&str; 3] = ["xen11", "xen12", "xen13"];
const SERVERS: usize = 20;

/// A pool of three hosts, in which clones take their time.
async fn wide() -> Lab {
    Lab::small_with(|world: &mut World| {
        world.latencies.vdi_clone_ms = Span::fixed(2000);
        let pool = &mut world.pools[POOL];
        for host in HOSTS {
            let like = pool.hosts[0].clone();
            pool.hosts.entry(host.to_owned()).or_insert(like).cpus = 128;
        }
    })
    .await
}

/// A process that knows all members.
fn knowing_all(lab: &Lab) -> Arc<Fleet> {
    let members = lab.control.pools().remove(0).member_urls;
    lab.with_settings(|pools| pools[0].connection.urls = members.iter().map(|url| url.parse().unwrap()).collect())
}

/// Creates so many at once.
fn begin(fleet: &Arc<Fleet>, count: usize, like: impl Fn(usize) -> ServerSpec) -> JoinSet<Made> {
    let mut creates = JoinSet::new();
    for number in 0..count {
        let (fleet, wanted) = (Arc::clone(fleet), like(number));
        creates.spawn(async move { fleet.create(wanted, CancellationToken::new(), &|_| {}).await });
    }
    creates
}

type Made = Result<Server, CreateFailure>;

/// Waits until so many clones are there.
async fn cloned(lab: &Lab, count: usize) {
    let clones = || {
        let requests = lab.requests();
        let done = requests.iter().filter(|request| request.ended_us.is_some());
        done.filter(|request| request.method.ends_with("VM.clone")).count()
    };
    while clones() < count {
        tokio::task::yield_now().await;
    }
}

/// The coordinator is gone at once, and another member takes over.
fn lose_coordinator(lab: &Lab) {
    lab.control.set_host_reachable(POOL, HOSTS[0], false).unwrap();
    lab.control.set_coordinator(POOL, HOSTS[1]).unwrap();
}

fn named(number: usize) -> ServerSpec {
    spec(&format!("web-{number}"))
}

/// UUIDs of all VMs that are dynvm's.
async fn there(lab: &Lab) -> Vec<String> {
    let traces = lab.traces().await;
    let uuid = |vm: &Value| vm["uuid"].as_str().unwrap().to_owned();
    traces.iter().map(uuid).collect()
}

async fn delete(fleet: &Arc<Fleet>, server: &Server) -> Result<(), Error> {
    let limit = Duration::from_secs(60);
    let deleted = fleet.delete(&server.key(), limit, CancellationToken::new()).await;
    deleted.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_of_twenty_goes_on_at_the_new_coordinator() {
    let lab = wide().await;
    lab.control.set_host_enabled(POOL, HOSTS[0], false).unwrap();
    let fleet = knowing_all(&lab);
    let creates = begin(&fleet, SERVERS, named);
    cloned(&lab, 4).await;
    lose_coordinator(&lab);
    let made = creates.join_all().await;
    let servers: Vec<Server> = made.into_iter().map(|made| made.unwrap()).collect();
    assert!(servers.iter().all(|server| server.ip_address.is_some()));
    let mut traces = there(&lab).await;
    let mut known: Vec<String> = servers.iter().map(|server| server.id.to_string()).collect();
    traces.sort();
    known.sort();
    assert_eq!(traces, known, "none twice, none unknown");
    for server in &servers {
        delete(&fleet, server).await.unwrap();
    }
    assert!(there(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_coordinator_that_takes_its_guests_along_every_server_is_accounted_for() {
    let lab = wide().await;
    let fleet = knowing_all(&lab);
    let creates = begin(&fleet, SERVERS, |number| ServerSpec {
        create_timeout: Duration::from_secs(10),
        ..named(number)
    });
    cloned(&lab, 8).await;
    lose_coordinator(&lab);
    let made = creates.join_all().await;
    let on_the_others = made.iter().flatten().count();
    assert!(on_the_others > 0, "{made:?}");
    let left = |made: &Made| match made {
        Ok(server) => Some(server.id.to_string()),
        Err(failure) => failure.left.as_ref().map(|server| server.id.to_string()),
    };
    let known: Vec<String> = made.iter().filter_map(left).collect();
    for vm in lab.traces().await {
        let is_leased = |key: &String| key.starts_with("dynvm:creating=") || key.starts_with("dynvm:expires=");
        let uuid = vm["uuid"].as_str().unwrap().to_owned();
        let has_deadline = fleet::BirthName::parse(vm["name_label"].as_str().unwrap()).is_some()
            || vm["other_config"].as_object().unwrap().keys().any(is_leased);
        assert!(known.contains(&uuid) || has_deadline, "nobody's: {vm:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_a_host_that_is_down_stays_until_the_host_is_back() {
    let lab = wide().await;
    let fleet = knowing_all(&lab);
    let server = fleet
        .create(
            ServerSpec {
                host: Some(HOSTS[2].into()),
                ..spec("web")
            },
            CancellationToken::new(),
            &|_| {},
        )
        .await
        .unwrap();
    lab.control.set_host_reachable(POOL, HOSTS[2], false).unwrap();
    let refused = delete(&fleet, &server).await.unwrap_err();
    // Out of reach at first, and off for the pool after ten minutes of silence.
    assert!(
        refused.hint().contains("bring it back"),
        "{refused}: {}",
        refused.hint()
    );
    assert_eq!(there(&lab).await, [server.id.to_string()]);
    let disks = lab.vm_record(&server).await["VBDs"].clone();
    assert_ne!(disks, serde_json::json!([]), "nothing of it is touched");
    assert!(fleet.read(&server.key()).await.unwrap().is_some());

    lab.control.set_host_reachable(POOL, HOSTS[2], true).unwrap();
    delete(&fleet, &server).await.unwrap();
    assert!(there(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_storage_fills_up_half_way_the_rest_fail_and_leave_nothing() {
    let lab = wide().await;
    let creates = begin(&lab.fleet, 10, named);
    cloned(&lab, 3).await;
    lab.control.set_sr_free(POOL, "ssd", 0).unwrap();
    let (made, failed): (Vec<Made>, Vec<Made>) = creates.join_all().await.into_iter().partition(Result::is_ok);
    assert!(made.len() >= 3 && !failed.is_empty(), "{} made", made.len());
    for failure in failed {
        let failure = failure.unwrap_err();
        assert!(matches!(failure.error, Error::Full { .. }), "{}", failure.error);
        assert!(failure.left.is_none());
    }
    assert_eq!(there(&lab).await.len(), made.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_answers_after_five_seconds_is_slow_and_no_more() {
    let lab = Lab::small_with(|world: &mut World| world.latencies.request_ms = Span::fixed(5000)).await;
    // The defaults of the resource, at the lab's speed.
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes) / 200;
    let server = lab
        .create(ServerSpec {
            create_timeout: minutes(20),
            ..spec("web")
        })
        .await
        .unwrap();
    assert!(server.ip_address.is_some());
    let other = lab.second();
    other.read(&server.key()).await.unwrap().unwrap();
    let deleted = other.delete(&server.key(), minutes(10), CancellationToken::new()).await;
    deleted.unwrap();
    assert!(there(&lab).await.is_empty());
}
