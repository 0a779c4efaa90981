//! Rows 4 and 10: two hundred servers, and what it takes to look at them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use acceptance::{Lab, Workspace};
use anyhow::{Result, ensure};
use tokio::time::{MissedTickBehavior, interval};

use crate::place::{FOREIGN, Place, create_all};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::Traffic;
use crate::usage;

const SERVERS: u32 = 200;
/// They are only there to be looked at.
const SCALE: f64 = 40.0;
const LOOKS: usize = 5;
/// How often the provider's memory is looked at. The kernel keeps the peak: only what comes after the last look is missed.
const LOOK: Duration = Duration::from_millis(4);
const LIMIT: Duration = Duration::from_secs(60);

/// Creates them, then refreshes and plans them several times.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = place.lab(SCALE);
    let workspace = place.servers(&lab, SERVERS);
    create_all(&workspace, 50);
    let mut requests = Vec::new();
    let mut bytes = Vec::new();
    let mut peaks = Vec::new();
    for _ in 0..LOOKS {
        let ((), traffic) = Traffic::during(&lab, || workspace.expect_empty_refresh());
        if place.lists() {
            eprintln!("refresh of {SERVERS}\n{}", traffic.listing());
        }
        requests.push(f64::from(u32::try_from(traffic.count())?));
        bytes.push(f64::from(u32::try_from(traffic.received())?));
        peaks.push(peak(&lab, &workspace)?);
    }
    let requests = Row::new(
        4,
        "XenAPI requests per refresh of 200 servers",
        Measure::of(Unit::Count, requests),
    )
    .bar(Bar::AtMost(12.0))
    .note(&format!(
        "`terraform plan -refresh-only` with its own parallelism of 10; {FOREIGN} foreign VMs beside them."
    ));
    let bytes = Row::new(
        4,
        "bytes received per refresh of 200 servers",
        Measure::of(Unit::Bytes, bytes),
    );
    let memory = Row::new(
        10,
        "memory of the provider with 200 servers",
        Measure::of(Unit::Mebibytes, peaks),
    )
    .bar(Bar::AtMost(40.0))
    .note("The greatest VmHWM of the provider's processes during `terraform plan`, which refreshes and plans all of them.");
    let rows = [requests, bytes, memory];
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

/// The greatest peak of the providers that a plan starts, in MiB.
fn peak(lab: &Lab, workspace: &Workspace) -> Result<f64> {
    let running = workspace.spawn(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]);
    let terraform = running.pid();
    let greatest = lab.wait_for(async {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut greatest: u64 = 0;
        // A process that has ended has no memory any more; terraform is the last of its group.
        while usage::peak_kib(terraform).is_some() {
            let peaks = children(terraform).into_iter().filter_map(usage::peak_kib);
            greatest = peaks.fold(greatest, u64::max);
            looks.tick().await;
        }
        greatest
    });
    running.wait(LIMIT).expect_success();
    ensure!(greatest > 0, "no provider was seen beside terraform");
    Ok(usage::mebibytes(greatest))
}

/// The providers that a process started.
fn children(parent: u32) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| usage::parent(*pid) == Some(u64::from(parent)) && is_provider(*pid))
        .collect()
}

/// Whether a process has become the provider: before its exec it is a copy of terraform.
fn is_provider(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|file| file.ends_with("terraform-provider-dynvm"))
}
