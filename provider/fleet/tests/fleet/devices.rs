//! Networks that are named by a device, as an INI file does.

use fleet::{Error, NetworkChoice, Subject};

use crate::lab::{Lab, spec_of};

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
