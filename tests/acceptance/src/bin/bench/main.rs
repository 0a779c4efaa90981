//! What dynvm costs beyond what the pools cost, each figure beside its bar.
//!
//! `bench` measures everything, prints one table and writes it to `docs/benchmarks.md`; `bench <part>...` measures some parts and only prints;
//! `--list` also prints on stderr every request that was counted, with its time, or, where they are thousands, how they were spent.
//! The provider and the reaper are those beside this executable, so they are the release builds under `make bench`. The pools are the simulator's, with the
//! latencies of a small lab divided by the time scale that each row states. A missed bar is a mark in the table and no failure: the exit code
//! says whether everything could be measured.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints: the table on stdout, progress on stderr"
)]

mod crowd;
mod decoding;
mod expiry;
mod handshake;
mod itself;
mod life;
mod machine;
mod many;
mod place;
mod planning;
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
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::machine::Machine;
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
    ("sweep", &[11], sweep::rows),
    ("idle", &[12], expiry::idle),
    ("expiry", &[13, 14], expiry::rows),
    ("many", &[4, 10], many::rows),
    ("events", &[6], crowd::events),
    ("storage", &[9], crowd::storage),
    ("thousand", &[16, 17, 18, 19], thousand::rows),
];

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
    println!("{machine}\n\n{}", table.text());
    if wanted.is_empty() {
        let page = table.page(&machine, started.elapsed());
        let file = benchmarks_page();
        fs::write(&file, page).with_context(|| format!("{} cannot be written", file.display()))?;
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

fn benchmarks_page() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(2).unwrap_or(package);
    root.join("docs").join("benchmarks.md")
}
