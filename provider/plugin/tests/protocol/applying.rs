//! What is answered to a change, and so saved: above all when something goes wrong.

use cty::Value;
use proto::tfplugin6::apply_resource_change::Response;

use crate::host::{Host, thing_in, thing_of};

fn planned(behaviour: &str) -> Value {
    thing_of([
        ("name", "a".into()),
        ("size", 1.into()),
        ("behaviour", behaviour.into()),
        ("id", Value::unknown()),
        ("label", Value::unknown()),
    ])
}

fn prior() -> Value {
    thing_of([
        ("name", "a".into()),
        ("size", 1.into()),
        ("id", "thing-a".into()),
        ("label", "a of size 1".into()),
    ])
}

/// The summary of the first message, or nothing.
fn told(answer: &Response) -> &str {
    answer
        .diagnostics
        .first()
        .map(|diagnostic| diagnostic.summary.as_str())
        .unwrap_or_default()
}

fn state(answer: &Response) -> Value {
    thing_in(answer.new_state.as_ref())
}

#[tokio::test]
async fn a_change_is_made() {
    let host = Host::start().await;
    let parts = Value::object([(
        "lid",
        Value::object([("count", 2.into()), ("serial", Value::unknown())]),
    )]);
    let created = host
        .create(
            &planned("none")
                .with("parts", parts)
                .with("tags", Value::set(["y", "x"])),
        )
        .await;
    assert_eq!(told(&created), "");
    let thing = state(&created);
    assert_eq!(thing.get("id").as_str(), Some("thing-a"));
    assert_eq!(thing.get("parts").get("lid").get("serial").as_str(), Some("a/lid"));
    assert_eq!(created.private, br#"{"plans":1,"secret_length":1}"#);

    let resized = thing.clone().with("size", 2).with("label", Value::unknown());
    let updated = host.apply(&thing, &resized).await;
    assert_eq!(
        (told(&updated), state(&updated).get("label").as_str()),
        ("", Some("a of size 2"))
    );

    let deleted = host.apply(&state(&updated), &Value::Null).await;
    assert_eq!((told(&deleted), deleted.new_state.as_ref()), ("", None));
}

#[tokio::test]
async fn a_create_that_fails_saves_what_exists() {
    let host = Host::start().await;
    for (behaviour, summary, id) in [
        ("fail", "Thing refused", None),
        ("fail midway", "Thing refused", Some("begun")),
        ("panic", "The provider crashed", None),
        ("panic midway", "The provider crashed", Some("begun")),
        ("forgetful", "Bug in the provider", None),
        ("half done", "Bug in the provider", Some("begun")),
    ] {
        let answer = host.create(&planned(behaviour)).await;
        assert_eq!(told(&answer), summary, "{behaviour}");
        let saved = state(&answer);
        assert_eq!(saved.get("id").as_str(), id, "{behaviour}");
        assert!(saved.is_wholly_known(), "{behaviour}");
        assert!(saved.get("secret").is_null(), "{behaviour}");
        assert_eq!(saved.is_null(), id.is_none(), "{behaviour}");
    }
}

#[tokio::test]
async fn the_crash_is_told() {
    let host = Host::start().await;
    let answer = host.create(&planned("panic")).await;
    assert!(
        answer.diagnostics[0].detail.contains("the thing fell over"),
        "{}",
        answer.diagnostics[0].detail
    );
    // The server is none the worse for it.
    assert_eq!(told(&host.create(&planned("none")).await), "");
}

#[tokio::test]
async fn an_update_that_fails_keeps_the_prior_state() {
    let host = Host::start().await;
    for (behaviour, summary) in [("fail", "Thing refused"), ("panic", "The provider crashed")] {
        let answer = host.apply(&prior(), &prior().with("behaviour", behaviour)).await;
        assert_eq!((told(&answer), state(&answer)), (summary, prior()));
    }
}

#[tokio::test]
async fn a_deletion_that_fails_keeps_the_prior_state() {
    let host = Host::start().await;
    for (behaviour, summary) in [("sticky", "Thing refused"), ("sticky panic", "The provider crashed")] {
        let prior = prior().with("behaviour", behaviour);
        let answer = host.apply(&prior, &Value::Null).await;
        assert_eq!((told(&answer), state(&answer)), (summary, prior));
        assert_eq!(answer.private, br#"{"plans":1}"#);
    }
}
