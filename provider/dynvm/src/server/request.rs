//! A planned value, in the words of [`fleet`].

use std::collections::BTreeSet;
use std::time::Duration;

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use fleet::{CloudInit, Image, LabelChoice, ServerSpec, WaitPolicy, Wish};

use super::schema::TIMEOUTS;
use super::state::{cidrs, family};

/// What a planned value asks for; `ip_timeout` holds where it does not say how long an address may take.
///
/// # Errors
/// One diagnostic, if a value is not what the table promises.
pub(super) fn spec(planned: &Value, ip_timeout: Option<Duration>) -> Result<ServerSpec, Diagnostics> {
    Ok(ServerSpec {
        name: required(planned, "name")?,
        image: image(planned)?,
        cpus: number(planned, "cpus")?,
        memory_mib: number(planned, "memory_mib")?,
        ttl: ttl(planned)?,
        pool: text(planned, "pool"),
        pool_labels: texts(planned, "pool_labels"),
        host: text(planned, "host"),
        reservation: reservation(planned)?,
        storage: text(planned, "storage"),
        network: text(planned, "network"),
        mac_address: text(planned, "mac_address"),
        cloud_init: CloudInit::new(
            planned.get("user_data").as_str(),
            planned.get("network_config").as_str(),
        ),
        tags: tags(planned),
        is_started: planned.get("power_state").as_str() != Some("halted"),
        wait: wait(planned, ip_timeout),
        ip_attempts: number(planned, "ip_attempts")?.unwrap_or(2),
        keep_on_failure: planned.get("keep_on_failure").as_bool() == Some(true),
        create_timeout: TIMEOUTS.get(planned, "create"),
        request_id: ulid::Ulid::new(),
    })
}

/// Whether to wait for an address, for which, for which ports at it, and how long.
pub(super) fn wait(planned: &Value, ip_timeout: Option<Duration>) -> WaitPolicy {
    let is_ip_configured = planned.get("timeouts").get("ip").is_set();
    WaitPolicy {
        for_ip: planned.get("wait_for_ip").as_bool() != Some(false),
        family: family(planned),
        cidrs: cidrs(planned),
        ports: ports(planned),
        timeout: ip_timeout
            .filter(|_| !is_ip_configured)
            .unwrap_or_else(|| TIMEOUTS.get(planned, "ip")),
    }
}

/// The ports that must answer (the table has checked that all are).
fn ports(planned: &Value) -> Vec<u16> {
    let ports = planned.get("ready_ports").as_list().unwrap_or_default().iter();
    ports.filter_map(|port| u16::try_from(port.as_u64()?).ok()).collect()
}

/// The reservation to draw from.
fn reservation(planned: &Value) -> Result<Option<ulid::Ulid>, Diagnostics> {
    let id = text(planned, "capacity_id");
    id.map(|id| id.parse().map_err(|_| unexpected("capacity_id")))
        .transpose()
}

/// What a configuration asks of the pools; `None` while a part of it is not known.
pub(crate) fn wish(config: &Value) -> Option<Wish> {
    const PARTS: [&str; 9] = [
        "os",
        "template",
        "cpus",
        "memory_mib",
        "pool",
        "pool_labels",
        "host",
        "storage",
        "network",
    ];
    if !PARTS.iter().all(|name| config.get(name).is_wholly_known()) {
        return None;
    }
    Some(Wish {
        image: image(config).ok()?,
        cpus: number(config, "cpus").ok()?,
        memory_mib: number(config, "memory_mib").ok()?,
        pool: text(config, "pool"),
        pool_labels: texts(config, "pool_labels"),
        host: text(config, "host"),
        storage: text(config, "storage"),
        network: text(config, "network"),
    })
}

fn image(planned: &Value) -> Result<Image, Diagnostics> {
    match (text(planned, "os"), text(planned, "template")) {
        (Some(os), None) => Ok(Image::Os(os)),
        (None, Some(template)) => Ok(Image::Template(template)),
        _ => Err(unexpected("os")),
    }
}

/// The planned ttl.
pub(crate) fn ttl(planned: &Value) -> Result<Duration, Diagnostics> {
    engine::duration::parse(&required(planned, "ttl")?).map_err(|_| unexpected("ttl"))
}

/// The tags; none when they are null.
pub(super) fn tags(object: &Value) -> BTreeSet<String> {
    texts(object, "tags")
}

/// The pools that it may be placed in, by the labels that it asks for: any, while those are not known.
pub(super) fn labels(object: &Value) -> LabelChoice {
    if object.get("pool_labels").is_wholly_known() {
        LabelChoice::AsServer(texts(object, "pool_labels"))
    } else {
        LabelChoice::Any
    }
}

/// The texts of a set that are known; none when it is null.
pub(super) fn texts(object: &Value, name: &str) -> BTreeSet<String> {
    object
        .get(name)
        .as_list()
        .unwrap_or_default()
        .iter()
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn text(planned: &Value, name: &str) -> Option<String> {
    planned.get(name).as_str().map(str::to_owned)
}

fn required(planned: &Value, name: &str) -> Result<String, Diagnostics> {
    text(planned, name).ok_or_else(|| unexpected(name))
}

pub(crate) fn number<T: TryFrom<u64>>(planned: &Value, name: &str) -> Result<Option<T>, Diagnostics> {
    let value = planned.get(name);
    if !value.is_set() {
        return Ok(None);
    }
    value
        .as_u64()
        .and_then(|number| T::try_from(number).ok())
        .map(Some)
        .ok_or_else(|| unexpected(name))
}

pub(crate) fn unexpected(name: &str) -> Diagnostics {
    Diagnostic::error(
        "Unexpected planned value",
        format!("The plan holds no usable value for `{name}`. Nothing was changed in any pool. This is a bug of the provider: please report it."),
    )
    .at(name)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_what_the_server_will_ask_for() {
        let config = super::super::schema::table()
            .empty()
            .with("name", "web")
            .with("os", "debian12")
            .with("ttl", "1h")
            .with("cpus", 2)
            .with("pool_labels", Value::set(["gpu"]))
            .with("host", "xen11");
        let asked = wish(&config).expect("a wish");
        let planned = config
            .clone()
            .with("memory_mib", Value::unknown())
            .with("pool", Value::unknown());
        assert_eq!(asked, spec(&planned, None).expect("a spec").wish());
        for part in ["os", "cpus", "memory_mib", "pool", "pool_labels", "host", "network"] {
            assert_eq!(wish(&config.clone().with(part, Value::unknown())), None, "{part}");
        }
        assert_eq!(
            wish(&config.with("tags", Value::unknown())),
            Some(asked),
            "no matter to a pool"
        );
    }

    #[test]
    fn a_configured_wait_goes_before_the_providers() {
        let wait = |configured: Value, of_provider: Option<u64>| {
            let planned = super::super::schema::table()
                .empty()
                .with("name", "web")
                .with("os", "debian12")
                .with("ttl", "1h")
                .with("timeouts", configured);
            let spec = spec(&planned, of_provider.map(Duration::from_secs)).expect("a spec");
            spec.wait.timeout.as_secs()
        };
        let ip = |text: &str| Value::object([("ip", Value::from(text))]);
        assert_eq!(wait(Value::Null, None), 400);
        assert_eq!(wait(Value::Null, Some(90)), 90);
        assert_eq!(wait(Value::object([("create", Value::from("30m"))]), Some(90)), 90);
        assert_eq!(wait(ip("2m"), Some(90)), 120);
    }
}
