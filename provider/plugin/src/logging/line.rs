//! One line of the log, in the JSON that go-plugin reads.

use std::fmt::Write;

use jiff::Timestamp;
use tracing::Level;

/// The longest line the host takes in one piece, with its line end.
const LONGEST_LINE: usize = 64 * 1024 - 1;

/// How long a single value may be, the first that makes the line fit.
const VALUE_LIMITS: [usize; 4] = [16 * 1024, 4 * 1024, 512, 32];

/// The parts of a line. Values are always strings: the host panics on a message that is none.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    pub(super) time: Timestamp,
    pub(super) target: &'a str,
    pub(super) message: &'a str,
    pub(super) fields: &'a [(&'static str, String)],
}

impl Line<'_> {
    /// The line with its line end, short enough for the host.
    pub(super) fn render(&self) -> String {
        let fitting = VALUE_LIMITS
            .iter()
            .map(|limit| self.render_within(*limit, self.fields))
            .find(|line| line.len() <= LONGEST_LINE);
        // So many fields that even short ones do not fit: the message alone.
        fitting.unwrap_or_else(|| self.render_within(VALUE_LIMITS[0], &[]))
    }

    fn render_within(&self, limit: usize, fields: &[(&'static str, String)]) -> String {
        let mut line = String::from("{");
        member(&mut line, "@level", &self.level.as_str().to_ascii_lowercase());
        member(&mut line, "@message", &cut(self.message, limit));
        // Exactly six digits: with fewer or more the host prints the line as it stands, at level debug.
        member(
            &mut line,
            "@timestamp",
            &self.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        );
        member(&mut line, "@module", &self.target.replace("::", "."));
        for (name, value) in fields {
            member(&mut line, name, &cut(value, limit));
        }
        line.push_str("}\n");
        line
    }
}

fn member(line: &mut String, name: &str, value: &str) {
    let comma = if line.len() > 1 { "," } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{comma}{}:{}",
        serde_json::Value::from(name),
        serde_json::Value::from(value)
    );
}

fn cut(value: &str, limit: usize) -> String {
    if value.len() <= limit {
        return value.to_owned();
    }
    let end = value.floor_char_boundary(limit);
    format!("{}... ({} bytes)", value.get(..end).unwrap_or_default(), value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, fields: &[(&'static str, String)]) -> String {
        let time = "2026-11-20T10:00:00.1234567Z".parse().unwrap();
        Line {
            level: Level::INFO,
            time,
            target: "dynvm::client",
            message,
            fields,
        }
        .render()
    }

    #[test]
    fn a_line_as_the_host_reads_it() {
        let fields = [("tf_rpc", "ReadResource".to_owned()), ("count", "3".to_owned())];
        assert_eq!(
            line("creating \"a\"\nvm", &fields),
            "{\"@level\":\"info\",\"@message\":\"creating \\\"a\\\"\\nvm\",\"@timestamp\":\"2026-11-20T10:00:00.123456Z\",\
             \"@module\":\"dynvm.client\",\"tf_rpc\":\"ReadResource\",\"count\":\"3\"}\n"
        );
    }

    #[test]
    fn whole_seconds_have_six_digits_too() {
        let time = "2026-11-20T10:00:00Z".parse().unwrap();
        let line = Line {
            level: Level::WARN,
            time,
            target: "a",
            message: "b",
            fields: &[],
        }
        .render();
        assert!(line.contains("\"2026-11-20T10:00:00.000000Z\""), "{line}");
    }

    #[test]
    fn no_line_is_too_long() {
        let long = "ä\u{1}".repeat(100_000);
        let many: Vec<_> = (0..40).map(|_| ("body", long.clone())).collect();
        let countless: Vec<_> = (0..5000).map(|_| ("field", "some value".to_owned())).collect();
        for fields in [&many[..1], &many, &countless] {
            let line = line(&long, fields);
            assert!(line.len() <= LONGEST_LINE, "{}", line.len());
            assert!(line.ends_with("}\n"));
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
        assert!(line(&long, &[]).contains("... (300000 bytes)"));
    }
}
