//! Rows 12, 13 and 14: the daemon when nothing is due, when one server is, and when fifty are.

use std::time::Duration;

use acceptance::{Lab, Reaper, Running};
use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp, TimestampRound, Unit as TimeUnit};
use tokio::time::sleep;

use crate::place::{FOREIGN, Place, plain};
use crate::servers::{Server, servers};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::{Traffic, seconds, since_start};
use crate::usage;

const SCALE: f64 = 1.0;
/// Servers that are under the daemon's eyes.
const SERVERS: u32 = 200;
const MINUTES: usize = 2;
const MINUTE: Duration = Duration::from_secs(60);
/// Servers that expire one after the other.
const SINGLES: u32 = 10;
/// From one to the next: longer than a deletion takes.
const APART: SignedDuration = SignedDuration::from_secs(5);
/// Servers that expire together, and how often that is seen.
const TOGETHER: u32 = 50;
const GROUPS: u32 = 3;
/// From writing a lease to its end: the daemon starts meanwhile.
const AHEAD: SignedDuration = SignedDuration::from_secs(6);
/// How long without an answer means that the daemon only listens.
const QUIET_US: u64 = 2_000_000;
const LIMIT: Duration = Duration::from_secs(120);
const LAST: &str = "VM.destroy";
/// What a pool has to do for a deletion.
const STEPS: [&str; 3] = ["VM.hard_shutdown", "VDI.destroy", LAST];

