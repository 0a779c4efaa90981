//! Schema, validation, configuration, plan, read, import, upgrade, data sources and functions, message by message.

use cty::{Type, Value, json, msgpack};
use proto::tfplugin6::{
    self as wire, AttributePath, DynamicValue, attribute_path::step::Selector, call_function, configure_provider,
    get_functions, get_provider_schema, get_resource_identity_schemas, import_resource_state, read_data_source,
    schema::object::NestingMode, upgrade_resource_state, validate_data_resource_config, validate_provider_config,
    validate_resource_config,
};

use crate::host::{Host, thing, thing_in, thing_of};

fn summaries(diagnostics: &[wire::Diagnostic]) -> Vec<&str> {
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.summary.as_str())
        .collect()
}

fn place(path: Option<&AttributePath>) -> Vec<Selector> {
    path.into_iter()
        .flat_map(|path| &path.steps)
        .filter_map(|step| step.selector.clone())
        .collect()
}

fn greeting(value: &Value) -> DynamicValue {
    DynamicValue {
        msgpack: msgpack::encode(value, &greeting_type()).unwrap(),
        json: Vec::new(),
    }
}

fn greeting_type() -> Type {
    Type::object([("name", Type::String), ("text", Type::String)])
}

fn block(endpoint: Value) -> Option<DynamicValue> {
    let ty = Type::object([("endpoint", Type::String), ("token", Type::String)]);
    let value = Value::object([("endpoint", endpoint), ("token", Value::Null)]);
    Some(DynamicValue {
        msgpack: msgpack::encode(&value, &ty).unwrap(),
        json: Vec::new(),
    })
}

