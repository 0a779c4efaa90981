//! Curves as a drawing: both axes by powers of ten, names at the ends of the lines, readable on light and on dark pages.
//!
//! A drawing of four lines is plain text; a library would bring fonts and formats with it, and know nothing of dark pages.

use std::fmt::Write as _;

use crate::table::Curve;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
/// The field between the axes: left, top, right, bottom.
const FIELD: [f64; 4] = [72.0, 56.0, 600.0, 384.0];
/// Between the names of two lines, at least.
const APART: f64 = 18.0;

/// Of each line, on a light and on a dark page.
const COLOURS: [(&str, &str); 4] = [
    ("#0969da", "#58a6ff"),
    ("#1a7f37", "#3fb950"),
    ("#bc4c00", "#f0883e"),
    ("#8250df", "#bc8cff"),
];
/// It has a ground of its own: a picture is told what its reader's system prefers, and not what colour the page around it has.
const LIGHT: &str = "\
text { font: 13px sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #59636e }
.ground { fill: #ffffff; stroke: #d0d7de }
.grid { stroke: #d8dee4 }
.guide { stroke: #6e7781; stroke-dasharray: 6 5 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
";
const DARK: &str = "\
text { fill: #f0f6fc }
.quiet { fill: #9198a1 }
.ground { fill: #0d1117; stroke: #3d444d }
.grid { stroke: #2a313c }
.guide { stroke: #9198a1 }
";

/// Seconds of CPU time against numbers of servers.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    title: &'a str,
    curves: &'a [Curve],
    servers: Axis,
    seconds: Axis,
}

/// A stretch of numbers above nothing, laid out by their logarithms.
#[derive(Debug)]
struct Axis {
    least: f64,
    most: f64,
    /// Where the least and the most stand.
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let part = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + part * (self.to - self.from)
    }
}

impl<'a> Chart<'a> {
    /// None without two points that can be drawn.
    pub(crate) fn of(title: &'a str, curves: &'a [Curve]) -> Option<Self> {
        let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
        if all().any(|(servers, seconds)| servers <= 0.0 || seconds <= 0.0) {
            return None;
        }
        let (fewest, most) = range(all().map(|(servers, _)| servers)).filter(|(fewest, most)| fewest < most)?;
        let (least, greatest) = range(all().map(|(_, seconds)| seconds))?;
        let [left, top, right, bottom] = FIELD;
        Some(Self {
            title,
            curves,
            servers: Axis {
                least: fewest,
                most,
                from: left,
                to: right,
            },
            seconds: Axis {
                least: power_below(least),
                most: power_above(greatest),
                from: bottom,
                to: top,
            },
        })
    }

    pub(crate) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
             <title>{}</title>\n<style>\n{}</style>\n\
             <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
            escaped(self.title),
            style(),
            WIDTH - 1.0,
            HEIGHT - 1.0
        );
        let [left, ..] = FIELD;
        text(&mut svg, "title", "start", (left, 30.0), self.title);
        self.grid(&mut svg);
        self.guide(&mut svg);
        self.lines(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String) {
        let [left, top, right, bottom] = FIELD;
        for servers in self.measured_at() {
            let x = self.servers.at(servers);
            line(svg, "grid", (x, top), (x, bottom));
            text(svg, "quiet", "middle", (x, bottom + 20.0), &thousands(servers));
        }
        for seconds in powers(self.seconds.least, self.seconds.most) {
            let y = self.seconds.at(seconds);
            line(svg, "grid", (left, y), (right, y));
            text(svg, "quiet", "end", (left - 8.0, y + 4.0), &duration(seconds));
        }
        let middle = f64::midpoint(left, right);
        text(svg, "quiet", "middle", (middle, bottom + 42.0), "servers");
    }

    /// A line along which the cost of one server stays the same, through the middle of the field.
    fn guide(&self, svg: &mut String) {
        let middle = (self.servers.least * self.servers.most).sqrt();
        let per_server = (self.seconds.least * self.seconds.most).sqrt() / middle;
        let cost = |servers: f64| servers * per_server;
        // It leaves the field where it is too steep for it.
        let first = self.servers.least.max(self.seconds.least / per_server);
        let last = self.servers.most.min(self.seconds.most / per_server);
        let place = |servers: f64| (self.servers.at(servers), self.seconds.at(cost(servers)));
        line(svg, "guide", place(first), place(last));
        let (x, y) = place(last);
        text(svg, "quiet", "end", (x - 8.0, y + 32.0), "linear");
    }

    fn lines(&self, svg: &mut String) {
        let colours = (0..COLOURS.len()).cycle();
        for (number, curve) in colours.zip(self.curves) {
            let places: Vec<(f64, f64)> = curve.points.iter().map(|point| self.place(*point)).collect();
            let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _written = writeln!(
                svg,
                "<g class=\"c{number}\">\n<polyline class=\"line\" points=\"{}\"/>",
                points.join(" ")
            );
            for (x, y) in &places {
                let _written = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
            }
            svg.push_str("</g>\n");
        }
        for (number, y) in self.names() {
            let Some(curve) = self.curves.get(number) else { continue };
            let [_, _, right, _] = FIELD;
            let _written = writeln!(
                svg,
                "<g class=\"c{}\"><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                number % COLOURS.len(),
                right + 12.0,
                y + 4.0,
                escaped(&curve.name)
            );
        }
    }

    /// Where the names of the curves stand: at their ends, and not on each other. From the top down, each with its number.
    fn names(&self) -> Vec<(usize, f64)> {
        let ends = self.curves.iter().enumerate();
        let mut ends: Vec<(usize, f64)> = ends
            .filter_map(|(number, curve)| Some((number, self.place(*curve.points.last()?).1)))
            .collect();
        ends.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let mut free = f64::NEG_INFINITY;
        for (_, y) in &mut ends {
            *y = y.max(free);
            free = *y + APART;
        }
        ends
    }

    fn place(&self, (servers, seconds): (f64, f64)) -> (f64, f64) {
        (self.servers.at(servers), self.seconds.at(seconds))
    }

    fn measured_at(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|(servers, _)| *servers))
            .collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }
}

fn style() -> String {
    let coloured = |colour: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        let rules = COLOURS.iter().enumerate().map(|(number, both)| {
            let colour = colour(both);
            format!(".c{number} .line {{ stroke: {colour} }} .c{number} circle, .c{number} text {{ fill: {colour} }}\n")
        });
        rules.collect()
    };
    let (light, dark) = (coloured(|both| both.0), coloured(|both| both.1));
    format!("{LIGHT}{light}@media (prefers-color-scheme: dark) {{\n{DARK}{dark}}}\n")
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (least, most) = range.unwrap_or((value, value));
        Some((value.min(least), value.max(most)))
    })
}

