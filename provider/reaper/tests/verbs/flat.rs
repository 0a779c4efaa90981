//! The memory of two daemons over one pool: what they have deleted leaves nothing behind in them.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::desk::Desk;

/// Servers that fall due at once.
const WAVE: usize = 50;
/// Waves after which everything that is made once has been made: connections, buffers, the arenas of the allocator.
const FIRST: usize = 2;
/// Waves after those.
const MORE: usize = 5;
/// What may come in addition in those: 300 to 400 KiB are seen, and one record kept of each of their 250 servers, about 3 KiB as text,
/// would be 750 KiB more.
const TOLERATED_KIB: u64 = 1024;

fn daemon(desk: &Desk, number: usize) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm-reaper"));
    command.arg("--config").arg(desk.config());
    command
        .arg("--state-dir")
        .arg(desk.state_dir().join(number.to_string()));
    command.arg("run").env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// The memory of a process that is in the machine, in KiB.
fn resident_kib(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn waves(desk: &Desk, waves: usize) {
    let others = desk.lab.vms().await;
    for wave in 0..waves {
        for number in 0..WAVE {
            desk.lab.server(&format!("due-{wave}-{number}"), -60).await;
        }
        desk.lab
            .until("the wave is gone", || async { desk.lab.vms().await == others })
            .await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_leaves_nothing_behind() {
    let desk = Desk::small().await;
    desk.configure(&desk.lab.control.pools(), "max_deletions = 100000");
    let daemons = [daemon(&desk, 0), daemon(&desk, 1)];
    waves(&desk, FIRST).await;
    let before = daemons.each_ref().map(resident_kib);
    waves(&desk, MORE).await;
    let after = daemons.each_ref().map(resident_kib);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + TOLERATED_KIB, "{before} KiB, then {after} KiB");
    }
}