#[tokio::test]
async fn the_schema_says_what_is_offered() {
    let mut host = Host::start().await;
    let schema = host
        .provider
        .get_provider_schema(get_provider_schema::Request {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(schema.diagnostics, []);
    assert_eq!(
        schema,
        host.provider
            .get_provider_schema(get_provider_schema::Request {})
            .await
            .unwrap()
            .into_inner()
    );
    let capabilities = schema.server_capabilities.unwrap();
    assert!(
        capabilities.get_provider_schema_optional && capabilities.plan_destroy && !capabilities.move_resource_state
    );
    let thing = &schema.resource_schemas["corner_thing"];
    let attributes = &thing.block.as_ref().unwrap().attributes;
    let attribute = |name: &str| attributes.iter().find(|attribute| attribute.name == name).unwrap();
    assert_eq!(
        (thing.version, attribute("tags").r#type.as_slice()),
        (1, &br#"["set","string"]"#[..])
    );
    assert_eq!(
        attribute("parts").nested_type.as_ref().unwrap().nesting(),
        NestingMode::Map
    );
    assert!(attribute("secret").write_only && attribute("name").required && attribute("id").computed);
    assert_eq!(
        schema.functions["shout"].r#return.as_ref().unwrap().r#type,
        b"\"string\""
    );
    assert_eq!(schema.provider.unwrap().block.unwrap().attributes.len(), 2);
}

#[tokio::test]
async fn there_are_no_identities() {
    let mut host = Host::attach().await;
    let request = get_resource_identity_schemas::Request {};
    let answer = host
        .provider
        .get_resource_identity_schemas(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer, get_resource_identity_schemas::Response::default());
}

#[tokio::test]
async fn a_configuration_is_checked_by_the_table_and_beyond() {
    let mut host = Host::attach().await;
    let mut validate = async |config: Value, write_only: bool| {
        let request = validate_resource_config::Request {
            type_name: "corner_thing".to_owned(),
            config: Some(thing(&config)),
            client_capabilities: Some(wire::ClientCapabilities {
                write_only_attributes_allowed: write_only,
                ..Default::default()
            }),
        };
        host.provider
            .validate_resource_config(request)
            .await
            .unwrap()
            .into_inner()
            .diagnostics
    };
    assert_eq!(validate(thing_of([("name", "a".into())]), true).await, []);
    assert_eq!(validate(thing_of([("name", Value::unknown())]), true).await, []);

    let found = validate(thing_of([("name", "forbidden".into())]), true).await;
    assert_eq!(summaries(&found), ["Forbidden name"]);
    assert_eq!(
        place(found[0].attribute.as_ref()),
        [Selector::AttributeName("name".into())]
    );

    assert_eq!(
        validate(thing_of([("name", "a".repeat(21).into())]), true).await.len(),
        1
    );
    assert_eq!(
        validate(thing_of([("name", "a".into()), ("id", "mine".into())]), true)
            .await
            .len(),
        1
    );
    let secret = thing_of([("name", "a".into()), ("secret", "s".into())]);
    assert_eq!(validate(secret.clone(), true).await, []);
    assert_eq!(validate(secret, false).await.len(), 1);
}

#[tokio::test]
async fn an_unknown_name_is_a_diagnostic() {
    let mut host = Host::attach().await;
    let request = validate_resource_config::Request {
        type_name: "corner_ghost".to_owned(),
        ..Default::default()
    };
    let found = host
        .provider
        .validate_resource_config(request)
        .await
        .unwrap()
        .into_inner()
        .diagnostics;
    assert_eq!(summaries(&found), ["Unknown resource type"]);
    let request = validate_data_resource_config::Request {
        type_name: "corner_ghost".to_owned(),
        ..Default::default()
    };
    let found = host
        .provider
        .validate_data_resource_config(request)
        .await
        .unwrap()
        .into_inner()
        .diagnostics;
    assert_eq!(summaries(&found), ["Unknown data source type"]);
}

#[tokio::test]
async fn an_unreadable_value_is_a_diagnostic() {
    let mut host = Host::attach().await;
    let garbage = Some(DynamicValue {
        msgpack: vec![0x93, 0x01],
        json: Vec::new(),
    });
    let request = validate_resource_config::Request {
        type_name: "corner_thing".to_owned(),
        config: garbage,
        ..Default::default()
    };
    let found = host
        .provider
        .validate_resource_config(request)
        .await
        .unwrap()
        .into_inner()
        .diagnostics;
    assert_eq!(summaries(&found), ["Unreadable value"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_never_an_error_of_the_transport_and_stays_as_it_is() {
    let mut host = Host::attach().await;
    for bytes in [
        &[0xc1][..],
        &[0x93, 0x01],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0xa1, 0x61, 0x01],
        b"\xd9\xffa",
    ] {
        let garbage = Some(DynamicValue {
            msgpack: bytes.to_vec(),
            json: Vec::new(),
        });
        let type_name = "corner_thing".to_owned();
        let request = wire::read_resource::Request {
            type_name: type_name.clone(),
            current_state: garbage.clone(),
            private: b"kept".to_vec(),
            ..Default::default()
        };
        let read = host.provider.read_resource(request).await.unwrap().into_inner();
        assert_eq!(summaries(&read.diagnostics), ["Unreadable value"]);
        assert_eq!((&read.new_state, read.private.as_slice()), (&garbage, &b"kept"[..]));

        let request = wire::plan_resource_change::Request {
            type_name: type_name.clone(),
            config: garbage.clone(),
            ..Default::default()
        };
        let planned = host.provider.plan_resource_change(request).await.unwrap().into_inner();
        assert_eq!(summaries(&planned.diagnostics), ["Unreadable value"]);

        let request = wire::apply_resource_change::Request {
            type_name,
            prior_state: garbage.clone(),
            ..Default::default()
        };
        let applied = host.provider.apply_resource_change(request).await.unwrap().into_inner();
        assert_eq!(
            (summaries(&applied.diagnostics), applied.new_state),
            (vec!["Unreadable value"], garbage)
        );
    }
}

#[tokio::test]
async fn a_provider_may_be_configured_with_unknown_values_and_again() {
    let mut host = Host::attach().await;
    for endpoint in [Value::unknown(), Value::from("https://a")] {
        let request = validate_provider_config::Request {
            config: block(endpoint.clone()),
        };
        assert_eq!(
            host.provider
                .validate_provider_config(request)
                .await
                .unwrap()
                .into_inner()
                .diagnostics,
            []
        );
        let request = configure_provider::Request {
            config: block(endpoint),
            ..Default::default()
        };
        assert_eq!(
            host.provider
                .configure_provider(request)
                .await
                .unwrap()
                .into_inner()
                .diagnostics,
            []
        );
    }
    let configured = host.events.configured.lock().unwrap();
    assert!(configured[0].get("endpoint").is_unknown());
    assert_eq!(configured[1].get("endpoint").as_str(), Some("https://a"));
}

#[tokio::test]
async fn a_plan_fills_in_what_the_table_says() {
    let host = Host::attach().await;
    let config = thing_of([("name", "a".into()), ("secret", "s".into())]);
    let answer = host.plan(&Value::Null, &config, b"").await;
    assert_eq!(answer.diagnostics, []);
    let planned = thing_in(answer.planned_state.as_ref());
    assert_eq!(
        (planned.get("size").as_i64(), planned.get("secret")),
        (Some(1), &Value::Null)
    );
    assert!(planned.get("id").is_unknown() && planned.get("label").is_unknown());
    assert_eq!(answer.planned_private, br#"{"plans":1}"#);
    assert!(!answer.legacy_type_system);

    // The second plan of the same run finds what the first has left.
    let again = host.plan(&Value::Null, &config, &answer.planned_private).await;
    assert_eq!(again.planned_private, br#"{"plans":2}"#);
}

#[tokio::test]
async fn a_plan_says_what_needs_a_new_object() {
    let host = Host::attach().await;
    let prior = thing_of([
        ("name", "a".into()),
        ("size", 1.into()),
        ("id", "thing-a".into()),
        ("label", "l".into()),
    ]);
    let unchanged = host.plan(&prior, &thing_of([("name", "a".into())]), b"").await;
    assert_eq!(thing_in(unchanged.planned_state.as_ref()), prior);
    assert_eq!(unchanged.requires_replace, []);

    let renamed = host.plan(&prior, &thing_of([("name", "b".into())]), b"").await;
    assert_eq!(
        place(renamed.requires_replace.first()),
        [Selector::AttributeName("name".into())]
    );

    let resized = host
        .plan(&prior, &thing_of([("name", "a".into()), ("size", 2.into())]), b"")
        .await;
    assert_eq!(resized.requires_replace, []);
    let planned = thing_in(resized.planned_state.as_ref());
    assert_eq!(planned.get("id").as_str(), Some("thing-a"));
    assert!(planned.get("label").is_unknown());
}

#[tokio::test]
async fn a_deletion_is_planned_too() {
    let host = Host::attach().await;
    let prior = thing_of([("name", "a".into()), ("id", "thing-a".into())]);
    let answer = host.plan(&prior, &Value::Null, b"").await;
    assert_eq!(
        (answer.diagnostics.as_slice(), thing_in(answer.planned_state.as_ref())),
        (&[][..], Value::Null)
    );
    assert_eq!(answer.planned_private, br#"{"plans":1}"#);

    let answer = host.plan(&prior.with("behaviour", "eternal"), &Value::Null, b"").await;
    assert_eq!(summaries(&answer.diagnostics), ["Thing refused"]);
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
