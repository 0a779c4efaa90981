//! Rows 4 and 10: two hundred servers, and what it takes to look at them.

use anyhow::Result;

use crate::itself::Parallelism;
use crate::place::{FOREIGN, Place, create_all};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::Traffic;
use crate::usage;
use crate::watch::watch;

const SERVERS: u32 = 200;
/// They are only there to be looked at.
const SCALE: f64 = 40.0;
const LOOKS: usize = 5;
/// Terraform's own.
const AT_ONCE: Parallelism = Parallelism(10);

/// Creates them, then refreshes and plans them several times.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = place.lab(SCALE);
    let workspace = place.servers(&lab, SERVERS);
    create_all(&workspace, 50);
    let mut requests = Vec::new();
    let mut bytes = Vec::new();
    let mut peaks = Vec::new();
    for _ in 0..LOOKS {
        let (_, traffic) = Traffic::during(&lab, || workspace.plan_refresh());
        if place.lists() {
            eprintln!("refresh of {SERVERS}\n{}", traffic.listing());
        }
        requests.push(f64::from(u32::try_from(traffic.count())?));
        bytes.push(f64::from(u32::try_from(traffic.received())?));
        peaks.push(usage::mebibytes(watch(&workspace, &AT_ONCE.plan())?.provider.peak_kib));
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
