//! Row 2: what the provider adds to a plan.

use std::time::Duration;

use acceptance::Workspace;
use anyhow::Result;

use crate::place::{Place, create_all};
use crate::sample::median;
use crate::table::{Bar, Measure, Row, Unit};

const PAIRS: usize = 11;

/// Plans one unchanged server and nothing at all by turns.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = place.lab(1.0);
    let (server, nothing) = (place.servers(&lab, 1), place.nothing());
    create_all(&server, 1);
    plan(&server);
    plan(&nothing);
    let pairs: Vec<(f64, f64)> = (0..PAIRS)
        .map(|_| (plan(&server).as_secs_f64(), plan(&nothing).as_secs_f64()))
        .collect();
    let with = median(pairs.iter().map(|(with, _)| *with));
    let without = median(pairs.iter().map(|(_, without)| *without));
    let added = pairs.iter().map(|(with, without)| with - without);
    let row = Row::new(2, "plan of one unchanged server, less that of nothing", Measure::of(Unit::Seconds, added))
        .bar(Bar::AtMost(0.15))
        .scale(1.0)
        .note(&format!(
            "Pairs of plans, one after the other: {with:.3} s with the server (login and refresh included), {without:.3} s with an empty \
             configuration (medians)."
        ));
    Ok(vec![row])
}

fn plan(workspace: &Workspace) -> Duration {
    let arguments = ["plan", "-detailed-exitcode", "-input=false", "-no-color"];
    workspace.run(&arguments).expect_success().took
}
