//! The rules for schemas: core's `InternalValidate`, and what the engine's own rows need to make sense.

use std::collections::BTreeSet;

use cty::{Path, Type, Value};

use super::{Found, Violation, identity_rules, write_only_paths};
use crate::function::{Parameter, Signature};
use crate::schema::{Attribute, Kind, Nesting, OnUpdate, Presence, Schema};

/// Whose schema it is: each has names that HCL needs for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The provider's configuration.
    Provider,
    /// A resource.
    Resource,
    /// A data source.
    DataSource,
    /// The filters of a list.
    List,
}

impl Owner {
    fn reserved(self) -> &'static [&'static str] {
        match self {
            Owner::Provider => &["alias", "version"],
            // A block of their own.
            Owner::List => &[],
            Owner::Resource | Owner::DataSource => &[
                "connection",
                "count",
                "depends_on",
                "for_each",
                "lifecycle",
                "provider",
                "provisioner",
            ],
        }
    }
}

/// Checks a schema.
#[must_use]
pub fn check_schema(schema: &Schema, owner: Owner) -> Vec<Violation> {
    let mut found = Found::new("Invalid schema");
    if schema.version < 0 {
        found.add(&Path::root(), "the version must not be negative");
    }
    for attribute in schema
        .attributes
        .iter()
        .filter(|attribute| owner.reserved().contains(&attribute.name.as_str()))
    {
        found.add(&Path::from(attribute.name.as_str()), "the name is reserved");
    }
    rows(&mut found, &schema.attributes, &Path::root(), Around::Paths);
    match (&schema.identity, owner) {
        (None, _) => {}
        (Some(identity), Owner::Resource) => identity_rules::rows(&mut found, identity),
        (Some(_), Owner::Provider | Owner::DataSource | Owner::List) => {
            found.add(&Path::root(), "only a resource has an identity");
        }
    }
    let names: Vec<&str> = schema.rules.iter().flat_map(|rule| rule.names()).collect();
    siblings_exist(&mut found, &schema.attributes, &names, &Path::root());
    found.violations
}

/// Checks the filters of a list, and the schema of the resource whose objects it lists.
#[must_use]
pub fn check_list(filters: &Schema, resource: Option<&Schema>) -> Vec<Violation> {
    let mut found = Found::new("Invalid schema");
    for filter in filters.attributes.iter().filter(|filter| filter.presence.is_computed()) {
        found.add(&Path::from(filter.name.as_str()), "a filter must not be computed");
    }
    if resource.is_none_or(|resource| resource.identity.is_none()) {
        found.add(&Path::root(), "there is no resource of this name with an identity");
    }
    found.violations.extend(check_schema(filters, Owner::List));
    found.violations
}

/// Checks the signature of a function.
#[must_use]
pub fn check_signature(signature: &Signature) -> Vec<Violation> {
    let mut found = Found::new("Invalid function signature");
    let mut seen = BTreeSet::new();
    for Parameter { name, ty, .. } in signature.parameters.iter().chain(&signature.variadic) {
        let path = Path::from(name.as_str());
        if !is_name(name) {
            found.add(
                &path,
                "a parameter name must consist of lower-case letters, digits and underscores",
            );
        }
        if !seen.insert(name) {
            found.add(&path, "the name is used twice");
        }
        plain_type(&mut found, ty, &path);
    }
    if !is_name(&signature.name) {
        found.add(
            &Path::root(),
            "a function name must consist of lower-case letters, digits and underscores",
        );
    }
    plain_type(&mut found, &signature.returns, &Path::root());
    found.violations
}

/// Whether the attributes around these have paths, or lie in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Paths,
    Set,
}

fn rows(found: &mut Found, attributes: &[Attribute], path: &Path, around: Around) {
    let mut seen = BTreeSet::new();
    for attribute in attributes {
        let path = path.attribute(&attribute.name);
        if !is_name(&attribute.name) {
            found.add(
                &path,
                "a name must consist of lower-case letters, digits and underscores",
            );
        }
        if !seen.insert(&attribute.name) {
            found.add(&path, "the name is used twice");
        }
        behaviour(found, attribute, &path, around);
        if let OnUpdate::UnknownWhenChanged(names) = &attribute.on_update {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            siblings_exist(found, attributes, &names, &path);
        }
        match &attribute.kind {
            Kind::Plain(ty) => {
                plain_type(found, ty, &path);
                if around == Around::Set && holds_dynamic(ty) {
                    found.add(&path, "a set must not hold values of dynamic type");
                }
            }
            Kind::Nested(nesting, inside) => {
                let around = if *nesting == Nesting::Set { Around::Set } else { around };
                nested(found, attribute, *nesting, inside, &path);
                rows(found, inside, &path, around);
            }
        }
    }
}

