//! The provider's configuration: from HCL and environment to validated settings. Contacts no pool.

mod environment;
mod ini;
mod pools;
pub(crate) mod schema;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cty::{Path, Value};
use engine::diagnostics::Diagnostics;
use fleet::draft::PoolDefaults;
use fleet::{Fleet, FleetConfig, PoolSettings};
use history::SinkUrl;

use crate::chronicle::Chronicle;
use crate::server::{Admission, Policy};
use crate::settings::{Lab, Offer, Settings};
use environment::Environment;

/// The attribute that names the sink of the history.
const HISTORY: &str = "history";

const HOUR: Duration = Duration::from_secs(3600);
const DEFAULT_TTL: Duration = Duration::from_secs(12 * 3600);
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Reads a configuration. Values that are not known yet postpone it as a whole: half a list of pools would place servers wrongly.
pub(crate) fn read(config: &Value, version: &str) -> (Settings, Diagnostics) {
    let mut found = Diagnostics::new();
    // No plan needs the history: it is known when something is to be written.
    if let Some(path) = first_unknown(&config.clone().with(HISTORY, Value::Null), &Path::root()) {
        return (Settings::Postponed(path.to_string()), found);
    }
    let environment = Environment::of_this_process();
    let defaults = PoolDefaults {
        originator: format!("dynvm-provider/{version}"),
        tls: tls::general(config, &mut found),
    };
    let (pools, common) = match config.get(ini::ATTRIBUTE).as_str() {
        Some(file) => ini::read(file, &defaults, &mut found),
        None => (
            pools::read(config, &environment, &defaults, &mut found),
            ini::Common::default(),
        ),
    };
    let (default_ttl, max_ttl) = ttls(config, common.ttl, &mut found);
    let chronicle = chronicle(config, &mut found);
    if found.has_errors() {
        return (Settings::Absent, found);
    }
    let offers = offers(&pools);
    let owner = config
        .get("owner")
        .as_str()
        .map_or_else(|| environment.owner(), str::to_owned);
    let fleet = Fleet::new(FleetConfig {
        pools,
        default_ttl,
        max_ttl,
        owner,
        version: version.to_owned(),
    });
    let lab = Lab {
        fleet,
        default_ttl,
        max_ttl,
        ip_timeout: common.ip_timeout,
        offers,
        chronicle,
        admission: Admission::new(policy(config)),
    };
    (Settings::Ready(Arc::new(lab)), found)
}

/// Both ttls of the provider: as it says, else as the INI file says for both. The default is never longer than the longest.
fn ttls(config: &Value, of_file: Option<Duration>, found: &mut Diagnostics) -> (Duration, Duration) {
    let text = |name: &str| {
        config
            .get(name)
            .as_str()
            .and_then(|text| engine::duration::parse(text).ok())
    };
    let max = text("max_ttl").or(of_file).unwrap_or(MAX_TTL);
    let default = text("default_ttl").unwrap_or(of_file.unwrap_or(DEFAULT_TTL).min(max));
    if default > max {
        found.error_at(
            "default_ttl",
            "default_ttl longer than max_ttl",
            format!(
                "A default_ttl of {} is longer than the max_ttl of {}: no server without a ttl of its own could be made.",
                engine::duration::format(default),
                engine::duration::format(max)
            ),
        );
    }
    if max > HOUR * 24 * 365 * 10 {
        found.error_at(
            "max_ttl",
            "max_ttl too long",
            "At most ten years (`3650d`) are possible.",
        );
    }
    (default, max)
}

/// The history, if one is set. What is wrong with its URL is said without the URL: it may hold a password.
fn chronicle(config: &Value, found: &mut Diagnostics) -> Chronicle {
    let Some(text) = config.get(HISTORY).as_str() else {
        return Chronicle::default();
    };
    match text.parse::<SinkUrl>() {
        Ok(url) => Chronicle::new(&url),
        Err(error) => {
            found.error_at(
                HISTORY,
                "Invalid history",
                format!("This URL names no place for a history: {error}."),
            );
            Chronicle::default()
        }
    }
}

/// What a plan gets that does not fit now.
fn policy(config: &Value) -> Policy {
    match config.get("admission").as_str() {
        Some("error") => Policy::Error,
        Some("off") => Policy::Off,
        _ => Policy::default(),
    }
}

fn offers(pools: &[PoolSettings]) -> BTreeMap<String, Offer> {
    let offer = |pool: &PoolSettings| Offer {
        os: pool.templates.keys().cloned().collect(),
        labels: pool.labels.clone(),
    };
    pools.iter().map(|pool| (pool.name.clone(), offer(pool))).collect()
}

