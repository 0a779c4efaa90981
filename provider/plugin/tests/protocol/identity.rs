//! Identities: what each answer says of them, and what is caught before a host would.

use cty::{Type, Value, msgpack};
use proto::tfplugin6::{
    self as wire, DynamicValue, ResourceIdentityData, get_resource_identity_schemas, import_resource_state,
    upgrade_resource_identity,
};

use crate::host::{Host, apply_request, summaries, thing, thing_in, thing_of};

fn identity(id: impl Into<Value>) -> ResourceIdentityData {
    let (value, ty) = (Value::object([("id", id.into())]), Type::object([("id", Type::String)]));
    ResourceIdentityData {
        identity_data: Some(DynamicValue {
            msgpack: msgpack::encode(&value, &ty).unwrap(),
            json: Vec::new(),
        }),
    }
}

#[tokio::test]
async fn the_schema_of_each_identity_is_told() {
    let mut host = Host::attach().await;
    let request = get_resource_identity_schemas::Request {};
    let answer = host.provider.get_resource_identity_schemas(request).await.unwrap();
    let wire::get_resource_identity_schemas::Response {
        identity_schemas,
        diagnostics,
    } = answer.into_inner();
    assert_eq!(diagnostics, []);
    let row = &identity_schemas["corner_thing"].identity_attributes[0];
    assert_eq!((row.name.as_str(), row.r#type.as_slice()), ("id", &b"\"string\""[..]));
    assert!(row.required_for_import && !row.optional_for_import);
}

#[tokio::test]
async fn a_stored_identity_comes_back() {
    let mut host = Host::attach().await;
    let mut upgrade = async |version: i64, json: &str| {
        let request = upgrade_resource_identity::Request {
            type_name: "corner_thing".to_owned(),
            version,
            raw_identity: Some(wire::RawState {
                json: json.as_bytes().to_vec(),
                ..Default::default()
            }),
        };
        let answer = host.provider.upgrade_resource_identity(request).await.unwrap();
        answer.into_inner()
    };
    let answer = upgrade(0, r#"{"id":"thing-a"}"#).await;
    assert_eq!(answer.upgraded_identity, Some(identity("thing-a")));
    assert_eq!(
        summaries(&upgrade(1, "{}").await.diagnostics),
        ["Unsupported identity version"]
    );
    let answer = upgrade(0, r#"{"id":null}"#).await;
    assert_eq!(summaries(&answer.diagnostics), ["Bug in the provider"]);
}

#[tokio::test]
async fn a_read_tells_it_and_a_failed_one_keeps_it() {
    let mut host = Host::attach().await;
    let mut read = async |behaviour: &str, before: Option<ResourceIdentityData>| {
        let state = thing_of([
            ("name", "a".into()),
            ("id", "thing-a".into()),
            ("behaviour", behaviour.into()),
        ]);
        let request = wire::read_resource::Request {
            type_name: "corner_thing".to_owned(),
            current_state: Some(thing(&state)),
            current_identity: before,
            ..Default::default()
        };
        host.provider.read_resource(request).await.unwrap().into_inner()
    };
    let known = Some(identity("thing-a"));
    for before in [None, Some(ResourceIdentityData::default()), known.clone()] {
        let answer = read("none", before).await;
        assert_eq!((answer.new_identity, answer.diagnostics), (known.clone(), vec![]));
    }
    assert_eq!(
        read("nameless", known.clone()).await.new_identity,
        known,
        "left out is kept"
    );
    let still = read("nameless", None).await;
    assert_eq!(
        (still.new_identity, still.diagnostics),
        (None, vec![]),
        "of a state that is older than identities"
    );
    assert_eq!(read("unreadable", known.clone()).await.new_identity, known);
    assert_eq!(read("panic on read", known.clone()).await.new_identity, known);
    assert_eq!(read("gone", known.clone()).await.new_identity, None);
    let answer = read("changeling", known).await;
    assert_eq!(summaries(&answer.diagnostics), ["Bug in the provider"]);
    assert!(answer.diagnostics[0].detail.contains("differs from the identity"));
}

#[tokio::test]
async fn a_plan_keeps_it_and_an_apply_tells_it() {
    let host = Host::attach().await;
    let apply = async |prior: &Value, planned: &Value, before: Option<ResourceIdentityData>| {
        let request = wire::apply_resource_change::Request {
            planned_identity: before,
            ..apply_request(prior, planned)
        };
        host.provider
            .clone()
            .apply_resource_change(request)
            .await
            .unwrap()
            .into_inner()
    };
    let a = |behaviour: Value| {
        thing_of([
            ("name", "a".into()),
            ("size", 1.into()),
            ("behaviour", behaviour),
            ("id", "thing-a".into()),
            ("label", "a of size 1".into()),
        ])
    };
    let planned = |behaviour: Value| {
        a(behaviour)
            .with("id", Value::unknown())
            .with("label", Value::unknown())
    };
    let known = Some(identity("thing-a"));

    let made = apply(&Value::Null, &planned(Value::Null), None).await;
    assert_eq!((made.new_identity, made.diagnostics), (known.clone(), vec![]));
    let half = apply(&Value::Null, &planned("fail midway".into()), None).await;
    assert_eq!(half.new_identity, Some(identity("begun")), "what exists has one");
    let crashed = apply(&Value::Null, &planned("panic midway".into()), None).await;
    assert_eq!(crashed.new_identity, Some(identity("begun")));
    let none = apply(&Value::Null, &planned("fail".into()), None).await;
    assert_eq!(
        (thing_in(none.new_state.as_ref()), none.new_identity),
        (Value::Null, None)
    );
    let anonymous = apply(&Value::Null, &planned("nameless".into()), None).await;
    assert_eq!(summaries(&anonymous.diagnostics), ["Bug in the provider"]);
    assert_eq!(
        thing_in(anonymous.new_state.as_ref()).get("id").as_str(),
        Some("thing-a"),
        "the state is saved all the same"
    );

    let state = a(Value::Null);
    let changed = apply(&state, &a("fine".into()), known.clone()).await;
    assert_eq!((changed.new_identity, changed.diagnostics), (known.clone(), vec![]));
    let failed = apply(&state, &a("fail".into()), known.clone()).await;
    assert_eq!(failed.new_identity, known);
    let deleted = apply(&state, &Value::Null, known.clone()).await;
    assert_eq!((deleted.new_state, deleted.new_identity), (None, None));

    let plan = async |prior: &Value| {
        let request = wire::plan_resource_change::Request {
            type_name: "corner_thing".to_owned(),
            prior_state: Some(thing(prior)),
            config: Some(thing(&thing_of([("name", "a".into())]))),
            prior_identity: known.clone(),
            ..Default::default()
        };
        let planned = host.provider.clone().plan_resource_change(request).await.unwrap();
        planned.into_inner().planned_identity
    };
    assert_eq!(plan(&state).await, known);
    assert_eq!(plan(&Value::Null).await, None, "a new one has another");
}

#[tokio::test]
async fn an_import_by_identity_is_one_by_identifier() {
    let mut host = Host::attach().await;
    let mut import = async |id: &str, identity: Option<ResourceIdentityData>| {
        let request = import_resource_state::Request {
            type_name: "corner_thing".to_owned(),
            id: id.to_owned(),
            identity,
            ..Default::default()
        };
        host.provider.import_resource_state(request).await.unwrap().into_inner()
    };
    let by_id = import("thing-a", None).await;
    assert_eq!(by_id.imported_resources[0].identity, Some(identity("thing-a")));
    assert_eq!(import("", Some(identity("thing-a"))).await, by_id);
    for incomplete in [
        identity(Value::Null),
        identity(Value::unknown()),
        ResourceIdentityData::default(),
    ] {
        let answer = import("", Some(incomplete)).await;
        assert_eq!(summaries(&answer.diagnostics), ["Incomplete identity"]);
    }
}
