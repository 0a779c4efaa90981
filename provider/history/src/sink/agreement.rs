//! All sinks keep the same history, whatever they are told: compared with the ledger, entry by entry.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use crate::ledger::Ledger;
use crate::row::{Entry, Renewal, ServerRow};
use crate::samples::{any_entry, vm};
use crate::{Filter, History, SinkUrl};

#[path = "../../tests/history/server.rs"]
#[expect(dead_code, reason = "the tests of the whole crate use more of it")]
mod server;

/// Entries in batches, as calls of `write` bring them.
fn batches() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    prop::collection::vec(prop::collection::vec(any_entry(), 0..6), 0..4)
}

fn expected(batches: &[Vec<Entry>]) -> (Vec<ServerRow>, Vec<Renewal>) {
    let mut ledger = Ledger::default();
    batches.iter().flatten().for_each(|entry| ledger.tell(entry));
    let renewals = (1..4).flat_map(|n| ledger.renewals_of(vm(n))).collect();
    (ledger.newest_first(), renewals)
}

async fn kept(url: &SinkUrl, batches: &[Vec<Entry>]) -> (Vec<ServerRow>, Vec<Renewal>) {
    let history = History::new(url);
    for batch in batches {
        history.write(batch).await.unwrap();
    }
    let rows = history.rows(&Filter::default(), usize::MAX).await.unwrap();
    let mut renewals = Vec::new();
    for n in 1..4 {
        renewals.extend(history.renewals(vm(n)).await.unwrap());
    }
    history.close().await.unwrap();
    (rows, renewals)
}

fn check(cases: u32, mut sink: impl FnMut() -> SinkUrl) {
    let runtime = Runtime::new().unwrap();
    let sink = std::cell::RefCell::new(&mut sink);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    let agreed = runner.run(&batches(), |batches| {
        let url = sink.borrow_mut()();
        prop_assert_eq!(runtime.block_on(kept(&url, &batches)), expected(&batches));
        Ok(())
    });
    agreed.unwrap();
}

#[test]
fn files_keep_what_the_ledger_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    for scheme in ["sqlite", "jsonl"] {
        check(24, || {
            files += 1;
            format!("{scheme}://{}/{files}", folder.path().display())
                .parse()
                .unwrap()
        });
    }
}

#[test]
fn postgres_keeps_what_the_ledger_keeps() {
    let server = server::Server::start();
    let url: SinkUrl = server.database("lab").parse().unwrap();
    Runtime::new().unwrap().block_on(History::open(&url)).unwrap();
    check(24, || {
        server.sql("lab", "TRUNCATE servers, renewals");
        url.clone()
    });
}
