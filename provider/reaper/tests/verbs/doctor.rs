//! `doctor`: each check by name, and what it says when something is wrong.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sim::PoolAddress;

use crate::desk::Desk;
use crate::lab::OTHER;

/// A lab whose hosts have certificates of their own, and a user who may do less than deleting takes.
const ROLES: &str = r#"
pool "lab1" {
  host "xen11" {}
  sr "ssd" { default = true }
  network "lab-net" { device = "eth0" }
  template "tmpl" { networks = ["lab-net"] }
  users = [
    { name = "operator", password = "secret-of-operator", role = "vm-operator" },
    { name = "admin", password = "secret-of-admin", role = "vm-admin" },
  ]
}
"#;

impl Desk {
    /// The checks by name, the worst of each, and the exit code.
    async fn checks(&self) -> (u8, BTreeMap<String, (String, Json)>) {
        let (code, told) = self.json(&["doctor"]).await;
        let rank = |state: &str| ["ok", "warn", "fail"].iter().position(|known| *known == state).unwrap();
        let mut worst: BTreeMap<String, (String, Json)> = BTreeMap::new();
        for check in told["checks"].as_array().unwrap() {
            let text = |name: &str| check[name].as_str().unwrap().to_owned();
            let (name, state) = (text("check"), text("state"));
            if worst.get(&name).is_none_or(|(before, _)| rank(before) < rank(&state)) {
                worst.insert(name, (state, check.clone()));
            }
        }
        (code, worst)
    }
}

fn states(checks: &BTreeMap<String, (String, Json)>) -> BTreeMap<&str, &str> {
    checks
        .iter()
        .map(|(name, (state, _))| (name.as_str(), state.as_str()))
        .collect()
}

