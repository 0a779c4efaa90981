//! What was run and what came of it, as one table over all operations; and what was left out, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::operation::Operation;
use crate::run::{Result, Traced};
use crate::scene::Went;
use crate::trouble::Case;

/// How many failures are told of.
const TOLD: usize = 12;

/// Pairs that are left out, by reason.
pub(crate) type LeftOut = BTreeMap<&'static str, BTreeSet<(Operation, String)>>;

/// A matrix that was run.
pub(crate) struct Table<'a> {
    pub(crate) name: &'static str,
    pub(crate) traces: &'a [Traced],
    pub(crate) cases: &'a [Case],
    pub(crate) results: &'a [Result],
    pub(crate) left_out: LeftOut,
}

impl Table<'_> {
    /// Prints it.
    ///
    /// # Panics
    /// A case failed, or too many of them met nothing.
    pub(crate) fn conclude(&self) {
        eprintln!("{}", self.name);
        eprintln!(
            "{:<10}{:>9}{:>7}{:>8}{:>8}{:>8}{:>9}{:>10}{:>10}{:>10}{:>10}",
            "operation",
            "requests",
            "cases",
            "failed",
            "reaped",
            "not met",
            "left out",
            "given up",
            "median",
            "longest",
            "process"
        );
        for (operation, requests) in self.traces {
            self.row(&format!("{operation:?}"), requests.len(), |of| of == *operation);
        }
        let requests = self.traces.iter().map(|(_, requests)| requests.len()).sum();
        self.row("all", requests, |_| true);
        for (reason, pairs) in &self.left_out {
            eprintln!("left out {}: {reason}", pairs.len());
            pairs
                .iter()
                .for_each(|(operation, pair)| eprintln!("  {operation:?}: {pair}"));
        }
        self.check();
    }

    fn row(&self, name: &str, requests: usize, is_of: impl Fn(Operation) -> bool) {
        let went: Vec<&Went> = self.went(&is_of).collect();
        let cases = self.cases.iter().filter(|case| is_of(case.operation)).count();
        let left_out = self.left_out.values().flatten().filter(|(of, _)| is_of(*of)).count();
        let count = |is: fn(&Went) -> bool| went.iter().filter(|went| is(went)).count();
        let mut answered: Vec<Duration> = went.iter().filter_map(|went| Some(went.given_up?.0)).collect();
        answered.sort();
        let ended = went.iter().filter_map(|went| Some(went.given_up?.1)).max();
        eprintln!(
            "{name:<10}{requests:>9}{cases:>7}{:>8}{:>8}{:>8}{left_out:>9}{:>10}{:>10}{:>10}{:>10}",
            count(|went| went.has_failed),
            count(|went| went.is_reaped),
            count(|went| !went.is_met),
            answered.len(),
            shown(answered.get(answered.len() / 2).copied()),
            shown(answered.last().copied()),
            shown(ended),
        );
    }

    fn went(&self, is_of: impl Fn(Operation) -> bool) -> impl Iterator<Item = &Went> {
        let of_all = self.cases.iter().zip(self.results);
        let of_those = of_all.filter(move |(case, _)| is_of(case.operation));
        of_those.filter_map(|(_, result)| result.as_ref().ok())
    }

    fn check(&self) {
        let all = self.cases.iter().zip(self.results);
        let failures: Vec<String> = all
            .filter_map(|(case, result)| Some(format!("{case}: {}", result.as_ref().err()?)))
            .collect();
        let told: Vec<&str> = failures.iter().take(TOLD).map(String::as_str).collect();
        assert!(
            failures.is_empty(),
            "{} cases failed:\n{}",
            failures.len(),
            told.join("\n")
        );
        assert_eq!(self.results.len(), self.cases.len());
        let not_met = self.went(|_| true).filter(|went| !went.is_met).count();
        let all = self.results.len();
        assert!(not_met * 10 <= all, "{not_met} of {all} cases met nothing");
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.3} s", time.as_secs_f64()))
}
