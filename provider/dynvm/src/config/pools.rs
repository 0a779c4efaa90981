//! The pools of a configuration, each validated once; or the one that the environment names.

use std::collections::BTreeMap;

use cty::{Path, Value};
use engine::diagnostics::Diagnostics;
use fleet::draft::{PoolDefaults, PoolDraft, PoolFault, unencrypted};
use fleet::{NetworkChoice, PoolSettings};
use xenapi::Secret;

use super::environment::Environment;
use super::tls;

/// The title of the warning about plain HTTP.
const UNENCRYPTED: &str = "Unencrypted connection";

pub(super) fn read(
    config: &Value,
    environment: &Environment,
    defaults: &PoolDefaults,
    found: &mut Diagnostics,
) -> Vec<PoolSettings> {
    if let Some(pools) = config.get("pools").as_map() {
        if pools.is_empty() {
            found.error_at("pools", "No pools", "`pools` is empty: name at least one pool.");
        }
        return pools
            .iter()
            .filter_map(|(name, pool)| configured(name, pool, defaults, found))
            .collect();
    }
    match environment.pool() {
        Ok(Some(draft)) => of_environment(draft, defaults, found).into_iter().collect(),
        Ok(None) => {
            found.error_at(
                "pools",
                "No pools",
                "The provider has neither `pools` nor `config_file` nor, in the environment, DYNVM_URL. Name at least one pool, with url, username and \
                 password.",
            );
            Vec::new()
        }
        Err(fault) => {
            found.error(fault.title(), of_variables(&fault));
            Vec::new()
        }
    }
}

fn configured(name: &str, pool: &Value, defaults: &PoolDefaults, found: &mut Diagnostics) -> Option<PoolSettings> {
    let at = Path::from("pools").key(name);
    let draft = PoolDraft {
        name: name.to_owned(),
        url: text(pool, "url"),
        urls: tls::texts(pool.get("urls")),
        username: text(pool, "username"),
        password: text(pool, "password").map(Secret::from),
        tls: tls::draft(pool.get("tls")),
        transport: text(pool, "transport"),
    };
    let connection = match draft.check(defaults) {
        Ok(connection) => {
            for (index, text) in unencrypted(&connection) {
                let place = if pool.get("url").is_set() {
                    at.attribute("url")
                } else {
                    at.attribute("urls").index(index)
                };
                found.warning_at(place, UNENCRYPTED, format!("Pool \"{name}\": {text}."));
            }
            Some(connection)
        }
        Err(faults) => {
            for fault in faults {
                let text = format!("Pool \"{name}\": {fault}.");
                found.error_at(place(&at, &fault), fault.title(), text);
            }
            None
        }
    };
    let cpu_overcommit = overcommit(name, pool, &at, found);
    Some(PoolSettings {
        storage: text(pool, "storage"),
        network: text(pool, "network").map(NetworkChoice::Named),
        networks: texts(pool, "networks")
            .map(|(os, network)| (os, NetworkChoice::Named(network)))
            .collect(),
        templates: texts(pool, "templates").collect(),
        max_servers: pool.get("max_servers").as_u64().map(ceiling),
        max_servers_by_os: ceilings(pool),
        cpu_overcommit: cpu_overcommit?,
        labels: tls::texts(pool.get("labels")).into_iter().flatten().collect(),
        ..PoolSettings::new(connection?)
    })
}

fn of_environment(draft: PoolDraft, defaults: &PoolDefaults, found: &mut Diagnostics) -> Option<PoolSettings> {
    match draft.check(defaults) {
        Ok(connection) => {
            for (_, text) in unencrypted(&connection) {
                found.warning(UNENCRYPTED, format!("The environment variable DYNVM_URL: {text}."));
            }
            Some(PoolSettings::new(connection))
        }
        Err(faults) => {
            for fault in faults {
                found.error(fault.title(), of_variables(&fault));
            }
            None
        }
    }
}

/// Where the part of a pool is that a fault is about.
fn place(pool: &Path, fault: &PoolFault) -> Path {
    match fault {
        PoolFault::Name(_) | PoolFault::Address | PoolFault::InsecureVariable => pool.clone(),
        PoolFault::Url { index: None, .. } => pool.attribute("url"),
        PoolFault::Url { index: Some(index), .. } => pool.attribute("urls").index(*index),
        PoolFault::Password => pool.attribute("password"),
        PoolFault::Transport(_) => pool.attribute("transport"),
        PoolFault::Trust | PoolFault::CaFile { .. } | PoolFault::Fingerprint { .. } => {
            tls::place(&pool.attribute("tls"), fault)
        }
    }
}

/// A fault of the environment's pool, as a sentence.
fn of_variables(fault: &PoolFault) -> String {
    let text = fault.of_variables();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

fn overcommit(name: &str, pool: &Value, at: &Path, found: &mut Diagnostics) -> Option<f64> {
    let given = pool.get("cpu_overcommit").as_f64().unwrap_or(1.0);
    if given > 0.0 && given.is_finite() {
        return Some(given);
    }
    found.error_at(
        at.clone().attribute("cpu_overcommit"),
        "Invalid cpu_overcommit",
        format!("Pool \"{name}\": cpu_overcommit must be above 0."),
    );
    None
}

fn text(pool: &Value, name: &str) -> Option<String> {
    pool.get(name).as_str().map(str::to_owned)
}

fn texts(pool: &Value, name: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = pool.get(name).as_map().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}

fn ceilings(pool: &Value) -> BTreeMap<String, u32> {
    pool.get("max_servers_by_os")
        .as_map()
        .into_iter()
        .flatten()
        .filter_map(|(os, number)| Some((os.clone(), ceiling(number.as_u64()?))))
        .collect()
}

/// A ceiling beyond any pool is none.
fn ceiling(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
