//! A simulated pool, servers whose marks are written to the letter of what users are promised, and reapers over both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reaper::act::Deed;
use reaper::decide::{Action, Decision, Plan};
use reaper::ground::Memories;
use reaper::memory::StateDir;
use reaper::once::{Done, Ending, Once};
use reaper::policy::Policy;
use serde_json::{Value as Json, json};
use sim::{ClockMode, Control, Options, Simulator, World};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How much faster than in a real lab everything goes.
const SPEED: f64 = 400.0;
pub(crate) const OTHER: &str = "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10";
const SPEC: &str = r#"{"request_id":"00000000000000000000000007","template_name":"tmpl","os":"debian12","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#;

pub(crate) struct Lab {
    pub(crate) control: Control,
    pub(crate) state: TempDir,
    _simulator: Simulator,
}

/// What a pool speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// JSON-RPC as well as XML-RPC.
    Json,
    /// XML-RPC only, as pools older than 7.3.
    Xml,
}

/// A VM that a test has made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) vm: Json,
    pub(crate) uuid: String,
    pub(crate) name: String,
}

/// Marks of one VM, as texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    pub(crate) tags: BTreeSet<String>,
    pub(crate) keys: BTreeMap<String, String>,
}

impl Marks {
    /// Those of a server of dynvm, but for its lease.
    pub(crate) fn server(uuid: &str) -> Self {
        let own = format!("dynvm:vm={uuid}");
        let owner = "dynvm:owner=ci%2Fnightly".to_owned();
        Self {
            tags: [own.clone(), owner.clone()].into(),
            keys: [
                (own, String::new()),
                (owner, String::new()),
                ("dynvm:vm".to_owned(), uuid.to_owned()),
                ("dynvm:spec".to_owned(), SPEC.to_owned()),
            ]
            .into(),
        }
    }

    /// With another mark on both sides.
    pub(crate) fn with(self, mark: &str) -> Self {
        self.tagged(mark).keyed(mark, "")
    }

    pub(crate) fn tagged(mut self, mark: &str) -> Self {
        self.tags.insert(mark.to_owned());
        self
    }

