//! Rows 3, 4, 5, 7 and 8: the life of one server, several times over, at the pools' real speed.

use acceptance::{Lab, Outcome, Workspace};
use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::place::{FOREIGN, Place};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::{Traffic, milliseconds, seconds, since_start};

const LIVES: usize = 7;
const SCALE: f64 = 1.0;

/// What was seen of one server.
struct Life {
    create: Traffic,
    /// From `Running` to the address, as the guest took it.
    guest: (u64, u64),
    /// When terraform said that the create was complete.
    returned_us: u64,
    refresh: Traffic,
    /// The refresh before a destroy, and the destroy itself.
    destroy: (Traffic, Traffic),
}

/// Creates, refreshes and destroys.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = place.lab(SCALE);
    let workspace = place.servers(&lab, 1);
    let lives = (0..LIVES)
        .map(|_| live(&lab, &workspace))
        .collect::<Result<Vec<Life>>>()?;
    if place.lists() {
        list(&lives);
    }
    let mut rows = requests(&lives);
    rows.extend(times(&lives));
    Ok(rows.into_iter().map(|row| row.scale(SCALE)).collect())
}

fn live(lab: &Lab, workspace: &Workspace) -> Result<Life> {
    let watched = |arguments: &[&str]| {
        let (_ended, traffic) = Traffic::during(lab, || workspace.run(arguments).expect_success());
        traffic
    };
    let (applied, create) = Traffic::during(lab, || workspace.try_apply().expect_success());
    let (vm, at) = completion(&applied)?;
    let returned_us = since_start(lab, at)?;
    let instants = lab.control().instants().remove(&vm);
    let instants = instants.with_context(|| format!("the simulator knows no VM {vm}"))?;
    let guest = instants.running_us.zip(instants.address_us);
    let (_, refresh) = Traffic::during(lab, || workspace.plan_refresh());
    Ok(Life {
        create,
        guest: guest.context("a server without an address")?,
        returned_us,
        refresh,
        destroy: (
            watched(&["plan", "-destroy", "-out=end", "-input=false"]),
            watched(&["apply", "-input=false", "end"]),
        ),
    })
}

/// The UUID of the only server of an apply, and when terraform had it.
fn completion(applied: &Outcome) -> Result<(String, Timestamp)> {
    let messages = applied.messages("apply_complete");
    let message = messages.first().context("no create was completed")?;
    let text = |pointer: &str| message.pointer(pointer).and_then(|value| value.as_str());
    let vm = text("/hook/id_value").context("an apply_complete without an id")?;
    let at = text("/@timestamp").context("an apply_complete without an instant")?;
    Ok((vm.to_owned(), at.parse().context("the instant of an apply_complete")?))
}

fn requests(lives: &[Life]) -> Vec<Row> {
    let count = |of: &dyn Fn(&Life) -> usize| Measure::of(Unit::Count, lives.iter().map(|life| whole(of(life))));
    let refreshed = |unit, of: &dyn Fn(&Life) -> u64| Measure::of(unit, lives.iter().map(|life| whole(of(life))));
    vec![
        Row::new(3, "XenAPI requests per create", count(&|life| life.create.count()))
            .bar(Bar::AtMost(18.0))
            .note(
                "All that a whole `terraform apply` sends, but login and logout; the long-poll `event.from` counts, each time that it is sent.",
            ),
        Row::new(3, "longest sequential chain of them", count(&|life| life.create.chain()))
            .bar(Bar::AtMost(9.0))
            .note(
                "The most requests of which each arrived after the former's answer had left. The long-poll runs beside all others and is not \
                 part of the chain; an `event.from` that asks for what there is now is.",
            ),
        Row::new(4, "XenAPI requests per refresh of 1 server", count(&|life| life.refresh.count()))
            .bar(Bar::AtMost(8.0))
            .note(&format!("In a pool with {FOREIGN} foreign VMs, as all of these rows.")),
        Row::new(4, "bytes received per refresh of 1 server", refreshed(Unit::Bytes, &|life| life.refresh.received())),
        Row::new(5, "XenAPI requests per destroy", count(&|life| life.destroy.1.count()))
            .bar(Bar::AtMost(10.0))
            .note("The apply of a saved destroy plan."),
        Row::new(
            5,
            "the same with the refresh before it",
            count(&|life| life.destroy.0.count() + life.destroy.1.count()),
        )
        .note("All that a whole `terraform destroy` sends."),
    ]
}

fn times(lives: &[Life]) -> Vec<Row> {
    let walls = lives.iter().map(|life| seconds(life.create.wall_us()));
    let pools = lives.iter().map(|life| seconds(life.create.busy_us(&[life.guest])));
    let noticed = lives.iter().map(|life| {
        let (_, address_us) = life.guest;
        milliseconds(life.returned_us.saturating_sub(address_us))
    });
    vec![
        Row::new(7, "one create over the pool's own time", Measure::of(Unit::Seconds, walls).over(pools))
            .bar(Bar::Excess(0.15))
            .note(
                "From the arrival of the first request (the login) to the end of the last. The pool's own time is the part of it in which the \
                 pool worked on a request of ours, the long-poll left out, or the guest was on its way from Running to its address.",
            ),
        Row::new(8, "address visible in the pool to create returned", Measure::of(Unit::Milliseconds, noticed))
            .bar(Bar::AtMost(300.0))
            .note(
                "To `apply_complete` of `terraform apply -json`, on the simulator's clock. Pools tell events 50-100 ms late; then the lease is \
                 written and the VM read again.",
            ),
    ]
}

fn list(lives: &[Life]) {
    for life in lives {
        eprintln!(
            "create, chain {}, wall {:.1} ms, pool {:.1} ms, address visible {:.1} ms before the return\n{}",
            life.create.chain(),
            milliseconds(life.create.wall_us()),
            milliseconds(life.create.busy_us(&[life.guest])),
            milliseconds(life.returned_us.saturating_sub(life.guest.1)),
            life.create.listing()
        );
        eprintln!("refresh\n{}", life.refresh.listing());
        eprintln!("refresh before the destroy\n{}", life.destroy.0.listing());
        eprintln!("destroy\n{}", life.destroy.1.listing());
    }
}

/// A count as a number of a sample.
fn whole(count: impl TryInto<u32>) -> f64 {
    count.try_into().map_or(f64::INFINITY, f64::from)
}
