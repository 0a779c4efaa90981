//! The table: rows with their figures, bounds and bars, as text and as a page.

mod row;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value as Json;

use self::row::COLUMNS;
use crate::machine::Machine;
use crate::past::Past;

pub(crate) use self::row::{Bar, Curve, Measure, Row, Unit};

/// The part of the page that shows the drawing.
const GROWTH: &str = "\n## Cost against the number of servers\n\n\
    ![CPU time of dynvm's own process against the number of servers, for create, refresh, destroy and the reaper's first look](benchmarks/growth.svg)\n\n\
    All of one command's CPU time, user and kernel mode, in dynvm's own process: the provider's for create, refresh and destroy, the \
    reaper's for its first look. Along the dashed line, twice the servers cost twice as much.\n\n";

/// All rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds rows; rows of the same number stay in the order in which they came.
    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        self.0.extend(rows);
        self.0.sort_by_key(|row| row.number);
    }

    /// Whether every row was measured.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(|row| row.measure.is_ok())
    }

    /// What is kept of it for later benches.
    pub(crate) fn figures(&self) -> Vec<Json> {
        self.0.iter().filter_map(Row::figures).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self, past: &Past) -> String {
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(self.lines(past));
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let joined = cells.collect::<Vec<String>>().join("  ");
            text.push_str(joined.trim_end());
            text.push('\n');
        }
        for Curve { name, points } in self.curves() {
            let points: Vec<String> = points.iter().map(|point| at(*point)).collect();
            let _written = writeln!(text, "{name}: {}", points.join(", "));
        }
        text
    }

    fn lines(&self, past: &Past) -> impl Iterator<Item = [String; COLUMNS.len()]> {
        self.0.iter().map(|row| row.cells(&past.before(row.number, &row.what)))
    }

    /// What is to be drawn.
    pub(crate) fn curves(&self) -> Vec<Curve> {
        self.0.iter().filter_map(|row| row.curve.clone()).collect()
    }

    /// The page of the documentation.
    pub(crate) fn page(&self, machine: &Machine, past: &Past, took: Duration) -> String {
        let mut page = format!(
            "# Benchmarks\n\nWritten by `make bench`, which took {:.0} minutes. {machine}. Figures of another machine differ; requests and bytes do not.\n\n\
             The pools are `dynvm-sim`'s, over TLS, with the latencies of a small lab divided by the time scale of the row: 1 is the real speed. One \
             pool with two hosts, one SR, and, where a row does not say otherwise, 1,000 VMs of others in it. Rows 11 to 14 are `dynvm-reaper`'s. \
             The last column is what [earlier benches](benchmarks/history.jsonl) on a machine of this size have found, the latest first.\n\n",
            took.as_secs_f64() / 60.0
        );
        push_line(&mut page, &COLUMNS.map(str::to_owned));
        push_line(&mut page, &COLUMNS.map(|_| "---".to_owned()));
        for line in self.lines(past) {
            push_line(&mut page, &line);
        }
        let curves = self.curves();
        if !curves.is_empty() {
            page.push_str(GROWTH);
            for Curve { name, points } in curves {
                let points: Vec<String> = points.iter().map(|point| at(*point)).collect();
                let _written = writeln!(page, "- {name}: {}", points.join(", "));
            }
        }
        page.push_str("\n## How\n\n");
        for row in &self.0 {
            if let Some(note) = &row.note {
                // Writing to a string does not fail.
                let _written = writeln!(page, "- {} *{}*: {note}", row.number, row.what);
            }
        }
        page
    }
}

/// What so many servers cost.
fn at((servers, seconds): (f64, f64)) -> String {
    format!("{servers:.0} servers {}", Unit::Seconds.show(seconds))
}

fn push_line(page: &mut String, cells: &[String]) {
    let safe: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _written = writeln!(page, "| {} |", safe.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::{Bar, Measure, Row, Table, Unit};
    use crate::past::Past;

    fn marks(row: &Row) -> String {
        let [_, _, median, spread, bound, ratio, bar, _, mark, _] = row.cells(&[]);
        [median, spread, bound, ratio, bar, mark].join("; ")
    }

    #[test]
    fn a_bar_is_held_against_the_median() {
        let row = |values: &[f64]| {
            let measure = Measure::of(Unit::Milliseconds, values.iter().copied());
            Row::new(1, "start", measure).bar(Bar::AtMost(5.0))
        };
        assert_eq!(
            marks(&row(&[1.0, 2.0, 90.0])),
            "2.0 ms; 1.0 ms - 90.0 ms of 3; ; ; 5.0 ms; ok"
        );
        assert_eq!(marks(&row(&[6.0])), "6.0 ms; same in 1; ; ; 5.0 ms; MISSED");
    }

    #[test]
    fn a_bound_is_held_against_its_own_measurement() {
        let measure = Measure::of(Unit::Seconds, [10.0, 22.0]).over([9.875, 21.875]);
        let row = Row::new(7, "create", measure.clone()).bar(Bar::Excess(0.15));
        assert_eq!(
            marks(&row),
            "16.00 s; 10.00 s - 22.00 s of 2; 15.88 s; 1.009 (+125 ms); +150 ms; ok"
        );
        let row = Row::new(9, "creates", measure).bar(Bar::Ratio(1.001));
        assert_eq!(
            marks(&row),
            "16.00 s; 10.00 s - 22.00 s of 2; 15.88 s; 1.009; 1.00 x; MISSED"
        );
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let mut table = Table::default();
        table.extend(vec![Row::lost(9, "storage", "no terraform")]);
        table.extend(vec![Row::new(6, "calls", Measure::of(Unit::Count, [0.5]))]);
        assert!(!table.is_complete());
        assert_eq!(
            table.text(&Past::default()),
            "   what     median                      spread     bound  ratio  bar  time scale    before\n\
             6  calls    0.50                        same in 1\n\
             9  storage  not measured: no terraform\n"
        );
    }

    #[test]
    fn what_was_before_stands_beside_it() {
        let measure = |bound| Measure::of(Unit::Seconds, [12.0]).over([bound]);
        let row = |bound| Row::new(9, "creates", measure(bound)).bar(Bar::Ratio(1.1));
        let (first, second) = (row(10.0).figures().unwrap(), row(8.0).figures().unwrap());
        let [.., before] = row(11.0).cells(&[second, first]);
        assert_eq!(before, "12.00 s (1.500), 12.00 s (1.200)");
        let in_milliseconds = Row::new(9, "creates", Measure::of(Unit::Milliseconds, [12.0]));
        let [.., before] = row(11.0).cells(&[in_milliseconds.figures().unwrap()]);
        assert_eq!(before, "");
    }
}
