//! Rows 16 to 19: a thousand servers at once, in four pools with two SRs each.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::{Lab, Workspace};
use anyhow::{Context as _, Result};
use sim::world::Latencies;

use crate::itself::{Itself, Parallelism};
use crate::place::{POOLS, Place, SRS, create_all};
use crate::sample::median;
use crate::srs::{SrWork, mean_seconds};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::{Traffic, seconds};
use crate::usage;
use crate::watch::{Watched, watch};

const RUNS: usize = 3;
const SERVERS: u32 = 1_000;
const AT_ONCE: Parallelism = Parallelism(100);
/// At this, two processors are idle for most of a create and of a destroy: what is measured is not how fast they are.
const SCALE: f64 = 2.0;
/// The busiest SR may have so much more to do than it would if each had the same.
const UNEVEN: f64 = 1.05;
/// Domains that a host builds at once.
const BUILDERS: f64 = 4.0;

/// How a host refuses a start.
const NO_MEMORY: &str = "HOST_NOT_ENOUGH_FREE_MEMORY";

/// How the creates are bounded.
const CREATE: &str = "The whole `terraform apply -parallelism=100`: four pools, each with two hosts and two SRs, and on each SR the template of an \
    `os` of its own; every second server is of each `os`, and the module does not say in which pool. The bound: terraform itself before the first create \
    and after the last, as long as it takes with a provider that does nothing, and between them the greater of terraform itself and the pools. \
    The pools take what the busiest SR took for its own clones, which it makes one at a time (or the busiest host for building domains, four at a \
    time, if that is more), and what one server created alone takes from its clone to its last request. The state is in a backend `http`: with a local \
    file terraform writes all of it after each server, and takes several times as long itself.";
/// How the destroys are bounded.
const DESTROY: &str = "The whole `terraform destroy -parallelism=100`, refresh and plan included. The bound as for the create, with the \
    `VDI.destroy` of the busiest SR, and the `VM.hard_shutdown` and `VM.destroy` of one server alone.";

/// A change of all servers.
struct Change {
    wall: f64,
    bound: f64,
    /// What the busiest SR had to do over the mean of all.
    unevenness: f64,
    /// How long the SRs' operations took over what the world's latencies ask for.
    stretch: f64,
    used: Watched,
}

/// A look at all servers that changes nothing.
struct Look {
    itself: f64,
    /// Of the pool that was asked most.
    requests: f64,
    used: Watched,
}

struct Round {
    create: Change,
    placed: Placed,
    refresh: Look,
    plan: Look,
    destroy: Change,
}

/// Where the servers are, and what it took to start them there.
struct Placed {
    most: u32,
    least: u32,
    /// Starts that a host refused as it had no memory left.
    refused: u32,
}

/// What one server takes that is alone, beside the work of its SR.
struct Alone {
    create: f64,
    destroy: f64,
}

/// Creates a thousand servers, looks at them twice, and destroys them, several times over.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let rounds = (0..RUNS).map(|_| round(place)).collect::<Result<Vec<Round>>>()?;
    let mut rows = changes(&rounds);
    rows.extend(looks(18, "refresh", &rounds, |round| &round.refresh));
    rows.extend(looks(19, "empty plan", &rounds, |round| &round.plan));
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

