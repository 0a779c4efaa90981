//! Bytes as Terraform sends them.

use cty::{Number, Refinement, Type, Typed, Value, json, msgpack};

fn number(text: &str) -> Value {
    text.parse::<Number>().map_or(Value::Null, Value::from)
}

fn typed(ty: Type, value: Value) -> Value {
    Value::Dynamic(Box::new(Typed { ty, value }))
}

fn text(head: &[u8], text: &str) -> Vec<u8> {
    [head, text.as_bytes()].concat()
}

#[test]
fn values_are_these_bytes_both_ways() {
    let object = Type::object([("a", Type::String), ("b", Type::list(Type::Bool))]);
    let dynamic = [&text(&[0x92, 0xc4, 0x08], "\"string\"")[..], &[0xa1, b'x']].concat();
    let dynamic_unknown = [&text(&[0x92, 0xc4, 0x08], "\"number\"")[..], &[0xd4, 0, 0]].concat();
    let cases: Vec<(Type, Value, Vec<u8>)> = vec![
        (Type::String, Value::Null, vec![0xc0]),
        (Type::String, Value::unknown(), vec![0xd4, 0, 0]),
        (
            Type::String,
            Value::Unknown(Refinement { not_null: true }),
            vec![0xc7, 3, 12, 0x81, 1, 0xc2],
        ),
        (Type::Bool, true.into(), vec![0xc3]),
        (Type::String, "é".into(), vec![0xa2, 0xc3, 0xa9]),
        (Type::Number, 7.into(), text(&[0xa1], "7")),
        (Type::Number, (-1).into(), text(&[0xa2], "-1")),
        (Type::Number, 200.into(), text(&[0xa3], "200")),
        (Type::Number, number("0.1"), text(&[0xa3], "0.1")),
        (Type::Number, number("0.5"), text(&[0xa3], "0.5")),
        (
            Type::Number,
            number("12345678901234567890"),
            text(&[0xb4], "12345678901234567890"),
        ),
        (Type::Number, number("1e400"), text(&[0xa5], "1e400")),
        (
            Type::set(Type::String),
            Value::set(["b", "a", "b"]),
            vec![0x92, 0xa1, b'a', 0xa1, b'b'],
        ),
        (
            Type::map(Type::Bool),
            Value::object([("k", false.into())]),
            vec![0x81, 0xa1, b'k', 0xc2],
        ),
        (
            object,
            Value::object([("a", Value::Null), ("b", Value::list([true, false]))]),
            vec![0x82, 0xa1, b'a', 0xc0, 0xa1, b'b', 0x92, 0xc3, 0xc2],
        ),
        (
            Type::Tuple(vec![Type::Bool, Type::Number]),
            Value::List(vec![true.into(), 1.into()]),
            vec![0x92, 0xc3, 0xa1, b'1'],
        ),
        (Type::Dynamic, typed(Type::String, "x".into()), dynamic),
        (Type::Dynamic, typed(Type::Number, Value::unknown()), dynamic_unknown),
        (Type::Dynamic, Value::unknown(), vec![0xd4, 0, 0]),
    ];
    for (ty, value, bytes) in cases {
        assert_eq!(msgpack::encode(&value, &ty), Ok(bytes.clone()), "{value}");
        assert_eq!(msgpack::decode(&bytes, &ty), Ok(value.clone()), "{value}");
    }
}

#[test]
fn other_forms_are_read_as_well() {
    let refined = [&[0xc7, 7, 12, 0x82, 1, 0xc2, 2, 0xa2][..], b"b-"].concat();
    let not_null = Value::Unknown(Refinement { not_null: true });
    let cases: Vec<(Type, Vec<u8>, Value)> = vec![
        (Type::String, refined, not_null),
        (Type::String, vec![0xc7, 3, 12, 0x81, 1, 0xc3], Value::unknown()),
        (Type::String, vec![0xd6, 5, 1, 2, 3, 4], Value::unknown()),
        (Type::String, vec![0xc4, 1, b'x'], "x".into()),
        (Type::String, text(&[0xa3], "e\u{301}"), "é".into()),
        (
            Type::Number,
            vec![0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            u64::MAX.into(),
        ),
        (Type::Number, text(&[0xa4], "10.0"), 10.into()),
        (Type::Number, vec![7], 7.into()),
        (Type::Number, vec![0xff], (-1).into()),
        (Type::Number, vec![0xcc, 200], 200.into()),
        (
            Type::Number,
            [&[0xca][..], &1.5_f32.to_be_bytes()].concat(),
            number("1.5"),
        ),
        (
            Type::Number,
            [&[0xcb][..], &0.1_f64.to_be_bytes()].concat(),
            number("0.1"),
        ),
        (Type::list(Type::Bool), vec![0xdc, 0, 1, 0xc3], Value::list([true])),
        (Type::set(Type::Number), vec![0x93, 2, 1, 2], Value::set([1, 2])),
        (
            Type::Dynamic,
            text(&[0x92, 0xa8], "\"string\"").into_iter().chain([0xc0]).collect(),
            typed(Type::String, Value::Null),
        ),
    ];
    for (ty, bytes, value) in cases {
        assert_eq!(msgpack::decode(&bytes, &ty), Ok(value), "{bytes:x?}");
    }
}

#[test]
fn an_object_by_hand_may_leave_attributes_out() {
    let ty = Type::object([("a", Type::String), ("b", Type::String)]);
    let short = Value::object([("b", "x".into())]);
    assert_eq!(
        msgpack::encode(&short, &ty),
        Ok(vec![0x82, 0xa1, b'a', 0xc0, 0xa1, b'b', 0xa1, b'x'])
    );
    assert_eq!(json::encode(&short, &ty).as_deref(), Ok(r#"{"a":null,"b":"x"}"#));
}

#[test]
fn json_keeps_digits_and_forgives_other_versions() {
    let ty = Type::object([
        ("n", Type::Number),
        ("s", Type::String),
        ("any", Type::Dynamic),
        ("tags", Type::set(Type::String)),
    ]);
    let stored = r#"{"n":12345678901234567890.125,"gone":{"x":[1,2]},"s":5,"any":{"value":true,"type":"bool"},"tags":["b","a"]}"#;
    let read = json::decode(stored.as_bytes(), &ty).unwrap();
    assert_eq!(read.get("n"), &number("12345678901234567890.125"));
    assert_eq!(read.get("s"), &"5".into());
    assert_eq!(read.get("any"), &typed(Type::Bool, true.into()));
    assert_eq!(read.get("tags"), &Value::list(["a", "b"]));
    let written = r#"{"any":{"type":"bool","value":true},"n":12345678901234567890.125,"s":"5","tags":["a","b"]}"#;
    assert_eq!(json::encode(&read, &ty).as_deref(), Ok(written));
    assert_eq!(
        json::decode(b"{}", &ty),
        Ok(Value::Null).map(|null: Value| Value::object(["n", "s", "any", "tags"].map(|name| (name, null.clone()))))
    );
}

#[test]
fn json_without_a_type_is_taken_as_it_stands() {
    let read = json::decode_untyped(br#" {"a": [1, "x", null, {"b": 1e3}], "c": true} "#).unwrap();
    let inner = Value::object([("b", 1000.into())]);
    let list = Value::List(vec![1.into(), "x".into(), Value::Null, inner]);
    assert_eq!(read, Value::object([("a", list), ("c", true.into())]));
}
