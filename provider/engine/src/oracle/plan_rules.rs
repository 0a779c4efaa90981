//! The rules for plans: core's `AssertPlanValid`, and that the plan made again at apply agrees with the first.

use cty::{Path, Value};

use super::apply_rules::compatible;
use super::{Found, Violation, unrefined};
use crate::plan::Plan;
use crate::schema::{Attribute, Kind, Nesting, Schema};

/// Checks the answer to a plan.
#[must_use]
pub fn check_plan(
    schema: &Schema,
    prior: &Value,
    config: &Value,
    planned: &Value,
    requires_replace: &[Path],
) -> Vec<Violation> {
    let ty = schema.value_type();
    let mut found = Found::new("Provider produced invalid plan");
    found.conforms(planned, &ty);
    match (config, planned) {
        (Value::Null, Value::Null) => {}
        (Value::Null, _) => found.add(&Path::root(), "planned a non-null destroy value"),
        (_, Value::Null) => found.add(&Path::root(), "planned for absence but config wants existence"),
        (_, Value::Unknown(_)) => found.add(&Path::root(), "planned the whole object as unknown"),
        (config, planned) => {
            found.write_only_null(schema, planned);
            let [prior, config, planned] = [prior, config, planned].map(|value| unrefined(value, &ty));
            object(
                &mut found,
                &schema.attributes,
                &Three {
                    prior: &prior,
                    config: &config,
                    planned: &planned,
                },
                &Path::root(),
            );
        }
    }
    if !prior.is_null() && !planned.is_null() {
        for path in requires_replace
            .iter()
            .filter(|path| prior.at(path).is_none() && planned.at(path).is_none())
        {
            found.add(
                path,
                "requires replacement for a path that is in neither the prior nor the planned state",
            );
        }
    }
    found.violations
}

/// Checks the plan made again at apply, with the configuration known, against the first.
#[must_use]
pub fn check_final_plan(schema: &Schema, prior: &Value, first: &Plan, second: &Plan) -> Vec<Violation> {
    let mut found = Found::new("Provider produced inconsistent final plan");
    let (before, after) = (action(prior, first), action(prior, second));
    if before != after && (before, after) != ("update", "no-op") {
        found.add(&Path::root(), format!("the action changed from {before} to {after}"));
    }
    compatible(&mut found, schema, &first.planned, &second.planned);
    found.violations
}

fn action(prior: &Value, plan: &Plan) -> &'static str {
    match (prior, &plan.planned) {
        (_, Value::Null) => "delete",
        (Value::Null, _) => "create",
        (prior, planned) if prior == planned => "no-op",
        _ if !plan.requires_replace.is_empty() => "replace",
        _ => "update",
    }
}

/// The same place in the three values that core compares.
struct Three<'a> {
    prior: &'a Value,
    config: &'a Value,
    planned: &'a Value,
}

impl<'a> Three<'a> {
    fn get(&self, name: &str) -> Three<'a> {
        Three {
            prior: self.prior.get(name),
            config: self.config.get(name),
            planned: self.planned.get(name),
        }
    }
}

fn object(found: &mut Found, attributes: &[Attribute], values: &Three<'_>, path: &Path) {
    for attribute in attributes {
        value(
            found,
            attribute,
            &values.get(&attribute.name),
            &path.attribute(&attribute.name),
        );
    }
}

fn value(found: &mut Found, attribute: &Attribute, values: &Three<'_>, path: &Path) {
    let Three { prior, config, planned } = *values;
    let as_configured = planned == config;
    let as_before = planned == prior && !prior.is_null() && !config.is_null();
    let filled_in = config.is_null() && attribute.presence.is_computed();
    let read_only = attribute.presence.is_computed() && !attribute.presence.is_optional();
    let withheld = attribute.write_only && planned.is_null();
    if as_configured || as_before || filled_in || read_only || withheld {
        return;
    }
    if config.is_null() {
        found.add(
            path,
            match attribute.sensitive {
                true => "sensitive planned value for a non-computed attribute".to_owned(),
                false => format!("planned value {planned} for a non-computed attribute"),
            },
        );
        return;
    }
    match &attribute.kind {
        Kind::Nested(nesting, inside) => nested(found, *nesting, inside, values, path),
        Kind::Plain(_) => found.add(path, mismatch(attribute, values)),
    }
}