    pub(crate) fn keyed(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a lease that ends so many seconds from now, written an hour ago or, if that is shorter, for so long.
    pub(crate) fn lease(self, seconds: i64) -> Self {
        self.lease_made(seconds, -3600)
    }

    /// With a lease that ends, by a mark that was written, so many seconds from now.
    pub(crate) fn lease_made(self, seconds: i64, made: i64) -> Self {
        let mark = expires(seconds, made);
        let record = json!({ "start": instant(made), "ttl": 3600, "by": "test" });
        self.tagged(&mark).keyed(&mark, &record.to_string())
    }
}

/// A time so many seconds from now, as marks carry it.
pub(crate) fn instant(seconds: i64) -> String {
    let at = Timestamp::now() + SignedDuration::from_secs(seconds);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn expires(seconds: i64, made: i64) -> String {
    let made = Timestamp::now() + SignedDuration::from_secs(made);
    let id = fleet::lease::mint(made);
    format!("dynvm:expires={}/{id}", instant(seconds))
}

/// A birth name whose deadline is so many seconds from now.
pub(crate) fn birth_name(seconds: i64) -> String {
    let deadline = Timestamp::now().as_second() + seconds;
    format!("dynvm-new-{}-{deadline}", fleet::lease::mint(Timestamp::now()))
}

impl Lab {
    pub(crate) async fn small() -> Self {
        Self::small_with(Transport::Json).await
    }

    pub(crate) async fn small_with(transport: Transport) -> Self {
        let mut world = World::from_hcl(include_str!("small.hcl")).unwrap();
        for pool in world.pools.values_mut() {
            pool.json_rpc = transport == Transport::Json;
        }
        Self::of(world).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let options = Options {
            clock: ClockMode::Scaled(SPEED),
            control: None,
        };
        let simulator = Simulator::start(world, options).await.unwrap();
        Self {
            control: simulator.control(),
            state: tempfile::tempdir().unwrap(),
            _simulator: simulator,
        }
    }

    /// Calls a pool as its superuser, unseen by the records of requests.
    pub(crate) async fn call(&self, method: &str, params: Json) -> Json {
        let list = params.as_array().cloned().unwrap_or_default();
        let called = self.control.call("lab1", method, list).await;
        called.unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
    }

    /// Clones the template to a halted VM, or leaves the clone a template.
    pub(crate) async fn clone(&self, name: &str) -> Made {
        let templates = self.call("VM.get_by_name_label", json!(["tmpl"])).await;
        let vm = self.call("VM.clone", json!([templates[0], name])).await;
        let uuid = self.call("VM.get_uuid", json!([vm])).await;
        Made {
            vm,
            uuid: uuid.as_str().unwrap().to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) async fn write(&self, made: &Made, marks: &Marks) {
        self.call("VM.set_tags", json!([made.vm, marks.tags])).await;
        let present = self.call("VM.get_other_config", json!([made.vm])).await;
        let mut keys: BTreeMap<String, String> = serde_json::from_value(present).unwrap();
        keys.extend(marks.keys.clone());
        self.call("VM.set_other_config", json!([made.vm, keys])).await;
    }

    /// Marks the disks of a VM as its own.
    pub(crate) async fn own_disks(&self, made: &Made) {
        for vdi in self.disks(made).await {
            let uuid = self.call("VDI.get_uuid", json!([vdi])).await;
            let keys = json!({ "dynvm:vm": made.uuid, "dynvm:disk": uuid });
            self.call("VDI.set_other_config", json!([vdi, keys])).await;
        }
    }

    /// The disks that hang on a VM.
    pub(crate) async fn disks(&self, made: &Made) -> Vec<Json> {
        let vbds = self.call("VM.get_VBDs", json!([made.vm])).await;
        let mut disks = Vec::new();
        for vbd in vbds.as_array().unwrap() {
            let record = self.call("VBD.get_record", json!([vbd])).await;
            if record["type"] == "Disk" {
                disks.push(record["VDI"].clone());
            }
        }
        disks
    }

    /// A halted server with these marks and its own disks.
    pub(crate) async fn server_with(&self, name: &str, marks: impl FnOnce(Marks) -> Marks) -> Made {
        let made = self.clone(name).await;
        self.call("VM.set_is_a_template", json!([made.vm, false])).await;
        self.write(&made, &marks(Marks::server(&made.uuid))).await;
        self.own_disks(&made).await;
        made
    }

    /// A halted server whose lease ends so many seconds from now.
    pub(crate) async fn server(&self, name: &str, seconds: i64) -> Made {
        self.server_with(name, |marks| marks.lease(seconds)).await
    }

    pub(crate) fn power(&self, made: &Made, state: &str) {
        self.control.set_power_state(&made.uuid, state).unwrap();
    }

    /// The UUIDs of all VMs, whatever they are.
    pub(crate) async fn vms(&self) -> BTreeSet<String> {
        self.uuids("VM").await
    }

    /// The UUIDs of all disks but the images of suspended VMs.
    pub(crate) async fn data_disks(&self) -> BTreeSet<String> {
        let all = self.call("VDI.get_all_records", json!([])).await;
        let disks = all.as_object().unwrap().values();
        let data = disks.filter(|disk| disk["type"] != "suspend");
        data.map(|disk| disk["uuid"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn uuids(&self, class: &str) -> BTreeSet<String> {
        let all = self.call(&format!("{class}.get_all_records"), json!([])).await;
        let records = all.as_object().unwrap().values();
        records
            .map(|record| record["uuid"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) async fn has(&self, made: &Made) -> bool {
        self.vms().await.contains(&made.uuid)
    }

    /// A client of its own.
    pub(crate) fn client(&self) -> Arc<xenapi::Pool> {
        self.client_with(|_| {})
    }

    /// A client of another user.
    pub(crate) fn client_of(&self, username: &str, password: &str) -> Arc<xenapi::Pool> {
        self.client_with(|config| {
            config.username = username.to_owned();
            config.password = password.to_owned().into();
        })
    }

    fn client_with(&self, change: impl FnOnce(&mut xenapi::PoolConfig)) -> Arc<xenapi::Pool> {
        let pool = self.control.pools().into_iter().next().unwrap();
        let mut config = xenapi::PoolConfig {
            name: pool.name,
            urls: vec![xenapi::Endpoint::parse(&pool.url).unwrap()],
            username: pool.username,
            password: pool.password.into(),
            tls: xenapi::TlsTrust::SystemRoots,
            wire: xenapi::WireChoice::Auto,
            originator: "dynvm-reaper/0.1.0".into(),
            limits: xenapi::Limits::default(),
        };
        change(&mut config);
        xenapi::Pool::new(config).unwrap()
    }

    /// A reaper that looks once, and remembers with all others of this lab.
    pub(crate) fn once(&self) -> Once {
        self.once_with(Policy::default())
    }

    pub(crate) fn once_with(&self, policy: Policy) -> Once {
        let state = StateDir::open(self.state.path()).unwrap();
        Once {
            clients: vec![self.client()],
            policy,
            memories: Arc::new(Memories::load(state)),
            stop: CancellationToken::new(),
        }
    }

    /// Runs once.
    pub(crate) async fn run(&self) -> Ran {
        Ran(self.once().run(&()).await)
    }

    /// Plans without doing.
    pub(crate) async fn plan(&self) -> Plan {
        let looked = self.once().look().await.pop().unwrap();
        looked.outcome.map(|seen| seen.plan).unwrap()
    }

    /// Waits for a condition.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let settled = tokio::time::timeout(Duration::from_secs(60), async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(settled.await.is_ok(), "not within a minute: {what}");
    }
}

/// What a run did.
pub(crate) struct Ran(pub(crate) Vec<Done>);

impl Ran {
    pub(crate) fn ending(&self) -> Ending {
        Ending::of(&self.0)
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.0[0].outcome.as_ref().unwrap().0
    }

    pub(crate) fn deeds(&self) -> &[(Decision, Deed)] {
        &self.0[0].outcome.as_ref().unwrap().1
    }

    pub(crate) fn rails(&self) -> Vec<&'static str> {
        self.plan().rails.iter().map(reaper::rails::Rail::name).collect()
    }
}

/// The decision about a VM.
pub(crate) fn about<'a>(plan: &'a Plan, made: &Made) -> &'a Decision {
    let mut decisions = plan.decisions.iter();
    decisions
        .find(|decision| decision.uuid().to_string() == made.uuid)
        .unwrap_or_else(|| panic!("no decision about {}", made.name))
}

/// The UUIDs of what a plan deletes.
pub(crate) fn deleted(plan: &Plan) -> BTreeSet<String> {
    let deletions = plan
        .decisions
        .iter()
        .filter(|decision| decision.action == Action::Delete);
    deletions.map(|decision| decision.uuid().to_string()).collect()
}
