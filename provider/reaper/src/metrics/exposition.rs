//! The page of all metrics: state in, Prometheus text out.
//!
//! One collector writes every family from one copy of the state, so that a scrape sees each pool as it was between two changes, in
//! an order that does not change.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::names::{
    BUILD_INFO, CLOCK_SKEW_SECONDS, CYCLE_SECONDS, DELETIONS_TOTAL, HISTORY_QUEUE, Kind,
    LAST_SUCCESS_TIMESTAMP_SECONDS, MANAGED_VMS, Metric, OLDEST_OVERDUE_SECONDS, QUARANTINED, RAIL_ACTIVE, TICKETS,
    TICKETS_CLEARED_TOTAL, UP, XAPI_REQUESTS_TOTAL,
};
use super::series::{Deletion, RailState, Reading, Series};
use super::{Shared, VERSION};

/// Writes the shared state at each scrape.
#[derive(Debug)]
pub(super) struct Exposition(pub(super) Arc<Shared>);

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pools = self.0.copy();
        let mut page = Page(encoder);
        page.gauges(&BUILD_INFO, [([VERSION], 1_u64)])?;
        page.state(&pools)?;
        page.work(&pools)?;
        page.family(&CYCLE_SECONDS, |encoder| self.0.cycle.encode(encoder))?;
        page.requests(&pools)?;
        let queue = self.0.history_queue.load(Ordering::Relaxed);
        page.gauges(&HISTORY_QUEUE, [([], queue)])
    }
}

type Pools = [(String, Series)];

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// How the pools are.
    fn state(&mut self, pools: &Pools) -> fmt::Result {
        self.gauges(
            &UP,
            pools.iter().map(|(pool, series)| {
                let up = match series.reading {
                    Reading::Read => 1_u64,
                    Reading::Untried | Reading::Unreadable | Reading::Lost => 0,
                };
                ([pool.as_str()], up)
            }),
        )?;
        self.gauges(
            &MANAGED_VMS,
            pools.iter().flat_map(|(pool, series)| {
                let counts = series.managed.iter();
                counts.map(move |(verdict, vms)| ([pool.as_str(), verdict], *vms))
            }),
        )?;
        self.known(&OLDEST_OVERDUE_SECONDS, pools, |series| {
            series.overdue().map(|overdue| overdue.as_secs_f64())
        })?;
        self.known(&QUARANTINED, pools, |series| series.quarantined)?;
        self.gauges(
            &TICKETS,
            pools.iter().flat_map(|(pool, series)| {
                let counts = series.tickets.iter();
                counts.map(move |(state, tickets)| ([pool.as_str(), state], *tickets))
            }),
        )?;
        self.known(&CLOCK_SKEW_SECONDS, pools, |series| {
            series.clock_skew.map(|skew| skew.as_secs_f64())
        })?;
        self.gauges(
            &RAIL_ACTIVE,
            pools.iter().flat_map(|(pool, series)| {
                series.rails.iter().map(move |(rail, state)| {
                    let active = match state {
                        RailState::Active => 1_u64,
                        RailState::Clear => 0,
                    };
                    ([pool.as_str(), rail], active)
                })
            }),
        )
    }

    /// What was done.
    fn work(&mut self, pools: &Pools) -> fmt::Result {
        self.counters(
            &DELETIONS_TOTAL,
            pools.iter().flat_map(|(pool, series)| {
                Deletion::ALL.into_iter().map(move |result| {
                    let count = series.deletions.get(&result).copied().unwrap_or_default();
                    ([pool.as_str(), result.label()], count)
                })
            }),
        )?;
        let cleared = pools
            .iter()
            .map(|(pool, series)| ([pool.as_str()], series.cleared_tickets));
        self.counters(&TICKETS_CLEARED_TOTAL, cleared)?;
        self.known(&LAST_SUCCESS_TIMESTAMP_SECONDS, pools, |series| {
            series.last_success.map(|at| at.as_second())
        })
    }

    /// What was asked of the pools: read from the clients' own counters, here and nowhere else.
    fn requests(&mut self, pools: &Pools) -> fmt::Result {
        let tallies: Vec<_> = pools
            .iter()
            .filter_map(|(pool, series)| Some((pool, series.client.as_ref()?.counters().snapshot())))
            .collect();
        self.counters(
            &XAPI_REQUESTS_TOTAL,
            tallies.iter().flat_map(|(pool, tallies)| {
                tallies
                    .iter()
                    .map(move |tally| ([pool.as_str(), tally.method, tally.code.as_str()], tally.requests))
            }),
        )
    }

    /// A gauge with one series for each pool of which the value is known.
    fn known<V: EncodeGaugeValue>(
        &mut self,
        metric: &Metric<1>,
        pools: &Pools,
        value: impl Fn(&Series) -> Option<V>,
    ) -> fmt::Result {
        self.gauges(
            metric,
            pools
                .iter()
                .filter_map(|(pool, series)| Some(([pool.as_str()], value(series)?))),
        )
    }

    fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        metric: &Metric<N>,
        samples: impl IntoIterator<Item = ([&'l str; N], V)>,
    ) -> fmt::Result {
        self.family(metric, |mut encoder| {
            samples.into_iter().try_for_each(|(values, value)| {
                ConstGauge::new(value).encode(encoder.encode_family(&labels(metric, values))?)
            })
        })
    }

    fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        metric: &Metric<N>,
        samples: impl IntoIterator<Item = ([&'l str; N], V)>,
    ) -> fmt::Result {
        self.family(metric, |mut encoder| {
            samples.into_iter().try_for_each(|(values, value)| {
                ConstCounter::new(value).encode(encoder.encode_family(&labels(metric, values))?)
            })
        })
    }

    /// The head of a family, then its samples. The encoder appends the `_total` of a counter itself.
    fn family<const N: usize>(
        &mut self,
        metric: &Metric<N>,
        samples: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let (stem, kind) = match metric.kind {
            Kind::Gauge => (metric.name, MetricType::Gauge),
            Kind::Histogram => (metric.name, MetricType::Histogram),
            Kind::Counter => {
                let stem = metric.name.strip_suffix("_total").unwrap_or(metric.name);
                (stem, MetricType::Counter)
            }
        };
        samples(self.0.encode_descriptor(stem, metric.help, None, kind)?)
    }
}

fn labels<'l, const N: usize>(metric: &Metric<N>, values: [&'l str; N]) -> Vec<(&'static str, &'l str)> {
    metric.labels.into_iter().zip(values).collect()
}
