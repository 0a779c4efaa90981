//! Read, import, upgrade, data sources and functions, message by message.

use cty::{Type, Value, json, msgpack};
use proto::tfplugin6::{
    self as wire, DynamicValue, call_function, get_functions, import_resource_state, move_resource_state,
    read_data_source, upgrade_resource_state,
};

use crate::host::{Host, summaries, thing_in, thing_of};

fn greeting(value: &Value) -> DynamicValue {
    DynamicValue {
        msgpack: msgpack::encode(value, &greeting_type()).unwrap(),
        json: Vec::new(),
    }
}

fn greeting_type() -> Type {
    Type::object([("name", Type::String), ("text", Type::String)])
}

#[tokio::test]
async fn a_read_keeps_what_it_must() {
    let host = Host::attach().await;
    let state = |behaviour: &str| {
        thing_of([
            ("name", "a".into()),
            ("id", "thing-a".into()),
            ("behaviour", behaviour.into()),
        ])
    };
    let private = br#"{"plans":3}"#;

    let same = host.read(&state("none"), private).await;
    assert_eq!(
        (thing_in(same.new_state.as_ref()), same.private.as_slice()),
        (state("none"), &private[..])
    );
    assert_eq!(host.read(&state("gone"), private).await.new_state, None);

    for (behaviour, summary) in [
        ("unreadable", "Thing refused"),
        ("panic on read", "The provider crashed"),
    ] {
        let answer = host.read(&state(behaviour), private).await;
        assert_eq!(summaries(&answer.diagnostics), [summary]);
        assert_eq!(
            (thing_in(answer.new_state.as_ref()), answer.private.as_slice()),
            (state(behaviour), &private[..])
        );
    }
}

#[tokio::test]
async fn a_state_may_be_larger_than_the_usual_message() {
    let host = Host::start().await;
    let state = thing_of([("name", "a".into()), ("label", "x".repeat(6 * 1024 * 1024).into())]);
    let answer = host.read(&state, b"").await;
    assert_eq!(thing_in(answer.new_state.as_ref()), state);
}

#[tokio::test]
async fn an_import_is_completed_by_the_read_that_follows() {
    let mut host = Host::attach().await;
    let mut import = async |id: &str| {
        let request = import_resource_state::Request {
            type_name: "corner_thing".to_owned(),
            id: id.to_owned(),
            ..Default::default()
        };
        host.provider.import_resource_state(request).await.unwrap().into_inner()
    };
    assert_eq!(
        summaries(&import("nonsense").await.diagnostics),
        ["Malformed identifier"]
    );
    assert_eq!(summaries(&import("").await.diagnostics), ["No identifier"]);
    let answer = import("thing-a").await;
    assert_eq!(answer.diagnostics, []);
    let imported = &answer.imported_resources[0];
    assert_eq!(
        (imported.type_name.as_str(), answer.imported_resources.len()),
        ("corner_thing", 1)
    );

    let state = thing_in(imported.state.as_ref());
    let read = host.read(&state, &imported.private).await;
    assert_eq!(thing_in(read.new_state.as_ref()).get("name").as_str(), Some("a"));
    // Only the first read is the one after the import.
    assert_eq!(read.private, b"");
}

#[tokio::test]
async fn a_move_is_completed_by_the_read_that_follows() {
    let mut host = Host::attach().await;
    let mut moved = async |resource: &str| {
        let request = move_resource_state::Request {
            source_provider_address: "registry.terraform.io/acme/old".to_owned(),
            source_type_name: resource.to_owned(),
            source_state: Some(wire::RawState {
                json: br#"{"identifier":"thing-a","colour":"red"}"#.to_vec(),
                ..Default::default()
            }),
            source_private: b"not ours".to_vec(),
            target_type_name: "corner_thing".to_owned(),
            ..Default::default()
        };
        host.provider.move_resource_state(request).await.unwrap().into_inner()
    };
    assert_eq!(
        summaries(&moved("old_part").await.diagnostics),
        ["Resource cannot be moved"]
    );
    let answer = moved("old_thing").await;
    assert_eq!(answer.diagnostics, []);
    let state = thing_in(answer.target_state.as_ref());
    assert_eq!(state, thing_of([("id", "thing-a".into()), ("size", 1.into())]));
    let read = host.read(&state, &answer.target_private).await;
    assert_eq!(thing_in(read.new_state.as_ref()).get("name").as_str(), Some("a"));
}

