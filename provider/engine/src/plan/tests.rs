//! The plan pipeline, case by case. What holds for every schema stands in the property tests.

use cty::{Path, Type, Value};

use super::{Action, Draft, Plan, plan};
use crate::equality::Equality;
use crate::schema::{Attribute, Schema};

fn server() -> Schema {
    let disk = vec![
        Attribute::string("name").required(),
        Attribute::string("kind").optional_computed().default("ssd").replaces(),
        Attribute::string("id").computed().keep(),
        Attribute::string("device").computed(),
    ];
    Schema::new(vec![
        Attribute::string("name").required(),
        Attribute::integer("cpus").optional_computed().keep(),
        Attribute::string("image").optional().replaces(),
        Attribute::string("pool")
            .optional_computed()
            .keep()
            .replaces_if_configured(),
        Attribute::string("ttl")
            .optional_computed()
            .keep()
            .equality(Equality::Duration),
        Attribute::boolean("wait").optional_computed().default(true),
        Attribute::string("token").write_only(),
        Attribute::set("tags", Type::String),
        Attribute::string("id").computed().keep(),
        Attribute::string("address")
            .computed()
            .unknown_when_changed(&["cpus", "image"]),
        Attribute::string("os_version")
            .computed()
            .unknown_when_changed(&["address"]),
        Attribute::string("etag").computed(),
        Attribute::object_list("disks", disk.clone()).match_elements_by("name"),
        Attribute::object_set("shares", disk),
    ])
}

fn object(attributes: &[(&str, Value)]) -> Value {
    attributes.iter().fold(server().empty(), |object, (name, value)| {
        object.with(*name, value.clone())
    })
}

/// A server as it stands in the state.
fn state() -> Value {
    object(&[
        ("name", "vm".into()),
        ("cpus", 2.into()),
        ("image", "debian".into()),
        ("pool", "lab".into()),
        ("ttl", "12h".into()),
        ("wait", true.into()),
        ("id", "1".into()),
        ("address", "10.0.0.1".into()),
        ("os_version", "12".into()),
        ("etag", "e1".into()),
        ("disks", Value::list([disk("a", "ssd", "d1"), disk("b", "ssd", "d2")])),
    ])
}

fn disk(name: &str, kind: impl Into<Value>, id: impl Into<Value>) -> Value {
    let id = id.into();
    let device = id.as_str().map(|id| format!("/dev/{id}"));
    let device = if id.is_unknown() {
        Value::unknown()
    } else {
        device.into()
    };
    Value::object([
        ("name", name.into()),
        ("kind", kind.into()),
        ("id", id),
        ("device", device),
    ])
}

/// The configuration that led to the state.
fn config() -> Value {
    let disks = [disk("a", Value::Null, Value::Null), disk("b", Value::Null, Value::Null)];
    object(&[
        ("name", "vm".into()),
        ("image", "debian".into()),
        ("disks", Value::list(disks)),
    ])
}

fn planned(config: Value, prior: Value) -> Plan {
    plan(&server(), config, prior)
}

