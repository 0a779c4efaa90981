//! A simulated lab, a fleet of it, and what tests ask of both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleet::{
    Changes, CreateFailure, DeleteReport, Error, Family, Fleet, FleetConfig, Image, Knock, PoolSettings, PowerState,
    Progress, Server, ServerKey, ServerSpec, UpdateFailure, WaitPolicy,
};
use sim::{ClockMode, Control, Options, RequestRecord, Simulator, World};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

/// How much faster than in a real lab everything goes.
const SPEED: f64 = 200.0;

/// A simulator and a fleet over its pools.
pub(crate) struct Lab {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) control: Control,
    settings: Vec<PoolSettings>,
    _simulator: Simulator,
}

impl Lab {
    /// One pool with a host, an SR, two networks and some templates.
    pub(crate) async fn small() -> Self {
        Self::of(World::from_hcl(include_str!("small.hcl")).unwrap()).await
    }

    /// The same with changes.
    pub(crate) async fn small_with(change: impl FnOnce(&mut World)) -> Self {
        let mut world = World::from_hcl(include_str!("small.hcl")).unwrap();
        change(&mut world);
        Self::of(world).await
    }

    /// The same as a pool older than 7.3, which knows XML-RPC only.
    pub(crate) async fn old() -> Self {
        Self::small_with(|world| world.pools.values_mut().for_each(|pool| pool.json_rpc = false)).await
    }

    /// The same on the clock of the runtime, which a test may pause.
    pub(crate) async fn in_virtual_time() -> Self {
        let world = World::from_hcl(include_str!("small.hcl")).unwrap();
        Self::on(world, ClockMode::Runtime).await
    }

    pub(crate) async fn of(world: World) -> Self {
        Self::on(world, ClockMode::Scaled(SPEED)).await
    }

    async fn on(world: World, clock: ClockMode) -> Self {
        let options = Options { clock, control: None };
        let simulator = Simulator::start(world, options).await.unwrap();
        let settings: Vec<PoolSettings> = simulator.pools().into_iter().map(settings).collect();
        Self {
            fleet: fleet(settings.clone()),
            control: simulator.control(),
            settings,
            _simulator: simulator,
        }
    }

    /// Another process on the same lab.
    pub(crate) fn second(&self) -> Arc<Fleet> {
        fleet(self.settings.clone())
    }

    /// Another process, which tries ports in its own way.
    pub(crate) fn knocking(&self, knock: Arc<dyn Knock>) -> Arc<Fleet> {
        Fleet::with_knock(config(self.settings.clone()), knock)
    }

    /// Another process with other settings.
    pub(crate) fn with_settings(&self, change: impl FnOnce(&mut Vec<PoolSettings>)) -> Arc<Fleet> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        fleet(settings)
    }

    /// The world without tickets that are released: the highest stays, as the next one is counted from it, and others are cleared when
    /// somebody comes by.
    pub(crate) fn world(&self) -> serde_json::Value {
        let mut world = self.control.world();
        for pool in world.as_object_mut().unwrap().values_mut() {
            for record in pool["pool"].as_object_mut().unwrap().values_mut() {
                let map = record["other_config"].as_object_mut().unwrap();
                let ended = map
                    .keys()
                    .filter_map(|key| key.strip_suffix(".released").map(str::to_owned));
                for ticket in ended.filter(|key| key.starts_with("dynvm:ticket.")).collect::<Vec<_>>() {
                    map.remove(&ticket);
                    map.remove(&format!("{ticket}.released"));
                }
            }
        }
        world
    }

    /// How the fleet reaches the pools.
    pub(crate) fn settings(&self) -> &[PoolSettings] {
        &self.settings
    }

    /// A connection to the pool as a reaper's.
    pub(crate) fn client(&self) -> Arc<xenapi::Pool> {
        xenapi::Pool::new(self.settings[0].connection.clone()).unwrap()
    }

    /// A connection to the pool as another user's.
    pub(crate) fn client_of(&self, username: &str, password: &str) -> Arc<xenapi::Pool> {
        let mut connection = self.settings[0].connection.clone();
        connection.username = username.into();
        connection.password = password.to_owned().into();
        xenapi::Pool::new(connection).unwrap()
    }

    pub(crate) async fn create(&self, spec: ServerSpec) -> Result<Server, CreateFailure> {
        self.fleet.create(spec, CancellationToken::new(), &|_| {}).await
    }

    pub(crate) async fn delete(&self, server: &Server) -> Result<DeleteReport, Error> {
        self.fleet
            .delete(&server.key(), Duration::from_secs(60), CancellationToken::new())
            .await
    }

    pub(crate) async fn update(&self, server: &Server, changes: Changes) -> Result<Server, UpdateFailure> {
        let cancel = CancellationToken::new();
        let limit = Duration::from_secs(60);
        let updated = self.fleet.update(&server.key(), changes, limit, cancel).await?;
        Ok(updated.server)
    }

    pub(crate) async fn read(&self, key: &ServerKey) -> Result<Option<Server>, Error> {
        self.fleet.read(key).await
    }

    /// Calls the pool as its superuser, unseen by the records of requests.
    pub(crate) async fn call(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        self.control
            .call("lab1", method, params.as_array().cloned().unwrap_or_default())
            .await
            .unwrap()
    }

    /// The reference of a VM.
    pub(crate) async fn vm(&self, server: &Server) -> serde_json::Value {
        self.call("VM.get_by_uuid", serde_json::json!([server.id.to_string()]))
            .await
    }

    /// The record of a VM.
    pub(crate) async fn vm_record(&self, server: &Server) -> serde_json::Value {
        let vm = self.vm(server).await;
        self.call("VM.get_record", serde_json::json!([vm])).await
    }

    /// All VMs that carry a mark or a birth name.
    pub(crate) async fn traces(&self) -> Vec<serde_json::Value> {
        let all = self.call("VM.get_all_records", serde_json::json!([])).await;
        let is_ours = |vm: &serde_json::Value| {
            let keys = vm["other_config"].as_object().unwrap();
            let name = vm["name_label"].as_str().unwrap();
            keys.contains_key("dynvm:vm") || name.starts_with("dynvm-new-")
        };
        all.as_object()
            .unwrap()
            .values()
            .filter(|vm| is_ours(vm))
            .cloned()
            .collect()
    }

    /// Attaches a disk to a server, as a person would.
    pub(crate) async fn attach_disk(&self, server: &Server, other_config: serde_json::Value) -> serde_json::Value {
        let vm = self.vm(server).await;
        let srs = self.call("SR.get_by_name_label", serde_json::json!(["ssd"])).await;
        let disk = serde_json::json!({
            "SR": srs[0], "virtual_size": 1 << 30, "type": "user", "sharable": false, "read_only": false,
            "other_config": {}, "name_label": "a person's data", "name_description": "",
        });
        let vdi = self.call("VDI.create", serde_json::json!([disk])).await;
        let vbd = serde_json::json!({
            "VM": vm, "VDI": vdi, "userdevice": "7", "bootable": false, "mode": "RW", "type": "Disk", "empty": false,
            "unpluggable": true, "other_config": other_config, "qos_algorithm_type": "", "qos_algorithm_params": {},
        });
        self.call("VBD.create", serde_json::json!([vbd])).await;
        vdi
    }

    /// The requests since the last reset, without login and logout.
    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        let all = self.control.requests();
        all.into_iter()
            .filter(|request| !request.method.starts_with("session."))
            .collect()
    }
}

