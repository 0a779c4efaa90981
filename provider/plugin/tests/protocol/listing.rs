//! Lists of objects, event by event.

use cty::{Type, Value, msgpack};
use proto::tfplugin6::{DynamicValue, get_metadata, get_provider_schema, list_resource, validate_list_resource_config};
use tonic::Streaming;

use crate::host::{Host, summaries, thing_in};

const THING: &str = "corner_thing";

/// The filters, as a host sends them.
fn filters(value: &Value) -> Option<DynamicValue> {
    let ty = Type::object([("names", Type::list(Type::String))]);
    Some(DynamicValue {
        msgpack: msgpack::encode(value, &ty).unwrap(),
        json: Vec::new(),
    })
}

fn named(names: &[&str]) -> Value {
    Value::object([("names", Value::list(names.iter().copied()))])
}

async fn events(mut stream: Streaming<list_resource::Event>) -> Vec<list_resource::Event> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

impl Host {
    async fn list(&self, config: &Value, with_state: bool, limit: i64) -> Vec<list_resource::Event> {
        let request = list_resource::Request {
            type_name: THING.to_owned(),
            config: filters(config),
            include_resource_object: with_state,
            limit,
        };
        let answer = self.provider.clone().list_resource(request).await.unwrap();
        events(answer.into_inner()).await
    }
}

fn display_names(events: &[list_resource::Event]) -> Vec<&str> {
    events.iter().map(|event| event.display_name.as_str()).collect()
}

#[tokio::test]
async fn the_filters_are_told_with_the_schemas() {
    let mut host = Host::attach().await;
    let schemas = host.provider.get_provider_schema(get_provider_schema::Request {}).await;
    let schemas = schemas.unwrap().into_inner();
    assert_eq!(schemas.diagnostics, []);
    let block = schemas.list_resource_schemas[THING].block.as_ref().unwrap();
    assert_eq!(block.attributes[0].name, "names");
    let metadata = host.provider.get_metadata(get_metadata::Request {}).await.unwrap();
    assert_eq!(metadata.into_inner().list_resources[0].type_name, THING);
}

#[tokio::test]
async fn each_object_is_an_event_with_its_identity() {
    let host = Host::attach().await;
    let found = host.list(&named(&["a", "b"]), false, 100).await;
    assert_eq!(display_names(&found), ["the thing a", "the thing b"]);
    for (event, id) in found.iter().zip(["thing-a", "thing-b"]) {
        let identity = event.identity.as_ref().unwrap().identity_data.as_ref().unwrap();
        let ty = Type::object([("id", Type::String)]);
        let identity = msgpack::decode(&identity.msgpack, &ty).unwrap();
        assert_eq!(identity.get("id").as_str(), Some(id));
        assert_eq!((&event.resource_object, event.diagnostic.len()), (&None, 0));
    }
}

#[tokio::test]
async fn states_come_when_they_are_wanted() {
    let host = Host::attach().await;
    let found = host.list(&named(&["a"]), true, 100).await;
    let state = thing_in(found[0].resource_object.as_ref());
    assert_eq!(state.get("label").as_str(), Some("a of size 1"));
    assert_eq!(found[0].diagnostic, []);
}

#[tokio::test]
async fn no_more_is_sent_than_is_wanted() {
    let host = Host::attach().await;
    let all = named(&["a", "b", "c"]);
    for (limit, sent) in [(2, 2), (100, 3), (0, 3), (-1, 3)] {
        assert_eq!(host.list(&all, false, limit).await.len(), sent, "{limit}");
    }
}

#[tokio::test]
async fn without_filters_all_is_found() {
    let host = Host::attach().await;
    for none in [Value::Null, Value::object([("names", Value::Null)])] {
        assert_eq!(display_names(&host.list(&none, false, 100).await), ["the thing only"]);
    }
}

#[tokio::test]
async fn a_failure_is_the_only_event() {
    let host = Host::attach().await;
    let cases = [
        (named(&["fail"]), "Thing refused"),
        (named(&["panic"]), "The provider crashed"),
    ];
    for (config, summary) in cases {
        let told = host.list(&config, false, 100).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (summaries(&told[0].diagnostic), &told[0].identity),
            (vec![summary], &None)
        );
    }
    let nameless = host.list(&named(&["nameless"]), false, 100).await;
    assert_eq!(summaries(&nameless[0].diagnostic), ["Bug in the provider"]);
    let request = list_resource::Request {
        type_name: "corner_nothing".to_owned(),
        ..Default::default()
    };
    let unknown = host.provider.clone().list_resource(request).await.unwrap();
    let unknown = events(unknown.into_inner()).await;
    assert_eq!(summaries(&unknown[0].diagnostic), ["Unknown list resource type"]);
}

#[tokio::test]
async fn filters_are_checked_by_their_table_and_beyond() {
    let mut host = Host::attach().await;
    let mut validate = async |config: &Value| {
        let request = validate_list_resource_config::Request {
            type_name: THING.to_owned(),
            config: filters(config),
            ..Default::default()
        };
        let answer = host.provider.validate_list_resource_config(request).await.unwrap();
        answer.into_inner().diagnostics
    };
    for fine in [Value::Null, named(&["a"]), Value::object([("names", Value::unknown())])] {
        assert_eq!(validate(&fine).await, [], "{fine}");
    }
    assert_eq!(summaries(&validate(&named(&["forbidden"])).await), ["Forbidden name"]);
    assert_eq!(validate(&named(&[])).await.len(), 1, "by the table");
}