fn mismatch(attribute: &Attribute, values: &Three<'_>) -> String {
    let Three { prior, config, planned } = values;
    match (attribute.sensitive, prior.is_null()) {
        (true, true) => "sensitive planned value does not match config value".to_owned(),
        (true, false) => "sensitive planned value does not match config value nor prior value".to_owned(),
        (false, true) => format!("planned value {planned} does not match config value {config}"),
        (false, false) => {
            format!("planned value {planned} does not match config value {config} nor prior value {prior}")
        }
    }
}

fn nested(found: &mut Found, nesting: Nesting, attributes: &[Attribute], values: &Three<'_>, path: &Path) {
    let Three { prior, config, planned } = *values;
    match (nesting, config, planned) {
        (_, _, Value::Null) => found.add(path, "planned for absence but config wants existence"),
        (_, _, Value::Unknown(_)) => found.add(path, "planned unknown for configured value"),
        (_, Value::Unknown(_), _) => found.add(path, "planned a known value for an unknown configured one"),
        (Nesting::Single, ..) => object(found, attributes, values, path),
        (Nesting::List, Value::List(configs), Value::List(planneds)) => {
            if same_count(found, configs.len(), planneds.len(), path) {
                let priors = prior.as_list().unwrap_or_default();
                for (index, (config, planned)) in configs.iter().zip(planneds).enumerate() {
                    let prior = priors.get(index).unwrap_or(&Value::Null);
                    object(found, attributes, &Three { prior, config, planned }, &path.index(index));
                }
            }
        }
        (Nesting::Map, Value::Map(configs), Value::Map(planneds)) => {
            for key in planneds.keys().filter(|key| !configs.contains_key(*key)) {
                found.add(path, format!("map key {key:?} from plan is not present in config"));
            }
            for (key, config) in configs {
                match planneds.get(key) {
                    Some(planned) => object(
                        found,
                        attributes,
                        &Three {
                            prior: prior.get(key),
                            config,
                            planned,
                        },
                        &path.key(key),
                    ),
                    None => found.add(path, format!("map key {key:?} from config is not present in plan")),
                }
            }
        }
        // The elements of a set cannot be told apart, so core trusts the provider, within the count.
        (Nesting::Set, Value::List(configs), Value::List(planneds)) => {
            let fewest = |elements: &[Value]| {
                if elements.iter().all(Value::is_wholly_known) {
                    elements.len()
                } else {
                    1
                }
            };
            if planneds.len() < fewest(configs) || configs.len() < fewest(planneds) {
                same_count(found, configs.len(), planneds.len(), path);
            }
        }
        (Nesting::List | Nesting::Map | Nesting::Set, ..) => {
            found.add(path, "planned a value of another kind than configured")
        }
    }
}

