//! The one form of a value: so that equal values of a type are equal in Rust, too.

use super::{Typed, Value};
use crate::Type;

impl Value {
    /// Brings a value into the one form that its type has for it: attributes that an object lacks are null, the elements
    /// of sets stand in order and without duplicates. What does not fit the type stays as it is, for the codec to refuse.
    #[must_use]
    pub fn canonical(self, ty: &Type) -> Value {
        match (self, ty) {
            (Value::List(elements), Type::List(element)) => {
                Value::list(elements.into_iter().map(|value| value.canonical(element)))
            }
            (Value::List(elements), Type::Set(element)) => {
                Value::set(elements.into_iter().map(|value| value.canonical(element)))
            }
            (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
                Value::list(elements.into_iter().zip(types).map(|(value, ty)| value.canonical(ty)))
            }
            (Value::Map(elements), Type::Map(element)) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, value)| (key, value.canonical(element)))
                    .collect(),
            ),
            (Value::Map(mut attributes), Type::Object(types)) => {
                for (name, ty) in types {
                    let value = attributes.remove(name).unwrap_or(Value::Null).canonical(ty);
                    attributes.insert(name.clone(), value);
                }
                Value::Map(attributes)
            }
            (Value::Dynamic(typed), Type::Dynamic) => {
                let Typed { ty, value } = *typed;
                match value.canonical(&ty) {
                    Value::Null => Value::Null,
                    value => Value::Dynamic(Box::new(Typed { ty, value })),
                }
            }
            (value, _) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_filled_and_sets_put_in_order() {
        let ty = Type::object([
            ("tags", Type::set(Type::String)),
            ("disks", Type::list(Type::object([("id", Type::String)]))),
        ]);
        let value = Value::object([
            ("disks", Value::list([Value::object::<&str>([])])),
            ("tags", Value::list(["b", "a", "b"])),
        ]);
        let expected = Value::object([
            ("disks", Value::list([Value::object([("id", Value::Null)])])),
            ("tags", Value::list(["a", "b"])),
        ]);
        assert_eq!(value.canonical(&ty), expected);
        assert_eq!(
            Value::object::<&str>([]).canonical(&ty),
            Value::object([("disks", Value::Null), ("tags", Value::Null)])
        );
    }

    #[test]
    fn what_does_not_fit_stays() {
        let stranger = Value::object([("colour", Value::from("red"))]);
        assert_eq!(stranger.clone().canonical(&Type::object::<&str>([])), stranger);
        assert_eq!(Value::from("x").canonical(&Type::Bool), Value::from("x"));
        let null = Value::Dynamic(Box::new(Typed {
            ty: Type::String,
            value: Value::Null,
        }));
        assert_eq!(null.canonical(&Type::Dynamic), Value::Null);
    }
}
