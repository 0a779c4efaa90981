//! A virtual server as a table: the most demanding resource that the engine was made for. Each row says what a change
//! of an attribute means; the test says the same again from the user's side.

use cty::{Path, Type, Value};
use engine::constraint::Constraint;
use engine::equality::Equality;
use engine::oracle::{self, Owner};
use engine::plan::{Action, Draft};
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use engine::timeouts::Timeouts;
use engine::validate::{self, WriteOnly};

const TIMEOUTS: Timeouts = Timeouts::new(&[
    ("create", "20m", "Creating"),
    ("ip", "400s", "Waiting for an address"),
    ("delete", "10m", "Destroying"),
]);

/// Attributes that a restart makes unknown.
const HARDWARE: [&str; 3] = ["cpus", "memory_mib", "power_state"];

fn server() -> Schema {
    let seconds = |name| Attribute::number(name).computed();
    Schema::new(vec![
        Attribute::string("name")
            .required()
            .rule(Rule::length(1..=255))
            .rule(Rule::not_prefixed("dynvm-new-")),
        Attribute::string("os").replaces(),
        Attribute::string("template"),
        Attribute::integer("cpus")
            .optional_computed()
            .keep()
            .rule(Rule::at_least(1)),
        Attribute::integer("memory_mib").optional_computed().keep(),
        Attribute::string("ttl")
            .optional_computed()
            .keep()
            .equality(Equality::Duration)
            .rule(Rule::positive_duration()),
        Attribute::map("renew_triggers", Type::String),
        Attribute::string("pool")
            .optional_computed()
            .keep()
            .replaces_if_configured(),
        Attribute::string("user_data")
            .sensitive()
            .replaces_if(|change| !change.prior.is_null(), "there was some before"),
        Attribute::set("tags", Type::String).rule(Rule::each(Rule::not_prefixed("dynvm"))),
        Attribute::string("power_state")
            .optional_computed()
            .default("running")
            .rule(Rule::one_of(["running", "halted"])),
        Attribute::boolean("wait_for_ip").optional_computed().default(true),
        Attribute::list("ready_ports", Type::Number).rule(Rule::each(Rule::between(1, 65535))),
        TIMEOUTS.attribute(),
        Attribute::string("id").computed().keep(),
        Attribute::string("ip_address")
            .computed()
            .unknown_when_changed(&HARDWARE),
        Attribute::string("template_uuid").computed().keep(),
        Attribute::string("expires_at")
            .computed()
            .unknown_when_changed(&["ttl", "renew_triggers"]),
        Attribute::object("timings", vec![seconds("queue"), seconds("clone")])
            .computed()
            .keep(),
    ])
    .rule(Constraint::exactly_one_of(&["os", "template"]))
}

/// What the resource adds to the table: a null ttl takes the provider's default at each plan, and a template replaces
/// only if it is another one.
fn hook(draft: &mut Draft<'_>, default_ttl: &str, template_uuid: &str) {
    if draft.config().get("ttl").is_null() {
        draft.set("ttl", default_ttl);
    }
    if draft.is_changed("template") && draft.prior().get("template_uuid") != &template_uuid.into() {
        draft.require_replace("template");
    }
}

fn object(attributes: &[(&str, Value)]) -> Value {
    attributes.iter().fold(server().empty(), |object, (name, value)| {
        object.with(*name, value.clone())
    })
}

fn config() -> Value {
    object(&[("name", "web".into()), ("template", "debian".into())])
}

fn state() -> Value {
    let timings = Value::object([("queue", 0.into()), ("clone", 12.into())]);
    let facts = object(&[
        ("cpus", 2.into()),
        ("memory_mib", 2048.into()),
        ("ttl", "12h".into()),
        ("pool", "lab1".into()),
        ("power_state", "running".into()),
        ("wait_for_ip", true.into()),
        ("id", "vm-1".into()),
        ("ip_address", "10.0.0.7".into()),
        ("template_uuid", "t-1".into()),
        ("expires_at", "2026-11-21T10:00:00Z".into()),
        ("timings", timings),
    ]);
    facts.with("name", "web").with("template", "debian")
}

/// Plans an update and says: what is unknown, what replaces.
fn planned(name: &str, value: impl Into<Value>) -> (Vec<String>, Vec<Path>) {
    let (schema, config) = (server(), config().with(name, value));
    let mut draft = Draft::new(&schema, config.clone(), state());
    hook(&mut draft, "12h", "t-1");
    let plan = draft.finish();
    let violations = oracle::check_plan(&schema, &state(), &config, &plan.planned, &plan.requires_replace);
    assert!(violations.is_empty(), "{violations:?}");
    let values = plan.planned.as_map().into_iter().flatten();
    (
        values
            .filter(|(_, value)| value.is_unknown())
            .map(|(name, _)| name.clone())
            .collect(),
        plan.requires_replace,
    )
}

