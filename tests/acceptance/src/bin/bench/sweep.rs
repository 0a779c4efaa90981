//! Row 11: the reaper's first look at a very large pool.

use std::time::Duration;

use acceptance::{Lab, Reaper};
use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use sim::world::VmSpec;
use sim::{FaultKind, FaultRule};
use tokio::time::{MissedTickBehavior, interval};

use crate::place::{Place, plain};
use crate::servers::servers;
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::{Traffic, seconds};
use crate::usage::{self, Used};

const SWEEPS: usize = 7;
const SCALE: f64 = 1.0;
const EXPIRED: u32 = 100;
const LIVING: u32 = 2_000;
/// VMs of others that carry the variables of their firmware, which are long and of no use to the reaper.
const FIRMWARE: u32 = 1_000;
const FOREIGN: u32 = 6_900;
/// Expired servers of a pool of any size: more than one cycle deletes.
const FEW: u32 = 60;
/// How often the reaper's figures are looked at.
const LOOK: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(60);
/// The exit code of a run for which there were more deletions than one cycle sees.
const HELD_BACK: Option<i32> = Some(4);

/// What was seen of one look.
struct Sweep {
    /// From the start of the process to the first claim.
    wall: f64,
    /// The part of it in which the pool was making answers.
    pool: f64,
    cpu: f64,
    peak: f64,
    received: f64,
}

/// Runs `run --once` several times. The pool refuses every claim, so that each run finds what the one before has found.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = pool(place)?;
    refuse_claims(&lab);
    let sweeps = (0..SWEEPS)
        .map(|_| sweep(place, &lab))
        .collect::<Result<Vec<Sweep>>>()?;
    let of = |unit, figure: &dyn Fn(&Sweep) -> f64| Measure::of(unit, sweeps.iter().map(figure));
    let rows = [
        Row::new(
            11,
            "the reaper's first look at 10,000 VMs, exec to the first claim",
            of(Unit::Seconds, &|sweep| sweep.wall).over(sweeps.iter().map(|sweep| sweep.pool)),
        )
        .bar(Bar::AtMost(5.0))
        .note(&format!(
            "`dynvm-reaper run --once`; {EXPIRED} expired servers, {LIVING} living ones, the rest foreign, {FIRMWARE} of them with UEFI variables. \
             The pool refuses the claims, so that each run finds the same. The bound is the time in which the simulator was making its answers, before it sends them; sending, on the same CPUs, is not in it."
        )),
        Row::new(11, "CPU time of the reaper for it", of(Unit::Seconds, &|sweep| sweep.cpu))
            .note("User and kernel mode, all threads, exec included."),
        Row::new(
            11,
            "memory of the reaper with 10,000 VMs",
            of(Unit::Mebibytes, &|sweep| sweep.peak),
        )
        .bar(Bar::AtMost(150.0))
        .note("VmHWM of the whole run."),
        Row::new(11, "bytes received for it", of(Unit::Bytes, &|sweep| sweep.received)),
    ];
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

/// What the first look at a pool costs in which so many servers are all that there is: the CPU time of the reaper, several times over.
pub(crate) fn costs(place: &Place, servers: u32, looks: usize) -> Result<Vec<f64>> {
    let lab = leased(place.lab_of(SCALE, [("living", plain(servers - FEW)), ("expired", plain(FEW))]))?;
    refuse_claims(&lab);
    (0..looks).map(|_| Ok(sweep(place, &lab)?.cpu)).collect()
}

fn refuse_claims(lab: &Lab) {
    let refused = FaultKind::Error {
        code: "RBAC_PERMISSION_DENIED".to_owned(),
        params: vec!["VM.add_tags".to_owned(), "the bench".to_owned()],
    };
    lab.control().fault(FaultRule::always("VM.add_*", refused));
}

fn pool(place: &Place) -> Result<Lab> {
    let firmware = VmSpec {
        template: "tmpl-ubuntu22".to_owned(),
        ..plain(FIRMWARE)
    };
    let vms = [
        ("living", plain(LIVING)),
        ("expired", plain(EXPIRED)),
        ("somebody-elses", plain(FOREIGN)),
        ("with-firmware", firmware),
    ];
    leased(place.lab_of(SCALE, vms))
}

/// Gives the VMs whose names say so their leases.
fn leased(lab: Lab) -> Result<Lab> {
    let now = Timestamp::now();
    for (name, hours) in [("living", 24), ("expired", -1)] {
        for server in servers(&lab, name)? {
            server.lease(&lab, now + SignedDuration::from_hours(hours))?;
        }
    }
    Ok(lab)
}

fn sweep(place: &Place, lab: &Lab) -> Result<Sweep> {
    // A reaper that remembers failures would leave the servers alone the next time.
    let reaper = Reaper::with(lab, "history = \"none\"");
    let begun = lab.control().real_us();
    let ((outcome, looks), traffic) = Traffic::during(lab, || {
        let running = reaper.spawn(&["run", "--once"]);
        let looks = lab.wait_for(watch(lab, running.pid()));
        (running.wait(LIMIT), looks)
    });
    ensure!(outcome.code == HELD_BACK, "not the end that was expected:\n{outcome}");
    if place.lists() {
        eprintln!("sweep\n{}", traffic.listing());
    }
    let claims = traffic.only(|request| request.method.starts_with("VM.add_"));
    let claimed = claims.start_us().context("nothing was claimed")?;
    let until = traffic.only(|request| request.started_us < claimed);
    let before = looks.iter().rev().find(|look| look.at_us <= claimed);
    let peak = looks.iter().map(|look| look.used.peak_kib).max();
    Ok(Sweep {
        wall: seconds(claimed.saturating_sub(begun)),
        pool: seconds(until.covered_us()),
        cpu: before.context("the reaper was not seen")?.used.cpu.as_secs_f64(),
        peak: usage::mebibytes(peak.context("the reaper was not seen")?),
        received: f64::from(u32::try_from(until.received())?),
    })
}

/// The figures of the reaper at one moment.
struct Look {
    at_us: u64,
    used: Used,
}

/// Looks at a process until it has ended.
async fn watch(lab: &Lab, pid: u32) -> Vec<Look> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Vec::new();
    while let Some(used) = usage::used(pid) {
        looks.push(Look {
            at_us: lab.control().real_us(),
            used,
        });
        ticks.tick().await;
    }
    looks
}
