//! The list of servers: what `terraform query` finds is what an import takes.

use acceptance::Lab;
use proto::tfplugin6::list_resource::Event;
use serde_json::{Value as Json, json};

use crate::host::{Host, Kept, errors};

const ALL: i64 = 100_000;

fn web(pool: &str) -> Json {
    json!({ "name": format!("web-{pool}"), "os": "debian12", "pool": pool, "tags": ["ci"] })
}

/// A lab with a server in two of its pools.
fn with_servers(lab: &Lab) -> (Host<'_>, [Kept; 2]) {
    let mut host = Host::start(lab);
    let servers = ["lab1", "lab2"].map(|pool| host.apply(&Kept::default(), &web(pool)));
    (host, servers)
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.display_name.as_str()).collect()
}

fn only_error(events: &[Event]) -> (&str, &str) {
    assert_eq!(events.len(), 1);
    let told = &events[0].diagnostic;
    assert_eq!(errors(told).len(), 1, "{told:?}");
    (&told[0].summary, &told[0].detail)
}

#[test]
fn servers_are_found_with_the_identities_that_they_were_made_with() {
    let lab = Lab::standard();
    let (mut host, servers) = with_servers(&lab);
    let found = host.list(&json!({ "managed": true }), false, ALL);
    assert_eq!(names(&found), ["web-lab1 (lab1)", "web-lab2 (lab2)"]);
    for (event, server) in found.iter().zip(&servers) {
        assert_eq!(event.identity, server.identity);
        assert_eq!((&event.resource_object, event.diagnostic.len()), (&None, 0));
    }
}

#[test]
fn a_state_of_the_list_is_that_of_an_import() {
    let lab = Lab::standard();
    let (mut host, servers) = with_servers(&lab);
    let found = host.list(&json!({ "name_regex": "^web-lab2$" }), true, ALL);
    let imported = host.import("", servers[1].identity.clone()).expect("the server");
    assert_eq!(found[0].resource_object, imported.state);
    let read = host.read(&imported);
    host.expect_empty_plan(&read, &web("lab2"));
}

#[test]
fn filters_and_limit_leave_out_the_rest() {
    let lab = Lab::standard();
    let (mut host, _servers) = with_servers(&lab);
    let mut named = |filters: Json| {
        let found = host.list(&filters, false, ALL);
        assert!(found.iter().all(|event| event.diagnostic.is_empty()));
        names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let everything = named(Json::Null);
    assert_eq!(everything, named(json!({})), "no block of filters, and an empty one");
    let others = named(json!({ "managed": false }));
    assert!(!others.is_empty(), "the lab has guests of others");
    assert_eq!(everything.len(), others.len() + 2);
    assert_eq!(named(json!({ "pool": "lab1", "managed": true })), ["web-lab1 (lab1)"]);
    assert_eq!(named(json!({ "tags": ["ci"] })).len(), 2);
    assert_eq!(named(json!({ "tags": ["ci", "other"] })), [""; 0]);
    assert_eq!(named(json!({ "os": "debian12", "power_state": "halted" })), [""; 0]);
    assert_eq!(
        names(&host.list(&json!({ "managed": true }), false, 1)),
        ["web-lab1 (lab1)"]
    );
}

#[test]
fn half_a_list_is_an_error() {
    let lab = Lab::standard();
    let (mut host, _servers) = with_servers(&lab);
    for name in ["xen21", "xen22", "xen23"] {
        let goes = async { lab.control().set_host_reachable("lab2", name, false) };
        lab.wait_for(goes).expect("a host of lab2");
    }
    let found = host.list(&json!({ "managed": true }), false, ALL);
    let (_, detail) = only_error(&found);
    assert!(detail.contains("lab2"), "{detail}");
    let mut unconfigured = Host::unconfigured(&lab);
    let found = unconfigured.list(&Json::Null, false, ALL);
    assert_eq!(only_error(&found).0, "Provider not configured");
}
