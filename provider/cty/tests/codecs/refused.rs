//! What the codecs refuse, and what they say about it.

use cty::{Type, Value, json, msgpack};

#[test]
fn values_of_another_type_are_refused_with_their_place() {
    let ty = Type::object([
        ("a", Type::list(Type::Number)),
        ("m", Type::map(Type::Bool)),
        ("t", Type::Tuple(vec![Type::Bool])),
    ]);
    let cases = [
        (
            Value::from("x"),
            "object({ a = list(number), m = map(bool), t = tuple([bool]) }) is required, found a string",
        ),
        (
            Value::object([("a", Value::list([Value::from(1), "x".into()]))]),
            "a[1]: number is required, found a string",
        ),
        (
            Value::object([("m", Value::object([("k", 1.into())]))]),
            r#"m["k"]: bool is required, found a number"#,
        ),
        (
            Value::object([("t", Value::list([true, false]))]),
            "t: 1 elements are required, 2 given",
        ),
        (Value::object([("z", Value::Null)]), r#"unsupported attribute "z""#),
    ];
    for (value, message) in cases {
        assert_eq!(msgpack::encode(&value, &ty).unwrap_err().to_string(), message);
        assert_eq!(json::encode(&value, &ty).unwrap_err().to_string(), message);
    }
    assert_eq!(
        json::encode(&Value::unknown(), &ty).unwrap_err().to_string(),
        "an unknown value cannot be written as JSON"
    );
}

#[test]
fn malformed_msgpack_is_refused() {
    let object = Type::object([("a", Type::Bool), ("b", Type::Bool)]);
    let nan = [&[0xcb][..], &f64::NAN.to_be_bytes()].concat();
    let cases: Vec<(Type, Vec<u8>, &str)> = vec![
        (
            Type::Bool,
            vec![],
            "malformed input: the MessagePack ends early or is none",
        ),
        (
            Type::Bool,
            vec![0xc1],
            "malformed input: the MessagePack ends early or is none",
        ),
        (Type::Bool, vec![0xc3, 0xc3], "1 bytes follow after the value"),
        (
            Type::String,
            vec![0xa5, b'x'],
            "malformed input: the MessagePack ends early or is none",
        ),
        (Type::String, vec![0xa1, 0xff], "malformed input: invalid utf-8"),
        (
            Type::String,
            vec![0xdb, 0xff, 0xff, 0xff, 0xff],
            "malformed input: the MessagePack ends early or is none",
        ),
        (
            Type::list(Type::Bool),
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            "[0]: malformed input",
        ),
        (Type::Number, vec![0xa1, b'x'], r#""x" is not a number"#),
        (Type::Number, nan, r#""NaN" is not a number"#),
        (
            object.clone(),
            vec![0x81, 0xa1, b'a', 0xc3],
            "2 elements are required, 1 given",
        ),
        (object, vec![0x81, 0xa1, b'z', 0xc3], r#"unsupported attribute "z""#),
        (Type::Dynamic, vec![0x92, 0xc4, 1, b'{', 0xc0], "a type must be JSON"),
        (Type::Dynamic, vec![0xa1, b'x'], "any is required, found a string"),
    ];
    for (ty, bytes, message) in cases {
        let error = msgpack::decode(&bytes, &ty).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn malformed_json_is_refused() {
    let cases = [
        (Type::Bool, "", "malformed input"),
        (Type::Bool, "true true", "malformed input"),
        (Type::Bool, r#""yes""#, "bool is required, found a string"),
        (Type::Number, r#""x""#, r#""x" is not a number"#),
        (Type::Number, "1e99999999999", "a number may have"),
        (
            Type::list(Type::Bool),
            "[true, 1]",
            "[1]: bool is required, found a number",
        ),
        (
            Type::Dynamic,
            r#"{"value": 1}"#,
            "any is required, found an object without",
        ),
    ];
    for (ty, text, message) in cases {
        let error = json::decode(text.as_bytes(), &ty).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn depth_is_bounded() {
    let json = "[".repeat(100) + &"]".repeat(100);
    assert!(
        json::decode_untyped(json.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("nest")
    );
    // A dynamic value in a dynamic value in …
    let pair = [0x92, 0xa9, b'"', b'd', b'y', b'n', b'a', b'm', b'i', b'c', b'"'];
    let bytes: Vec<u8> = pair.iter().copied().cycle().take(pair.len() * 100_000).collect();
    assert!(
        msgpack::decode(&bytes, &Type::Dynamic)
            .unwrap_err()
            .to_string()
            .contains("nest")
    );
}
