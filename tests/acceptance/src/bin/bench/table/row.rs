//! One line of the table: what was measured, its bound and its bar.

use serde_json::{Value as Json, json};

use crate::sample::Sample;

/// In what something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Count,
    Ratio,
    Bytes,
    Mebibytes,
}

impl Unit {
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value.abs() >= 10.0 => format!("{value:.2} s"),
            Self::Seconds => format!("{value:.3} s"),
            Self::Milliseconds if value.abs() >= 100.0 => format!("{value:.0} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count => format!("{value:.2}"),
            Self::Ratio => format!("{value:.3}"),
            Self::Bytes if value >= 10_240.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes => format!("{value:.0} B"),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }

    /// As the record of earlier benches has it.
    fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Count | Self::Ratio => "",
            Self::Bytes => "B",
            Self::Mebibytes => "MiB",
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

/// A figure at each of several numbers of servers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Servers, and the figure.
    pub(crate) points: Vec<(f64, f64)>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(super) number: u8,
    pub(super) what: String,
    pub(super) measure: Result<Measure, String>,
    bar: Option<Bar>,
    scale: Option<f64>,
    pub(super) note: Option<String>,
    pub(super) curve: Option<Curve>,
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
            curve: None,
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

    /// What it is taken from, to be drawn.
    pub(crate) fn curve(mut self, name: &str, points: Vec<(f64, f64)>) -> Self {
        let name = name.to_owned();
        self.curve = Some(Curve { name, points });
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

    /// The cells of its line, with what earlier benches have found, the latest first.
    pub(super) fn cells(&self, before: &[Json]) -> [String; COLUMNS.len()] {
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
        let before: Vec<String> = before
            .iter()
            .filter_map(|figures| self.earlier(measure, figures))
            .collect();
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
            before.join(", "),
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

    /// What is kept of it for later benches.
    pub(super) fn figures(&self) -> Option<Json> {
        let measure = self.measure.as_ref().ok()?;
        let mut figures = json!({
            "row": self.number,
            "what": self.what,
            "median": rounded(measure.sample()?.median()),
            "unit": measure.unit.symbol(),
        });
        let bound = measure.ratio().zip(measure.excess());
        if let (Some((ratio, excess)), Some(object)) = (bound, figures.as_object_mut()) {
            object.insert("ratio".to_owned(), json!(rounded(ratio)));
            object.insert("excess".to_owned(), json!(rounded(excess)));
        }
        Some(figures)
    }

    /// What an earlier bench kept of it, as text; nothing if it was measured in another unit then.
    fn earlier(&self, measure: &Measure, figures: &Json) -> Option<String> {
        let number = |name: &str| figures.get(name).and_then(Json::as_f64);
        let is_same = figures.get("unit")?.as_str() == Some(measure.unit.symbol());
        let shown = measure.unit.show(number("median").filter(|_| is_same)?);
        Some(match (self.bar, number("ratio"), number("excess")) {
            (Some(Bar::Ratio(_)), Some(ratio), _) => format!("{shown} ({ratio:.3})"),
            (Some(Bar::Excess(_)), _, Some(excess)) => format!("{shown} ({:+.0} ms)", excess * 1e3),
            _ => shown,
        })
    }
}

/// To a ten-thousandth: nothing that is measured here is known better.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

pub(super) const COLUMNS: [&str; 10] = [
    "",
    "what",
    "median",
    "spread",
    "bound",
    "ratio",
    "bar",
    "time scale",
    "",
    "before",
];
