//! Configurations: the reaper's file, the INI file of the older service, and the tables of the provider.

use std::collections::BTreeSet;
use std::path::Path;

use cty::{Value, json};
use dynvm::DynvmProvider;
use engine::schema::Schema;
use engine::validate::{self, WriteOnly};
use fleet::draft::PoolDefaults;
use futures::FutureExt as _;
use plugin::provider::{Context, Provider as _};
use reaper::config::{ConfigErrors, Environment, Place, read_text};

use crate::lines::{head_and_rest, text};

/// The shortest password that stands nowhere by chance.
const LONG: usize = 8;

pub(crate) fn hcl(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    // Files are read where a configuration names them; those of this machine are no part of an input.
    if text.contains("_file") {
        return;
    }
    let environment = Environment::of(&[("DYNVM_PASSWORD_LAB1", "from outside")]);
    match read_text(Path::new("reaper.hcl"), text, &environment) {
        Ok(config) => assert!(!config.pools.is_empty() && config.max_deletions > 0, "{config:?}"),
        Err(errors) => placed(&errors, text),
    }
}

/// Each error is somewhere in the text.
fn placed(errors: &ConfigErrors, text: &str) {
    assert!(errors.iter().count() > 0, "refused without a reason");
    let lines = text.split('\n').count();
    for error in errors.iter() {
        let Place::File { line, .. } = &error.place else {
            continue;
        };
        assert!(line.is_none_or(|line| (1..=lines).contains(&line)), "{error}");
    }
}

pub(crate) fn ini(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let read = fleet::ini::read("lab.ini", text, &PoolDefaults::default());
    let said = match &read {
        Ok(settings) => {
            assert!(!settings.pools.is_empty(), "no pool and no error");
            format!("{settings:?}")
        }
        Err(refused) => {
            assert!(!refused.errors.is_empty(), "refused without a reason");
            format!("{refused} {refused:?}")
        }
    };
    for password in passwords(text) {
        assert!(!said.contains(password), "it says the password {password:?}");
    }
}

/// The passwords that stand nowhere else in the text, not even in part.
fn passwords(text: &str) -> BTreeSet<&str> {
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "host.password").then_some(value.trim())
    });
    values
        .filter(|value| value.len() >= LONG && value.chars().all(|c| c.is_ascii_alphanumeric()))
        .filter(|value| text.matches(value).count() == 1)
        .collect()
}

/// The first line is the name of a resource or data source, or `provider`; the rest is its block as JSON.
pub(crate) fn provider(bytes: &[u8]) {
    thread_local! {
        static PROVIDER: DynvmProvider = DynvmProvider::new();
    }
    let (name, block) = head_and_rest(bytes);
    if let Some(name) = text(name) {
        PROVIDER.with(|provider| validated(provider, name, block));
    }
}

fn validated(provider: &DynvmProvider, name: &str, block: &[u8]) {
    if name == "provider" {
        drop(checked(provider.schema(), block));
    }
    let cx = Context::default();
    for resource in provider.resources().iter().filter(|one| one.type_name() == name) {
        if let Some(value) = checked(resource.schema(), block) {
            let found = resource.validate(&value, &cx).now_or_never();
            assert!(found.is_some(), "validating {name} waits for something");
        }
    }
    for source in provider.data_sources().iter().filter(|one| one.type_name() == name) {
        drop(checked(source.schema(), block));
    }
}

/// A block that fits its type, checked against its table. What is found wrong has words.
fn checked(schema: &Schema, block: &[u8]) -> Option<Value> {
    let value = json::decode(block, &schema.value_type()).ok()?;
    let found = validate::config(schema, &value, WriteOnly::Allowed);
    assert!(
        found
            .iter()
            .all(|one| !one.summary.is_empty() && !one.detail.is_empty())
    );
    Some(value)
}