fn round(place: &Place) -> Result<Round> {
    let itself = Itself::of_a_team(place, SERVERS, AT_ONCE)?;
    let lab = place.wide_lab(SCALE);
    let alone = alone(place, &lab)?;
    let workspace = place.servers_of_a_team(&lab, SERVERS);
    let latencies = Latencies::default();

    let begun = lab.control().now();
    let (create, traffic) = watched(place, &lab, "create", &workspace, &AT_ONCE.apply())?;
    let clones = SrWork::since(&lab, begun, "vdi_clone", SERVERS)?;
    list(place, &clones);
    let placed = Placed::of(&lab, &traffic)?;
    let hosts = placed.building(&latencies);
    let create = Change {
        wall: create.wall(),
        bound: itself.create.around(clones.busiest().max(hosts) + alone.create),
        unevenness: clones.unevenness(all_srs()),
        stretch: clones.stretch(latencies.vdi_clone_ms, SCALE),
        used: create,
    };

    let refresh = look(place, &lab, "refresh", &workspace, &AT_ONCE.refresh(), itself.refresh)?;
    let plan = look(place, &lab, "empty plan", &workspace, &AT_ONCE.plan(), itself.plan)?;

    let begun = lab.control().now();
    let destroy = watched(place, &lab, "destroy", &workspace, &AT_ONCE.destroy())?.0;
    let removals = SrWork::since(&lab, begun, "vdi_destroy", SERVERS)?;
    list(place, &removals);
    let destroy = Change {
        wall: destroy.wall(),
        bound: itself.destroy.around(removals.busiest() + alone.destroy),
        unevenness: removals.unevenness(all_srs()),
        stretch: removals.stretch(latencies.vdi_destroy_ms, SCALE),
        used: destroy,
    };
    Ok(Round {
        create,
        placed,
        refresh,
        plan,
        destroy,
    })
}

/// Runs a command, and lists by method what the pools received meanwhile, if that is asked for.
fn watched(
    place: &Place,
    lab: &Lab,
    what: &str,
    workspace: &Workspace,
    arguments: &[String],
) -> Result<(Watched, Traffic)> {
    let (watched, traffic) = Traffic::during(lab, || watch(workspace, arguments));
    let watched = watched?;
    if place.lists() {
        eprintln!("{what} of {SERVERS}: {}\n{}", watched.summary(), traffic.profile());
    }
    Ok((watched, traffic))
}

fn list(place: &Place, work: &SrWork) {
    if place.lists() {
        eprintln!("{}", work.listing());
    }
}

fn look(
    place: &Place,
    lab: &Lab,
    what: &str,
    workspace: &Workspace,
    arguments: &[String],
    itself: f64,
) -> Result<Look> {
    let (used, traffic) = watched(place, lab, what, workspace, arguments)?;
    let mut by_pool: BTreeMap<&str, u32> = BTreeMap::new();
    for request in traffic.counted() {
        *by_pool.entry(&request.pool).or_default() += 1;
    }
    Ok(Look {
        itself,
        requests: f64::from(by_pool.into_values().max().context("no pool was asked")?),
        used,
    })
}

/// Creates one server in the same pools and destroys it.
fn alone(place: &Place, lab: &Lab) -> Result<Alone> {
    let workspace = place.servers_of_a_team(lab, 1);
    let (_took, created) = Traffic::during(lab, || create_all(&workspace, 1));
    let (_ended, destroyed) = Traffic::during(lab, || workspace.destroy());
    let beside = destroyed.only(|request| ["VM.hard_shutdown", "VM.destroy"].contains(&request.method.as_str()));
    Ok(Alone {
        create: created.after("VM.clone")?,
        destroy: seconds(beside.covered_us()),
    })
}

impl Placed {
    fn of(lab: &Lab, creation: &Traffic) -> Result<Self> {
        let hosts = lab.control().pools().into_iter().flat_map(|pool| {
            let hosts = lab.records(&pool.name, "host").into_keys();
            hosts.map(move |host| ((pool.name.clone(), host), 0))
        });
        let mut servers: BTreeMap<(String, String), u32> = hosts.collect();
        for vm in lab.vms() {
            let host = vm.text("resident_on");
            *servers.entry((vm.pool, host)).or_default() += 1;
        }
        let refused = creation.only(|request| request.outcome == NO_MEMORY).count();
        Ok(Self {
            most: servers.values().max().copied().context("a lab without a host")?,
            least: servers.values().min().copied().unwrap_or_default(),
            refused: u32::try_from(refused)?,
        })
    }

    /// How long the host that runs most servers was building them, a few at a time.
    fn building(&self, latencies: &Latencies) -> f64 {
        f64::from(self.most) * mean_seconds(latencies.vm_start_ms) / SCALE / BUILDERS
    }
}

fn all_srs() -> u32 {
    u32::try_from(POOLS * SRS.len()).unwrap_or(u32::MAX)
}

