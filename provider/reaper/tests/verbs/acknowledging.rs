//! `ack`: what many expiries at once hold back is let go by a person, and no more than that.

use reaper::memory::StateDir;

use crate::desk::Desk;
use crate::lab::Made;

/// So many servers that are over by marks that were made so many seconds ago.
async fn over(desk: &Desk, names: &str, count: usize, made: i64) -> Vec<Made> {
    let mut servers = Vec::new();
    for at in 0..count {
        let marks = |marks: crate::lab::Marks| marks.lease_made(-5, made);
        servers.push(desk.lab.server_with(&format!("{names}-{at}"), marks).await);
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_lets_go_is_deleted_and_later_marks_are_not() {
    let desk = Desk::small().await;
    over(&desk, "young", 14, -60).await;
    for at in 0..8 {
        desk.lab.server(&format!("living-{at}"), 3600).await;
    }
    desk.verb(&["run", "--once"])
        .await
        .expect(4, &["mass-expiry", "14 held back"]);
    desk.verb(&["ack", "lab9"]).await.expect(2, &["no pool \"lab9\""]);
    let (code, told) = desk.json(&["ack", "lab1"]).await;
    assert_eq!((code, told["acknowledged"].as_array().unwrap().len()), (0, 14));
    desk.verb(&["ack"]).await.expect(0, &["nothing is held back"]);
    let late = over(&desk, "late", 1, -60).await.remove(0);
    desk.verb(&["run", "--once"]).await.expect(0, &["15 deleted"]);
    assert!(!desk.lab.has(&late).await, "one alone is not many");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_vm_carries_any_more_is_forgotten() {
    let desk = Desk::small().await;
    let state = StateDir::open(&desk.state_dir()).unwrap();
    state.acknowledge(&[ulid::Ulid(7)].into()).unwrap();
    desk.verb(&["ack"]).await.expect(0, &["nothing is held back"]);
    assert_eq!(
        state.acknowledged(),
        [ulid::Ulid(7)].into(),
        "nothing to do, nothing written"
    );
    over(&desk, "young", 20, -60).await;
    desk.verb(&["ack"])
        .await
        .expect(0, &["young-7", "20 servers are let go"]);
    let marks = state.acknowledged();
    assert_eq!((marks.len(), marks.contains(&ulid::Ulid(7))), (20, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_servers_are_not_deleted_are_not_let_go() {
    let desk = Desk::small().await;
    over(&desk, "young", 20, -60).await;
    desk.configure(&desk.lab.control.pools(), "owners = [\"somebody else\"]");
    desk.verb(&["ack"]).await.expect(0, &["nothing is held back"]);
    assert!(!desk.state_dir().join("acknowledged.json").exists());
}
