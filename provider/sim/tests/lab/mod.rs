//! A small world for tests, and calls on it without any wire between.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod wire;

use serde_json::{Value as Json, json};
use sim::{ClockMode, Control, Options, Simulator, World};

pub(crate) const WORLD: &str = r#"
pool "one" {
  users = [
    { name = "reader", password = "r", role = "read-only" },
    { name = "admin", password = "a", role = "vm-admin" },
  ]
  host "h1" {
    cpus       = 8
    memory_gib = 16
  }
  host "h2" {
    cpus       = 8
    memory_gib = 16
  }
  sr "thin" {
    type     = "nfs"
    size_gib = 1000
    shared   = true
    default  = true
  }
  sr "local2" {
    type     = "lvm"
    size_gib = 100
    host     = "h2"
  }
  sr "isos" {
    type   = "iso"
    shared = true
    isos   = ["a.iso"]
  }
  network "lan" {
    device = "eth0"
    cidr   = "10.1.0.0/24"
  }
  network "only-h2" {
    device = "eth1"
    hosts  = ["h2"]
    cidr   = "10.2.0.0/24"
  }
  template "linux" {
    networks = ["lan"]
    tags     = ["golden"]
    stale_ip = "10.9.9.9"
    guest {
      boot_seconds     = 5
      dhcp_seconds     = 1
      link_local_first = true
    }
  }
  template "local" {
    sr       = "local2"
    networks = ["lan"]
  }
  template "deaf" {
    networks = ["lan"]
    guest {
      boot_seconds = 1
      no_agent     = true
    }
  }
  vm "foreign" {
    template  = "linux"
    snapshots = 1
  }
}
"#;

pub(crate) struct Lab {
    pub(crate) simulator: Simulator,
    pub(crate) control: Control,
}

impl Lab {
    pub(crate) async fn start(clock: ClockMode) -> Self {
        Self::with(World::from_hcl(WORLD).unwrap(), clock).await
    }

    pub(crate) async fn with(world: World, clock: ClockMode) -> Self {
        let simulator = Simulator::start(
            world,
            Options {
                clock,
                ..Options::default()
            },
        )
        .await
        .unwrap();
        let control = simulator.control();
        Self { simulator, control }
    }

    pub(crate) async fn try_call(&self, method: &str, params: Vec<Json>) -> Result<Json, Vec<String>> {
        self.control.call("one", method, params).await
    }

    pub(crate) async fn call(&self, method: &str, params: Vec<Json>) -> Json {
        self.try_call(method, params)
            .await
            .unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
    }

    pub(crate) async fn text(&self, method: &str, params: Vec<Json>) -> String {
        self.call(method, params).await.as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn fails(&self, method: &str, params: Vec<Json>, code: &str) -> impl Future<Output = Vec<String>> {
        let (control, method, code) = (self.control.clone(), method.to_owned(), code.to_owned());
        async move {
            let failure = control.call("one", &method, params).await.unwrap_err();
            assert_eq!(failure[0], code, "{method}: {failure:?}");
            failure[1..].to_vec()
        }
    }

    pub(crate) async fn by_name(&self, cls: &str, name: &str) -> String {
        let found = self.call(&format!("{cls}.get_by_name_label"), vec![json!(name)]).await;
        found[0]
            .as_str()
            .unwrap_or_else(|| panic!("no {cls} {name}"))
            .to_owned()
    }

    /// A clone of a template that is no template any more.
    pub(crate) async fn clone_of(&self, template: &str, name: &str) -> String {
        let template = self.by_name("VM", template).await;
        let vm = self.text("VM.clone", vec![json!(template), json!(name)]).await;
        self.call("VM.set_is_a_template", vec![json!(vm), json!(false)]).await;
        vm
    }

    pub(crate) async fn record(&self, cls: &str, reference: &str) -> Json {
        self.call(&format!("{cls}.get_record"), vec![json!(reference)]).await
    }

    pub(crate) async fn disks(&self, vm: &str) -> Vec<String> {
        let mut disks = Vec::new();
        for vbd in self.record("VM", vm).await["VBDs"].as_array().unwrap() {
            let vbd = self.record("VBD", vbd.as_str().unwrap()).await;
            if vbd["type"] == "Disk" {
                disks.push(vbd["VDI"].as_str().unwrap().to_owned());
            }
        }
        disks
    }

    /// Destroys a halted VM with its disks.
    pub(crate) async fn destroy(&self, vm: &str) {
        let disks = self.disks(vm).await;
        self.call("VM.destroy", vec![json!(vm)]).await;
        for disk in disks {
            self.call("VDI.destroy", vec![json!(disk)]).await;
        }
    }

    /// Follows the guest's networks until one has this address prefix.
    pub(crate) async fn address(&self, vm: &str, prefix: &str) -> Vec<Json> {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let metrics = self.text("VM.get_guest_metrics", vec![json!(vm)]).await;
            let wanted = json!([format!("vm/{vm}"), format!("vm_guest_metrics/{metrics}")]);
            let batch = self.call("event.from", vec![wanted, json!(token), json!(30.0)]).await;
            token = batch["token"].as_str().unwrap().to_owned();
            for event in batch["events"].as_array().unwrap() {
                let networks = &event["snapshot"]["networks"];
                if event["class"] == "vm_guest_metrics" && seen.last() != Some(networks) {
                    seen.push(networks.clone());
                }
                if networks["0/ip"].as_str().is_some_and(|ip| ip.starts_with(prefix)) {
                    return seen;
                }
            }
        }
    }
}