/// Row 12: what a pool costs in which nothing is due.
pub(crate) fn idle(place: &Place) -> Result<Vec<Row>> {
    let vms = [("server", plain(SERVERS)), ("somebody-elses", plain(FOREIGN))];
    let lab = place.lab_of(SCALE, vms);
    for server in servers(&lab, "server")? {
        server.lease(&lab, Timestamp::now() + SignedDuration::from_hours(24))?;
    }
    let daemon = Daemon::start(&lab);
    daemon.listens()?;
    let mut requests = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..MINUTES {
        let before = daemon.cpu()?;
        let ((), traffic) = Traffic::during(&lab, || lab.wait_for(async { sleep(MINUTE).await }));
        requests.push(f64::from(u32::try_from(traffic.count())?));
        cpu.push(daemon.cpu()?.saturating_sub(before).as_secs_f64() * 1e3);
        if place.lists() {
            eprintln!("an idle minute\n{}", traffic.listing());
        }
    }
    daemon.end()?;
    let rows = [
        Row::new(
            12,
            "XenAPI requests of the reaper in an idle minute",
            Measure::of(Unit::Count, requests),
        )
        .bar(Bar::AtMost(2.0))
        .note(&format!(
            "The daemon over a pool with {SERVERS} living servers and {FOREIGN} foreign VMs, in minutes in which nothing changes."
        )),
        Row::new(12, "CPU time of the reaper in it", Measure::of(Unit::Milliseconds, cpu)),
    ];
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

/// Rows 13 and 14: from the end of a lease to the end of the VM.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let living = SERVERS - SINGLES - GROUPS * TOGETHER;
    let vms = [
        ("living", plain(living)),
        ("single", plain(SINGLES)),
        ("together", plain(GROUPS * TOGETHER)),
    ];
    let lab = place.lab_of(SCALE, vms);
    let all = [
        servers(&lab, "living")?,
        servers(&lab, "single")?,
        servers(&lab, "together")?,
    ];
    for server in all.iter().flatten() {
        server.lease(&lab, Timestamp::now() + SignedDuration::from_hours(24))?;
    }
    let [_, singles, together] = all;
    let mut rows = one_by_one(place, &lab, &singles)?;
    let groups = together.chunks(usize::try_from(TOGETHER)?);
    let ends = groups
        .map(|group| at_once(place, &lab, group))
        .collect::<Result<Vec<End>>>()?;
    rows.push(
        Row::new(13, "the same of the last of 50 that expire together", measure(&ends))
            .bar(Bar::Excess(2.0))
            .note("All on one SR, which destroys one disk at a time; the bound is the time in which the pool worked on any of these requests."),
    );
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

/// How long after the end of a lease a VM was gone, and how much of that the pool worked on it, in seconds.
struct End {
    gone: f64,
    pool: f64,
}

impl End {
    /// By the requests that a pool received since a lease ended.
    fn of(traffic: &Traffic, expired_us: u64) -> Result<Self> {
        let gone = traffic.end_of(LAST).context("no VM was destroyed")?;
        let steps = traffic.only(|request| STEPS.contains(&request.method.as_str()));
        Ok(Self {
            gone: seconds(gone.saturating_sub(expired_us)),
            pool: seconds(steps.covered_us()),
        })
    }
}

fn measure(ends: &[End]) -> Measure {
    Measure::of(Unit::Seconds, ends.iter().map(|end| end.gone)).over(ends.iter().map(|end| end.pool))
}

fn one_by_one(place: &Place, lab: &Lab, singles: &[Server]) -> Result<Vec<Row>> {
    let first = soon()?;
    for (server, ends) in singles.iter().zip(instants(first)) {
        server.lease(lab, ends)?;
    }
    let traffic = deletions(lab, singles.len())?;
    if place.lists() {
        eprintln!("one by one\n{}", traffic.listing());
    }
    let mut ends = Vec::new();
    let (mut requests, mut polls, mut chains) = (Vec::new(), Vec::new(), Vec::new());
    let apart = u64::try_from(APART.as_micros())?;
    for expired in instants(first).take(singles.len()) {
        let from = since_start(lab, expired)?;
        let own = traffic.only(|request| (from..from + apart).contains(&request.started_us));
        let destroyed = own.only(|request| request.method == LAST).count();
        ensure!(destroyed == 1, "{destroyed} VMs went within {APART:#} of one expiry");
        ends.push(End::of(&own, from)?);
        let number = |count: usize| u32::try_from(count).map(f64::from);
        let waits = own.only(|request| request.method == "event.from");
        let others = own.only(|request| request.method != "event.from");
        requests.push(number(others.count())?);
        chains.push(number(others.chain())?);
        polls.push(number(waits.count())?);
    }
    Ok(vec![
        Row::new(13, "expiry to gone of one server over the pool's own time", measure(&ends))
            .bar(Bar::Excess(2.0))
            .note(&format!(
                "From the instant on the mark to the end of `{LAST}`, in a pool with {SERVERS} servers. The bound is the time of `VM.hard_shutdown`, \
                 `VDI.destroy` and `VM.destroy`. Pools show their clock in whole seconds, so that up to a second of the rest is nobody's to save."
            )),
        Row::new(14, "XenAPI requests per deletion", Measure::of(Unit::Count, requests)).note(
            "Of a running server with one disk by the daemon; the look at the clock, the claim and the looks before each step included.",
        ),
        Row::new(14, "longest sequential chain of them", Measure::of(Unit::Count, chains)),
        Row::new(14, "event.from calls meanwhile", Measure::of(Unit::Count, polls))
            .note("The daemon's long-poll, which tells it what it does itself."),
    ])
}

fn at_once(place: &Place, lab: &Lab, group: &[Server]) -> Result<End> {
    let expires = soon()?;
    for server in group {
        server.lease(lab, expires)?;
    }
    let traffic = deletions(lab, group.len())?;
    if place.lists() {
        eprintln!("together\n{}", traffic.listing());
    }
    End::of(&traffic, since_start(lab, expires)?)
}

/// What a pool receives while a daemon of its own deletes so many servers, from its start to a moment after the last.
fn deletions(lab: &Lab, count: usize) -> Result<Traffic> {
    let (done, traffic) = Traffic::during(lab, || {
        let daemon = Daemon::start(lab);
        let gone = || {
            let requests = lab.control().requests();
            let ended = requests
                .iter()
                .filter(|one| one.method == LAST && one.ended_us.is_some());
            ended.count() >= count
        };
        ensure!(
            lab.settles(LIMIT, gone),
            "not all of {count} servers are gone after {LIMIT:?}"
        );
        daemon.listens()?;
        daemon.end()
    });
    done.map(|()| traffic)
}

/// The ends of leases that expire one after the other.
fn instants(first: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(Some(first), |before| before.checked_add(APART).ok())
}

/// A whole second that is not far ahead.
fn soon() -> Result<Timestamp> {
    let ahead = Timestamp::now() + AHEAD;
    ahead
        .round(TimestampRound::new().smallest(TimeUnit::Second))
        .context("a whole second")
}

/// A running `dynvm-reaper run`, which keeps no history.
struct Daemon<'a> {
    lab: &'a Lab,
    // Its folder lives as long as this.
    _reaper: Reaper,
    running: Running,
}

impl<'a> Daemon<'a> {
    fn start(lab: &'a Lab) -> Self {
        let reaper = Reaper::with(lab, "history = \"none\"");
        let running = reaper.spawn(&["run"]);
        Self {
            lab,
            _reaper: reaper,
            running,
        }
    }

    /// Waits until it does nothing but listen.
    fn listens(&self) -> Result<()> {
        let control = self.lab.control();
        let is_quiet = || {
            let requests = control.requests();
            let waits = requests
                .iter()
                .any(|one| one.method == "event.from" && one.ended_us.is_none());
            let last = requests.iter().filter_map(|one| one.ended_us).max();
            waits && last.is_some_and(|end| control.real_us().saturating_sub(end) > QUIET_US)
        };
        ensure!(self.lab.settles(LIMIT, is_quiet), "the daemon does not come to rest");
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        usage::cpu(self.running.pid()).context("the daemon has ended")
    }

    fn end(self) -> Result<()> {
        self.running.signal("TERM");
        let outcome = self.running.wait(LIMIT);
        ensure!(outcome.code == Some(0), "the daemon did not end well:\n{outcome}");
        Ok(())
    }
}
