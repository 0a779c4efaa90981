//! Schema, validation, configuration and plan, message by message.

use cty::{Type, Value, msgpack};
use proto::tfplugin6::{
    self as wire, AttributePath, DynamicValue, attribute_path::step::Selector, configure_provider, get_provider_schema,
    schema::object::NestingMode, validate_data_resource_config, validate_provider_config, validate_resource_config,
};

use crate::host::{Host, summaries, thing, thing_in, thing_of};

fn place(path: Option<&AttributePath>) -> Vec<Selector> {
    path.into_iter()
        .flat_map(|path| &path.steps)
        .filter_map(|step| step.selector.clone())
        .collect()
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
    assert!(capabilities.get_provider_schema_optional && capabilities.plan_destroy && capabilities.move_resource_state);
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
