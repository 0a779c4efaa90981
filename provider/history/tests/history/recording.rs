//! The recorder: nothing is lost while the sink is down, whatever happens to the process.

use std::fs;
use std::time::Duration;

use history::{Entry, History, Recorder, ServerRow, SinkUrl, Spool};

use crate::child::SecondProcess;
use crate::facts::{all, born, renewal, renewed, server, vm, vms};
use crate::server::Server;

const LONG: Duration = Duration::from_secs(60);

fn recorder(url: &SinkUrl, spool: &std::path::Path) -> Recorder {
    Recorder::start(History::new(url), Spool::open(spool).unwrap()).unwrap()
}

async fn delivered(recorder: &Recorder) {
    let mut waiting = recorder.waiting();
    tokio::time::timeout(LONG, waiting.wait_for(|waiting| *waiting == 0))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn what_is_recorded_is_delivered_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    for url in [
        SinkUrl::sqlite(folder.path().join("a.db")),
        SinkUrl::jsonl(folder.path().join("a.jsonl")),
    ] {
        let recorder = recorder(&url, &spool);
        for n in 0..50 {
            recorder.record(server(born(n, 0)));
        }
        delivered(&recorder).await;
        recorder.record(renewed(&renewal(1, 1, 2, None)));
        assert_eq!(recorder.close(LONG).await, 0);
        let history = History::new(&url);
        assert_eq!(all(&history).await.len(), 50);
        assert_eq!(history.renewals(vm(1)).await.unwrap().len(), 1);
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 1, "only the lock is left");
    }
}

#[tokio::test]
async fn a_postgres_server_may_go_and_come_back() {
    let mut postgres = Server::start();
    let url: SinkUrl = postgres.database("lab").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(&url, folder.path());
    recorder.record(server(born(1, 0)));
    delivered(&recorder).await;

    postgres.down();
    for n in 2..40 {
        recorder.record(server(born(n, 0)));
    }
    assert!(*recorder.waiting().borrow() > 0);
    // A reaper that ends now leaves the rest to the next one.
    assert_eq!(recorder.close(LONG).await, 38);
    let recorder = self::recorder(&url, folder.path());
    recorder.record(server(born(40, 0)));
    postgres.up();
    // It comes back by itself.
    delivered(&recorder).await;
    assert_eq!(recorder.close(LONG).await, 0);
    let expect: Vec<_> = (1..=40).map(vm).collect();
    assert_eq!(vms(&all(&History::new(&url)).await), expect);
}

#[tokio::test]
async fn a_process_may_die_between_delivery_and_removal() {
    let folder = tempfile::tempdir().unwrap();
    let url = SinkUrl::sqlite(folder.path().join("a.db"));
    let spool_folder = folder.path().join("spool");
    let entries: Vec<Entry> = (0..3)
        .map(|n| server(born(n, 0)))
        .chain([renewed(&renewal(1, 1, 2, None))])
        .collect();
    let spool = Spool::open(&spool_folder).unwrap();
    spool.append(&entries).unwrap();
    let history = History::new(&url);
    history.write(spool.oldest().unwrap().unwrap().entries()).await.unwrap();
    let (before, renewals) = (all(&history).await, history.renewals(vm(1)).await.unwrap());
    drop(spool);

    let recorder = recorder(&url, &spool_folder);
    assert_eq!(*recorder.waiting().borrow(), 4);
    assert_eq!(recorder.close(LONG).await, 0);
    assert_eq!(all(&history).await, before);
    assert_eq!(history.renewals(vm(1)).await.unwrap(), renewals);
}

#[tokio::test]
async fn what_a_killed_process_has_spooled_is_delivered_by_the_next() {
    for done in [1, 3, 30] {
        let folder = tempfile::tempdir().unwrap();
        let (spool, url) = (
            folder.path().join("spool"),
            SinkUrl::jsonl(folder.path().join("a.jsonl")),
        );
        let mut other = SecondProcess::spools(&spool);
        other.has_done(done);
        other.killed();
        assert_eq!(recorder(&url, &spool).close(LONG).await, 0);
        let rows = all(&History::new(&url)).await;
        assert!(rows.len() >= done, "{} of {done}", rows.len());
        let expect: Vec<_> = (0..u32::try_from(rows.len()).unwrap()).map(vm).collect();
        assert_eq!(vms(&rows), expect);
    }
}

#[tokio::test]
async fn a_spool_that_takes_nothing_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, url) = (folder.path().join("spool"), SinkUrl::sqlite(folder.path().join("a.db")));
    let recorder = recorder(&url, &spool);
    // Even root cannot make a file in a folder that is gone.
    fs::remove_dir_all(&spool).unwrap();
    for n in 0..5 {
        recorder.record(server(ServerRow {
            live_seconds: Some(f64::NAN),
            ..born(n, 0)
        }));
    }
    delivered(&recorder).await;
    assert_eq!(recorder.close(LONG).await, 0);
    assert_eq!(all(&History::new(&url)).await.len(), 5);
}

#[tokio::test]
async fn a_close_waits_for_no_sink_that_hangs() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url: SinkUrl = format!("postgres://ci@127.0.0.1:{port}/lab").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(&url, folder.path());
    recorder.record(server(born(1, 0)));
    assert_eq!(recorder.close(Duration::from_millis(50)).await, 1);
    assert_eq!(Spool::open(folder.path()).unwrap().count().unwrap(), 1);
}
