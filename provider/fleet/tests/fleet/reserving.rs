//! Reservations, and servers in them, side by side with others.

use std::time::Duration;

use fleet::{ChangeFailure, Error, Image, ReservationChanges, ReservationSpec, ReservationStatus, ServerSpec, Wish};
use sim::{FaultKind, FaultRule};
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, spec};

fn quick(name: &str) -> ServerSpec {
    let mut wanted = spec(name);
    wanted.wait.for_ip = false;
    wanted
}

fn room_for(servers: u32) -> ReservationSpec {
    ReservationSpec {
        each: Wish {
            image: Image::Os("debian12".into()),
            ..quick("any").wish()
        },
        servers,
        ttl: Duration::from_secs(3600),
        queue: Duration::ZERO,
    }
}

/// One host with twelve vCPUs and nothing on it: six servers with two each.
async fn six_places() -> Lab {
    Lab::small_with(|world| {
        let pool = world.pools.get_mut("lab1").unwrap();
        pool.vms.clear();
        pool.hosts["xen11"].cpus = 12;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_drawn_takes_no_room_beside_its_reservation() {
    let lab = six_places().await;
    let held = lab.fleet.reserve(room_for(4), CancellationToken::new()).await.unwrap();
    let create = |n: usize| {
        let mut wanted = quick(&format!("web-{n}"));
        wanted.reservation = (n < 4).then_some(held.key.id);
        lab.create(wanted)
    };
    for made in futures::future::join_all((0..6).map(create)).await {
        made.unwrap();
    }
    let now = lab.fleet.reservation(&held.key).await.unwrap().unwrap();
    assert_eq!((now.used, now.status), (4, ReservationStatus::UsedUp));
    let mut fifth = quick("fifth");
    fifth.reservation = Some(held.key.id);
    let failure = lab.create(fifth).await.unwrap_err();
    assert!(matches!(failure.error, Error::Reservation { .. }), "{}", failure.error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_ends_all_of_it_and_may_be_repeated() {
    let lab = six_places().await;
    let before = lab.world();
    let held = lab.fleet.reserve(room_for(6), CancellationToken::new()).await.unwrap();
    let refused = lab
        .second()
        .reserve(room_for(1), CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    for _ in 0..2 {
        lab.fleet.release(&held.key).await.unwrap();
    }
    assert_eq!(lab.fleet.reservation(&held.key).await.unwrap(), None);
    assert_eq!(lab.world(), before);
    lab.second()
        .reserve(room_for(6), CancellationToken::new())
        .await
        .unwrap();
}

/// A pool that refuses to write tickets, from the call after so many on.
fn refuses(pool: &str, skip: u64) -> FaultRule {
    let code = "OTHER_OPERATION_IN_PROGRESS".to_owned();
    FaultRule {
        pool: Some(pool.to_owned()),
        skip,
        ..FaultRule::always(
            "pool.add_to_other_config",
            FaultKind::Error {
                code,
                params: Vec::new(),
            },
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_does_not_answer_for_a_moment_ends_no_queue() {
    let lab = six_places().await;
    let fails = || FaultRule {
        count: 1,
        ..refuses("lab1", 0)
    };
    lab.control.fault(fails());
    let at_once = lab.fleet.reserve(room_for(6), CancellationToken::new()).await;
    assert!(matches!(at_once, Err(Error::Call { .. })), "{at_once:?}");
    lab.control.clear_faults();
    lab.control.fault(fails());
    let queued = ReservationSpec {
        queue: Duration::from_secs(60),
        ..room_for(6)
    };
    let held = lab.second().reserve(queued, CancellationToken::new()).await.unwrap();
    assert_eq!(held.placements["lab1"], 6);
}

/// Two pools like that.
async fn twice_six_places() -> Lab {
    Lab::small_with(|world| {
        let mut pool = world.pools["lab1"].clone();
        pool.vms.clear();
        pool.hosts["xen11"].cpus = 12;
        world.pools.insert("lab2".into(), pool.clone());
        world.pools.insert("lab1".into(), pool);
    })
    .await
}

fn for_servers(servers: u32) -> ReservationChanges {
    ReservationChanges {
        servers: Some(servers),
        ttl: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_one_pool_refuses_is_taken_back_in_the_others_or_told() {
    let lab = twice_six_places().await;
    let each = || room_for(1).each;
    let cancel = CancellationToken::new;
    let held = lab.fleet.reserve(room_for(8), cancel()).await.unwrap();
    let placed = |lab1: u32, lab2: u32| [("lab1".to_owned(), lab1), ("lab2".to_owned(), lab2)].into();
    assert_eq!(held.placements, placed(4, 4));
    lab.control.fault(refuses("lab2", 0));
    let failure = lab
        .fleet
        .change_reservation(&held.key, each(), for_servers(4), cancel())
        .await
        .unwrap_err();
    assert!(failure.now.is_none(), "{}", failure.error);
    let seen = lab.fleet.reservation(&held.key).await.unwrap().unwrap();
    assert_eq!(seen.placements, placed(4, 4), "as it was");
    // Its ticket and the mark of the old one are written; then nothing more.
    lab.control.fault(refuses("lab1", 2));
    let changed = lab
        .fleet
        .change_reservation(&held.key, each(), for_servers(4), cancel())
        .await;
    let ChangeFailure { error, now } = changed.unwrap_err();
    assert_eq!(now.unwrap().placements, placed(2, 4));
    let says = error.to_string();
    for part in [
        "room for 2 in pool \"lab1\" until",
        "room for 4 in pool \"lab2\" until",
        "could not be changed back",
    ] {
        assert!(says.contains(part), "{says}");
    }
    lab.control.clear_faults();
    let whole = lab
        .fleet
        .change_reservation(&held.key, each(), for_servers(4), cancel())
        .await
        .unwrap();
    assert_eq!(whole.placements, placed(2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pool_measures_a_new_time_by_its_own_clock() {
    let lab = twice_six_places().await;
    lab.control.set_clock_offset("lab2", 300).unwrap();
    let held = lab.fleet.reserve(room_for(8), CancellationToken::new()).await.unwrap();
    let ends = async || {
        let mut ends = Vec::new();
        for pool in ["lab1", "lab2"] {
            let mut key = held.key.clone();
            key.pools.retain(|name, _| name == pool);
            ends.push(lab.fleet.reservation(&key).await.unwrap().unwrap().expires_at);
        }
        ends[1].duration_since(ends[0]).as_secs()
    };
    let before = ends().await;
    let longer = ReservationChanges {
        servers: None,
        ttl: Some(Duration::from_secs(7200)),
    };
    let cancel = CancellationToken::new();
    lab.fleet
        .change_reservation(&held.key, room_for(1).each, longer, cancel)
        .await
        .unwrap();
    let after = ends().await;
    assert!((before - after).abs() <= 5 && after > 250, "{before} and {after}");
}

/// Longer than anything that ends, in virtual time.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn one_in_a_pool_that_tells_no_events_ends() {
    for (heard, fault) in (0..4).flat_map(|heard| [FaultKind::Hang, FaultKind::CutBefore].map(|fault| (heard, fault))) {
        let lab = Lab::in_virtual_time().await;
        lab.control.fault(FaultRule {
            skip: heard,
            ..FaultRule::always("event.from", fault.clone())
        });
        let reserved = lab.fleet.reserve(room_for(1), CancellationToken::new());
        let ended = tokio::time::timeout(NEVER, reserved).await;
        assert!(ended.is_ok(), "{fault:?} of each call but the first {heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_given_up_says_so_and_what_it_came_to_is_read() {
    for fault in [FaultKind::Hang, FaultKind::HangAfter] {
        let lab = Lab::in_virtual_time().await;
        let held = lab.fleet.reserve(room_for(1), CancellationToken::new()).await.unwrap();
        lab.control.fault(FaultRule::once("pool.add_to_other_config", fault));
        let cancel = CancellationToken::new();
        let (asked, stop) = (lab.requests().len(), cancel.clone());
        let gives_up = async {
            while !lab.requests()[asked..]
                .iter()
                .any(|request| request.method == "pool.add_to_other_config")
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.cancel();
            tokio::time::Instant::now()
        };
        let changing = lab
            .fleet
            .change_reservation(&held.key, room_for(1).each, for_servers(2), cancel);
        let (failed, given_up) = tokio::join!(changing, gives_up);
        assert!(given_up.elapsed() <= Duration::from_secs(1), "{:?}", given_up.elapsed());
        let failure = failed.unwrap_err();
        assert!(failure.error.is_cancelled(), "{}", failure.error);
        lab.fleet.settle().await;
        let now = lab.fleet.reservation(&held.key).await.unwrap().unwrap();
        assert!([1, 2].contains(&now.placements["lab1"]), "{now:?}");
        lab.fleet.release(&held.key).await.unwrap();
        assert!(lab.fleet.reservation(&held.key).await.unwrap().is_none());
    }
}
