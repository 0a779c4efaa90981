//! What is said when something is not as it was asked for.

use fleet::{Error, Subject};
use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, spec, spec_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_mean_nothing_say_what_there_is() {
    let lab = Lab::small().await;
    let before = lab.world();
    let check = |error: Error, subject: Subject, says: &[&str]| {
        let text = error.to_string();
        assert_eq!(error.subject(), subject, "{text}");
        for part in says {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert!(!error.hint().is_empty() && !error.title().is_empty());
    };
    let fails = async |wanted| {
        let failure = lab.create(wanted).await.unwrap_err();
        assert!(failure.left.is_none());
        failure.error
    };
    let error = fails(spec_of("web", "tmpl-debian-12")).await;
    check(
        error,
        Subject::Template,
        &["\"lab1\"", "Did you mean \"tmpl-debian12\"", "\"twin\""],
    );
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Os("debian".into());
    check(
        fails(wanted).await,
        Subject::Os,
        &["\"debian\"", "\"debian12\"", "\"centos7\""],
    );
    let mut wanted = spec("web");
    wanted.storage = Some("nvme".into());
    check(
        fails(wanted).await,
        Subject::Storage,
        &["\"nvme\"", "\"hdd\"", "\"ssd\""],
    );
    let mut wanted = spec("web");
    wanted.network = Some("lab".into());
    check(
        fails(wanted).await,
        Subject::Network,
        &["\"lab\"", "\"lab-net\"", "\"test-net\""],
    );
    let mut wanted = spec("web");
    wanted.pool = Some("lab2".into());
    check(
        fails(wanted).await,
        Subject::Pool("lab2".into()),
        &["Did you mean \"lab1\""],
    );
    let mut wanted = spec("web");
    wanted.ttl = std::time::Duration::from_secs(25 * 3600);
    check(fails(wanted).await, Subject::Ttl, &["90000 s", "86400 s"]);
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_templates_of_one_name_are_told_apart_by_uuid() {
    let lab = Lab::small().await;
    let vms = lab.call("VM.get_by_name_label", serde_json::json!(["twin"])).await;
    lab.call("VM.clone", serde_json::json!([vms[0], "twin"])).await;
    let uuid = lab.call("VM.get_uuid", serde_json::json!([vms[0]])).await;
    let failure = lab.create(spec_of("web", "twin")).await.unwrap_err();
    let text = failure.error.to_string();
    assert!(matches!(failure.error, Error::Ambiguous { .. }), "{text}");
    assert!(text.contains(uuid.as_str().unwrap()), "{text}");
    let server = lab.create(spec_of("web", uuid.as_str().unwrap())).await.unwrap();
    assert_eq!(server.template_uuid, Some(uuid.as_str().unwrap().parse().unwrap()));
    assert_eq!(
        lab.fleet
            .resolve_template("lab1", uuid.as_str().unwrap())
            .await
            .unwrap()
            .to_string(),
        uuid.as_str().unwrap()
    );
    assert!(lab.fleet.resolve_template("lab1", "twin").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_entries_of_one_pool_are_an_error() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(|pools| {
        let mut twin = pools[0].clone();
        twin.name = "twin".into();
        twin.connection.name = "twin".into();
        pools.push(twin);
    });
    let failure = fleet
        .create(spec("web"), Default::default(), &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(failure.error, Error::SamePool { .. }), "{}", failure.error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_became_another_keeps_the_state() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    lab.control.change_pool_uuid("lab1").unwrap();
    let error = lab.second().read(&server.key()).await.unwrap_err();
    assert!(matches!(error, Error::OtherPool { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_the_passwords_fault() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(|pools| pools[0].connection.password = "wrong".into());
    let failure = fleet
        .create(spec("web"), Default::default(), &|_| {})
        .await
        .unwrap_err();
    let text = failure.error.to_string();
    assert!(
        matches!(
            failure.error.subject(),
            Subject::Connection {
                field: fleet::ConnectionField::Password,
                ..
            }
        ),
        "{text}"
    );
    assert!(!text.contains("wrong"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_says_what_there_is() {
    let lab = Lab::small().await;
    let before = lab.world();
    let mut wanted = spec("huge");
    wanted.memory_mib = Some(512 << 10);
    let failure = lab.create(wanted).await.unwrap_err();
    let text = failure.error.to_string();
    assert!(matches!(failure.error, Error::Full { .. }), "{text}");
    assert!(text.contains("limited by memory"), "{text}");
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_role_is_named() {
    let lab = Lab::small().await;
    let before = lab.world();
    let denied = FaultKind::Error {
        code: "RBAC_PERMISSION_DENIED".into(),
        params: vec!["vm.clone".into(), "no".into()],
    };
    lab.control.fault(FaultRule::once("VM.clone", denied));
    let failure = lab.create(spec("web")).await.unwrap_err();
    assert_eq!(failure.error.title(), "Role does not suffice");
    assert!(
        failure.error.to_string().contains("RBAC_PERMISSION_DENIED"),
        "{}",
        failure.error
    );
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_mac_address_is_its_own_fault() {
    let lab = Lab::small().await;
    let before = lab.world();
    let mut wanted = spec("web");
    wanted.mac_address = Some("02:00:00:00:00:zz".into());
    let failure = lab.create(wanted).await.unwrap_err();
    assert_eq!(failure.error.subject(), Subject::MacAddress, "{}", failure.error);
    assert_eq!(lab.world(), before);
}
