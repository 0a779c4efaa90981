//! Any type, and any value of it in its canonical form.

use cty::{Number, Refinement, Type, Typed, Value};
use proptest::prelude::*;

/// Whether there may be unknown values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Allowed,
    Refused,
}

pub(crate) fn ty() -> impl Strategy<Value = Type> {
    let leaf = prop::sample::select(vec![Type::Bool, Type::Number, Type::String, Type::Dynamic]);
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            prop::collection::btree_map("[a-c]", inner.clone(), 0..4).prop_map(Type::Object),
            prop::collection::vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

pub(crate) fn typed(unknown: Unknown) -> impl Strategy<Value = (Type, Value)> {
    ty().prop_flat_map(move |ty| (Just(ty.clone()), value(&ty, unknown)))
        .prop_map(|(ty, value)| (ty.clone(), value.canonical(&ty)))
}

fn value(ty: &Type, unknown: Unknown) -> BoxedStrategy<Value> {
    let known = match ty {
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Number => number().prop_map(Value::from).boxed(),
        Type::String => "\\PC{0,6}".prop_map(Value::from).boxed(),
        Type::Dynamic => dynamic(unknown),
        Type::List(element) => prop::collection::vec(value(element, unknown), 0..4)
            .prop_map(Value::List)
            .boxed(),
        Type::Set(element) => prop::collection::vec(value(element, unknown), 0..4)
            .prop_map(Value::set)
            .boxed(),
        Type::Map(element) => prop::collection::btree_map("[a-z]{0,3}", value(element, unknown), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        Type::Object(types) => {
            let fields: Vec<_> = types
                .iter()
                .map(|(name, ty)| (Just(name.clone()), value(ty, unknown)))
                .collect();
            fields.prop_map(Value::object).boxed()
        }
        Type::Tuple(types) => types
            .iter()
            .map(|ty| value(ty, unknown))
            .collect::<Vec<_>>()
            .prop_map(Value::List)
            .boxed(),
    };
    let unknown_value = any::<bool>().prop_map(|not_null| Value::Unknown(Refinement { not_null }));
    match unknown {
        Unknown::Allowed => prop_oneof![6 => known, 1 => Just(Value::Null), 1 => unknown_value].boxed(),
        Unknown::Refused => prop_oneof![6 => known, 1 => Just(Value::Null)].boxed(),
    }
}

/// A dynamic value carries a type that is not dynamic itself.
fn dynamic(unknown: Unknown) -> BoxedStrategy<Value> {
    let types = prop::sample::select(vec![Type::Bool, Type::Number, Type::String, Type::list(Type::String)]);
    let typed = types.prop_flat_map(move |ty| (Just(ty.clone()), value(&ty, unknown)));
    typed
        .prop_map(|(ty, value)| Value::Dynamic(Box::new(Typed { ty, value })))
        .boxed()
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).ok()),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,3})?".prop_filter_map("a number", |text| text.parse().ok()),
    ]
}
