//! The rules for identities: core's own, and terraform-plugin-framework's where core is silent and would save the mistake.

use std::collections::BTreeSet;

use cty::{Path, Type, Value};

use super::schema_rules::is_name;
use super::{Found, Violation};
use crate::identity::IdentitySchema;

/// What an identity is told after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The object was created, changed or imported: it is known well enough.
    Found,
    /// The object was read. One whose state is older than identities may still be without.
    Refreshed,
}

/// Checks the identity of an object that exists. `before` is what the host knew it by: null if it was just made, or is of a state
/// that was written before there were identities.
#[must_use]
pub fn check_identity(schema: &IdentitySchema, before: &Value, new: &Value, occasion: Occasion) -> Vec<Violation> {
    let mut found = Found::new("Provider produced invalid identity");
    if new.is_null() {
        // Core would save the null, and forget what it knew.
        if occasion == Occasion::Found || !before.is_null() {
            found.add(&Path::root(), "returned no identity for an object that exists");
        }
        return found.violations;
    }
    let ty = schema.value_type();
    found.conforms(new, &ty);
    found.wholly_known(new);
    for name in schema.missing(new) {
        found.add(&Path::from(name), "is null, although an import needs it");
    }
    if !before.is_null() && before.clone().canonical(&ty) != new.clone().canonical(&ty) {
        found.add(&Path::root(), "differs from the identity that the object had before");
    }
    found.violations
}

/// Checks the rows of an identity.
pub(super) fn rows(found: &mut Found, schema: &IdentitySchema) {
    if schema.version < 0 {
        found.add(&Path::root(), "the version of the identity must not be negative");
    }
    if schema.attributes.is_empty() {
        found.add(&Path::root(), "an identity needs an attribute");
    }
    let mut seen = BTreeSet::new();
    for row in &schema.attributes {
        let path = Path::from(row.name.as_str());
        if !is_name(&row.name) {
            found.add(
                &path,
                "a name must consist of lower-case letters, digits and underscores",
            );
        }
        if !seen.insert(&row.name) {
            found.add(&path, "the name is used twice in the identity");
        }
        if !is_plain(&row.ty) {
            found.add(&path, "an identity holds primitive values and lists of them only");
        }
    }
}

fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Number | Type::String => true,
        Type::List(element) => is_plain(element),
        Type::Dynamic | Type::Set(_) | Type::Map(_) | Type::Object(_) | Type::Tuple(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityAttribute;
    use crate::oracle::{Owner, check_schema};
    use crate::schema::{Attribute, Schema};

    fn schema() -> IdentitySchema {
        IdentitySchema::new(vec![
            IdentityAttribute::required("id", Type::String, "UUID."),
            IdentityAttribute::optional("zone", Type::String, "Zone."),
        ])
    }

    fn of(id: impl Into<Value>, zone: impl Into<Value>) -> Value {
        Value::object([("id", id.into()), ("zone", zone.into())])
    }

    #[test]
    fn an_identity_is_whole_and_stays() {
        let check = |before: Value, new: Value| {
            let found = check_identity(&schema(), &before, &new, Occasion::Found);
            found.into_iter().map(|violation| violation.problem).collect::<Vec<_>>()
        };
        assert_eq!(check(Value::Null, of("a", Value::Null)), [""; 0], "of a legacy state");
        assert_eq!(check(of("a", "x"), of("a", "x")), [""; 0]);
        let refreshed = |before: Value| check_identity(&schema(), &before, &Value::Null, Occasion::Refreshed).len();
        assert_eq!((refreshed(Value::Null), refreshed(of("a", "x"))), (0, 1));
        let cases = [
            (of("a", "x"), Value::Null, "returned no identity"),
            (Value::Null, Value::Null, "returned no identity"),
            (of("a", "x"), of("b", "x"), "differs"),
            (of("a", Value::Null), of("a", "x"), "differs"),
            (Value::Null, of(Value::unknown(), "x"), "unknown"),
            (Value::Null, of(Value::Null, "x"), "import needs it"),
            (Value::Null, of(true, "x"), "string"),
        ];
        for (before, new, problem) in cases {
            let told = check(before, new.clone());
            assert!(told.len() == 1 && told[0].contains(problem), "{new}: {told:?}");
        }
    }

    #[test]
    fn each_unsound_row_is_found() {
        let check = |owner: Owner, rows: Vec<IdentityAttribute>| {
            let table = Schema::new(vec![Attribute::string("id").computed()]).identity(IdentitySchema::new(rows));
            check_schema(&table, owner).len()
        };
        let row = |name: &str, ty: Type| IdentityAttribute::required(name, ty, "");
        let plain = || row("id", Type::String);
        assert_eq!(
            check(Owner::Resource, vec![plain(), row("ids", Type::list(Type::Number))]),
            0
        );
        assert_eq!(check(Owner::Resource, vec![]), 1);
        assert_eq!(check(Owner::Resource, vec![plain(), plain()]), 1);
        assert_eq!(check(Owner::Resource, vec![row("Id", Type::String)]), 1);
        assert_eq!(check(Owner::Resource, vec![row("id", Type::set(Type::String))]), 1);
        for owner in [Owner::Provider, Owner::DataSource, Owner::List] {
            assert_eq!(check(owner, vec![plain()]), 1, "only a resource has an identity");
        }
    }
}