fn power_below(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// Of values that are powers themselves the next one, so that there is room between the axes.
fn power_above(value: f64) -> f64 {
    10_f64.powf(value.log10().floor() + 1.0)
}

fn powers(least: f64, most: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(least), |power| Some(power * 10.0)).take_while(move |power| *power < most * 1.5)
}

fn thousands(number: f64) -> String {
    let text = format!("{number:.0}");
    match text
        .len()
        .checked_sub(3)
        .filter(|at| *at > 0)
        .and_then(|at| text.split_at_checked(at))
    {
        Some((thousands, rest)) => format!("{thousands},{rest}"),
        None => text,
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 0.9 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.0} s")
    }
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _written = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(svg: &mut String, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
    let text = escaped(text);
    let _written = writeln!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Chart, FIELD, duration, powers, thousands};
    use crate::table::Curve;

    fn curve(name: &str, points: &[(f64, f64)]) -> Curve {
        Curve {
            name: name.to_owned(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn equal_factors_are_equal_steps() {
        let curves = [curve("create", &[(100.0, 0.02), (1_000.0, 0.2), (10_000.0, 3.0)])];
        let chart = Chart::of("Cost", &curves).unwrap();
        let [left, top, right, bottom] = FIELD;
        let x = |servers| chart.servers.at(servers);
        assert_eq!((x(100.0), x(10_000.0)), (left, right));
        assert!((x(1_000.0) - f64::midpoint(left, right)).abs() < 1e-9);
        let y = |seconds| chart.seconds.at(seconds);
        assert!((y(0.01) - bottom).abs() < 1e-9 && (y(10.0) - top).abs() < 1e-9);
    }

    #[test]
    fn names_do_not_lie_on_each_other() {
        let curves = [
            curve("low", &[(100.0, 1.0), (1_000.0, 2.0)]),
            curve("high", &[(100.0, 1.0), (1_000.0, 2.001)]),
        ];
        let names = Chart::of("Cost", &curves).unwrap().names();
        let [(first, upper), (second, lower)] = names.as_slice() else {
            panic!("{names:?}")
        };
        assert_eq!((*first, *second), (1, 0));
        assert!(lower - upper >= super::APART);
    }

    #[test]
    fn what_has_no_logarithm_is_not_drawn() {
        assert!(Chart::of("Cost", &[]).is_none());
        assert!(Chart::of("Cost", &[curve("create", &[(100.0, 1.0)])]).is_none());
        assert!(Chart::of("Cost", &[curve("create", &[(100.0, 0.0), (200.0, 1.0)])]).is_none());
    }

    #[test]
    fn it_is_one_document_with_every_name() {
        let curves = [curve("a <b>", &[(100.0, 0.05), (3_000.0, 4.0)])];
        let svg = Chart::of("CPU & time", &curves).unwrap().svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("CPU &amp; time") && svg.contains(">3,000<"));
        assert!(svg.contains("prefers-color-scheme: dark") && !svg.contains("NaN"));
    }

    #[test]
    fn ticks_have_units() {
        let ticks: Vec<String> = powers(0.01, 10.0).map(duration).collect();
        assert_eq!(ticks, ["10 ms", "100 ms", "1 s", "10 s"]);
        assert_eq!(
            (thousands(100.0), thousands(3_000.0)),
            ("100".to_owned(), "3,000".to_owned())
        );
    }
}
