//! The sinks that are files: SQLite and JSONL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use history::{Error, History, SinkUrl};

use crate::child::{SecondProcess, pair};
use crate::facts::{all, born, full, server, vms};
use crate::suite;

fn schemes() -> [&'static str; 2] {
    ["sqlite", "jsonl"]
}

fn url(scheme: &str, folder: &Path, name: &str) -> SinkUrl {
    format!("{scheme}://{}/{name}/history", folder.display())
        .parse()
        .unwrap()
}

#[tokio::test]
async fn sqlite_behaves_as_every_sink() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(|name| url("sqlite", folder.path(), name)).await;
}

#[tokio::test]
async fn jsonl_behaves_as_every_sink() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(|name| url("jsonl", folder.path(), name)).await;
}

#[tokio::test]
async fn files_and_folders_are_made_for_their_owner_only() {
    for scheme in schemes() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(scheme, folder.path(), "a/b");
        let history = History::open(&url).await.unwrap();
        history.write(&[server(born(1, 0))]).await.unwrap();
        let made = url.path().unwrap().parent().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(made), 0o700, "{scheme}");
        for file in fs::read_dir(made).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        history.close().await.unwrap();
        assert_eq!(fs::read_dir(made).unwrap().count(), 1, "{scheme} leaves its one file");
    }
}

#[tokio::test]
async fn several_processes_write_at_once() {
    for scheme in schemes() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(scheme, folder.path(), "shared");
        let text = url.to_string();
        // None of them finds the file made.
        let others = [0, 20, 40].map(|first| SecondProcess::writes_pairs(&text, first, 20));
        let history = History::new(&url);
        for n in 60..80 {
            history.write(&pair(n).map(server)).await.unwrap();
        }
        others.into_iter().for_each(SecondProcess::ends);
        let expect: Vec<_> = (0..80).flat_map(pair).collect();
        assert_eq!(all(&history).await, expect, "{scheme}");
    }
}

#[tokio::test]
async fn a_write_is_whole_or_not_there_when_its_process_is_killed() {
    for scheme in schemes() {
        for done in [1, 4, 9] {
            let folder = tempfile::tempdir().unwrap();
            let url = url(scheme, folder.path(), "killed");
            let mut other = SecondProcess::writes_pairs(&url.to_string(), 0, 1_000_000);
            other.has_done(done);
            other.killed();
            let history = History::open(&url).await.unwrap();
            history.write(&pair(2_000_000).map(server)).await.unwrap();
            let rows = all(&history).await;
            let pairs = u32::try_from(rows.len() / 2).unwrap() - 1;
            assert!(pairs as usize >= done, "{scheme}: {pairs} of {done}");
            let expect: Vec<_> = (0..pairs).chain([2_000_000]).flat_map(pair).collect();
            assert_eq!(rows, expect, "{scheme}");
        }
    }
}

#[tokio::test]
async fn a_line_cut_off_is_closed_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let url = url("jsonl", folder.path(), "torn");
    let history = History::open(&url).await.unwrap();
    history.write(&[server(born(1, 0)), server(born(2, 0))]).await.unwrap();
    let path = url.path().unwrap();
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(all(&history).await, [born(1, 0)]);
    history.write(&[server(full(3))]).await.unwrap();
    assert_eq!(vms(&all(&history).await), vms(&[full(3), born(1, 0)]));
    let lines = fs::read_to_string(path).unwrap();
    assert_eq!(lines.lines().count(), 3);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = url("sqlite", folder.path(), "newer");
    History::open(&url).await.unwrap().close().await.unwrap();
    let database = rusqlite::Connection::open(url.path().unwrap()).unwrap();
    database
        .execute("INSERT INTO dynvm_history_versions VALUES (7, 'later')", [])
        .unwrap();
    drop(database);
    let error = History::open(&url).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 7, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer one"), "{error}");
    assert!(History::new(&url).write(&[server(born(1, 0))]).await.is_err());
}

#[tokio::test]
async fn an_error_says_what_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "not a database, and long enough to be told apart from one").unwrap();
    let error = History::open(&SinkUrl::sqlite(&blocked)).await.unwrap_err();
    assert!(
        error.full().contains("not a database") && error.full().contains("/file"),
        "{}",
        error.full()
    );
    for url in [SinkUrl::sqlite(blocked.join("x")), SinkUrl::jsonl(blocked.join("x"))] {
        let error = History::open(&url).await.unwrap_err();
        assert!(error.full().starts_with("making the folder"), "{}", error.full());
    }
}
