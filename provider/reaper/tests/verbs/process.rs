//! The daemon as a process: what signals do to it, what it serves, and what its log never shows.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use reaper::signals::Signal;
use sim::{FaultKind, FaultRule};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::desk::Desk;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A running reaper and what it logs.
struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    reading: JoinSet<()>,
}

impl Running {
    fn start(desk: &Desk, words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm-reaper"));
        command.arg("--config").arg(desk.config()).args(words);
        command.env_clear().env("DYNVM_LOG", "trace");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut reading = JoinSet::new();
        let all = Arc::clone(&log);
        reading.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                all.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, log, reading }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds this so many times.
    async fn logs(&self, desk: &Desk, part: &str, times: usize) {
        let told = || async { self.log().matches(part).count() >= times };
        desk.lab.until(part, told).await;
    }

    /// Where the pages were served last.
    fn address(&self) -> String {
        let log = self.log();
        let last = log.rsplit("/metrics address=").next().unwrap();
        last.split_whitespace().next().unwrap().to_owned()
    }

    async fn signal(&self, name: &str) {
        let process = self.child.id().unwrap().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
            .status();
        assert!(sent.await.unwrap().success());
    }

    async fn ended(mut self) -> (ExitStatus, String) {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("it goes on:\n{}", self.log())
        };
        while self.reading.join_next().await.is_some() {}
        (status.unwrap(), self.log())
    }
}

/// Says whether each session has ended.
fn is_logged_out(desk: &Desk) -> bool {
    let counts = desk.lab.control.request_counts();
    let logins = counts.get("session.login_with_password");
    logins.is_some() && logins == counts.get("session.logout")
}

