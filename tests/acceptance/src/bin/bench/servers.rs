//! Servers that nobody had to create: VMs of the world on which the marks are written that a provider would have left there.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::{Lab, Vm};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::place::POOL;

const SPEC: &str = r#"{"request_id":"00000000000000000000000007","template_name":"tmpl-debian12","os":"debian12","provider":"0.1.0","created_at":"2026-01-01T00:00:00Z"}"#;
const OWNER: &str = "dynvm:owner=bench";

/// A VM that is a server as soon as it has a lease.
#[derive(Debug)]
pub(crate) struct Server {
    vm: Vm,
    /// Makes its leases its own.
    number: usize,
}

/// The VMs of the world whose names begin like this, with their disks marked as their own; they have no lease yet.
pub(crate) fn servers(lab: &Lab, name: &str) -> Result<Vec<Server>> {
    let prefix = format!("{name}-");
    let mut vms = lab.vms();
    vms.retain(|vm| vm.text("name_label").starts_with(&prefix));
    ensure!(!vms.is_empty(), "there is no VM {name}");
    let drives = lab.records(POOL, "VBD");
    let servers = vms.into_iter().enumerate().map(|(number, vm)| Server { vm, number });
    let servers: Vec<Server> = servers.collect();
    for server in &servers {
        server.mark_disks(lab, &drives)?;
    }
    Ok(servers)
}

impl Server {
    /// Writes all marks anew, with a lease that ends then.
    pub(crate) fn lease(&self, lab: &Lab, ends: Timestamp) -> Result<()> {
        // An identity of 2024: no mark of it is so young that a rail would hold it back.
        let ends = ends.strftime("%Y-%m-%dT%H:%M:%SZ");
        let expires = format!("dynvm:expires={ends}/01JD4Q8QCG{:016}", self.number);
        let uuid = self.vm.uuid();
        let own = format!("dynvm:vm={uuid}");
        let lease = json!({ "start": "2026-01-01T00:00:00Z", "ttl": 3600, "by": "bench" }).to_string();
        let empty = String::new;
        let mut keys: BTreeMap<String, String> = self.vm.other_config();
        keys.extend([
            ("dynvm:vm".to_owned(), uuid.clone()),
            ("dynvm:spec".to_owned(), SPEC.to_owned()),
            (own.clone(), empty()),
            (OWNER.to_owned(), empty()),
            (expires.clone(), lease),
        ]);
        let mut tags: BTreeSet<String> = self.vm.tags();
        tags.extend([own, OWNER.to_owned(), expires]);
        lab.control()
            .set_other_config(&uuid, keys)
            .context("the server's keys")?;
        lab.control()
            .set_tags(&uuid, tags.into_iter().collect())
            .context("the server's tags")
    }

    fn mark_disks(&self, lab: &Lab, drives: &BTreeMap<String, Json>) -> Result<()> {
        let text = |drive: &Json, field: &str| drive.get(field).and_then(Json::as_str).map(str::to_owned);
        for vbd in self.vm.references("VBDs") {
            let drive = drives.get(&vbd).context("a drive that is not listed")?;
            if text(drive, "type").as_deref() == Some("Disk") {
                let disk = text(drive, "VDI").context("a drive without a disk")?;
                let uuid = lab.call(POOL, "VDI.get_uuid", json!([disk]));
                let keys = json!({ "dynvm:vm": self.vm.uuid(), "dynvm:disk": uuid });
                lab.call(POOL, "VDI.set_other_config", json!([disk, keys]));
            }
        }
        Ok(())
    }
}
