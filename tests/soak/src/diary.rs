//! What happened when, in virtual time: the thing to read when a run fails, and how two runs are compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many of the last lines a failure shows.
const SHOWN: usize = 60;

/// The diary of a run.
#[derive(Debug, Default)]
pub(crate) struct Diary(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
    /// Of what was thrown, by actor: the same for the same seed, whatever came of it.
    schedule: BTreeMap<u64, u64>,
}

impl Diary {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, at: Duration, who: &str, what: &str) {
        self.lock()
            .lines
            .push(format!("{:>9.3} {who} {what}", at.as_secs_f64()));
    }

    /// Counts an outcome.
    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// Notes what an actor is to do.
    pub(crate) fn planned(&self, actor: u64, what: &str) {
        let mut inner = self.lock();
        let sum = inner.schedule.entry(actor).or_insert(0xCBF2_9CE4_8422_2325);
        // FNV-1a: stable over versions of the compiler.
        for byte in what.bytes() {
            *sum = (*sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// A number that is the same for runs of the same schedule.
    pub(crate) fn schedule(&self) -> u64 {
        let inner = self.lock();
        inner.schedule.iter().fold(0, |sum, (actor, of_actor)| {
            sum ^ of_actor.wrapping_mul(actor.wrapping_mul(2).wrapping_add(1))
        })
    }

    /// All lines.
    pub(crate) fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let inner = self.lock();
        let first = inner.lines.len().saturating_sub(SHOWN);
        inner.lines.get(first..).unwrap_or_default().join("\n")
    }

    /// How often what happened.
    pub(crate) fn counts(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.lock().counts {
            let _infallible = writeln!(text, "{count:>7} {what}");
        }
        text
    }
}
