//! What dynvm costs beyond what the pools cost, each figure beside its bar.
//!
//! `bench` measures everything, prints one table, writes it to `docs/benchmarks.md` with a drawing, and adds its figures to the record of all
//! benches beside it; `bench <part>...` measures some parts and only prints; `--list` also prints on stderr every request that was counted, with its time,
//! or, where they are thousands, how they were spent.
//! The provider and the reaper are those beside this executable, so they are the release builds under `make bench`. The pools are the simulator's, with the
//! latencies of a small lab divided by the time scale that each row states. A missed bar is a mark in the table and no failure: the exit code
//! says whether everything could be measured.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints: the table on stdout, progress on stderr"
)]

mod chart;
mod crowd;
mod decoding;
mod expiry;
mod growth;
mod handshake;
mod itself;
mod life;
mod machine;
mod many;
mod past;
mod place;
mod planning;
mod reshaping;
mod sample;
mod servers;
mod srs;
mod sweep;
mod table;
mod thousand;
mod traffic;
mod usage;
mod watch;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::chart::Chart;
use crate::machine::Machine;
use crate::past::Past;
use crate::place::Place;
use crate::table::{Row, Table};

/// Measures one or more rows.
type Part = fn(&Place) -> Result<Vec<Row>>;

/// The parts in the order in which they run: what needs a quiet machine comes first.
const PARTS: &[(&str, &[u8], Part)] = &[
    ("handshake", &[1], handshake::rows),
    ("plan", &[2], planning::rows),
    ("decoding", &[15], decoding::rows),
    ("life", &[3, 4, 5, 7, 8], life::rows),
    ("reshaping", &[21, 22], reshaping::rows),
    ("sweep", &[11], sweep::rows),
    ("idle", &[12], expiry::idle),
    ("expiry", &[13, 14], expiry::rows),
    ("many", &[4, 10], many::rows),
    ("events", &[6], crowd::events),
    ("storage", &[9], crowd::storage),
    ("thousand", &[16, 17, 18, 19], thousand::rows),
    ("growth", &[20], growth::rows),
];

/// What the drawing shows.
const GROWTH: &str = "CPU time of dynvm's own process against the number of servers";

/// Prints the requests too.
const LIST: &str = "--list";

fn main() -> Result<ExitCode> {
    let (options, wanted): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word == LIST);
    if let Some(stranger) = wanted.iter().find(|name| PARTS.iter().all(|(known, ..)| known != name)) {
        let known: Vec<&str> = PARTS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no part {stranger:?}; there are {}", known.join(", "));
    }
    let place = Place::new(!options.is_empty());
    let machine = Machine::look(&place)?;
    let started = Instant::now();
    let mut table = Table::default();
    for (name, numbers, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|chosen| chosen == name) {
            let begun = Instant::now();
            table.extend(measure(name, numbers, *part, &place));
            eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    let docs = Docs::of_this_repository();
    let past = Past::read(&docs.record(), &machine)?;
    println!("{machine}\n\n{}", table.text(&past));
    if wanted.is_empty() {
        docs.write(&table, &machine, &past, started.elapsed())?;
    }
    Ok(if table.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The rows of a part; when it breaks, a row for each that says why.
fn measure(name: &str, numbers: &[u8], part: Part, place: &Place) -> Vec<Row> {
    let why = match catch_unwind(AssertUnwindSafe(|| part(place))) {
        Ok(Ok(rows)) => return rows,
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => message(panic.as_ref()),
    };
    eprintln!("{name}: {why}");
    let lost = |number: &u8| Row::lost(*number, name, why.lines().next().unwrap_or_default());
    numbers.iter().map(lost).collect()
}

/// The harness tells its failures by panicking.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The folder in which everything is written down.
struct Docs(PathBuf);

impl Docs {
    fn of_this_repository() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.ancestors().nth(2).unwrap_or(package);
        Self(root.join("docs"))
    }

    /// What earlier benches found.
    fn record(&self) -> PathBuf {
        self.0.join("benchmarks").join("history.jsonl")
    }

    /// Writes the page with its drawing, and adds to the record.
    fn write(&self, table: &Table, machine: &Machine, past: &Past, took: Duration) -> Result<()> {
        let write = |name: &str, text: &str| {
            let file = self.0.join(name);
            fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
        };
        write("benchmarks.md", &table.page(machine, past, took))?;
        if let Some(chart) = Chart::of(GROWTH, &table.curves()) {
            write("benchmarks/growth.svg", &chart.svg())?;
        }
        past::append(&self.record(), machine, table)
    }
}
