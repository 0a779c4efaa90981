//! What a command came to: exit code, output, and the diagnostics in it.

use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

/// A command that ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(crate) what: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

/// A diagnostic, as `-json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// The title.
    pub summary: String,
    /// What happened, where, and what to do.
    pub detail: String,
    /// The address of the resource.
    pub address: String,
    /// The line of configuration that it points at, without its indentation.
    pub line: String,
}

impl Outcome {
    /// Demands this exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        self
    }

    /// Demands success.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// Output and errors together.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Demands that both outputs together contain this, whatever the line breaks.
    #[track_caller]
    pub fn expect_text(self, part: &str) -> Self {
        assert!(flat(&self.text()).contains(&flat(part)), "no {part:?} in\n{self}");
        self
    }

    /// The lines of a `-json` run that are diagnostics, without terraform's own warning of an overridden provider.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.messages("diagnostic")
            .iter()
            .map(|message| Diagnostic::read(&message["diagnostic"]))
            .filter(|diagnostic| !diagnostic.is_about_overrides())
            .collect()
    }

    /// The lines of a `-json` run that are of this type.
    #[must_use]
    pub fn messages(&self, kind: &str) -> Vec<Json> {
        self.stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok())
            .filter(|message| message["type"] == kind)
            .collect()
    }

    /// Demands exit code 1 and exactly one error, and returns it.
    #[track_caller]
    pub fn only_error(&self) -> Diagnostic {
        assert_eq!(self.code, Some(1), "an error\n{self}");
        let mut errors: Vec<Diagnostic> = self
            .diagnostics()
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == "error")
            .collect();
        assert_eq!(errors.len(), 1, "one error, got {errors:#?}\n{self}");
        errors.swap_remove(0)
    }

    /// The warnings of a `-json` run.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        self.diagnostics()
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == "warning")
            .collect()
    }
}

impl Diagnostic {
    fn read(json: &Json) -> Self {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        Self {
            severity: text(&json["severity"]),
            summary: text(&json["summary"]),
            detail: text(&json["detail"]),
            address: text(&json["address"]),
            line: text(&json["snippet"]["code"]).trim().to_owned(),
        }
    }

    fn is_about_overrides(&self) -> bool {
        self.summary.contains("development overrides are in effect")
    }

    /// Demands that it points at a line that sets this attribute.
    #[track_caller]
    pub fn expect_at(&self, attribute: &str) -> &Self {
        let named = self.line.split(['=', ' ']).next().unwrap_or_default();
        assert_eq!(named, attribute, "the attribute at fault of {self:#?}");
        self
    }

    /// Demands that title or detail contain this, whatever the line breaks.
    #[track_caller]
    pub fn expect_text(&self, part: &str) -> &Self {
        let whole = flat(&format!("{} {}", self.summary, self.detail));
        assert!(whole.contains(&flat(part)), "no {part:?} in {self:#?}");
        self
    }
}

fn flat(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '│' | '╷' | '╵'))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self
            .code
            .map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
        writeln!(f, "$ {}\nended with {code} after {:?}", self.what, self.took)?;
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}
