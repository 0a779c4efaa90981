//! What storage repositories did, by the simulator's own record: each of them does one disk operation at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::Lab;
use anyhow::{Context as _, Result, ensure};
use sim::world::Span;

use crate::traffic::seconds;

/// Operations of one kind.
#[derive(Clone, Debug)]
pub(crate) struct SrWork {
    /// Pool and SR -> from when to when it did each operation, in real seconds since the moment.
    by_sr: BTreeMap<(String, String), Vec<(f64, f64)>>,
}

impl SrWork {
    /// The operations of this name, such as `vdi_clone`, that began since a moment on the simulator's clock, of which there must be so many.
    pub(crate) fn since(lab: &Lab, moment: Duration, name: &str, count: u32) -> Result<Self> {
        let control = lab.control();
        let from = u64::try_from(moment.as_micros())?;
        let real = |simulated: u64| seconds(simulated.saturating_sub(from)) / control.time_scale();
        let mut by_sr: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
        for operation in control.sr_operations() {
            if operation.operation != name || operation.started_us < from {
                continue;
            }
            let ended = operation
                .ended_us
                .with_context(|| format!("a {name} that has not ended"))?;
            let stretch = (real(operation.started_us), real(ended));
            by_sr.entry((operation.pool, operation.sr)).or_default().push(stretch);
        }
        let work = Self { by_sr };
        let found = work.count();
        ensure!(found == count, "the SRs did {found} {name} instead of {count}");
        Ok(work)
    }

    fn count(&self) -> u32 {
        self.by_sr.values().map(|operations| length(operations)).sum()
    }

    /// How long the SR with most to do was at it, in seconds.
    pub(crate) fn busiest(&self) -> f64 {
        self.sums().fold(0.0, f64::max)
    }

    /// The same over what it would be had each of so many SRs done its equal part.
    pub(crate) fn unevenness(&self, srs: u32) -> f64 {
        self.busiest() * f64::from(srs) / self.sums().sum::<f64>()
    }

    /// How long the operations took over what the latencies of the world ask for, as they are in the mean.
    pub(crate) fn stretch(&self, asked: Span, time_scale: f64) -> f64 {
        let asked = mean_seconds(asked) / time_scale * f64::from(self.count());
        self.sums().sum::<f64>() / asked
    }

    fn sums(&self) -> impl Iterator<Item = f64> {
        self.by_sr.values().map(|operations| sum(operations))
    }

    /// One line for each SR: how many operations, how long they took together, from when to when, and how long it did nothing between.
    pub(crate) fn listing(&self) -> String {
        let lines = self.by_sr.iter().map(|((pool, sr), operations)| {
            let first = operations.iter().map(|(start, _)| *start).fold(f64::INFINITY, f64::min);
            let last = operations.iter().map(|(_, end)| *end).fold(0.0, f64::max);
            let (count, took) = (operations.len(), sum(operations));
            let idle = last - first - took;
            format!(
                "{pool} {sr}: {count} operations, {took:.2} s, from {first:.2} s to {last:.2} s, idle for {idle:.2} s"
            )
        });
        lines.collect::<Vec<String>>().join("\n")
    }
}

/// The middle of a span, in seconds.
pub(crate) fn mean_seconds(span: Span) -> f64 {
    seconds((span.min_ms + span.max_ms) * 1_000) / 2.0
}

fn length(operations: &[(f64, f64)]) -> u32 {
    u32::try_from(operations.len()).unwrap_or(u32::MAX)
}

fn sum(operations: &[(f64, f64)]) -> f64 {
    operations.iter().map(|(start, end)| end - start).sum()
}

#[cfg(test)]
mod tests {
    use super::{SrWork, mean_seconds};
    use sim::world::Span;

    #[test]
    fn the_busiest_is_the_one_with_most_time_not_with_most_operations() {
        let sr = |pool: &str, operations: &[(f64, f64)]| ((pool.to_owned(), "ssd".to_owned()), operations.to_vec());
        let work = SrWork {
            by_sr: [
                sr("lab1", &[(0.0, 1.0), (1.0, 2.0), (3.0, 4.0)]),
                sr("lab2", &[(1.0, 6.0)]),
            ]
            .into(),
        };
        assert_eq!((work.count(), work.busiest()), (4, 5.0));
        assert_eq!(work.unevenness(2), 1.25);
        assert_eq!(work.unevenness(4), 2.5);
        assert_eq!(mean_seconds(Span::new(500, 1500)), 1.0);
        assert_eq!(work.stretch(Span::fixed(2_000), 2.0), 2.0);
        let listing = work.listing();
        assert!(
            listing.starts_with("lab1 ssd: 3 operations, 3.00 s, from 0.00 s to 4.00 s, idle for 1.00 s\n"),
            "{listing}"
        );
    }
}
