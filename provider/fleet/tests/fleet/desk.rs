//! Tickets on a simulated pool: order, lost answers, and roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::reservation::{Admission, Desk, Pass, Surroundings, Tidied};
use fleet::ticket::{Board, Hold, Kind, PerServer, Refusal, Released, Room, Served, Ticket, reserved};
use fleet::{Error, Uuid};
use futures::future::join_all;
use jiff::Timestamp;
use sim::world::UserSpec;
use sim::{FaultKind, FaultRule};
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use xenapi::PoolObject;

use crate::lab::Lab;

const NOW: i64 = 1_700_000_000;
const ADD: &str = "pool.add_to_other_config";

/// A pool without servers and with room for so many.
struct Slots(u32);

impl Room for Slots {
    fn servers(&self) -> &[Served] {
        &[]
    }

    fn takes(&self, held: &[Hold], asked: &Hold) -> bool {
        held.iter().map(|hold| hold.servers).sum::<u32>() + asked.servers <= self.0
    }
}

impl Surroundings for Slots {
    type Room = Self;

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(at(NOW))
    }

    async fn look(&self, _: &Board) -> Result<Self, Error> {
        Ok(Self(self.0))
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Another process on the lab.
async fn desk(lab: &Lab) -> Arc<Desk> {
    desk_of(lab.client()).await
}

async fn desk_of(client: Arc<xenapi::Pool>) -> Arc<Desk> {
    desk_with(client, TaskTracker::new()).await
}

async fn desk_with(client: Arc<xenapi::Pool>, tasks: TaskTracker) -> Arc<Desk> {
    let snapshot = client.snapshot(&[xenapi::EventClass::Pool]).await.unwrap();
    let (pool, _) = snapshot.of::<PoolObject>().next().unwrap();
    Desk::new(client, pool, tasks)
}

/// Waits for what is done in the background.
async fn settle(tasks: &TaskTracker) {
    tasks.close();
    tasks.wait().await;
    tasks.reopen();
}

fn ticket(id: u128, kind: Kind, servers: u32) -> Ticket {
    Ticket {
        id: Ulid(id),
        kind,
        each: PerServer::default(),
        hosts: BTreeMap::from([(Uuid::from_bytes([1; 16]), servers)]),
        until: at(NOW + 600),
        by: "ci".into(),
    }
}

async fn take(desk: &Arc<Desk>, ticket: Ticket, room: u32) -> Result<Admission, Error> {
    desk.take(ticket, &Slots(room)).await
}

async fn held(desk: &Arc<Desk>, ticket: Ticket, room: u32) -> Pass {
    match take(desk, ticket, room).await.unwrap() {
        Admission::Held(pass) => pass,
        other => panic!("{other:?}"),
    }
}

async fn live(desk: &Desk) -> Vec<u64> {
    let board = desk.board().await.unwrap();
    board.live(at(NOW)).map(|(number, _)| number).collect()
}

#[tokio::test]
async fn of_many_at_once_as_many_are_admitted_as_there_is_room_for() {
    let lab = Lab::small().await;
    let mut asking = Vec::new();
    for id in 0..12 {
        let desk = desk(&lab).await;
        asking.push(tokio::spawn(async move {
            take(&desk, ticket(id, Kind::Creation, 1), 5).await.unwrap()
        }));
    }
    let answers = join_all(asking).await;
    let numbers = answers.into_iter().filter_map(|answer| match answer.unwrap() {
        Admission::Held(pass) => Some(pass.number),
        Admission::Refused(refusal) => {
            assert_eq!(refusal, Refusal::NoRoom);
            None
        }
        other => panic!("{other:?}"),
    });
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(live(&*desk(&lab).await).await, numbers);
}

#[tokio::test]
async fn a_ticket_is_released_and_then_cleared_by_the_next() {
    let lab = Lab::small().await;
    let tasks = TaskTracker::new();
    let desk = desk_with(lab.client(), tasks.clone()).await;
    let first = held(&desk, ticket(1, Kind::Creation, 1), 1).await;
    assert_eq!(desk.release(&first).await.unwrap(), Released::Surely);
    assert_eq!(desk.release(&first).await.unwrap(), Released::Surely);
    let second = held(&desk, ticket(2, Kind::Creation, 1), 1).await;
    settle(&tasks).await;
    assert_eq!(second.number, 2);
    let board = desk.board().await.unwrap();
    assert_eq!(board.leftovers(Timestamp::MAX), []);
    assert_eq!(live(&desk).await, [2]);
    assert_eq!(desk.clear(&board, Timestamp::MAX).await.unwrap(), Tidied::Cleared(0));
}

#[tokio::test]
async fn a_lost_answer_leaves_one_ticket() {
    for kind in [FaultKind::CutAfter, FaultKind::CutBefore] {
        let lab = Lab::small().await;
        let desk = desk(&lab).await;
        lab.control.fault(FaultRule::once(ADD, kind.clone()));
        let pass = held(&desk, ticket(1, Kind::Creation, 1), 1).await;
        assert_eq!((pass.number, live(&desk).await), (1, vec![1]), "{kind:?}");
        lab.control.fault(FaultRule::once(ADD, kind.clone()));
        assert_eq!(desk.release(&pass).await.unwrap(), Released::Surely, "{kind:?}");
        assert!(live(&desk).await.is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_refused_or_cannot_be_judged_leaves_no_ticket() {
    struct Blind;

    impl Surroundings for Blind {
        type Room = Slots;

        async fn now(&self) -> Result<Timestamp, Error> {
            Ok(at(NOW))
        }

        async fn look(&self, _: &Board) -> Result<Slots, Error> {
            Err(Error::NoPools)
        }
    }

    let lab = Lab::small().await;
    let tasks = TaskTracker::new();
    let desk = desk_with(lab.client(), tasks.clone()).await;
    let refused = take(&desk, ticket(1, Kind::Creation, 2), 1).await.unwrap();
    assert_eq!(refused, Admission::Refused(Refusal::NoRoom));
    let failed = desk.take(ticket(2, Kind::Creation, 1), &Blind).await;
    assert!(matches!(failed, Err(Error::NoPools)));
    settle(&tasks).await;
    assert!(live(&desk).await.is_empty());
}

/// A look that does not end.
struct Endless;

impl Surroundings for Endless {
    type Room = Slots;

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(at(NOW))
    }

    async fn look(&self, _: &Board) -> Result<Slots, Error> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn one_that_is_dropped_half_way_is_released() {
    let lab = Lab::small().await;
    let tasks = TaskTracker::new();
    let desk = desk_with(lab.client(), tasks.clone()).await;
    {
        let asking = desk.take(ticket(1, Kind::Creation, 1), &Endless);
        let is_there = async {
            while live(&desk).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = asking => panic!("it has looked for ever"),
            () = is_there => {}
        }
    }
    settle(&tasks).await;
    assert!(live(&desk).await.is_empty());
}

#[tokio::test]
async fn a_reservation_is_changed_drawn_from_and_released() {
    let lab = Lab::small().await;
    let desk = desk(&lab).await;
    let small = held(&desk, ticket(1, Kind::Reservation, 1), 3).await;
    let mut larger = small.ticket.changed(small.number, Ulid(2));
    larger.hosts.values_mut().for_each(|servers| *servers = 3);
    let large = held(&desk, larger.clone(), 3).await;
    assert_eq!((large.number, live(&desk).await), (2, vec![2]));
    larger.hosts.values_mut().for_each(|servers| *servers = 4);
    let refused = take(&desk, Ticket { id: Ulid(3), ..larger }, 3).await.unwrap();
    assert_eq!(refused, Admission::Refused(Refusal::NoRoom));
    let draw = Kind::Draw { of: Ulid(1) };
    let drawn = held(&desk, ticket(4, draw, 2), 0).await;
    let found = reserved(&desk.board().await.unwrap(), at(NOW), Ulid(1), &[]).unwrap();
    assert_eq!((found.used, found.ticket.servers()), (2, 3));
    let too_many = take(&desk, ticket(5, draw, 2), 9).await.unwrap();
    assert_eq!(too_many, Admission::Refused(Refusal::UsedUp));
    assert_eq!(desk.release_reservation(Ulid(1)).await.unwrap(), Released::Surely);
    assert_eq!(live(&desk).await, [drawn.number]);
}

#[tokio::test]
async fn without_the_role_there_are_no_tickets_and_one_attempt() {
    let admin = UserSpec {
        name: "admin".into(),
        password: "secret".into(),
        role: "vm-admin".into(),
    };
    let lab = Lab::small_with(|world| world.pools["lab1"].users.push(admin)).await;
    let desk = desk_of(lab.client_of("admin", "secret")).await;
    lab.control.reset_requests();
    for id in 1..3 {
        let answer = take(&desk, ticket(id, Kind::Creation, 1), 1).await.unwrap();
        assert_eq!(answer, Admission::NoRole);
    }
    let adds = lab.requests().into_iter().filter(|request| request.method == ADD);
    assert_eq!(adds.count(), 1);
}
