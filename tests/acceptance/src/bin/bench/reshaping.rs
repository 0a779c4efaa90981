//! Rows 21 and 22: one server that is given another size, and one that is moved live, several times over, at the pool's real speed.

use acceptance::{Lab, Workspace};
use anyhow::{Context as _, Result};

use crate::place::{OS, Place};
use crate::table::{Bar, Measure, Row, Unit};
use crate::traffic::{Stretch, Traffic, seconds};

const CHANGES: usize = 6;
const SCALE: f64 = 1.0;
/// The two hosts of the pool.
const HOSTS: [&str; 2] = ["xen11", "xen12"];

/// What one change took, and what of it was the pool's.
struct Change {
    wall: f64,
    pool: f64,
}

/// Changes a server to and fro.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let lab = place.lab(SCALE);
    let workspace = place.servers(&lab, 1);
    workspace.apply();
    let sizes = measured(place, &lab, &workspace, &|number| {
        format!("  cpus = {}", 3 + number % 2)
    })?;
    let moves = measured(place, &lab, &workspace, &|number| {
        let [first, second] = HOSTS;
        let host = if number % 2 == 0 { first } else { second };
        format!("  cpus = 4\n  host = {host:?}")
    })?;
    workspace.destroy();
    Ok(vec![
        row(21, "another size over the pool's own time", &sizes).note(
            "The apply of a saved plan: stop, set, start, and the guest's way to its address. As in row 7, the pool's own time is the part in which \
             it worked on a request of ours, or the guest was on its way.",
        ),
        row(22, "a live migration over the pool's own time", &moves).note("The apply of a saved plan that moves the server to the other host."),
    ])
}

fn row(number: u8, name: &str, changes: &[Change]) -> Row {
    let walls = Measure::of(Unit::Seconds, changes.iter().map(|change| change.wall));
    let measure = walls.over(changes.iter().map(|change| change.pool));
    Row::new(number, name, measure).bar(Bar::Excess(0.2)).scale(SCALE)
}

/// Applies one change after the other. The first brings the server to where the measured ones begin.
fn measured(place: &Place, lab: &Lab, workspace: &Workspace, lines: &dyn Fn(usize) -> String) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for number in 0..=CHANGES {
        let server = format!(
            "resource \"dynvm_server\" \"bench\" {{\n  count = 1\n  name  = \"bench-0\"\n  os    = {OS:?}\n  ttl   = \"1h\"\n{}\n}}\n",
            lines(number)
        );
        workspace.main(&[&lab.provider().to_string(), &server]);
        workspace.plan();
        let (_, traffic) = Traffic::during(lab, || {
            workspace.run(&["apply", "-input=false", "tfplan"]).expect_success()
        });
        if place.lists() {
            eprintln!("{server}{}", traffic.listing());
        }
        if number > 0 {
            let guest = if traffic.has("VM.start_on") {
                Some(guest(lab)?)
            } else {
                None
            };
            changes.push(Change {
                wall: seconds(traffic.wall_us()),
                pool: seconds(traffic.busy_us(guest.as_slice())),
            });
        }
    }
    Ok(changes)
}

/// From Running to the address, as the only server's guest took it.
fn guest(lab: &Lab) -> Result<Stretch> {
    let servers = lab.vms().into_iter();
    let mut servers = servers.filter(|vm| vm.text("name_label") == "bench-0");
    let server = servers.next().context("the server is not there")?;
    let instants = lab.control().instants().remove(&server.uuid());
    let instants = instants.context("the simulator does not know the server")?;
    instants
        .running_us
        .zip(instants.address_us)
        .context("a server without an address")
}
