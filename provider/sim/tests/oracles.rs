//! Independent clients against the simulator: the official Python SDK, and Xen Orchestra's npm `xen-api`.
//!
//! Both are installed on demand into the target folder, at the versions that stand here and in `package.json`.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sim::{ClockMode, Options, Simulator, World};

const PYTHON_SDK: &str = "XenAPI==26.21.1";

fn oracles() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let folder = target.join("oracles");
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder.canonicalize().expect("it was just made")
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs a command to its end; its output is in the panic if it fails.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n{out}\n{err}");
    out
}

/// Holds a lock file while an installation runs, so that tests side by side install once.
fn install(name: &str, marker: &str, work: impl FnOnce(&Path)) -> PathBuf {
    let folder = oracles().join(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    let lock = fs::File::create(folder.join(".lock")).expect("the target folder is writable");
    lock.lock().expect("locks work here");
    let done = folder.join(".installed");
    if fs::read_to_string(&done).ok().as_deref() != Some(marker) {
        work(&folder);
        fs::write(&done, marker).expect("the target folder is writable");
    }
    folder
}

async fn with_simulator<T: Send + 'static>(
    world: World,
    work: impl FnOnce(sim::PoolAddress) -> T + Send + 'static,
) -> T {
    let options = Options {
        clock: ClockMode::Scaled(20.0),
        ..Options::default()
    };
    let simulator = Simulator::start(world, options).await.expect("the lab starts");
    let pool = simulator.pools().into_iter().next().expect("the lab has a pool");
    let result = tokio::task::spawn_blocking(move || work(pool))
        .await
        .expect("the oracle ran");
    simulator.shutdown().await;
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_lives_a_whole_life() {
    let out = with_simulator(World::default_lab(), |pool| {
        let folder = install("venv", PYTHON_SDK, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder));
            run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", PYTHON_SDK]));
        });
        let mut python = Command::new(folder.join("bin/python3"));
        python.arg(scripts().join("python_sdk.py")).args([
            &pool.url,
            &pool.member_urls[1],
            &pool.username,
            &pool.password,
        ]);
        run(&mut python)
    })
    .await;
    assert_eq!(out.trim(), "done");
}

async fn xen_api(world: World, transport: &'static str) {
    let out = with_simulator(world, move |pool| {
        let manifest = fs::read_to_string(scripts().join("package.json")).expect("it is checked in");
        let folder = install("npm", &manifest.clone(), |folder| {
            fs::write(folder.join("package.json"), &manifest).expect("the target folder is writable");
            let flags = ["install", "--no-audit", "--no-fund", "--silent"];
            run(Command::new("npm").args(flags).current_dir(folder));
        });
        let mut node = Command::new("node");
        node.arg(scripts().join("xen_api.mjs")).arg(folder).args([
            &pool.url,
            &pool.username,
            &pool.password,
            transport,
        ]);
        run(&mut node)
    })
    .await;
    assert_eq!(out.trim(), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xen_api_watches_over_json() {
    xen_api(World::default_lab(), "json-rpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xen_api_falls_back_to_xml_on_an_old_pool() {
    let mut world = World::default_lab();
    world.pools.values_mut().for_each(|pool| pool.json_rpc = false);
    xen_api(world, "auto").await;
}