/// A page of the daemon.
async fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_deletes_serves_and_ends_when_it_is_asked_to() {
    let desk = Desk::small().await;
    let due = desk.lab.server("due", -60).await;
    let running = Running::start(&desk, &["run", "--listen", "127.0.0.1:0"]);
    desk.lab
        .until("the server is gone", || async { !desk.lab.has(&due).await })
        .await;
    let address = running.address();
    desk.lab
        .until("it is counted", || async {
            let metrics = page(&address, "/metrics").await;
            metrics.contains("dynvm_reaper_deletions_total{pool=\"lab1\",result=\"deleted\"} 1")
        })
        .await;
    assert!(page(&address, "/healthz").await.ends_with("ok\n"));
    running.signal("TERM").await;
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(is_logged_out(&desk));
    let password = desk.lab.control.pools().remove(0).password;
    assert!(!log.contains(&password), "no password in the log");
    let (code, rows) = desk.json(&["history"]).await;
    assert_eq!((code, &rows["servers"][0]["vm_uuid"]), (0, &due.uuid.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_does_not_wait_for_the_step_in_hand() {
    let desk = Desk::small().await;
    let due = desk.lab.server("due", -60).await;
    desk.lab
        .control
        .fault(FaultRule::always("VDI.destroy", FaultKind::Hang));
    let running = Running::start(&desk, &["run"]);
    let reached = || async {
        let requests = desk.lab.control.requests();
        requests.iter().any(|request| request.method == "VDI.destroy")
    };
    desk.lab.until("a step is in hand", reached).await;
    running.signal("TERM").await;
    running.logs(&desk, "ending after the steps in hand", 1).await;
    running.signal("TERM").await;
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(143), "{log}");
    assert!(desk.lab.has(&due).await);
    desk.lab.control.clear_faults();
    desk.verb(&["run", "--once"]).await.expect(0, &["1 deleted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reads_the_configuration_and_a_wrong_one_changes_nothing() {
    let desk = Desk::small().await;
    let pools = desk.lab.control.pools();
    desk.configure(&pools, "owners = [\"nobody\"]");
    let due = desk.lab.server("due", -60).await;
    let running = Running::start(&desk, &["run", "--listen", "127.0.0.1:0"]);
    running.logs(&desk, "watching", 1).await;
    let address = running.address();
    desk.lab
        .until("it is watched", || async {
            page(&address, "/readyz").await.contains("lab1: read")
        })
        .await;

    desk.configure(&pools, "owners = 7");
    running.signal("HUP").await;
    running.logs(&desk, "owners: must be", 1).await;
    assert!(page(&address, "/readyz").await.contains("lab1: read"));
    assert!(desk.lab.has(&due).await);

    let mut renamed = pools.clone();
    renamed[0].name = "lab7".into();
    desk.configure(&renamed, "");
    running.signal("HUP").await;
    desk.lab
        .until("the server is gone", || async { !desk.lab.has(&due).await })
        .await;
    let metrics = page(&running.address(), "/metrics").await;
    assert!(
        metrics.contains("pool=\"lab7\"") && !metrics.contains("pool=\"lab1\""),
        "{metrics}"
    );
    assert!(page(&address, "/healthz").await.ends_with("ok\n"));
    running.signal("INT").await;
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_move_with_the_configuration() {
    let desk = Desk::small().await;
    let pools = desk.lab.control.pools();
    desk.configure(&pools, "listen = \"127.0.0.1:0\"");
    let running = Running::start(&desk, &["run"]);
    running.logs(&desk, "serving", 1).await;
    let first = running.address();
    desk.configure(&pools, "listen = \"[::1]:0\"");
    running.signal("HUP").await;
    running.logs(&desk, "serving", 2).await;
    assert!(running.address().starts_with("[::1]:"));
    running.logs(&desk, "watching", 2).await;
    assert!(
        TcpStream::connect(&first).await.is_err(),
        "not in the old place any more"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    desk.configure(&pools, &format!("listen = \"{}\"", taken.local_addr().unwrap()));
    running.signal("HUP").await;
    running.logs(&desk, "the pages stay where they are", 1).await;
    assert!(page(&running.address(), "/healthz").await.ends_with("ok\n"));
    drop(running);
    let refused = Running::start(&desk, &["run"]);
    let (status, log) = refused.ended().await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("listen: cannot listen on"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_is_told_with_its_place_and_ends_with_2() {
    let desk = Desk::small().await;
    desk.configure(&desk.lab.control.pools(), "grace = true");
    for words in [&["run"][..], &["run", "--once"], &["list"]] {
        let (status, log) = Running::start(&desk, words).ended().await;
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains("reaper.hcl:5:1: grace: must be"), "{log}");
    }
    for words in [&["run", "--twice"][..], &["extend", "web-1"], &[]] {
        let (status, log) = Running::start(&desk, words).ended().await;
        assert_eq!(status.code(), Some(2), "{log}");
    }
    let (status, _) = Running::start(&desk, &["--help"]).ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_shows_a_password_or_a_session() {
    let desk = Desk::small().await;
    desk.lab.server("due", -60).await;
    desk.lab
        .control
        .fault(FaultRule::once("VM.get_record", FaultKind::SessionInvalid));
    let (status, log) = Running::start(&desk, &["run", "--once", "--log-format", "json"])
        .ended()
        .await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() > 5, "it logs what it does: {log}");
    for line in lines {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(json["level"].is_string(), "{line}");
        for secret in ["dynvm-sim", "session_id"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_while_it_reads_again_is_not_forgotten() {
    let desk = Desk::small().await;
    let signals = futures::stream::iter([Signal::Reload, Signal::Reload, Signal::End(143)]).boxed();
    desk.verb_with(&["run"], signals).await.expect(0, &[]);
    assert!(desk.state_dir().join("memory.json").exists() || desk.state_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_look_ends_at_once() {
    let desk = Desk::small().await;
    desk.lab
        .control
        .fault(FaultRule::always("VM.get_all_records_where", FaultKind::Hang));
    let running = Running::start(&desk, &["list"]);
    let reads = || async {
        let requests = desk.lab.control.requests();
        requests.iter().any(|one| one.method == "VM.get_all_records_where")
    };
    desk.lab.until("it reads", reads).await;
    running.signal("INT").await;
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), Some(130), "{log}");
    assert!(is_logged_out(&desk));
}
