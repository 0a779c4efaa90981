//! `inventory`: servers as an Ansible inventory.

use std::collections::{BTreeMap, BTreeSet};

use cty::{Type, Value};
use engine::function::{Parameter, Signature};
use plugin::provider::{Function, FunctionError};
use serde_json::{Map, Value as Json, json};

/// The function.
pub(super) struct Inventory(Signature);

impl Inventory {
    pub(super) fn new() -> Self {
        Self(Signature {
            name: "inventory".to_owned(),
            summary: "Servers as an Ansible inventory in JSON.".to_owned(),
            description: "Makes of servers the text of an inventory file: write it to a file that ends in `.json` and hand that to `ansible-playbook -i`. Each \
                          server is a host by its name (by name and UUID where several have one name) with `ansible_host`, `dynvm_id`, `dynvm_pool` and \
                          `dynvm_expires_at`, and a member of the groups `os_<os>`, `pool_<pool>` and `tag_<tag>` for each of its tags; what a group's name \
                          cannot hold becomes `_`. Servers without an address are left out. What is made of whole `dynvm_server` resources is sensitive, as they \
                          are for their `user_data`; nothing of that is in the text, and `nonsensitive` says so."
                .to_owned(),
            parameters: vec![Parameter::new(
                "servers",
                Type::Dynamic,
                "`dynvm_server` resources, or `servers` of the data source `dynvm_servers`: one, a list, or a map of them.",
            )],
            variadic: None,
            returns: Type::String,
        })
    }
}

impl Function for Inventory {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let servers = servers(arguments.first().unwrap_or(&Value::Null))?;
        let text = serde_json::to_string_pretty(&inventory(&servers));
        text.map(Value::from)
            .map_err(|error| FunctionError::call(error.to_string()))
    }
}

/// The servers in what was given: one, a list, or a map.
fn servers(given: &Value) -> Result<Vec<&Value>, FunctionError> {
    let given = plain(given);
    let all: Vec<&Value> = match given {
        Value::Map(fields) if is_server(given) || fields.is_empty() => {
            [given].into_iter().filter(|one| is_server(one)).collect()
        }
        Value::Map(entries) => entries.values().map(plain).collect(),
        Value::List(elements) => elements.iter().map(plain).collect(),
        Value::Null | Value::Unknown(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Dynamic(_) => {
            return Err(no_servers());
        }
    };
    if all.iter().all(|one| is_server(one)) {
        Ok(all)
    } else {
        Err(no_servers())
    }
}

fn no_servers() -> FunctionError {
    FunctionError::argument(
        0,
        "must be a server, a list or a map of servers: objects with `id`, `name` and `ip_address`",
    )
}

fn plain(value: &Value) -> &Value {
    match value {
        Value::Dynamic(typed) => &typed.value,
        other => other,
    }
}

fn is_server(value: &Value) -> bool {
    let has = |field: &str| value.as_map().is_some_and(|fields| fields.contains_key(field));
    value.get("id").as_str().is_some() && value.get("name").as_str().is_some() && has("ip_address")
}

fn inventory(servers: &[&Value]) -> Json {
    let mut hosts = Map::new();
    let mut groups: BTreeMap<String, Map<String, Json>> = BTreeMap::new();
    let repeated = repeated(servers);
    for server in servers {
        let Some(address) = server.get("ip_address").as_str() else {
            continue;
        };
        let name = host_name(server, &repeated);
        for group in groups_of(server) {
            groups.entry(group).or_default().insert(name.clone(), json!({}));
        }
        hosts.insert(name, variables(server, address));
    }
    let children: Map<String, Json> = groups
        .into_iter()
        .map(|(group, hosts)| (group, json!({ "hosts": hosts })))
        .collect();
    json!({ "all": { "hosts": hosts, "children": children } })
}

/// The names that several servers have.
fn repeated<'a>(servers: &[&'a Value]) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let names = servers.iter().filter_map(|server| server.get("name").as_str());
    names.filter(|name| !seen.insert(*name)).collect()
}

fn host_name(server: &Value, repeated: &BTreeSet<&str>) -> String {
    let name = server.get("name").as_str().unwrap_or_default();
    let id = server.get("id").as_str().unwrap_or_default();
    if repeated.contains(name) {
        format!("{name}_{id}")
    } else {
        name.to_owned()
    }
}

fn variables(server: &Value, address: &str) -> Json {
    let mut variables = Map::new();
    variables.insert("ansible_host".to_owned(), address.into());
    for field in ["id", "pool", "expires_at"] {
        if let Some(value) = server.get(field).as_str() {
            variables.insert(format!("dynvm_{field}"), value.into());
        }
    }
    Json::Object(variables)
}

fn groups_of(server: &Value) -> Vec<String> {
    let by = |field: &str| server.get(field).as_str().map(|value| group(field, value));
    let tags = server.get("tags").as_list().unwrap_or_default().iter();
    let by_tag = tags.filter_map(|tag| tag.as_str().map(|tag| group("tag", tag)));
    by("os").into_iter().chain(by("pool")).chain(by_tag).collect()
}

/// A name that Ansible takes for a group.
fn group(kind: &str, value: &str) -> String {
    let letters = value
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    format!("{kind}_{}", letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, id: &str, address: Option<&str>) -> Value {
        Value::object([
            ("id", Value::from(id)),
            ("name", name.into()),
            ("ip_address", address.into()),
            ("pool", "lab1".into()),
            ("os", "centos7.7".into()),
            ("expires_at", "2026-11-28T10:00:00Z".into()),
            ("tags", Value::set(["web tier"])),
        ])
    }

    fn made(given: Value) -> Json {
        let text = Inventory::new().call(&[given]).expect("an inventory");
        serde_json::from_str(text.as_str().expect("a text")).expect("JSON")
    }

    #[test]
    fn hosts_with_addresses_in_their_groups() {
        let expect = json!({"all": {
            "hosts": {"web": {
                "ansible_host": "10.1.0.5", "dynvm_id": "u1", "dynvm_pool": "lab1", "dynvm_expires_at": "2026-11-28T10:00:00Z",
            }},
            "children": {
                "os_centos7_7": {"hosts": {"web": {}}},
                "pool_lab1": {"hosts": {"web": {}}},
                "tag_web_tier": {"hosts": {"web": {}}},
            },
        }});
        let web = server("web", "u1", Some("10.1.0.5"));
        let off = server("off", "u2", None);
        assert_eq!(made(web.clone()), expect);
        assert_eq!(made(Value::List(vec![web.clone(), off.clone()])), expect);
        assert_eq!(made(Value::object([("a", web), ("b", off)])), expect);
        assert_eq!(
            made(Value::List(Vec::new())),
            json!({"all": {"hosts": {}, "children": {}}})
        );
    }

    #[test]
    fn servers_of_one_name_are_told_apart() {
        let twins = Value::List(vec![
            server("web", "u1", Some("10.1.0.5")),
            server("web", "u2", Some("10.1.0.6")),
        ]);
        let hosts = made(twins)["all"]["hosts"].clone();
        assert_eq!(
            hosts.as_object().expect("hosts").keys().collect::<Vec<_>>(),
            ["web_u1", "web_u2"]
        );
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for given in [
            Value::from("web"),
            Value::Null,
            Value::List(vec!["web".into()]),
            Value::object([("id", Value::from(1))]),
        ] {
            let error = Inventory::new()
                .call(std::slice::from_ref(&given))
                .expect_err("no servers");
            assert_eq!(error.argument, Some(0), "{given:?}");
        }
    }
}
