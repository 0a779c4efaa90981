//! A reaper that is killed with SIGKILL at each single request of a deletion: the next run ends it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use sim::HoldPoint;
use tokio::process::{Child, Command};

use crate::lab::{Lab, Made, birth_name};

/// The built reaper for a lab.
struct Binary {
    config: PathBuf,
}

impl Binary {
    fn of(lab: &Lab) -> Self {
        let pool = lab.control.pools().into_iter().next().unwrap();
        let config = lab.state.path().join("reaper.hcl");
        let text = format!(
            "pools = {{ lab1 = {{ url = {:?}, username = {:?}, password = {:?} }} }}\nstate_dir = {:?}\nhistory = \"none\"\n",
            pool.url,
            pool.username,
            pool.password,
            lab.state.path().join("state").display().to_string()
        );
        std::fs::write(&config, text).unwrap();
        Self { config }
    }

    fn run_once(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_dynvm-reaper"))
            .arg("--config")
            .arg(&self.config)
            .args(["run", "--once"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn run_to_its_end(&self) {
        let output = self.run_once().wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}{text}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// A pool with what is to go: a running server with a snapshot and a disk of a person, and a clone that nobody marked.
struct Scene {
    lab: Lab,
    binary: Binary,
    server: Made,
    leftover: Made,
    extra: String,
    snapshot: String,
}

impl Scene {
    async fn new() -> Self {
        let lab = Lab::small().await;
        let server = lab.server("server", -60).await;
        let snapshot = lab.control.snapshot_vm(&server.uuid, "snapshot").await.unwrap();
        let extra = lab.control.attach_disk(&server.uuid, "my data", 5).await.unwrap();
        lab.power(&server, "Running");
        let leftover = lab.clone(&birth_name(-7200)).await;
        Self {
            binary: Binary::of(&lab),
            lab,
            server,
            leftover,
            extra,
            snapshot,
        }
    }

    /// What is there before anything of this scene is.
    async fn check_end(&self, before: &Counts, at: &str) {
        let after = Counts::of(&self.lab).await;
        let there = self.lab.vms().await;
        assert!(
            !there.contains(&self.server.uuid) && !there.contains(&self.leftover.uuid),
            "{at}"
        );
        assert!(!there.contains(&self.snapshot), "{at}");
        assert!(self.lab.uuids("VDI").await.contains(&self.extra), "{at}");
        assert_eq!(before.vms - after.vms, 3, "{at}: server, leftover, snapshot");
        assert_eq!(before.disks - after.disks, 6, "{at}: two disks each");
    }
}

struct Counts {
    vms: usize,
    disks: usize,
}

impl Counts {
    async fn of(lab: &Lab) -> Self {
        Self {
            vms: lab.vms().await.len(),
            disks: lab.data_disks().await.len(),
        }
    }
}

/// The number of requests that an undisturbed run takes.
async fn requests() -> u64 {
    let scene = Scene::new().await;
    let before = Counts::of(&scene.lab).await;
    let first = scene.lab.control.request_index();
    scene.binary.run_to_its_end().await;
    scene.check_end(&before, "undisturbed").await;
    scene.lab.control.request_index() - first
}

async fn killed_at(request: u64, point: HoldPoint) {
    let at = format!("killed at request {request}, {point:?}");
    let scene = Scene::new().await;
    let before = Counts::of(&scene.lab).await;
    let control = scene.lab.control.clone();
    let index = control.request_index() + request;
    control.hold(index, point);
    let mut reaper = scene.binary.run_once();
    tokio::select! {
        () = control.held(index) => reaper.kill().await.unwrap(),
        _ = reaper.wait() => {}
    }
    control.release(index);
    // What was sent is carried out by the pool although nobody waits for it.
    scene
        .lab
        .until("nothing is under way", || async {
            control
                .requests()
                .iter()
                .all(|request| request.ended_us.is_some() || request.method == "event.from")
        })
        .await;
    scene.binary.run_to_its_end().await;
    scene.check_end(&before, &at).await;
    let foreign = scene.lab.call("VM.get_by_name_label", json!(["foreign-1"])).await;
    assert_eq!(foreign.as_array().map(Vec::len), Some(1), "{at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_any_request_and_run_again_nothing_is_left_and_nothing_foreign_is_gone() {
    let requests = tokio::time::timeout(Duration::from_secs(60), requests()).await.unwrap();
    assert!(requests > 30, "{requests}");
    for request in 1..=requests {
        for point in [HoldPoint::Before, HoldPoint::After] {
            let killed = tokio::time::timeout(Duration::from_secs(60), killed_at(request, point));
            killed
                .await
                .unwrap_or_else(|_| panic!("request {request}, {point:?}: no end"));
        }
    }
    println!("killed at {} requests, before and after each", requests);
}