/// Where the first value is that is not known yet.
fn first_unknown(value: &Value, at: &Path) -> Option<Path> {
    if value.is_unknown() {
        return Some(at.clone());
    }
    if let Some(items) = value.as_list() {
        return (0..)
            .zip(items)
            .find_map(|(index, item)| first_unknown(item, &at.clone().index(index)));
    }
    value.as_map()?.iter().find_map(|(name, item)| {
        let below = if at.steps().len() == 1 {
            at.clone().key(name)
        } else {
            at.clone().attribute(name)
        };
        first_unknown(item, &below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(fields: &[(&str, Value)]) -> Value {
        let base = Value::object([
            ("url", "https://10.1.0.11".into()),
            ("username", "root".into()),
            ("password", "secret".into()),
        ]);
        fields
            .iter()
            .fold(base, |pool, (name, value)| pool.with(*name, value.clone()))
    }

    fn provider(fields: &[(&str, Value)]) -> Value {
        let base = schema::table().empty();
        let base = base.with("pools", Value::object([("lab1", pool(&[]))]));
        fields
            .iter()
            .fold(base, |config, (name, value)| config.with(*name, value.clone()))
    }

    /// The first diagnostic as `path: summary`.
    fn refused(config: &Value) -> String {
        let (settings, found) = read(config, "0.0.0");
        assert!(!matches!(settings, Settings::Ready(_)), "{found:?}");
        found
            .iter()
            .map(|diagnostic| {
                let path = diagnostic.path.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{path}: {}", diagnostic.summary)
            })
            .next()
            .unwrap_or_default()
    }

    #[test]
    fn a_plain_pool_is_ready() {
        let (settings, found) = read(&provider(&[]), "0.0.0");
        assert!(!found.has_errors(), "{found:?}");
        let Settings::Ready(lab) = settings else {
            panic!("ready");
        };
        assert_eq!(lab.default_ttl, DEFAULT_TTL);
        assert_eq!(lab.max_ttl, MAX_TTL);
    }

    #[test]
    fn a_short_max_ttl_shortens_the_default() {
        let (settings, _) = read(&provider(&[("max_ttl", "2h".into())]), "0.0.0");
        let Settings::Ready(lab) = settings else {
            panic!("ready");
        };
        assert_eq!(lab.default_ttl, HOUR * 2);
    }

    #[test]
    fn anything_unknown_postpones_and_says_what() {
        let unknown = Value::object([("lab1", pool(&[("password", Value::unknown())]))]);
        let (settings, found) = read(&provider(&[("pools", unknown)]), "0.0.0");
        assert!(found.is_empty());
        assert!(matches!(settings, Settings::Postponed(what) if what == "pools[\"lab1\"].password"));
    }

    #[test]
    fn a_history_that_is_not_known_yet_postpones_nothing() {
        let (settings, found) = read(&provider(&[(HISTORY, Value::unknown())]), "0.0.0");
        assert!(found.is_empty() && matches!(settings, Settings::Ready(_)), "{found:?}");
    }

    #[test]
    fn a_history_that_cannot_be_is_refused_without_its_password() {
        for (url, why) in [
            ("mysql://ci:hunter2@db/lab", "sqlite:///path"),
            ("postgres://ci:hunter2@x@db/lab", "%40"),
            ("postgres://ci:hunter2@db:port/lab", "port"),
            ("sqlite://hunter2.db", "absolute path"),
        ] {
            let config = provider(&[(HISTORY, url.into())]);
            assert_eq!(refused(&config), "history: Invalid history");
            let (_, found) = read(&config, "0.0.0");
            let text = format!("{found:?}");
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_attribute() {
        let with = |fields: &[(&str, Value)]| provider(&[("pools", Value::object([("lab1", pool(fields))]))]);
        let at = "pools[\"lab1\"]";
        for (config, expect) in [
            (
                provider(&[("pools", Value::object::<&str>([]))]),
                "pools: No pools".to_owned(),
            ),
            (
                with(&[("url", Value::Null)]),
                format!("{at}: Pool needs one of url and urls"),
            ),
            (
                with(&[("urls", Value::list(["a"]))]),
                format!("{at}: Pool needs one of url and urls"),
            ),
            (
                with(&[("url", "ftp://x".into())]),
                format!("{at}.url: Invalid pool address"),
            ),
            (with(&[("password", "".into())]), format!("{at}.password: No password")),
            (
                with(&[("cpu_overcommit", 0.into())]),
                format!("{at}.cpu_overcommit: Invalid cpu_overcommit"),
            ),
            (
                with(&[("tls", Value::object([("ca_file", "/nowhere/ca.pem".into())]))]),
                format!("{at}.tls.ca_file: Unusable CA file"),
            ),
            (
                provider(&[("default_ttl", "25h".into())]),
                "default_ttl: default_ttl longer than max_ttl".to_owned(),
            ),
        ] {
            assert_eq!(refused(&config), expect);
        }
    }

    #[test]
    fn plain_http_warns() {
        let pools = Value::object([("lab1", pool(&[("url", "http://10.1.0.11".into())]))]);
        let (settings, found) = read(&provider(&[("pools", pools)]), "0.0.0");
        assert!(matches!(settings, Settings::Ready(_)));
        assert_eq!(found.iter().count(), 1);
    }
}