fn same_count(found: &mut Found, config: usize, planned: usize, path: &Path) -> bool {
    if config != planned {
        found.add(
            path,
            format!("count in plan ({planned}) disagrees with count in config ({config})"),
        );
    }
    config == planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use cty::Type;

    fn schema() -> Schema {
        let disk = || {
            vec![
                Attribute::integer("size").required(),
                Attribute::string("id").computed(),
            ]
        };
        Schema::new(vec![
            Attribute::string("name").required(),
            Attribute::string("ttl").optional_computed(),
            Attribute::string("id").computed(),
            Attribute::string("secret").sensitive(),
            Attribute::string("token").write_only(),
            Attribute::map("tags", Type::String),
            Attribute::object("boot", disk()),
            Attribute::object_list("disks", disk()),
            Attribute::object_set("shares", disk()),
            Attribute::object_map("pools", disk()),
        ])
    }

    fn disk(size: i64) -> Value {
        Value::object([("size", Value::from(size)), ("id", Value::Null)])
    }

    fn config() -> Value {
        schema()
            .empty()
            .with("name", "vm")
            .with("boot", disk(1))
            .with("disks", Value::list([disk(2)]))
            .with("shares", Value::set([disk(3), disk(4)]))
            .with("pools", Value::object([("a", disk(5))]))
            .with("token", "t")
    }

    fn honest() -> Value {
        config()
            .with("token", Value::Null)
            .with("id", Value::unknown())
            .with("ttl", "1h")
    }

    fn violations(prior: &Value, planned: &Value, replace: &[Path]) -> Vec<String> {
        check_plan(&schema(), prior, &config(), planned, replace)
            .iter()
            .map(|violation| format!("{}: {}", violation.path, violation.problem))
            .collect()
    }

    #[test]
    fn an_honest_plan_passes() {
        let inside = honest().with(Path::from("disks").index(0).attribute("id"), Value::unknown());
        for planned in [honest(), inside] {
            assert_eq!(violations(&Value::Null, &planned, &[]), Vec::<String>::new());
        }
    }

    #[test]
    fn each_way_to_stray_from_the_configuration_is_found() {
        let cases = [
            (
                "name",
                Value::from("other"),
                r#"name: planned value "other" does not match config value "vm""#,
            ),
            (
                "name",
                Value::unknown(),
                r#"name: planned value (known after apply) does not match config value "vm""#,
            ),
            (
                "secret",
                "s".into(),
                "secret: sensitive planned value for a non-computed attribute",
            ),
            (
                "tags",
                Value::object::<&str>([]),
                "tags: planned value {} for a non-computed attribute",
            ),
            (
                "token",
                "t".into(),
                "token: returned a value for the write-only attribute",
            ),
            (
                "boot",
                Value::Null,
                "boot: planned for absence but config wants existence",
            ),
            ("boot", Value::unknown(), "boot: planned unknown for configured value"),
            (
                "boot",
                disk(9),
                "boot.size: planned value 9 does not match config value 1",
            ),
            (
                "disks",
                Value::list([disk(2), disk(2)]),
                "disks: count in plan (2) disagrees with count in config (1)",
            ),
            (
                "disks",
                Value::list([disk(9)]),
                "disks[0].size: planned value 9 does not match config value 2",
            ),
            (
                "shares",
                Value::set([disk(3)]),
                "shares: count in plan (1) disagrees with count in config (2)",
            ),
            (
                "pools",
                Value::object([("b", disk(5))]),
                r#"pools: map key "b" from plan is not present in config"#,
            ),
            (
                "pools",
                Value::object([("a", disk(9))]),
                r#"pools["a"].size: planned value 9 does not match config value 5"#,
            ),
            ("colour", "red".into(), r#": unsupported attribute "colour""#),
            ("id", Value::from(true), ": "),
        ];
        for (name, value, expected) in cases {
            let found = violations(&Value::Null, &honest().with(name, value), &[]);
            assert!(
                found
                    .first()
                    .is_some_and(|first| first.starts_with(expected) || expected == ": "),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn the_prior_value_is_the_other_way_to_agree() {
        let prior = honest().with("name", "VM").with("id", "1");
        assert_eq!(violations(&prior, &prior, &[]), Vec::<String>::new());
        let neither = violations(&prior, &prior.clone().with("name", "Vm"), &[]);
        assert_eq!(
            neither,
            [r#"name: planned value "Vm" does not match config value "vm" nor prior value "VM""#]
        );
    }

    #[test]
    fn presence_follows_the_configuration() {
        let absent = violations(&Value::Null, &Value::Null, &[]);
        assert_eq!(absent, [": planned for absence but config wants existence"]);
        let destroy = check_plan(&schema(), &honest(), &Value::Null, &honest(), &[]);
        assert_eq!(
            destroy.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["Provider produced invalid plan: planned a non-null destroy value"]
        );
    }

    #[test]
    fn replacement_needs_a_path_that_exists() {
        let prior = honest().with("id", "1");
        let nowhere = Path::from("disks").index(7);
        assert_eq!(
            violations(&prior, &prior, &[Path::from("name"), nowhere.clone()]).len(),
            1
        );
        assert_eq!(violations(&Value::Null, &honest(), &[nowhere]).len(), 0);
    }

    #[test]
    fn the_final_plan_keeps_action_and_known_values() {
        let plan = |planned: Value, replace: Vec<Path>| Plan {
            planned,
            requires_replace: replace,
            diagnostics: Default::default(),
        };
        let prior = honest().with("id", "1");
        let check = |first: &Plan, second: &Plan| {
            check_final_plan(&schema(), &prior, first, second)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let title = "Provider produced inconsistent final plan: ";
        let update = plan(honest().with("ttl", Value::unknown()), vec![]);
        assert_eq!(check(&update, &plan(prior.clone(), vec![])), Vec::<String>::new());
        assert_eq!(check(&update, &plan(honest(), vec![])), Vec::<String>::new());
        assert_eq!(
            check(&update, &plan(honest(), vec!["name".into()])),
            [format!("{title}the action changed from update to replace")]
        );
        let other = plan(honest().with("ttl", "2h"), vec![]);
        assert_eq!(
            check(&plan(honest(), vec![]), &other),
            [format!(r#"{title}ttl: was "1h", but now "2h""#)]
        );
    }
}