fn behaviour(found: &mut Found, attribute: &Attribute, path: &Path, around: Around) {
    if attribute.write_only && attribute.presence.is_computed() {
        found.add(path, "a write-only attribute must not be computed");
    }
    if attribute.write_only && around == Around::Set {
        found.add(path, "a set must not hold write-only attributes");
    }
    if attribute.deprecated.as_ref().is_some_and(String::is_empty) {
        found.add(path, "a deprecated attribute must say what to use instead");
    }
    if let Some(default) = &attribute.default {
        if attribute.presence != Presence::OptionalComputed {
            found.add(path, "an attribute with a default must be optional and computed");
        }
        if let Err(error) = cty::msgpack::encode(default, &attribute.value_type()) {
            found.add(path, format!("the default is not of the attribute's type: {error}"));
        }
        let holder = Value::object([(attribute.name.as_str(), default.clone())]);
        if !write_only_paths(std::slice::from_ref(attribute), &holder, &Path::root()).is_empty() {
            found.add(path, "a default must not set a write-only attribute");
        }
        for refusal in attribute.rules.iter().flat_map(|rule| rule.refusals(default, path)) {
            found.add(&refusal.path, format!("the default {}", refusal.reason));
        }
    }
    for fault in attribute.rules.iter().filter_map(|rule| rule.fault()) {
        found.add(path, format!("a rule is broken: {fault}"));
    }
}

fn nested(found: &mut Found, attribute: &Attribute, nesting: Nesting, inside: &[Attribute], path: &Path) {
    if attribute.equality.is_some() {
        found.add(
            path,
            "an equality belongs to the attributes inside, not to the nested object",
        );
    }
    if let Some(key) = &attribute.match_by {
        if !matches!(nesting, Nesting::List | Nesting::Set) {
            found.add(path, "only the elements of lists and sets are matched by an attribute");
        }
        siblings_exist(found, inside, &[key], path);
    }
}

fn siblings_exist(found: &mut Found, attributes: &[Attribute], names: &[&str], path: &Path) {
    for name in names
        .iter()
        .filter(|name| !attributes.iter().any(|attribute| attribute.name == **name))
    {
        found.add(path, format!("there is no attribute {name:?} to refer to"));
    }
}

/// Collections of dynamic values are legal on paper, but core fails on them when the elements differ in type.
fn plain_type(found: &mut Found, ty: &Type, path: &Path) {
    match ty {
        Type::Bool | Type::Number | Type::String | Type::Dynamic => {}
        Type::List(element) | Type::Set(element) | Type::Map(element) => {
            if holds_dynamic(element) {
                found.add(path, "a collection must not hold values of dynamic type");
            }
            plain_type(found, element, path);
        }
        Type::Object(attributes) => attributes.values().for_each(|ty| plain_type(found, ty, path)),
        Type::Tuple(elements) => elements.iter().for_each(|ty| plain_type(found, ty, path)),
    }
}

