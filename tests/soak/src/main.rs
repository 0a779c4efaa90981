//! The long soak: `make soak`, `make soak SEED=7 MINUTES=120 PIPELINES=30`. Prints the seed first; the whole diary goes to the file that
//! `DIARY` names.
#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use soak::Soak;

fn setting(name: &str) -> Result<Option<u64>> {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given
        .map(|text| text.parse().with_context(|| format!("{name}={text} is no number")))
        .transpose()
}

fn main() -> Result<()> {
    let of_now = SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs());
    let seed = setting("SEED")?.unwrap_or(of_now.unwrap_or_default());
    let minutes = setting("MINUTES")?.unwrap_or(120);
    let pipelines = setting("PIPELINES")?.unwrap_or(30);
    let again = format!("make soak SEED={seed} MINUTES={minutes} PIPELINES={pipelines}");
    println!("seed {seed}: {pipelines} pipelines for {minutes} virtual minutes (again: {again})");
    let begun = Instant::now();
    let time = Duration::from_secs(60 * minutes);
    let report = Soak { seed, pipelines, time }.run()?;
    if let Ok(path) = std::env::var("DIARY") {
        std::fs::write(&path, &report.diary).with_context(|| path)?;
    }
    print!("{}", report.counts);
    let (took, passed) = (begun.elapsed().as_secs(), report.passed.as_secs() / 60);
    println!(
        "schedule {:016x}; {passed} virtual minutes in {took} s",
        report.schedule
    );
    if report.outcome.is_err() {
        println!("the last that happened:\n{}\nagain: {again}", report.tail);
    }
    report.outcome
}
