//! A panic with secrets at hand: it shows what `Debug` shows of them, and that is neither a password nor what a guest is told.

use fleet::CloudInit;
use xenapi::Ref;

use crate::lab::{Lab, spec};

const WRONG: &str = "correct horse battery staple";
const USER_DATA: &str = "#cloud-config\npassword: hunter2\n";

#[tokio::test]
async fn nothing_secret_is_in_what_it_says() {
    let lab = Lab::small().await;
    let mut spec = spec("web");
    spec.cloud_init = CloudInit::new(Some(USER_DATA), None);
    let server = lab.create(spec.clone()).await.unwrap();
    let stranger = lab.client_of("root", WRONG);
    let refused = stranger.vm().get_tags(&Ref::new("OpaqueRef:any")).await.unwrap_err();
    let settings = lab.settings().to_vec();
    let password = settings[0].connection.password.expose().to_owned();
    let client = lab.client();
    let at_hand = (settings, spec, server, client, refused);
    let crash = tokio::spawn(async move { panic!("{at_hand:#?}") }).await.unwrap_err();
    let said = crash.into_panic().downcast::<String>().unwrap();
    assert!(
        said.contains("debian12") && said.contains("***"),
        "all of it was shown: {said}"
    );
    for secret in [password.as_str(), WRONG, "hunter2"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}