fn holds_dynamic(ty: &Type) -> bool {
    match ty {
        Type::Dynamic => true,
        Type::Bool | Type::Number | Type::String => false,
        Type::List(element) | Type::Set(element) | Type::Map(element) => holds_dynamic(element),
        Type::Object(attributes) => attributes.values().any(holds_dynamic),
        Type::Tuple(elements) => elements.iter().any(holds_dynamic),
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|char: char| char.is_ascii_lowercase() || char == '_');
    starts
        && name
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::Constraint;
    use crate::equality::Equality;
    use crate::identity::{IdentityAttribute, IdentitySchema};
    use crate::rule::Rule;

    fn faults(schema: &Schema) -> Vec<String> {
        check_schema(schema, Owner::Resource)
            .iter()
            .map(|violation| format!("{}: {}", violation.path, violation.problem))
            .collect()
    }

    #[test]
    fn sound_schemas_pass() {
        let disks = Attribute::object_set(
            "disks",
            vec![
                Attribute::string("name"),
                Attribute::integer("size").optional_computed().default(1),
            ],
        );
        let schema = Schema::new(vec![
            disks.match_elements_by("name"),
            Attribute::string("ttl")
                .optional_computed()
                .default("12h")
                .rule(Rule::positive_duration())
                .equality(Equality::Duration),
            Attribute::string("ip").computed().unknown_when_changed(&["ttl"]),
            Attribute::dynamic("any"),
            Attribute::string("token").write_only(),
        ]);
        assert_eq!(
            faults(&schema.rule(Constraint::conflicts(&["ttl", "any"]))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_unsound_row_is_found() {
        let a = Attribute::string;
        let cases = [
            (
                a("Name"),
                "Name: a name must consist of lower-case letters, digits and underscores",
            ),
            (a("count"), "count: the name is reserved"),
            (
                a("a").computed().write_only(),
                "a: a write-only attribute must not be computed",
            ),
            (
                a("a").deprecated(""),
                "a: a deprecated attribute must say what to use instead",
            ),
            (
                a("a").default("x"),
                "a: an attribute with a default must be optional and computed",
            ),
            (
                a("a").optional_computed().default(Value::list(["x"])),
                "a: the default is not of the attribute's type: string is required, found a list",
            ),
            (
                a("a").optional_computed().default("x").rule(Rule::length(2..)),
                "a: the default must have at least 2 characters",
            ),
            (
                a("a").computed().unknown_when_changed(&["b"]),
                "a: there is no attribute \"b\" to refer to",
            ),
            (
                a("a").rule(Rule::pattern("(", "x")),
                "a: a rule is broken: regex parse error",
            ),
            (
                Attribute::list("a", Type::Dynamic),
                "a: a collection must not hold values of dynamic type",
            ),
            (
                Attribute::object_set("a", vec![Attribute::dynamic("b")]),
                "a.b: a set must not hold values of dynamic type",
            ),
            (
                Attribute::object_set("a", vec![a("b").write_only()]),
                "a.b: a set must not hold write-only attributes",
            ),
            (
                Attribute::object_map("a", vec![a("b")]).match_elements_by("b"),
                "a: only the elements of lists and sets are matched by an attribute",
            ),
            (
                Attribute::object_list("a", vec![a("b").write_only()])
                    .optional_computed()
                    .default(Value::list([Value::object([("b", "x".into())])])),
                "a: a default must not set a write-only attribute",
            ),
            (
                Attribute::object_list("a", vec![a("b")]).match_elements_by("c"),
                "a: there is no attribute \"c\" to refer to",
            ),
            (
                Attribute::object("a", vec![]).equality(Equality::Ip),
                "a: an equality belongs to the attributes inside, not to the nested object",
            ),
        ];
        for (attribute, expected) in cases {
            let found = faults(&Schema::new(vec![attribute]));
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{expected}: {found:?}"
            );
        }
        assert_eq!(
            faults(&Schema::new(vec![a("a"), a("a")])),
            ["a: the name is used twice"]
        );
        assert_eq!(
            faults(&Schema::new(vec![]).version(-1)),
            [": the version must not be negative"]
        );
        assert_eq!(
            faults(&Schema::new(vec![a("a")]).rule(Constraint::requires("a", &["b"]))),
            [": there is no attribute \"b\" to refer to"]
        );
        assert_eq!(
            check_schema(&Schema::new(vec![a("alias"), a("count")]), Owner::Provider).len(),
            1
        );
    }

    #[test]
    fn a_list_has_filters_and_a_resource_with_an_identity() {
        let a = |name: &str| Attribute::string(name).optional();
        let check = |filter: Attribute, resource: Option<&Schema>| {
            let found = check_list(&Schema::new(vec![filter]), resource);
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let nameless = Schema::new(vec![a("id")]);
        let id = IdentityAttribute::required("id", Type::String, "The identifier.");
        let resource = nameless.clone().identity(IdentitySchema::new(vec![id]));
        assert_eq!(
            check(a("count"), Some(&resource)),
            "",
            "a block of its own reserves no names"
        );
        assert!(
            check(Attribute::string("found").computed(), Some(&resource))
                .contains("found: a filter must not be computed")
        );
        for without in [None, Some(&nameless)] {
            assert!(check(a("name"), without).contains("no resource of this name with an identity"));
        }
    }

    #[test]
    fn signatures_need_names() {
        let signature = |parameters: &[&str]| Signature {
            name: "parse".into(),
            summary: String::new(),
            description: String::new(),
            parameters: parameters
                .iter()
                .map(|name| Parameter::new(*name, Type::String, ""))
                .collect(),
            variadic: None,
            returns: Type::Dynamic,
        };
        assert_eq!(check_signature(&signature(&["a", "b"])), []);
        assert_eq!(check_signature(&signature(&["a", "a", "B c"])).len(), 2);
    }
}
