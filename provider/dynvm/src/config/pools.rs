//! The pools of a configuration, each validated once; or the one that the environment names.

use std::collections::BTreeMap;

use cty::{Path, Value};
use engine::diagnostics::Diagnostics;
use fleet::{Duplicates, NetworkChoice, PoolSettings};
use xenapi::{Endpoint, Limits, PoolConfig, Secret, TlsTrust};

use super::environment::{Environment, PoolFromEnvironment};
use super::tls;

/// The name of the pool that the environment describes.
const ENVIRONMENT_POOL: &str = "default";

pub(super) fn read(
    config: &Value,
    environment: &Environment,
    version: &str,
    found: &mut Diagnostics,
) -> Vec<PoolSettings> {
    let originator = format!("dynvm-provider/{version}");
    let general = tls::read(config.get("tls"), &Path::from("tls"), found);
    if let Some(pools) = config.get("pools").as_map() {
        if pools.is_empty() {
            found.error_at("pools", "No pools", "`pools` is empty: name at least one pool.");
        }
        return pools
            .iter()
            .filter_map(|(name, pool)| configured(name, pool, general.clone(), &originator, found))
            .collect();
    }
    match environment.pool() {
        Some(pool) => of_environment(&pool, general, &originator, found).into_iter().collect(),
        None => {
            found.error_at(
                "pools",
                "No pools",
                "The provider has neither `pools` nor, in the environment, DYNVM_URL. Name at least one pool, with url, username and password.",
            );
            Vec::new()
        }
    }
}

fn configured(
    name: &str,
    pool: &Value,
    general: Option<TlsTrust>,
    originator: &str,
    found: &mut Diagnostics,
) -> Option<PoolSettings> {
    let at = Path::from("pools").key(name);
    if name.is_empty()
        || name.len() > 64
        || name.contains(['/', '"', '<', '>', '&'])
        || name.chars().any(char::is_control)
    {
        found.error_at(
            at,
            "Invalid pool name",
            format!("\"{name}\" cannot name a pool: 1 to 64 characters, none of / \" < > &."),
        );
        return None;
    }
    let urls = urls(name, pool, &at, found);
    let password = password(name, pool, &at, found);
    let trust = tls::read(pool.get("tls"), &at.clone().attribute("tls"), found)
        .or(general)
        .unwrap_or_default();
    let cpu_overcommit = overcommit(name, pool, &at, found);
    Some(PoolSettings {
        name: name.to_owned(),
        connection: PoolConfig {
            name: name.to_owned(),
            urls: urls?,
            username: pool.get("username").as_str().unwrap_or("root").to_owned(),
            password: password?,
            tls: trust,
            originator: originator.to_owned(),
            limits: Limits::default(),
        },
        storage: text(pool, "storage"),
        network: text(pool, "network").map(NetworkChoice::Named),
        networks: texts(pool, "networks")
            .into_iter()
            .map(|(os, network)| (os, NetworkChoice::Named(network)))
            .collect(),
        templates: texts(pool, "templates"),
        max_servers: pool.get("max_servers").as_u64().map(ceiling),
        max_servers_by_os: ceilings(pool),
        cpu_overcommit: cpu_overcommit?,
        duplicates: Duplicates::Error,
    })
}

fn of_environment(
    pool: &PoolFromEnvironment,
    general: Option<TlsTrust>,
    originator: &str,
    found: &mut Diagnostics,
) -> Option<PoolSettings> {
    let url = endpoint(&pool.url, "DYNVM_URL", &Path::root(), found);
    let trust = tls::of_environment(pool, found).or(general).unwrap_or_default();
    let Some(password) = &pool.password else {
        found.error(
            "No password",
            "The environment names a pool by DYNVM_URL, but no DYNVM_PASSWORD.",
        );
        return None;
    };
    Some(PoolSettings::new(PoolConfig {
        name: ENVIRONMENT_POOL.to_owned(),
        urls: vec![url?],
        username: pool.username.clone().unwrap_or_else(|| "root".to_owned()),
        password: Secret::from(password.as_str()),
        tls: trust,
        originator: originator.to_owned(),
        limits: Limits::default(),
    }))
}

/// Exactly one of `url` and `urls`.
fn urls(name: &str, pool: &Value, at: &Path, found: &mut Diagnostics) -> Option<Vec<Endpoint>> {
    let one = pool.get("url").as_str();
    let several = pool.get("urls").as_list();
    match (one, several) {
        (Some(url), None) => endpoint(url, name, &at.clone().attribute("url"), found).map(|url| vec![url]),
        (None, Some(urls)) if !urls.is_empty() => (0..)
            .zip(urls)
            .map(|(index, url)| {
                let at = at.clone().attribute("urls").index(index);
                endpoint(url.as_str().unwrap_or_default(), name, &at, found)
            })
            .collect(),
        _ => {
            found.error_at(
                at.clone(),
                "Pool needs one of url and urls",
                format!("Pool \"{name}\" must have exactly one of `url` and `urls`."),
            );
            None
        }
    }
}

fn endpoint(text: &str, name: &str, at: &Path, found: &mut Diagnostics) -> Option<Endpoint> {
    match Endpoint::parse(text) {
        Ok(endpoint) => {
            if !endpoint.is_encrypted() {
                found.warning_at(
                    at.clone(),
                    "Unencrypted connection",
                    format!("{endpoint} ({name}) is used without TLS: passwords and sessions travel in the clear."),
                );
            }
            Some(endpoint)
        }
        Err(error) => {
            found.error_at(at.clone(), "Invalid pool address", format!("{name}: {error}."));
            None
        }
    }
}

fn password(name: &str, pool: &Value, at: &Path, found: &mut Diagnostics) -> Option<Secret> {
    let password = pool.get("password").as_str().filter(|text| !text.is_empty());
    if password.is_none() {
        found.error_at(
            at.clone().attribute("password"),
            "No password",
            format!("Pool \"{name}\" needs a password that is not empty."),
        );
    }
    password.map(Secret::from)
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

fn texts(pool: &Value, name: &str) -> BTreeMap<String, String> {
    pool.get(name)
        .as_map()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
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