#[tokio::test]
async fn stored_states_are_upgraded_or_passed_on() {
    let mut host = Host::attach().await;
    let mut upgrade = async |version: i64, raw: &str| {
        let raw_state = Some(wire::RawState {
            json: raw.as_bytes().to_vec(),
            ..Default::default()
        });
        let request = upgrade_resource_state::Request {
            type_name: "corner_thing".to_owned(),
            version,
            raw_state,
        };
        host.provider
            .upgrade_resource_state(request)
            .await
            .unwrap()
            .into_inner()
    };
    let present = upgrade(1, r#"{"name":"a","size":12345678901234567890,"gone":true}"#).await;
    assert_eq!(present.diagnostics, []);
    let state = thing_in(present.upgraded_state.as_ref());
    assert_eq!(
        state.get("size").as_number().map(ToString::to_string).as_deref(),
        Some("12345678901234567890")
    );

    let old = upgrade(0, r#"{"title":"a","id":"thing-a"}"#).await;
    assert_eq!(
        thing_in(old.upgraded_state.as_ref()),
        thing_of([("name", "a".into()), ("id", "thing-a".into())])
    );
    assert_eq!(
        summaries(&upgrade(7, "{}").await.diagnostics),
        ["Unsupported state version"]
    );

    let flat = wire::RawState {
        flatmap: [("name".to_owned(), "a".to_owned())].into(),
        ..Default::default()
    };
    let request = upgrade_resource_state::Request {
        type_name: "corner_thing".to_owned(),
        version: 0,
        raw_state: Some(flat),
    };
    let found = host
        .provider
        .upgrade_resource_state(request)
        .await
        .unwrap()
        .into_inner()
        .diagnostics;
    assert_eq!(summaries(&found), ["Unreadable state"]);
}

#[tokio::test]
async fn a_data_source_is_read() {
    let mut host = Host::attach().await;
    let mut read = async |name: Value| {
        let config = Some(greeting(&Value::object([("name", name), ("text", Value::Null)])));
        let request = read_data_source::Request {
            type_name: "corner_greeting".to_owned(),
            config,
            ..Default::default()
        };
        host.provider.read_data_source(request).await.unwrap().into_inner()
    };
    let answer = read("world".into()).await;
    let state = msgpack::decode(&answer.state.unwrap().msgpack, &greeting_type()).unwrap();
    assert_eq!(state.get("text").as_str(), Some("hello world"));
    for (name, summary) in [
        (Value::from("nobody"), "Nobody there"),
        (Value::from("vague"), "Bug in the provider"),
        (Value::Null, "Bug in the provider"),
    ] {
        let answer = read(name).await;
        assert_eq!((summaries(&answer.diagnostics), answer.state), (vec![summary], None));
    }
}

#[tokio::test]
async fn functions_are_called_with_any_encoding() {
    let mut host = Host::attach().await;
    let functions = host
        .provider
        .get_functions(get_functions::Request {})
        .await
        .unwrap()
        .into_inner()
        .functions;
    assert_eq!(functions["shout"].variadic_parameter.as_ref().unwrap().name, "words");

    let packed = |text: &str| DynamicValue {
        msgpack: msgpack::encode(&text.into(), &Type::String).unwrap(),
        json: Vec::new(),
    };
    let plain = |text: &str| DynamicValue {
        msgpack: Vec::new(),
        json: json::encode(&text.into(), &Type::String).unwrap().into_bytes(),
    };
    let mut call = async |name: &str, arguments: Vec<DynamicValue>| {
        let request = call_function::Request {
            name: name.to_owned(),
            arguments,
        };
        let answer = host.provider.call_function(request).await.unwrap().into_inner();
        let result = answer
            .result
            .map(|result| msgpack::decode(&result.msgpack, &Type::String).unwrap());
        (result, answer.error.map(|error| (error.text, error.function_argument)))
    };
    let loud = call(
        "shout",
        vec![packed("a"), plain("b"), packed("c"), DynamicValue::default()],
    )
    .await;
    assert_eq!(loud, (Some("A B C".into()), None));
    let refused = call("shout", vec![packed("a"), packed("")]).await;
    assert_eq!(
        refused,
        (None, Some(("An empty text cannot be shouted.".to_owned(), Some(1))))
    );
    assert!(
        call("shout", vec![])
            .await
            .1
            .unwrap()
            .0
            .contains("takes 1 arguments, 0 were given")
    );
    assert!(
        call("whisper", vec![])
            .await
            .1
            .unwrap()
            .0
            .contains("no function whisper")
    );
}
