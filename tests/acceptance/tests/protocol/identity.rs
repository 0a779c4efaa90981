//! The identity of a server: told by each answer, and enough to find it again.

use acceptance::{Lab, assert_unchanged};
use serde_json::{Value as Json, json};

use crate::host::{Host, Kept, errors};

#[test]
fn a_server_has_one_from_its_creation_on() {
    let lab = Lab::standard();
    let before = lab.world();
    let mut host = Host::start(&lab);
    let config = json!({ "name": "web", "os": "debian12", "pool": "lab1" });
    let made = host.apply(&Kept::default(), &config);
    let expected = json!({ "pool_uuid": lab.pool("lab1").uuid, "id": host.state(&made)["id"] });
    assert_eq!(host.identity(&made), expected);
    assert_eq!(host.plan(&made, &config).planned_identity, made.identity);

    let legacy = Kept {
        identity: None,
        ..made.clone()
    };
    assert_eq!(
        host.read(&legacy),
        host.read(&made),
        "a state that is older than identities"
    );
    let renamed = host.apply(&made, &json!({ "name": "db", "os": "debian12", "pool": "lab1" }));
    assert_eq!(host.identity(&renamed), expected);
    let gone = host.apply(&renamed, &Json::Null);
    assert_eq!((gone.state, gone.identity), (None, None));
    drop(host);
    assert_unchanged(&lab, &before);
}

#[test]
fn an_import_by_identity_is_one_by_pool_and_uuid() {
    let lab = Lab::standard();
    let mut host = Host::start(&lab);
    let config = json!({ "name": "web", "os": "debian12", "pool": "lab2" });
    let made = host.apply(&Kept::default(), &config);
    let (pool, id) = (lab.pool("lab2").uuid, host.state(&made)["id"].clone());
    let id = id.as_str().expect("a UUID");
    let by_text = host.import(&format!("{pool}/{id}"), None).expect("the server");
    let by_identity = host.import("", made.identity.clone()).expect("the server");
    assert_eq!((&by_identity, &by_identity.identity), (&by_text, &made.identity));
    let read = host.read(&by_identity);
    host.expect_empty_plan(&read, &config);

    let mut refused = |identity: &Json| {
        let identity = host.identity_of(identity);
        let found = host.import("", Some(identity)).expect_err("nothing to import");
        (errors(&found).join(", "), found[0].detail.clone())
    };
    let (_, detail) = refused(&json!({ "pool_uuid": lab.pool("lab1").uuid, "id": id }));
    assert!(
        detail.contains(&lab.pool("lab1").uuid),
        "a server of another pool: {detail}"
    );
    let (summary, _) = refused(&json!({ "pool_uuid": pool }));
    assert_eq!(summary, "Incomplete identity");
    let (summary, _) = refused(&json!({ "pool_uuid": "lab2", "id": id }));
    assert_eq!(summary, "Not the identity of a server");
}
