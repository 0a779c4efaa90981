//! What is exported: name, labels and help of every metric, in one table.
//!
//! The exposition is made from these rows, and the tests hold the operations page, the alert rules and the dashboard against them.

/// What a metric's value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until the process ends.
    Counter,
    /// Counts observations by size: exported as `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The word for it on a `# TYPE` line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name as it is exported.
    pub name: &'static str,
    /// What its value does.
    pub kind: Kind,
    /// The labels that each of its series has, in this order.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// A metric with exactly `N` labels: a sample with more or fewer does not compile.
pub(super) struct Metric<const N: usize> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: [&'static str; N],
    pub(super) help: &'static str,
}

impl<const N: usize> Metric<N> {
    const fn gauge(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            labels,
            help,
        }
    }

    const fn counter(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            labels,
            help,
        }
    }

    const fn row(&'static self) -> Name {
        Name {
            name: self.name,
            kind: self.kind,
            labels: &self.labels,
            help: self.help,
        }
    }
}

pub(super) const BUILD_INFO: Metric<1> = Metric::gauge(
    "dynvm_reaper_build_info",
    ["version"],
    "Always 1; the label says which version runs.",
);

pub(super) const UP: Metric<1> = Metric::gauge(
    "dynvm_reaper_up",
    ["pool"],
    "1 if the last attempt to read the pool succeeded, 0 if it failed or there was none yet.",
);

pub(super) const MANAGED_VMS: Metric<2> = Metric::gauge(
    "dynvm_reaper_managed_vms",
    ["pool", "verdict"],
    "VMs with dynvm's marks or a birth name, by what the reaper thinks of them.",
);

pub(super) const OLDEST_OVERDUE_SECONDS: Metric<1> = Metric::gauge(
    "dynvm_reaper_oldest_overdue_seconds",
    ["pool"],
    "How long the VM that waits longest for its deletion has been due, after its expiry and the grace; 0 if none waits. Grows while the pool is not read.",
);

pub(super) const DELETIONS_TOTAL: Metric<2> = Metric::counter(
    "dynvm_reaper_deletions_total",
    ["pool", "result"],
    "Deletions that were begun: deleted, failed, refused at the last look, or gone before they were.",
);

pub(super) const TICKETS_CLEARED_TOTAL: Metric<1> = Metric::counter(
    "dynvm_reaper_tickets_cleared_total",
    ["pool"],
    "Tickets that this reaper has cleared away.",
);

pub(super) const CYCLE_SECONDS: Metric<0> = Metric {
    name: "dynvm_reaper_cycle_seconds",
    kind: Kind::Histogram,
    labels: [],
    help: "How long a cycle of one pool took, from the look at it to the last deletion.",
};

pub(super) const LAST_SUCCESS_TIMESTAMP_SECONDS: Metric<1> = Metric::gauge(
    "dynvm_reaper_last_success_timestamp_seconds",
    ["pool"],
    "When a cycle that read the pool completely last ended, in Unix time; absent until there was one.",
);

pub(super) const RAIL_ACTIVE: Metric<2> = Metric::gauge(
    "dynvm_reaper_rail_active",
    ["pool", "rail"],
    "1 while a rail holds back deletions in the pool, else 0.",
);

pub(super) const QUARANTINED: Metric<1> = Metric::gauge(
    "dynvm_reaper_quarantined",
    ["pool"],
    "VMs that could not be deleted several times and are now tried only every few hours.",
);

pub(super) const TICKETS: Metric<2> = Metric::gauge(
    "dynvm_reaper_tickets",
    ["pool", "state"],
    "Tickets in the pool: live ones hold room, those that are over wait to be cleared away (the last one stays), unknown ones nobody understands.",
);

pub(super) const CLOCK_SKEW_SECONDS: Metric<1> = Metric::gauge(
    "dynvm_reaper_clock_skew_seconds",
    ["pool"],
    "The clock of the pool's coordinator less the reaper's own.",
);

pub(super) const XAPI_REQUESTS_TOTAL: Metric<3> = Metric::counter(
    "dynvm_reaper_xapi_requests_total",
    ["pool", "method", "code"],
    "Requests to the pool, by XenAPI method and by how they ended: ok, the pool's failure code, or what befell the connection.",
);

pub(super) const HISTORY_QUEUE: Metric<0> = Metric::gauge(
    "dynvm_reaper_history_queue",
    [],
    "Entries that wait for a history sink to take them.",
);

/// Every metric, in the order of the exposition.
pub const NAMES: &[Name] = &[
    BUILD_INFO.row(),
    UP.row(),
    MANAGED_VMS.row(),
    OLDEST_OVERDUE_SECONDS.row(),
    QUARANTINED.row(),
    TICKETS.row(),
    CLOCK_SKEW_SECONDS.row(),
    RAIL_ACTIVE.row(),
    DELETIONS_TOTAL.row(),
    TICKETS_CLEARED_TOTAL.row(),
    LAST_SUCCESS_TIMESTAMP_SECONDS.row(),
    CYCLE_SECONDS.row(),
    XAPI_REQUESTS_TOTAL.row(),
    HISTORY_QUEUE.row(),
];
