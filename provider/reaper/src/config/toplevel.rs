//! The file as a whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hcl_edit::parser::parse_body;
use history::SinkUrl;
use xenapi::Secret;

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors, Place};
use super::fields::{Fields, Item};
use super::report::Report;
use super::{Config, HistorySetting, of_environment, pool};

/// The attributes.
const KNOWN: [&str; 8] = [
    "pools",
    "grace",
    "max_ttl",
    "max_deletions",
    "owners",
    "listen",
    "history",
    "state_dir",
];

/// Reads HCL.
pub(super) fn read(path: &Path, text: &str, environment: &Environment) -> Result<Config, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = parse_body(text).map_err(|error| ConfigError {
        place: Place::File {
            file: path.display().to_string(),
            line: Some(error.location().line()),
            column: Some(error.location().column()),
        },
        text: syntax(&error),
    })?;
    let mut report = Report::new(path, text);
    let fields = Fields::of_body(&body, &mut report);
    fields.expect(&KNOWN, &mut report);
    let mut config = Config::of(Vec::new());
    match fields.get("pools") {
        Some(item) => config.pools = pool::all(item, path, environment, &mut report),
        None => config.pools = of_environment(environment)?.into_iter().collect(),
    }
    if fields.get("pools").is_none() && config.pools.is_empty() {
        report.fail(0, "pools", "there is no pool, here or by DYNVM_URL in the environment");
    }
    settings(&fields, &mut config, &mut report);
    config.warnings = report.close()?;
    Ok(config)
}

/// What is wrong with the syntax. Of an attribute that does not end the parser says only where it begins.
fn syntax(error: &hcl_edit::parser::Error) -> String {
    match error.message() {
        "unexpected token" => {
            "what begins here is not an attribute, or is not complete: is a brace, bracket or quote missing?".to_owned()
        }
        other => other.to_owned(),
    }
}

/// All but the pools.
fn settings(fields: &Fields<'_>, config: &mut Config, report: &mut Report<'_>) {
    if let Some(grace) = fields.get("grace").and_then(|item| item.duration(report)) {
        config.grace = grace;
    }
    if let Some(item) = fields.get("max_ttl") {
        config.max_ttl = item.duration(report);
        if config.max_ttl.is_some_and(|longest| longest.is_zero()) {
            report.fail(item.offset, &item.path, "must be longer than 0");
        }
    }
    if let Some(count) = fields.get("max_deletions").and_then(|item| item.count(report)) {
        config.max_deletions = count;
    }
    if let Some(item) = fields.get("owners") {
        config.owners = owners(item, report);
    }
    if let Some(item) = fields.get("listen") {
        config.listen = listen(item, report);
    }
    if let Some(setting) = fields.get("history").and_then(|item| history(item, report)) {
        config.history = setting;
    }
    if let Some(folder) = fields.get("state_dir").and_then(|item| item.name(report)) {
        config.state_dir = PathBuf::from(folder);
    }
}

/// Globs. An empty list would read as "nobody" and mean everybody.
fn owners(item: &Item<'_>, report: &mut Report<'_>) -> Vec<String> {
    let Some(items) = item.list(report) else {
        return Vec::new();
    };
    if items.is_empty() {
        report.fail(
            item.offset,
            &item.path,
            "the list is empty; without the attribute, the servers of all owners are reaped",
        );
    }
    items.iter().filter_map(|item| item.name(report)).collect()
}

fn listen(item: &Item<'_>, report: &mut Report<'_>) -> Option<SocketAddr> {
    let text = item.text(report)?;
    let address = text.parse().ok();
    if address.is_none() {
        let text = format!("{text:?} is not an address with a port, such as \"127.0.0.1:9471\"");
        report.fail(item.offset, &item.path, text);
    }
    address
}

/// A URL, which is never shown: it may hold a password.
fn history(item: &Item<'_>, report: &mut Report<'_>) -> Option<HistorySetting> {
    let text = item.text(report)?;
    if text == "none" {
        return Some(HistorySetting::Off);
    }
    match text.parse::<SinkUrl>() {
        Ok(_) => Some(HistorySetting::Url(Secret::from(text))),
        Err(error) => {
            report.fail(item.offset, &item.path, format!("neither \"none\" nor a URL: {error}"));
            None
        }
    }
}
