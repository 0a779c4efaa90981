//! Reservations, and servers in them, side by side with others.

use std::time::Duration;

use fleet::{Error, Image, ReservationSpec, ReservationStatus, ServerSpec, Wish};
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