fn as_user(desk: &Desk, name: &str) -> Vec<PoolAddress> {
    let mut pools = desk.lab.control.pools();
    pools[0].username = name.into();
    pools[0].password = format!("secret-of-{name}");
    pools
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well() {
    let desk = Desk::small().await;
    let before = desk.lab.control.world();
    let (code, checks) = desk.checks().await;
    let expected = [
        ("address", "ok"),
        ("certificate", "warn"),
        ("clock", "ok"),
        ("configuration", "warn"),
        ("disks", "ok"),
        ("history", "ok"),
        ("listing", "ok"),
        ("login", "ok"),
        ("role", "ok"),
        ("state_dir", "ok"),
    ];
    assert_eq!((code, states(&checks)), (0, expected.into()));
    assert!(!desk.state_dir().exists(), "nothing is made");
    assert_eq!(desk.lab.control.world(), before);
    desk.verb(&["doctor"])
        .await
        .expect(0, &["ok    lab1: role: the local superuser", "warn  lab1: certificate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_are_missing_are_named() {
    let desk = Desk::of(ROLES).await;
    desk.configure(&as_user(&desk, "operator"), "");
    let (code, checks) = desk.checks().await;
    let (state, role) = &checks["role"];
    assert_eq!((code, state.as_str()), (1, "fail"));
    let text = role["text"].as_str().unwrap();
    let lacking = text.rsplit(": ").next().unwrap();
    let expected =
        "VM.add_to_other_config, VM.remove_from_other_config, VM.set_name_label, VM.destroy, VBD.destroy, VDI.destroy";
    assert_eq!(lacking, expected);
    assert!(role["advice"].as_str().unwrap().contains("vm-admin"));
    let shown = desk
        .verb(&["doctor"])
        .await
        .expect(1, &["FAIL  lab1: role", "> give the user the role vm-admin"]);
    assert!(!shown.out.contains("secret"), "{}", shown.out);

    desk.configure(&as_user(&desk, "admin"), "");
    let (code, checks) = desk.checks().await;
    assert_eq!((code, checks["role"].0.as_str()), (0, "ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_that_leads_nowhere_has_its_name() {
    let desk = Desk::small().await;
    let check = async |pools: Vec<PoolAddress>, name: &str, part: &str| {
        desk.configure(&pools, "");
        let (code, checks) = desk.checks().await;
        let (state, told) = &checks[name];
        assert_eq!((code, state.as_str()), (1, "fail"), "{name}");
        assert!(told["text"].as_str().unwrap().contains(part), "{told}");
        assert!(!told["advice"].as_str().unwrap_or_default().is_empty(), "{told}");
    };
    let mut pools = desk.lab.control.pools();
    pools[0].password = "wrong".into();
    check(pools.clone(), "login", "AUTHENTICATION_FAILED").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    pools[0].url = format!("http://{free}");
    check(pools, "address", "no connection").await;
    let mut twice = desk.lab.control.pools();
    let mut again = twice[0].clone();
    again.name = "again".into();
    twice.push(again);
    desk.configure(&twice, "");
    let (code, checks) = desk.checks().await;
    assert_eq!((code, checks["address"].0.as_str()), (0, "warn"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_its_own_is_told_with_its_fingerprint() {
    let desk = Desk::of(&ROLES.replace("pool \"lab1\" {", "pool \"lab1\" {\n  tls = true")).await;
    let (code, checks) = desk.checks().await;
    let (state, told) = &checks["certificate"];
    assert_eq!((code, state.as_str()), (1, "fail"));
    let pool = desk.lab.control.pools().remove(0);
    let text = told["advice"].as_str().unwrap();
    let print = text.split('"').find(|part| part.starts_with("sha256:")).unwrap();
    let pools = format!(
        "pools = {{ lab1 = {{ url = {:?}, username = {:?}, password = {:?}, tls = {{ fingerprints = [{print:?}] }} }} }}\nstate_dir = {:?}\n",
        pool.url,
        pool.username,
        pool.password,
        desk.state_dir().display().to_string()
    );
    std::fs::write(desk.config(), pools).unwrap();
    let (code, checks) = desk.checks().await;
    assert_eq!((code, checks["certificate"].0.as_str()), (0, "ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_deletes_is_listed() {
    let desk = Desk::small().await;
    let lab = &desk.lab;
    lab.server_with("endless", |marks| marks).await;
    lab.server_with("odd", |marks| marks.lease(600).tagged("dynvm:nonsense"))
        .await;
    let loose = lab.server("loose", 600).await;
    let disks = lab.disks(&loose).await;
    lab.call("VM.destroy", json!([loose.vm])).await;
    lab.call("VDI.set_other_config", json!([disks[0], {}])).await;
    lab.call("VDI.set_name_label", json!([disks[0], "somebody's data"]))
        .await;
    lab.control.set_pool_tags("lab1", vec!["dynvm:pause".into()]).unwrap();
    lab.control.set_clock_offset("lab1", 500).unwrap();
    let (code, checks) = desk.checks().await;
    assert_eq!(code, 0, "nothing of it keeps deletions from working");
    for name in ["clock", "disks", "rail", "servers"] {
        assert_eq!(checks[name].0, "warn", "{name}");
    }
    let came = desk.verb(&["doctor"]).await;
    let parts = [
        "1 have no expiry",
        "endless",
        "1 are not surely servers",
        "dynvm:nonsense",
        "8m 20s ahead of",
        "paused",
    ];
    came.expect(0, &parts).expect(
        0,
        &[
            "somebody's data",
            "carry no mark",
            "1 disk (10.0 GiB)",
            "1 disk (20.0 GiB)",
        ],
    );
    assert!(lab.vms().await.iter().all(|uuid| uuid != OTHER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_or_a_history_that_cannot_be_used_fails() {
    let desk = Desk::small().await;
    std::fs::write(desk.state_dir(), "a file").unwrap();
    let (code, checks) = desk.checks().await;
    assert_eq!((code, checks["state_dir"].0.as_str()), (1, "fail"));
    desk.verb(&["run", "--once"])
        .await
        .expect(2, &["state_dir", "cannot be used"]);
    desk.verb(&["run"]).await.expect(2, &["state_dir", "cannot be used"]);

    let file = desk.config().display().to_string();
    desk.configure(&desk.lab.control.pools(), &format!("history = \"sqlite://{file}\""));
    let (code, checks) = desk.checks().await;
    assert_eq!((code, checks["history"].0.as_str()), (1, "fail"));
}