fn fleet(pools: Vec<PoolSettings>) -> Arc<Fleet> {
    Fleet::new(config(pools))
}

fn config(pools: Vec<PoolSettings>) -> FleetConfig {
    FleetConfig {
        pools,
        default_ttl: Duration::from_secs(12 * 3600),
        max_ttl: Duration::from_secs(24 * 3600),
        owner: "ci/nightly".into(),
        version: "0.1.0".into(),
    }
}

fn settings(pool: sim::PoolAddress) -> PoolSettings {
    let templates = [("debian12", "tmpl-debian12"), ("centos7", "tmpl-centos7")];
    let connection = xenapi::PoolConfig {
        name: pool.name,
        urls: vec![xenapi::Endpoint::parse(&pool.url).unwrap()],
        username: pool.username,
        password: pool.password.into(),
        tls: xenapi::TlsTrust::SystemRoots,
        wire: xenapi::WireChoice::Auto,
        originator: "dynvm-provider/0.1.0".into(),
        limits: xenapi::Limits::default(),
    };
    PoolSettings {
        templates: templates
            .iter()
            .map(|(os, template)| ((*os).to_owned(), (*template).to_owned()))
            .collect(),
        ..PoolSettings::new(connection)
    }
}

/// The server that a step of its creation tells of, if it runs by then.
pub(crate) fn running(step: &Progress) -> Option<&Server> {
    match step {
        Progress::Exists(server) if server.power_state == PowerState::Running => Some(server),
        Progress::Exists(_) | Progress::Undone { .. } => None,
    }
}

/// A server like most.
pub(crate) fn spec(name: &str) -> ServerSpec {
    ServerSpec {
        name: name.into(),
        image: Image::Os("debian12".into()),
        cpus: None,
        memory_mib: None,
        ttl: Duration::from_secs(3600),
        pool: None,
        pool_labels: BTreeSet::new(),
        host: None,
        reservation: None,
        storage: None,
        network: None,
        mac_address: None,
        cloud_init: None,
        tags: BTreeSet::from(["web".to_owned()]),
        wait: WaitPolicy {
            for_ip: true,
            family: Family::Ipv4,
            cidrs: Vec::new(),
            ports: Vec::new(),
            timeout: Duration::from_secs(20),
        },
        ip_attempts: 1,
        is_started: true,
        keep_on_failure: false,
        create_timeout: Duration::from_secs(60),
        request_id: Ulid::new(),
    }
}

/// The same from another template.
pub(crate) fn spec_of(name: &str, template: &str) -> ServerSpec {
    ServerSpec {
        image: Image::Template(template.into()),
        ..spec(name)
    }
}
