//! The rules for the other answers: what may be stored, and what must be there.

use cty::{Path, Value};

use super::{Found, Violation};
use crate::function::Signature;
use crate::schema::Schema;

/// Checks the answer to a read of a resource. Null says that the object is gone.
#[must_use]
pub fn check_read(schema: &Schema, new: &Value) -> Vec<Violation> {
    let mut found = Found::new("Provider produced invalid object during refresh");
    storable(&mut found, schema, new);
    found.violations
}

/// Checks an imported object. It may be a mere beginning, which the read that follows completes.
#[must_use]
pub fn check_import(schema: &Schema, imported: &Value) -> Vec<Violation> {
    let mut found = Found::new("Provider produced invalid imported object");
    if imported.is_null() {
        found.add(&Path::root(), "import returned null resource");
    }
    storable(&mut found, schema, imported);
    found.violations
}

/// Checks an upgraded or moved state.
#[must_use]
pub fn check_upgrade(schema: &Schema, upgraded: &Value) -> Vec<Violation> {
    let mut found = Found::new("Invalid resource state upgrade");
    if upgraded.is_null() {
        found.add(&Path::root(), "the upgraded state is null");
    }
    storable(&mut found, schema, upgraded);
    found.violations
}

/// Checks the answer of a data source.
#[must_use]
pub fn check_data(schema: &Schema, read: &Value) -> Vec<Violation> {
    let mut found = Found::new("Provider produced invalid object");
    if read.is_null() {
        found.add(&Path::root(), "provider produced null object");
    }
    storable(&mut found, schema, read);
    found.violations
}

/// Checks the result of a function.
#[must_use]
pub fn check_function(signature: &Signature, arguments: &[Value], result: &Value) -> Vec<Violation> {
    let mut found = Found::new("Provider function returned an invalid result");
    found.conforms(result, &signature.returns);
    if arguments.iter().all(Value::is_wholly_known) {
        found.wholly_known(result);
    }
    found.violations
}

fn storable(found: &mut Found, schema: &Schema, value: &Value) {
    found.conforms(value, &schema.value_type());
    found.wholly_known(value);
    found.write_only_null(schema, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Parameter;
    use crate::schema::Attribute;
    use cty::Type;

    #[test]
    fn what_cannot_be_stored_is_found() {
        let schema = Schema::new(vec![Attribute::string("name"), Attribute::string("token").write_only()]);
        let good = schema.empty().with("name", "vm");
        let bad = [
            good.clone().with("name", Value::unknown()),
            good.clone().with("token", "t"),
            good.clone().with("name", true),
            Value::unknown(),
        ];
        let checks: [fn(&Schema, &Value) -> Vec<Violation>; 4] = [check_read, check_import, check_upgrade, check_data];
        for check in checks {
            assert_eq!(check(&schema, &good), []);
            for bad in &bad {
                assert_eq!(check(&schema, bad).len(), 1, "{bad}");
            }
        }
        let null_counts = checks.map(|check| check(&schema, &Value::Null).len());
        assert_eq!(null_counts, [0, 1, 1, 1]);
    }

    #[test]
    fn a_function_answers_its_type_and_knows_what_it_was_told() {
        let signature = Signature {
            name: "parse".into(),
            summary: String::new(),
            description: String::new(),
            parameters: vec![Parameter::new("text", Type::String, "")],
            variadic: None,
            returns: Type::Number,
        };
        let check = |argument: Value, result: Value| check_function(&signature, &[argument], &result).len();
        assert_eq!(check("1".into(), 1.into()), 0);
        assert_eq!(check("1".into(), "1".into()), 1);
        assert_eq!(check("1".into(), Value::unknown()), 1);
        assert_eq!(check(Value::unknown(), Value::unknown()), 0);
    }
}
