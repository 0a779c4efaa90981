//! States that landed versions wrote: each is of the current type after the upgrade, and nothing is to be done about its server.
//!
//! All were of schema version 0, each with the attributes that its table had then. A table that gets another shape adds its state here.

use std::collections::BTreeSet;

use acceptance::Lab;
use serde_json::{Map, Value as Json, json};

use crate::host::{Host, Kept};

/// One state for each shape that the table of `dynvm_server` ever had, the oldest first.
const STATES: [(&str, &str); 6] = [
    ("first", include_str!("states/1-first.json")),
    ("renewing", include_str!("states/2-renewing.json")),
    ("labels and host", include_str!("states/3-labels-and-host.json")),
    ("reservations", include_str!("states/4-reservations.json")),
    ("power", include_str!("states/5-power.json")),
    ("first boot", include_str!("states/6-first-boot.json")),
];

/// What the configuration says in all of them; of later ones also what their attributes are for.
const CONFIGURED: [&str; 8] = [
    "name",
    "os",
    "tags",
    "cpus",
    "ttl",
    "timeouts",
    "renew_triggers",
    "user_data",
];

fn object(text: &str) -> Map<String, Json> {
    serde_json::from_str(text).expect("a state")
}

#[test]
fn every_state_that_was_ever_written_plans_empty() {
    let lab = Lab::standard();
    let mut host = Host::start(&lab);
    let config =
        json!({ "name": "web", "os": "debian12", "tags": ["ci", "web"], "cpus": 4, "ttl": "90m", "pool": "lab1" });
    let made = host.apply(&Kept::default(), &config);
    let now = host.state(&made);
    for (shape, text) in STATES {
        let mut stored = object(text);
        let config: Map<String, Json> = CONFIGURED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), stored.get(*name)?.clone())))
            .collect();
        let config = Json::Object(config);
        // What was seen of the server is what is seen of this one.
        for (name, value) in &mut stored {
            if config.get(name).is_none() && name != "timings" && name != "user_data" {
                *value = now[name].clone();
            }
        }
        let upgraded = Kept {
            state: Some(host.upgraded(&Json::Object(stored))),
            private: made.private.clone(),
            identity: None,
        };
        host.expect_empty_plan(&upgraded, &config);
        let read = host.read(&upgraded);
        assert_eq!(read.identity, made.identity, "{shape}");
        host.expect_empty_plan(&read, &config);
    }
}

#[test]
fn the_newest_state_has_every_attribute_and_each_older_one_fewer() {
    let lab = Lab::standard();
    let host = Host::unconfigured(&lab);
    let names = |text: &str| object(text).keys().cloned().collect::<BTreeSet<String>>();
    for pair in STATES.windows(2) {
        assert!(
            names(pair[0].1).is_subset(&names(pair[1].1)),
            "{} and {}",
            pair[0].0,
            pair[1].0
        );
    }
    let schema = &host.schemas.resource_schemas["dynvm_server"];
    let rows = &schema.block.as_ref().expect("a block").attributes;
    let now: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(
        now,
        names(STATES[5].1),
        "the table has another shape: add a state of it"
    );
    assert_eq!(schema.version, 0);
}
