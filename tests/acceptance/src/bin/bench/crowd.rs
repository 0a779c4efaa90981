//! Rows 6 and 9: many creates at once.

use acceptance::Lab;
use anyhow::{Context as _, Result};
use sim::EventCounters;

use crate::itself::{Parallelism, creating};
use crate::place::{Place, create_all};
use crate::srs::SrWork;
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::Traffic;
use crate::watch::watch;

const RUNS: usize = 3;
/// Creates at once whose events are counted.
const WATCHED: u32 = 100;
const WATCHED_SCALE: f64 = 4.0;
/// Creates at once that share an SR.
const SHARING: u32 = 50;
const SHARING_SCALE: f64 = 2.0;

/// Row 6: how often the one long-poll is sent while 100 creates wait, and what it brings.
pub(crate) fn events(place: &Place) -> Result<Vec<Row>> {
    let mut calls = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..RUNS {
        let lab = place.lab(WATCHED_SCALE);
        let before = counters(&lab)?;
        create_all(&place.servers(&lab, WATCHED), WATCHED);
        let after = counters(&lab)?;
        calls.push(after.0 - before.0);
        bytes.push(after.1 - before.1);
    }
    let each = |values: Vec<f64>| values.into_iter().map(|value| value / f64::from(WATCHED));
    let rows = [
        Row::new(
            6,
            "event.from calls per create, 100 at once",
            Measure::of(Unit::Count, each(calls)),
        )
        .note(&format!(
            "`terraform apply -parallelism={WATCHED}` of {WATCHED} servers; all calls of the run through the number of servers."
        )),
        Row::new(
            6,
            "event.from bytes per create, 100 at once",
            Measure::of(Unit::Bytes, each(bytes)),
        ),
    ];
    Ok(rows.into_iter().map(|row| row.scale(WATCHED_SCALE)).collect())
}

/// Calls and bytes of the pool's event interface since it started.
fn counters(lab: &Lab) -> Result<(f64, f64)> {
    let pools = lab.control().events();
    let EventCounters { calls, bytes, .. } = pools.values().next().context("a lab without a pool")?;
    let number = |value: u64| u32::try_from(value).map(f64::from).context("a counter beyond 2^32");
    Ok((number(*calls)?, number(*bytes)?))
}

/// Row 9: 50 creates that need the same SR, which clones one disk at a time.
pub(crate) fn storage(place: &Place) -> Result<Vec<Row>> {
    let at_once = Parallelism(SHARING);
    let mut walls = Vec::new();
    let mut bounds = Vec::new();
    for _ in 0..RUNS {
        let itself = creating(&place.idle_servers(SHARING), at_once)?;
        let lab = place.lab(SHARING_SCALE);
        let (_took, alone) = Traffic::during(&lab, || create_all(&place.servers(&lab, 1), 1));
        let begun = lab.control().now();
        let created = watch(&place.servers(&lab, SHARING), &at_once.apply())?;
        let clones = SrWork::since(&lab, begun, "vdi_clone", SHARING)?;
        walls.push(created.wall());
        bounds.push(itself.around(clones.busiest() + alone.after("VM.clone")?));
    }
    let row = Row::new(
        9,
        "50 creates on one SR over the serialised bound",
        Measure::of(Unit::Seconds, walls).over(bounds),
    )
    .bar(Bar::Ratio(1.15))
    .scale(SHARING_SCALE)
    .note(&format!(
        "The whole `terraform apply -parallelism={SHARING}`. The bound is the sum of the SR's own {SHARING} clone operations, what one server \
         created alone in the same pool took from its clone to its last request, and what terraform itself takes before the first create and after the \
         last with a provider that does nothing."
    ));
    Ok(vec![row])
}
