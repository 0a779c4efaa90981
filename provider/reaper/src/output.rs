//! How results are shown: tables for people, JSON for programs, CSV for spreadsheets. All goes to a writer that the caller gives.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Form;

/// Where results go, and in which form.
pub struct Printer<'a> {
    form: Form,
    out: &'a mut (dyn Write + Send),
}

impl<'a> Printer<'a> {
    /// Prints to a writer.
    pub fn new(form: Form, out: &'a mut (dyn Write + Send)) -> Self {
        Self { form, out }
    }

    /// The form that is asked for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Prints a line of text.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Prints a table; nothing if it has no rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn table<const N: usize>(&mut self, head: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.line(table(head, rows))
    }

    /// Prints a value as JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        writeln!(self.out)
    }

    /// Prints rows as CSV, by the names of their fields.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn csv(&mut self, rows: impl IntoIterator<Item = impl Serialize>) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.out);
        for row in rows {
            writer.serialize(row)?;
        }
        writer.flush()
    }
}

/// Text without borders, a column as wide as what it shows; each row is one line whatever is in it, so that it can be searched.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.map(str::to_uppercase));
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| plain(&cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names are a person's: what would move the cursor, or break a line, is left out.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How long it is until an end, or since it.
pub fn left(end: Timestamp, now: Timestamp) -> String {
    let seconds = end.as_second().saturating_sub(now.as_second());
    if seconds < 0 {
        format!("overdue {}", span(seconds.unsigned_abs()))
    } else {
        span(seconds.unsigned_abs())
    }
}

/// Seconds in their two largest units: `2h 3m`.
pub fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let parts: Vec<String> = units
        .into_iter()
        .map(|(unit, length)| {
            let count = rest / length;
            rest %= length;
            (unit, count)
        })
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Bytes in GiB, to a tenth.
#[expect(clippy::cast_precision_loss, reason = "a tenth of a GiB is shown")]
pub fn gib(bytes: i64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(form: Form, print: impl FnOnce(&mut Printer<'_>)) -> String {
        let mut out = Vec::new();
        print(&mut Printer::new(form, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spans_show_two_units() {
        for (seconds, expect) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7380, "2h 3m"),
            (7200, "2h"),
            (7205, "2h"),
            (90_061, "1d 1h"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(span(seconds), expect);
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(left(at(7380), at(0)), "2h 3m");
        assert_eq!(left(at(0), at(300)), "overdue 5m");
        assert_eq!(left(Timestamp::MIN, Timestamp::MAX).split(' ').next(), Some("overdue"));
    }

    #[test]
    fn a_table_is_one_line_a_row_and_shows_no_control_characters() {
        let rows = vec![
            ["web".to_owned(), "1".to_owned()],
            ["a\u{1b}[31m\nb".to_owned(), "two words".to_owned()],
        ];
        let text = printed(Form::Table, |printer| printer.table(["name", "count"], rows).unwrap());
        assert_eq!(text, "NAME      COUNT\nweb       1\na [31m b  two words\n");
        let nothing = printed(Form::Table, |printer| printer.table(["name"], Vec::new()).unwrap());
        assert_eq!(nothing, "");
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        #[derive(Serialize)]
        struct Row {
            name: &'static str,
            count: Option<u32>,
        }
        let rows = [
            Row {
                name: "a,\"b\"\nc",
                count: None,
            },
            Row {
                name: "d",
                count: Some(7),
            },
        ];
        let text = printed(Form::Csv, |printer| printer.csv(rows).unwrap());
        assert_eq!(text, "name,count\n\"a,\"\"b\"\"\nc\",\nd,7\n");
    }
}
