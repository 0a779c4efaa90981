//! Entries that name members of pools, as an INI file does: those of one pool are one, and networks are named by device.

use fleet::{CapacityQuery, Duplicates, Error, Image, ListFilter, NetworkChoice, PoolSettings, ServerQuery, Subject};

use crate::lab::{Lab, spec, spec_of};

/// Each entry twice: as it is, and as `twin`; both may give way.
fn twice(pools: &mut Vec<PoolSettings>) {
    let mut twin = pools[0].clone();
    twin.name = "twin".into();
    twin.connection.name = "twin".into();
    pools.push(twin);
    for pool in pools {
        pool.duplicates = Duplicates::GiveWay;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_members_of_one_pool_the_first_serves() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(twice);
    let server = fleet.create(spec("web"), Default::default(), &|_| {}).await.unwrap();
    assert_eq!(server.pool, "lab1");
    let query = CapacityQuery {
        image: Image::Os("debian12".into()),
        cpus: None,
        memory_mib: None,
        pool: None,
        labels: fleet::LabelChoice::default(),
    };
    let capacity = fleet.capacity(&query).await.unwrap();
    let pools: Vec<&str> = capacity.pools.iter().map(|pool| pool.pool.as_str()).collect();
    assert_eq!(pools, ["lab1"], "room is counted once");
    let listed = fleet.list(&ListFilter::default()).await.unwrap();
    assert_eq!(listed.iter().filter(|other| other.id == server.id).count(), 1);
    let found = fleet
        .find(&ServerQuery::Id {
            id: server.id,
            pool: None,
        })
        .await
        .unwrap();
    assert_eq!(found.pool, "lab1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_asked_for_serves_by_its_own_name() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(twice);
    fleet.list(&ListFilter::default()).await.unwrap();
    let mut wanted = spec("web");
    wanted.pool = Some("twin".into());
    let server = fleet.create(wanted, Default::default(), &|_| {}).await.unwrap();
    assert_eq!(server.pool, "twin");
    assert!(fleet.read(&server.key()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_the_template_serves_where_the_first_lacks_it() {
    let lab = Lab::small().await;
    let fleet = lab.with_settings(|pools| {
        twice(pools);
        pools[0].templates.remove("debian12");
    });
    let query = CapacityQuery {
        image: Image::Os("debian12".into()),
        cpus: None,
        memory_mib: None,
        pool: None,
        labels: fleet::LabelChoice::default(),
    };
    let capacity = fleet.capacity(&query).await.unwrap();
    assert!(capacity.available > 0 && capacity.pools.len() == 1, "{capacity:?}");
    let server = fleet.create(spec("web"), Default::default(), &|_| {}).await.unwrap();
    assert_eq!(server.pool, "twin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_named_by_a_device_on_it() {
    let lab = Lab::small().await;
    let made_on = async |choice: NetworkChoice| {
        let fleet = lab.with_settings(|pools| pools[0].network = Some(choice));
        fleet
            .create(spec_of("web", "tmpl-debian12"), Default::default(), &|_| {})
            .await
            .map(|server| server.network.map(|network| network.name))
    };
    let on = |name: &str| Some(name.to_owned());
    let device = |text: &str| NetworkChoice::Device(text.to_owned());
    let either = |text: &str| NetworkChoice::NamedOrDevice(text.to_owned());
    assert_eq!(made_on(device("th1")).await.unwrap(), on("test-net"));
    assert_eq!(made_on(device("eth1")).await.unwrap(), on("test-net"));
    assert_eq!(made_on(either("test-net")).await.unwrap(), on("test-net"));
    assert_eq!(made_on(either("eth1")).await.unwrap(), on("test-net"));
    for (choice, says) in [
        (device("eth"), "\"eth\" means several physical interfaces: eth0, eth1"),
        (
            device("eth7"),
            "no physical interface \"eth7\". Did you mean \"eth0\"? There is: \"eth0\", \"eth1\"",
        ),
        (either("lab"), "pool \"lab1\" has no network \"lab\""),
    ] {
        let error: Error = made_on(choice).await.unwrap_err().error;
        assert_eq!(error.subject(), Subject::Network);
        assert!(error.to_string().contains(says), "{error} lacks {says}");
    }
}
