//! The table: rows with their figures, bounds and bars, as text and as a page.

use std::fmt::Write as _;
use std::time::Duration;

use crate::machine::Machine;
use crate::sample::Sample;

/// In what something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Count,
    Bytes,
    Mebibytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value.abs() >= 10.0 => format!("{value:.2} s"),
            Self::Seconds => format!("{value:.3} s"),
            Self::Milliseconds if value.abs() >= 100.0 => format!("{value:.0} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count => format!("{value:.2}"),
            Self::Bytes if value >= 10_240.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes => format!("{value:.0} B"),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }
}

/// What was measured, and for each measurement the bound that nobody can beat, where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    unit: Unit,
    values: Vec<f64>,
    bounds: Vec<f64>,
}

impl Measure {
    pub(crate) fn of(unit: Unit, values: impl IntoIterator<Item = f64>) -> Self {
        Self {
            unit,
            values: values.into_iter().collect(),
            bounds: Vec::new(),
        }
    }

    /// With the bound of each measurement.
    pub(crate) fn over(mut self, bounds: impl IntoIterator<Item = f64>) -> Self {
        self.bounds = bounds.into_iter().collect();
        self
    }

    fn sample(&self) -> Option<Sample> {
        Sample::of(self.values.iter().copied())
    }

    fn bound(&self) -> Option<f64> {
        Sample::of(self.bounds.iter().copied()).map(|sample| sample.median())
    }

    fn against_bounds(&self, compare: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self.values.iter().zip(&self.bounds);
        Sample::of(pairs.map(|(value, bound)| compare(*value, *bound))).map(|sample| sample.median())
    }

    fn ratio(&self) -> Option<f64> {
        self.against_bounds(|value, bound| value / bound)
    }

    fn excess(&self) -> Option<f64> {
        self.against_bounds(|value, bound| value - bound)
    }
}

/// What a figure should not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// The median itself.
    AtMost(f64),
    /// The median difference from the bound.
    Excess(f64),
    /// The median ratio to the bound.
    Ratio(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    number: u8,
    what: String,
    measure: Result<Measure, String>,
    bar: Option<Bar>,
    scale: Option<f64>,
    note: Option<String>,
}

impl Row {
    pub(crate) fn new(number: u8, what: &str, measure: Measure) -> Self {
        Self {
            number,
            what: what.to_owned(),
            measure: Ok(measure),
            bar: None,
            scale: None,
            note: None,
        }
    }

    /// A row that could not be measured, and why.
    pub(crate) fn lost(number: u8, what: &str, why: &str) -> Self {
        Self {
            measure: Err(why.to_owned()),
            ..Self::new(number, what, Measure::of(Unit::Count, []))
        }
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// By what the latencies of a lab were divided.
    pub(crate) fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// How it was measured.
    pub(crate) fn note(mut self, text: &str) -> Self {
        self.note = Some(text.to_owned());
        self
    }

    /// Whether the bar is met; none without a bar.
    fn is_met(&self) -> Option<bool> {
        let measure = self.measure.as_ref().ok()?;
        match self.bar? {
            Bar::AtMost(limit) => Some(measure.sample()?.median() <= limit),
            Bar::Excess(limit) => Some(measure.excess()? <= limit),
            Bar::Ratio(limit) => Some(measure.ratio()? <= limit),
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let number = self.number.to_string();
        let what = self.what.clone();
        let scale = self.scale.map_or_else(String::new, |scale| format!("{scale}"));
        let seen = self.measure.as_ref().map_err(String::clone);
        let (measure, sample) = match seen.and_then(|measure| Ok((measure, measure.sample().ok_or("no measurement")?)))
        {
            Ok(seen) => seen,
            Err(why) => {
                let empty = String::new;
                return [
                    number,
                    what,
                    format!("not measured: {why}"),
                    empty(),
                    empty(),
                    empty(),
                    empty(),
                    scale,
                    empty(),
                ];
            }
        };
        let show = |value: f64| measure.unit.show(value);
        let (least, most) = sample.range();
        let spread = if least < most {
            format!("{} - {} of {}", show(least), show(most), sample.len())
        } else {
            format!("same in {}", sample.len())
        };
        let mark = self.is_met().map_or("", |is_met| if is_met { "ok" } else { "MISSED" });
        [
            number,
            what,
            show(sample.median()),
            spread,
            measure.bound().map_or_else(String::new, show),
            self.ratio(measure),
            self.bar_text(measure),
            scale,
            mark.to_owned(),
        ]
    }

    fn ratio(&self, measure: &Measure) -> String {
        let Some(ratio) = measure.ratio() else {
            return String::new();
        };
        match (self.bar, measure.excess()) {
            (Some(Bar::Excess(_)), Some(excess)) => format!("{ratio:.3} ({:+.0} ms)", excess * 1e3),
            _ => format!("{ratio:.3}"),
        }
    }

    fn bar_text(&self, measure: &Measure) -> String {
        match self.bar {
            None => String::new(),
            Some(Bar::AtMost(limit)) => measure.unit.show(limit),
            Some(Bar::Excess(limit)) => format!("+{:.0} ms", limit * 1e3),
            Some(Bar::Ratio(limit)) => format!("{limit:.2} x"),
        }
    }
}

const COLUMNS: [&str; 9] = [
    "",
    "what",
    "median",
    "spread",
    "bound",
    "ratio",
    "bar",
    "time scale",
    "",
];

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

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(self.0.iter().map(Row::cells));
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
        text
    }

    /// The page of the documentation.
    pub(crate) fn page(&self, machine: &Machine, took: Duration) -> String {
        let mut page = format!(
            "# Benchmarks\n\nWritten by `make bench`, which took {:.0} minutes. {machine}. Figures of another machine differ; requests and bytes do not.\n\n\
             The pools are `dynvm-sim`'s, over TLS, with the latencies of a small lab divided by the time scale of the row: 1 is the real speed. One \
             pool with two hosts, one SR, and, where a row does not say otherwise, 1,000 VMs of others in it. Rows 11 to 14 are `dynvm-reaper`'s.\n\n",
            took.as_secs_f64() / 60.0
        );
        push_line(&mut page, &COLUMNS.map(str::to_owned));
        push_line(&mut page, &COLUMNS.map(|_| "---".to_owned()));
        for row in &self.0 {
            push_line(&mut page, &row.cells());
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

fn push_line(page: &mut String, cells: &[String]) {
    let safe: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _written = writeln!(page, "| {} |", safe.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::{Bar, Measure, Row, Table, Unit};

    fn marks(row: &Row) -> String {
        let [_, _, median, spread, bound, ratio, bar, _, mark] = row.cells();
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
            table.text(),
            "   what     median                      spread     bound  ratio  bar  time scale\n\
             6  calls    0.50                        same in 1\n\
             9  storage  not measured: no terraform\n"
        );
    }
}
