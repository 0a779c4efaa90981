//! `doctor`: whether everything is there that deleting takes, and what lies about that nobody deletes. It changes nothing.

mod disks;
mod machine;
mod pool;

use futures::future::join_all;
use serde::Serialize;

use super::{VerbError, looker};
use crate::cli::Form;
use crate::output::{Printer, plain};
use crate::setup::Setup;

/// How many things a check names for people; programs get all.
const NAMED: usize = 20;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Deletions work, and yet a person should look at it.
    Warn,
    /// Deletions do not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// The pool; none for what concerns this machine.
    pool: Option<String>,
    check: &'static str,
    state: State,
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
    /// What is meant, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<String>,
}

/// Looks at everything; gives the exit code.
pub(super) async fn doctor(setup: &Setup, printer: &mut Printer<'_>) -> Result<u8, VerbError> {
    #[derive(Serialize)]
    struct Document {
        checks: Vec<Check>,
    }
    let mut checks = machine::checks(setup).await;
    let looked = looker(setup).look().await;
    let pools = setup.config.pools.iter().zip(&setup.clients);
    let of_pools = pools.map(|(settings, client)| {
        let looked = looked.iter().find(|looked| looked.pool == client.name());
        pool::checks(&settings.connection, client, looked)
    });
    checks.extend(join_all(of_pools).await.into_iter().flatten());
    let document = Document { checks };
    match printer.form() {
        Form::Json => printer.json(&document)?,
        Form::Table | Form::Csv => show(&document.checks, printer)?,
    }
    let fails = document.checks.iter().any(|check| check.state == State::Fail);
    Ok(u8::from(fails))
}

impl Check {
    fn new(check: &'static str, state: State, text: impl Into<String>) -> Self {
        Self {
            pool: None,
            check,
            state,
            text: text.into(),
            advice: String::new(),
            items: Vec::new(),
        }
    }

    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Ok, text)
    }

    fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Warn, text)
    }

    fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Fail, text)
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            ..self
        }
    }

    fn items(self, items: Vec<String>) -> Self {
        Self { items, ..self }
    }

    fn of(self, pool: &str) -> Self {
        Self {
            pool: Some(pool.to_owned()),
            ..self
        }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        }
    }
}

fn show(checks: &[Check], printer: &mut Printer<'_>) -> Result<(), VerbError> {
    for check in checks {
        let place = check.pool.as_deref().unwrap_or("this machine");
        let text = plain(&check.text);
        printer.line(format_args!(
            "{:<4}  {place}: {}: {text}",
            check.state.word(),
            check.check
        ))?;
        for item in check.items.iter().take(NAMED) {
            printer.line(format_args!("        {}", plain(item)))?;
        }
        if check.items.len() > NAMED {
            let more = check.items.len() - NAMED;
            printer.line(format_args!("        and {more} more, which -o json names"))?;
        }
        if !check.advice.is_empty() {
            printer.line(format_args!("      > {}", check.advice))?;
        }
    }
    Ok(())
}