fn changes(rounds: &[Round]) -> Vec<Row> {
    let uneven = Row::new(
        16,
        "work of the busiest SR for it over the mean of the 8",
        Measure::of(Unit::Ratio, rounds.iter().map(|round| round.create.unevenness)),
    )
    .bar(Bar::AtMost(UNEVEN))
    .note("Which pool takes a server is dynvm's to say, and the bound is that of the busiest SR: this is what a bad choice adds to it.");
    let count = |of: fn(&Placed) -> u32| {
        let placed = rounds.iter().map(|round| f64::from(of(&round.placed)));
        Measure::of(Unit::Count, placed)
    };
    let spread = count(|placed| placed.most - placed.least);
    let refused = count(|placed| placed.refused);
    let mut rows = change(16, "create", CREATE, rounds, |round| &round.create);
    rows.push(uneven);
    rows.push(
        Row::new(
            16,
            "servers on the fullest of the 8 hosts over those on the emptiest",
            spread,
        )
        .bar(Bar::AtMost(1.0)),
    );
    rows.push(Row::new(16, "starts that a host refused for want of memory", refused).bar(Bar::AtMost(0.0)));
    rows.extend(change(17, "destroy", DESTROY, rounds, |round| &round.destroy));
    rows
}

fn change(number: u8, what: &str, note: &str, rounds: &[Round], of: fn(&Round) -> &Change) -> Vec<Row> {
    let all = || rounds.iter().map(of);
    let seconds = |figure: fn(&Change) -> f64| Measure::of(Unit::Seconds, all().map(figure));
    let bounded = seconds(|change| change.wall).over(all().map(|change| change.bound));
    vec![
        Row::new(number, &format!("{what} of 1,000 servers over the bound"), bounded)
            .bar(Bar::Ratio(1.10))
            .note(&format!("{note} {}", machine_share(all()))),
        Row::new(
            number,
            "CPU time of the provider for it",
            seconds(|change| change.used.provider.cpu.as_secs_f64()),
        ),
    ]
}

/// How far the machine itself was from being the bound.
fn machine_share<'a>(changes: impl Iterator<Item = &'a Change>) -> String {
    let changes: Vec<&Change> = changes.collect();
    let of = |figure: &dyn Fn(&Change) -> f64| median(changes.iter().map(|change| figure(change)));
    let cpu = |of: Duration| of.as_secs_f64();
    let load = of(&|change| change.used.load());
    let (terraform, simulator) = (
        of(&|change| cpu(change.used.terraform.cpu)),
        of(&|change| cpu(change.used.simulator)),
    );
    let stretch = of(&|change| change.stretch);
    format!(
        "Meanwhile the processors were busy for {:.0} % of the time: terraform used {terraform:.1} s of CPU time, the simulator {simulator:.1} s. \
         The SRs' operations took {stretch:.3} times what the latencies ask for.",
        load * 100.0
    )
}

fn looks(number: u8, what: &str, rounds: &[Round], of: fn(&Round) -> &Look) -> Vec<Row> {
    let all = || rounds.iter().map(of);
    let measure = |unit, figure: &dyn Fn(&Look) -> f64| Measure::of(unit, all().map(figure));
    vec![
        Row::new(
            number,
            &format!("XenAPI requests of a pool per {what} of 1,000 servers"),
            measure(Unit::Count, &|look| look.requests),
        )
        .bar(Bar::AtMost(10.0))
        .note("Of the pool that received most, with the servers of row 16, at `-parallelism=100`."),
        Row::new(
            number,
            "CPU time of the provider for it",
            measure(Unit::Seconds, &|look| look.used.provider.cpu.as_secs_f64()),
        )
        .bar(Bar::AtMost(1.5)),
        Row::new(
            number,
            "memory of the provider for it",
            measure(Unit::Mebibytes, &|look| usage::mebibytes(look.used.provider.peak_kib)),
        )
        .bar(Bar::AtMost(80.0)),
        Row::new(
            number,
            &format!("the whole {what} over terraform itself"),
            measure(Unit::Seconds, &|look| look.used.wall()).over(all().map(|look| look.itself)),
        )
        .note("The bound is the same command with a provider that does nothing."),
    ]
}
