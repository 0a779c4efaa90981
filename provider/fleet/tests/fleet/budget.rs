//! How many requests things take, login and logout left out.

use std::time::Duration;

use futures::StreamExt as _;
use sim::world::Span;
use sim::{RequestRecord, World};

use crate::lab::{Lab, spec};

const MINUTE: Duration = Duration::from_secs(60);

/// A lab with very many VMs of others.
async fn crowded() -> Lab {
    Lab::small_with(|world: &mut World| {
        // So long that requests which are sent at the same time overlap on a busy machine too.
        world.latencies.request_ms = Span::fixed(4000);
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.srs.get_mut("ssd").unwrap().size_gib = 100_000;
        let foreign = pool.vms.get_mut("foreign").unwrap();
        foreign.count = 1000;
        foreign.running = false;
    })
    .await
}

/// All requests but the long-poll: the first `event.from` is the snapshot, the first that begins after a clone reads what the clone is,
/// others wait.
fn without_polls(requests: &[RequestRecord]) -> Vec<&RequestRecord> {
    let is_event = |request: &RequestRecord| request.method == "event.from";
    let cloned = requests
        .iter()
        .find(|request| request.method == "VM.clone")
        .and_then(|clone| clone.ended_us);
    let snapshot = requests
        .iter()
        .find(|request| is_event(request))
        .map(|request| request.index);
    let look = requests
        .iter()
        .find(|request| is_event(request) && cloned.is_some_and(|cloned| request.started_us >= cloned))
        .map(|request| request.index);
    let asks = |request: &&RequestRecord| !is_event(request) || [snapshot, look].contains(&Some(request.index));
    requests.iter().filter(asks).collect()
}

/// How many of the requests began after the former's end.
fn chain(requests: &[&RequestRecord]) -> usize {
    let mut counted = requests.to_vec();
    counted.sort_by_key(|request| request.ended_us);
    let mut links = 0;
    let mut free_from = 0;
    for request in counted {
        if request.started_us >= free_from {
            links += 1;
            free_from = request.ended_us.unwrap_or(u64::MAX);
        }
    }
    links
}

fn listed(requests: &[RequestRecord]) -> String {
    let lines = requests
        .iter()
        .map(|r| format!("{} {}..{:?} {}", r.index, r.started_us, r.ended_us, r.method));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_life_in_a_crowded_pool() {
    let lab = crowded().await;
    let server = lab.create(spec("web")).await.unwrap();
    let requests = lab.requests();
    let counted = without_polls(&requests);
    assert!(
        counted.len() <= 24,
        "create took {}:\n{}",
        counted.len(),
        listed(&requests)
    );
    let polls = requests.len() - counted.len();
    assert!(polls <= 4, "create polled {polls} times:\n{}", listed(&requests));
    let links = chain(&counted);
    assert!(links <= 15, "create's longest chain is {links}:\n{}", listed(&requests));

    // It follows the pool no longer.
    lab.fleet.logout().await;
    lab.control.reset_requests();
    lab.second().read(&server.key()).await.unwrap().unwrap();
    let requests = lab.requests();
    assert!(
        requests.len() <= 8,
        "refresh took {}:\n{}",
        requests.len(),
        listed(&requests)
    );

    lab.control.reset_requests();
    let other = lab.second();
    other.delete(&server.key(), MINUTE, Default::default()).await.unwrap();
    let requests = lab.requests();
    assert!(
        requests.len() <= 10,
        "delete took {}:\n{}",
        requests.len(),
        listed(&requests)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_of_two_hundred_servers_ten_at_a_time() {
    let lab = crowded().await;
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    wanted.wait.for_ip = false;
    let one = lab.create(wanted).await.unwrap();
    let vm = lab.vm(&one).await;
    lab.call("VM.hard_shutdown", serde_json::json!([vm])).await;
    let mut keys = vec![one.key()];
    for n in 1..200 {
        let copy = lab.call("VM.clone", serde_json::json!([vm, format!("web-{n}")])).await;
        let uuid = lab.call("VM.get_uuid", serde_json::json!([copy])).await;
        let uuid = uuid.as_str().unwrap();
        let other_config = serde_json::json!({
            "dynvm:vm": uuid,
            "dynvm:spec": r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#,
        });
        lab.call("VM.set_other_config", serde_json::json!([copy, other_config]))
            .await;
        keys.push(fleet::ServerKey {
            vm: uuid.parse().unwrap(),
            request_id: None,
            ..one.key()
        });
    }
    // It follows the pool no longer.
    lab.fleet.logout().await;
    lab.control.reset_requests();
    let fleet = lab.second();
    let reads = keys.iter().map(|key| fleet.read(key));
    let servers: Vec<_> = futures::stream::iter(reads).buffer_unordered(10).collect().await;
    assert_eq!(
        servers
            .iter()
            .filter(|read| read.as_ref().unwrap().as_ref().unwrap().managed)
            .count(),
        200
    );
    let requests = lab.requests();
    assert!(
        requests.len() <= 6,
        "200 reads took {}:\n{}",
        requests.len(),
        listed(&requests)
    );

    // A busy pool: what changes is told some seconds later, as nobody waits for it.
    for n in 0..30 {
        lab.call("VM.set_name_description", serde_json::json!([vm, n.to_string()]))
            .await;
        let seen = fleet.read(&one.key()).await.unwrap().unwrap();
        assert!(seen.managed);
    }
    let more = lab.requests().len() - requests.len();
    assert!(more <= 1, "30 changes took {more}:\n{}", listed(&lab.requests()));
}

/// How often it was waited for what own writes changed.
fn looks(lab: &Lab) -> usize {
    let requests = lab.requests();
    requests
        .iter()
        .filter(|request| request.method == "event.inject")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_takes_few_tickets_and_looks_seldom_at_what_it_deletes() {
    const SERVERS: usize = 48;
    let lab = Lab::small_with(|world: &mut World| {
        // As in a pool: what stands in line at an SR waits for clones, not for tickets.
        world.latencies.vdi_clone_ms = Span::fixed(4000);
        world.latencies.vdi_destroy_ms = Span::fixed(4000);
        world.latencies.request_ms = Span::fixed(5);
        world.pools["lab1"].hosts["xen11"].cpus = 2 * 1024;
        world.pools["lab1"].hosts["xen11"].memory_gib = 1024;
    })
    .await;
    let mut wanted = spec("web");
    wanted.wait.for_ip = false;
    // One comes when another is done, as under terraform.
    let creates = (0..SERVERS).map(|_| lab.create(wanted.clone()));
    let made: Vec<_> = futures::stream::iter(creates).buffer_unordered(16).collect().await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let tickets = looks(&lab);
    assert!(tickets <= SERVERS / 3, "{tickets} tickets for {SERVERS} servers");

    lab.control.reset_requests();
    let keys: Vec<_> = made.into_iter().map(|made| made.unwrap().key()).collect();
    let deletions = keys.iter().map(|key| lab.fleet.delete(key, MINUTE, Default::default()));
    let gone: Vec<_> = futures::stream::iter(deletions).buffer_unordered(16).collect().await;
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    let looks = looks(&lab);
    assert!(looks <= SERVERS / 3, "{looks} looks at {SERVERS} servers");
}
