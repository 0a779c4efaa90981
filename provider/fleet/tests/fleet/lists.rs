//! Finding and listing.

use std::collections::BTreeSet;

use fleet::{Error, ListFilter, PowerState, ServerQuery, Within};
use sim::World;

use crate::lab::{Lab, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_and_sorted() {
    let lab = Lab::small().await;
    for name in ["web-2", "web-1", "db"] {
        let mut wanted = spec(name);
        wanted.tags = BTreeSet::from([name.split('-').next().unwrap().to_owned()]);
        lab.create(wanted).await.unwrap();
    }
    let names = async |filter: ListFilter| -> Vec<String> {
        lab.fleet
            .list(&filter)
            .await
            .unwrap()
            .into_iter()
            .map(|server| server.name)
            .collect()
    };
    let all = ListFilter::default();
    assert_eq!(
        names(all.clone()).await,
        ["db", "foreign-1", "foreign-2", "foreign-3", "web-1", "web-2"]
    );
    assert_eq!(
        names(ListFilter {
            managed: Some(true),
            ..all.clone()
        })
        .await,
        ["db", "web-1", "web-2"]
    );
    assert_eq!(
        names(ListFilter {
            managed: Some(false),
            ..all.clone()
        })
        .await
        .len(),
        3
    );
    let tags = BTreeSet::from(["web".to_owned()]);
    assert_eq!(names(ListFilter { tags, ..all.clone() }).await, ["web-1", "web-2"]);
    let name_regex = Some(regex::Regex::new("^web-[2-9]$").unwrap());
    assert_eq!(
        names(ListFilter {
            name_regex,
            ..all.clone()
        })
        .await,
        ["web-2"]
    );
    let os = Some("debian12".to_owned());
    assert_eq!(names(ListFilter { os, ..all.clone() }).await, ["db", "web-1", "web-2"]);
    assert_eq!(
        names(ListFilter {
            power_state: Some(PowerState::Halted),
            ..all.clone()
        })
        .await
        .len(),
        0
    );
    let error = lab
        .fleet
        .list(&ListFilter {
            pool: Some("lab9".into()),
            ..all
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::UnknownPool { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_is_adopted_from_the_pool_of_a_uuid_and_from_no_other() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let within = Within::Pool(server.pool_uuid);
    assert_eq!(lab.fleet.adoptable(within, server.id).await.unwrap().id, server.id);
    let another = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap();
    let error = lab.fleet.adoptable(Within::Pool(another), server.id).await.unwrap_err();
    assert!(
        matches!(&error, Error::Missing { pool, .. } if *pool == another.to_string()),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_found_by_uuid_or_by_its_one_name() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let by_id = ServerQuery::Id {
        id: server.id,
        pool: None,
    };
    assert_eq!(lab.fleet.find(&by_id).await.unwrap().name, "web");
    let by_name = ServerQuery::Name {
        name: "web".into(),
        pool: Some("lab1".into()),
    };
    assert_eq!(lab.fleet.find(&by_name).await.unwrap().id, server.id);
    let twin = lab.create(spec("web")).await.unwrap();
    let error = lab.fleet.find(&by_name).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Ambiguous { .. }), "{text}");
    assert!(
        text.contains(&server.id.to_string()) && text.contains(&twin.id.to_string()),
        "{text}"
    );
    let error = lab
        .fleet
        .find(&ServerQuery::Name {
            name: "wep".into(),
            pool: None,
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Did you mean \"web\""), "{error}");
    let template = server.template_uuid.unwrap();
    assert!(
        lab.fleet
            .find(&ServerQuery::Id {
                id: template,
                pool: None
            })
            .await
            .is_err()
    );
    let quoted = ServerQuery::Name {
        name: "a \"quoted\" name".into(),
        pool: None,
    };
    assert!(matches!(
        lab.fleet.find(&quoted).await.unwrap_err(),
        Error::Missing { .. }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_pools_of_the_default_lab_are_listed() {
    let lab = Lab::of(World::default_lab()).await;
    let servers = lab.fleet.list(&ListFilter::default()).await.unwrap();
    let pools: BTreeSet<&str> = servers.iter().map(|server| server.pool.as_str()).collect();
    assert_eq!(pools.into_iter().collect::<Vec<_>>(), ["lab1", "lab2"]);
    let order: Vec<_> = servers
        .iter()
        .map(|server| (&server.pool, &server.name, server.id))
        .collect();
    assert!(order.is_sorted());
}