/// The names of the top-level attributes that are planned unknown.
fn unknown(plan: &Plan) -> Vec<&str> {
    let attributes = plan.planned.as_map().into_iter().flatten();
    attributes
        .filter(|(_, value)| value.is_unknown())
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn nothing_changes_nothing_is_unknown() {
    let plan = planned(config(), state());
    assert_eq!(
        plan,
        Plan {
            planned: state(),
            requires_replace: vec![],
            diagnostics: Default::default()
        }
    );
    assert_eq!(Draft::new(&server(), config(), state()).action(), Action::NoOp);
}

#[test]
fn a_create_knows_what_is_configured_and_the_defaults() {
    let plan = planned(config().with("token", "t"), Value::Null);
    assert_eq!(
        unknown(&plan),
        ["address", "cpus", "etag", "id", "os_version", "pool", "ttl"]
    );
    assert_eq!(plan.planned.get("wait"), &Value::from(true));
    assert_eq!(plan.planned.get("token"), &Value::Null);
    assert_eq!(plan.planned.get("tags"), &Value::Null);
    let first = Path::from("disks").index(0);
    assert_eq!(plan.planned.at(&first), Some(&disk("a", "ssd", Value::unknown())));
    assert_eq!(plan.requires_replace, []);
}

#[test]
fn a_destroy_is_null_whatever_the_hook_does() {
    let schema = server();
    let mut draft = Draft::new(&schema, Value::Null, state());
    assert_eq!(draft.action(), Action::Delete);
    draft.set("id", "2");
    draft.require_replace("image");
    assert_eq!(
        draft.finish(),
        Plan {
            planned: Value::Null,
            requires_replace: vec![],
            diagnostics: Default::default()
        }
    );
}

#[test]
fn an_update_makes_unknown_what_the_table_says() {
    let cases: [(&str, Value, &[&str]); 4] = [
        ("name", "other".into(), &["etag"]),
        ("cpus", 4.into(), &["address", "etag", "os_version"]),
        ("cpus", Value::unknown(), &["address", "cpus", "etag", "os_version"]),
        ("tags", Value::set(["x"]), &["etag"]),
    ];
    for (name, value, expected) in cases {
        assert_eq!(
            unknown(&planned(config().with(name, value), state())),
            expected,
            "{name}"
        );
    }
}

#[test]
fn replacement_is_asked_for_where_something_changes() {
    let paths = |config: Value| planned(config, state()).requires_replace;
    assert_eq!(paths(config().with("image", "ubuntu")), [Path::from("image")]);
    assert_eq!(paths(config().with("image", Value::unknown())), [Path::from("image")]);
    assert_eq!(paths(config().with("pool", "lab")), []);
    assert_eq!(paths(config().with("pool", "other")), [Path::from("pool")]);
    let other_kind = Value::list([disk("a", "hdd", Value::Null), disk("b", Value::Null, Value::Null)]);
    assert_eq!(paths(config().with("disks", other_kind)), [Path::from("disks")]);
    let one_more = Value::list(["a", "b", "c"].map(|name| disk(name, Value::Null, Value::Null)));
    assert_eq!(paths(config().with("disks", one_more)), []);
}

#[test]
fn replacement_may_be_decided_by_a_function() {
    let grows = |change: &crate::schema::Change<'_>| change.planned.as_i64() < change.prior.as_i64();
    let schema = Schema::new(vec![
        Attribute::integer("size").required().replaces_if(grows, "it shrinks"),
    ]);
    let paths = |size: i64| {
        plan(
            &schema,
            Value::object([("size", size.into())]),
            Value::object([("size", 5.into())]),
        )
        .requires_replace
    };
    assert_eq!(paths(6), []);
    assert_eq!(paths(4), [Path::from("size")]);
}

#[test]
fn another_spelling_is_no_change() {
    let plan = planned(config().with("ttl", "720m"), state());
    assert_eq!(plan.planned, state());
    let plan = planned(config().with("ttl", "721m"), state());
    assert_eq!(plan.planned.get("ttl"), &Value::from("721m"));
}

#[test]
fn elements_keep_what_they_were_wherever_they_move() {
    let swapped = Value::list([disk("b", Value::Null, Value::Null), disk("a", Value::Null, Value::Null)]);
    let plan = planned(config().with("disks", swapped), state());
    let id = |index| {
        plan.planned
            .at(&Path::from("disks").index(index).attribute("id"))
            .and_then(Value::as_str)
    };
    assert_eq!((id(0), id(1)), (Some("d2"), Some("d1")));
}

#[test]
fn defaults_reach_the_elements_of_sets_one_by_one() {
    let share = |name: &str, kind: Option<&str>| disk(name, kind, Value::Null);
    let shares = Value::set([share("a", None), share("b", Some("hdd")), share("c", None)]);
    let plan = planned(config().with("shares", shares.clone()), Value::Null);
    let kinds: Vec<_> = plan
        .planned
        .get("shares")
        .as_list()
        .unwrap()
        .iter()
        .map(|share| (share.get("name").as_str(), share.get("kind").as_str()))
        .collect();
    assert_eq!(kinds.len(), 3);
    for expected in [
        (Some("a"), Some("ssd")),
        (Some("b"), Some("hdd")),
        (Some("c"), Some("ssd")),
    ] {
        assert!(kinds.contains(&expected), "{kinds:?}");
    }
    let made = Value::set([disk("a", "ssd", "1"), disk("b", "hdd", "2"), disk("c", "ssd", "3")]);
    let again = planned(config().with("shares", shares), state().with("shares", made.clone()));
    assert_eq!(again.planned.get("shares"), &made);
}

#[test]
fn set_elements_that_become_alike_are_an_error() {
    let shares = Value::set([disk("a", Value::Null, Value::Null), disk("a", "ssd", Value::Null)]);
    let schema = Schema::new(vec![Attribute::object_set(
        "shares",
        vec![
            Attribute::string("name"),
            Attribute::string("kind").optional_computed().default("ssd"),
        ],
    )]);
    let strip =
        |share: &Value| Value::object([("name", share.get("name").clone()), ("kind", share.get("kind").clone())]);
    let shares = Value::set(shares.as_list().unwrap().iter().map(strip));
    let plan = plan(&schema, Value::object([("shares", shares)]), Value::Null);
    let [found] = plan.diagnostics.iter().collect::<Vec<_>>()[..] else {
        panic!("one diagnostic")
    };
    assert_eq!(found.summary, "Duplicate set element");
}

#[test]
fn the_hook_pins_and_the_table_follows() {
    let schema = server();
    let mut draft = Draft::new(&schema, config(), state());
    draft.set("ttl", "720m");
    assert_eq!(draft.action(), Action::NoOp, "the same ttl in another spelling");
    draft.set("cpus", 4);
    assert_eq!(draft.action(), Action::Update);
    assert!(draft.is_changed("address") && draft.is_changed("etag") && !draft.is_changed("id"));
    draft.keep("etag");
    draft.mark_unknown("id");
    let plan = draft.finish();
    assert_eq!(unknown(&plan), ["address", "id", "os_version"]);
    assert_eq!(plan.planned.get("cpus"), &Value::from(4));
    assert_eq!(plan.planned.get("etag"), &Value::from("e1"));
}

#[test]
fn the_hook_asks_for_replacement_only_with_a_change() {
    let schema = server();
    let mut draft = Draft::new(&schema, config().with("name", "other"), state());
    draft.require_replace("name");
    draft.require_replace("cpus");
    assert_eq!(draft.requires_replace(), [Path::from("name")]);
    assert!(draft.finish().diagnostics.is_empty());
}

#[test]
fn a_hook_that_goes_astray_is_told() {
    let schema = server();
    let shares = Value::set([disk("a", Value::Null, Value::Null)]);
    let mut draft = Draft::new(&schema, config().with("name", "other").with("shares", shares), state());
    draft.set("colour", "red");
    draft.set(Path::from("id").attribute("x"), "red");
    draft.keep(Path::from("shares").index(0).attribute("id"));
    draft.require_replace(Path::from("disks").index(9));
    assert_eq!(draft.diagnostics.len(), 4);
    assert!(draft.finish().diagnostics.has_errors());
}