#[test]
fn the_table_is_sound() {
    assert_eq!(oracle::check_schema(&server(), Owner::Resource), []);
}

#[test]
fn each_change_means_what_the_table_says() {
    let triggers = Value::object([("week", "47".into())]);
    let timeouts = Value::object([("create", "30m".into())]);
    let cases: Vec<(&str, Value, &[&str], &[&str])> = vec![
        ("name", "web2".into(), &[], &[]),
        ("cpus", 4.into(), &["ip_address"], &[]),
        ("power_state", "halted".into(), &["ip_address"], &[]),
        ("ttl", "720m".into(), &[], &[]),
        ("ttl", "2h".into(), &["expires_at"], &[]),
        ("renew_triggers", triggers, &["expires_at"], &[]),
        ("pool", "lab1".into(), &[], &[]),
        ("pool", "lab2".into(), &[], &["pool"]),
        ("pool", Value::unknown(), &["pool"], &["pool"]),
        ("template", "debian-12".into(), &[], &[]),
        ("user_data", "#cloud-config".into(), &[], &[]),
        ("tags", Value::set(["ci"]), &[], &[]),
        ("timeouts", timeouts, &[], &[]),
        ("wait_for_ip", false.into(), &[], &[]),
    ];
    for (name, value, unknown, replaces) in cases {
        let (found, paths) = planned(name, value.clone());
        assert_eq!(found, unknown, "{name} = {value}");
        assert_eq!(
            paths,
            replaces.iter().map(|name| Path::from(*name)).collect::<Vec<_>>(),
            "{name} = {value}"
        );
    }
}

#[test]
fn nothing_changes_while_the_defaults_do_not() {
    let schema = server();
    let mut draft = Draft::new(&schema, config(), state());
    hook(&mut draft, "720m", "t-1");
    assert_eq!((draft.action(), draft.planned()), (Action::NoOp, &state()));
    hook(&mut draft, "24h", "t-1");
    assert_eq!(draft.action(), Action::Update);
    assert!(draft.planned().get("expires_at").is_unknown());
    assert_eq!(draft.planned().get("ip_address"), state().get("ip_address"));
}

#[test]
fn another_template_replaces_and_the_same_under_another_name_does_not() {
    let schema = server();
    for (uuid, expected) in [("t-1", vec![]), ("t-2", vec![Path::from("template")])] {
        let mut draft = Draft::new(&schema, config().with("template", "other"), state());
        hook(&mut draft, "12h", uuid);
        assert_eq!(draft.requires_replace(), expected, "{uuid}");
    }
}

#[test]
fn a_create_knows_only_what_is_said() {
    let schema = server();
    let mut draft = Draft::new(&schema, config(), Value::Null);
    hook(&mut draft, "12h", "t-1");
    let planned = draft.planned();
    for name in ["id", "ip_address", "cpus", "pool", "expires_at", "timings"] {
        assert!(planned.get(name).is_unknown(), "{name}");
    }
    assert_eq!(
        (planned.get("ttl"), planned.get("power_state")),
        (&"12h".into(), &"running".into())
    );
}

#[test]
fn configurations_are_judged_by_the_table() {
    let cases: Vec<(Value, &[&str])> = vec![
        (config(), &[]),
        (config().with("os", "debian"), &["template"]),
        (config().with("template", Value::Null), &[""]),
        (config().with("name", "dynvm-new-x"), &["name"]),
        (config().with("ttl", "1month"), &["ttl"]),
        (config().with("tags", Value::set(["a", "dynvm:x"])), &["tags"]),
        (
            config().with("ready_ports", Value::list([22, 70000])),
            &["ready_ports[1]"],
        ),
        (
            config().with("timeouts", Value::object([("ip", "0s".into())])),
            &["timeouts.ip"],
        ),
        (
            config().with("id", "vm-1").with("power_state", "off"),
            &["power_state", "id"],
        ),
    ];
    for (config, expected) in cases {
        let found = validate::config(&server(), &config, WriteOnly::Allowed);
        let paths: Vec<String> = found
            .iter()
            .map(|found| found.path.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        assert_eq!(paths, expected, "{config}");
    }
}
