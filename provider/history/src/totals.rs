//! Sums over servers: how many, for how long, how quickly made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::filter::Filter;
use crate::row::ServerRow;

/// What servers are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Who asked for them.
    Owner,
    /// Their OS alias.
    Os,
}

/// The sum over the servers of one owner, or of one OS.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Total {
    /// The owner or the OS alias; `None` for the servers of which it is not known.
    pub key: Option<String>,
    /// How many servers.
    pub servers: u64,
    /// How long they lived, in hours, summed: of each the part inside the filter's window; of those that live, until now.
    pub server_hours: f64,
    /// The median of their `create_seconds`, where known; of an even number the lower of the two in the middle.
    pub median_create_seconds: Option<f64>,
}

/// Sums rows up one by one.
#[derive(Debug, Clone)]
pub(crate) struct Summing {
    by: GroupBy,
    since: Option<Timestamp>,
    until: Timestamp,
    groups: BTreeMap<Option<String>, Group>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    servers: u64,
    seconds: f64,
    creations: Vec<f64>,
}

impl Summing {
    pub(crate) fn new(filter: &Filter, by: GroupBy, now: Timestamp) -> Self {
        Self {
            by,
            since: filter.since,
            until: filter.until.map_or(now, |until| until.min(now)),
            groups: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, row: ServerRow) {
        let seconds = self.seconds(&row);
        let key = match self.by {
            GroupBy::Owner => row.owner,
            GroupBy::Os => row.os,
        };
        let group = self.groups.entry(key).or_default();
        group.servers += 1;
        group.seconds += seconds;
        group.creations.extend(row.create_seconds);
    }

    /// The sums, sorted by key; servers of which it is not known come first.
    pub(crate) fn totals(self) -> Vec<Total> {
        let total = |(key, group): (Option<String>, Group)| Total {
            key,
            servers: group.servers,
            server_hours: group.seconds / 3600.0,
            median_create_seconds: lower_median(group.creations),
        };
        self.groups.into_iter().map(total).collect()
    }

    /// The seconds of the server's life inside the window.
    fn seconds(&self, row: &ServerRow) -> f64 {
        let has_ended = !row.is_living();
        let (Some(birth), true) = (row.created_at, row.deleted_at.is_some() || !has_ended) else {
            // One end is not known: no place in the window, only perhaps a length.
            return row.live_seconds.unwrap_or(0.0);
        };
        let from = self.since.map_or(birth, |since| since.max(birth));
        let to = row.deleted_at.map_or(self.until, |end| end.min(self.until));
        to.duration_since(from).as_secs_f64().max(0.0)
    }
}

fn lower_median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::EndReason;
    use crate::samples::vm;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn row(owner: &str, born: i64, gone: Option<i64>, create_seconds: Option<f64>) -> ServerRow {
        ServerRow {
            owner: Some(owner.to_owned()),
            created_at: Some(at(born)),
            deleted_at: gone.map(at),
            create_seconds,
            ..ServerRow::new(vm(1))
        }
    }

    fn totals(filter: &Filter, rows: &[ServerRow]) -> Vec<Total> {
        let mut summing = Summing::new(filter, GroupBy::Owner, at(100));
        rows.iter().cloned().for_each(|row| summing.add(row));
        summing.totals()
    }

    #[test]
    fn counts_hours_and_the_lower_median() {
        let rows = [
            row("a", 10, Some(12), Some(40.0)),
            row("b", 90, None, None),
            row("a", 99, None, Some(30.0)),
        ];
        let total = |key: &str, servers, server_hours, median_create_seconds| Total {
            key: Some(key.to_owned()),
            servers,
            server_hours,
            median_create_seconds,
        };
        let expect = [total("a", 2, 3.0, Some(30.0)), total("b", 1, 10.0, None)];
        assert_eq!(totals(&Filter::default(), &rows), expect);
    }

    #[test]
    fn a_window_cuts_lives() {
        let rows = [row("a", 10, Some(20), None), row("a", 15, None, None)];
        let window = Filter {
            since: Some(at(12)),
            until: Some(at(16)),
            ..Filter::default()
        };
        assert_eq!(totals(&window, &rows)[0].server_hours, 4.0 + 1.0);
    }

    #[test]
    fn what_is_not_known_counts_as_far_as_it_is() {
        let ended = ServerRow {
            end_reason: Some(EndReason::Failed),
            ..row("a", 10, None, None)
        };
        let long = ServerRow {
            live_seconds: Some(7200.0),
            ..ended.clone()
        };
        let unborn = ServerRow {
            created_at: None,
            ..row("a", 0, None, None)
        };
        let total = &totals(&Filter::default(), &[ended, long, unborn])[0];
        assert_eq!((total.servers, total.server_hours), (3, 2.0));
    }

    #[test]
    fn medians() {
        assert_eq!(lower_median(vec![]), None);
        assert_eq!(lower_median(vec![5.0]), Some(5.0));
        assert_eq!(lower_median(vec![9.0, 5.0]), Some(5.0));
        assert_eq!(lower_median(vec![9.0, 1.0, 5.0]), Some(5.0));
    }
}
