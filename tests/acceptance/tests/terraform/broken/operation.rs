//! The operations that are broken off: what is there before, what is asked for, and how the pool shows that it has come to be.

use std::collections::BTreeSet;

use acceptance::{Lab, Vm};
use serde_json::{Value as Json, json};

use super::POOL;
use super::left::text;

const TEMPLATE: &str = "tmpl-debian12";
/// The first disk and the config drive.
const DISKS: usize = 2;

/// What is done when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A server with all that a create can make.
    Create,
    /// The same from a template that was a server once, and carries its marks still.
    CreateFromMarked,
    Read,
    /// Another name and other tags.
    Rename,
    /// Other vCPUs and another memory of a server that runs.
    Resize,
    /// Another time to live.
    Renew,
    Delete,
    /// Room for servers.
    Reserve,
}

/// What is asked for.
struct Wanted {
    name: &'static str,
    tags: &'static [&'static str],
    cpus: u64,
    memory_mib: u64,
    ttl: &'static str,
}

impl Wanted {
    fn resource(&self) -> String {
        let Self {
            name,
            tags,
            cpus,
            memory_mib,
            ttl,
        } = self;
        format!(
            "resource \"dynvm_server\" \"a\" {{\n  name = {name:?}\n  os = \"debian12\"\n  tags = {tags:?}\n  cpus = {cpus}\n  \
             memory_mib = {memory_mib}\n  ttl = {ttl:?}\n  user_data = \"#cloud-config\\n\"\n  \
             timeouts = {{ create = \"60s\", update = \"60s\", delete = \"60s\" }}\n}}\n"
        )
    }
}

const FIRST: Wanted = Wanted {
    name: "web",
    tags: &["one"],
    cpus: 2,
    memory_mib: 2048,
    ttl: "1h",
};

impl Operation {
    /// The module of what is there when it begins.
    pub(super) fn before(self) -> Option<String> {
        match self {
            Operation::Create | Operation::CreateFromMarked | Operation::Reserve => None,
            Operation::Read | Operation::Rename | Operation::Resize | Operation::Renew | Operation::Delete => {
                Some(FIRST.resource())
            }
        }
    }

    /// The module of what is asked for.
    pub(super) fn module(self) -> String {
        match self {
            Operation::Reserve => {
                "resource \"dynvm_capacity\" \"a\" {\n  servers = 3\n  os = \"debian12\"\n  ttl = \"1h\"\n}\n"
                    .to_owned()
            }
            _ => self.wanted().resource(),
        }
    }

    fn wanted(self) -> Wanted {
        match self {
            Operation::Rename => Wanted {
                name: "renamed",
                tags: &["two", "three"],
                ..FIRST
            },
            Operation::Resize => Wanted {
                cpus: 4,
                memory_mib: 4096,
                ..FIRST
            },
            Operation::Renew => Wanted { ttl: "2h", ..FIRST },
            Operation::Create
            | Operation::CreateFromMarked
            | Operation::Read
            | Operation::Delete
            | Operation::Reserve => FIRST,
        }
    }

    /// Which plan is saved for it; a read happens while one is made.
    pub(super) fn plan(self) -> Option<&'static [&'static str]> {
        match self {
            Operation::Read => None,
            Operation::Delete => Some(&["-destroy"]),
            _ => Some(&[]),
        }
    }

    /// Makes the pool what it needs.
    pub(super) fn furnish(self, lab: &Lab) {
        if self == Operation::CreateFromMarked {
            mark_the_template(lab);
        }
    }

    /// Demands that the pool holds what was asked for, by the attributes in the state file.
    #[track_caller]
    pub(super) fn check(self, lab: &Lab, attributes: &Json) {
        if self == Operation::Reserve {
            assert_eq!(attributes["status"], "held", "{attributes:#}");
            return;
        }
        let wanted = self.wanted();
        let vm = lab.vm(&text(&attributes["id"]));
        let is = (vm.text("name_label"), vm.text("power_state"));
        assert_eq!(is, (wanted.name.to_owned(), "Running".to_owned()), "{:#}", vm.record);
        assert_eq!(vm.record["VCPUs_at_startup"], wanted.cpus, "{:#}", vm.record);
        assert_eq!(
            vm.record["memory_static_max"],
            wanted.memory_mib << 20,
            "{:#}",
            vm.record
        );
        let tags = vm.tags();
        let own: BTreeSet<&str> = tags
            .iter()
            .map(String::as_str)
            .filter(|tag| !tag.starts_with("dynvm:"))
            .collect();
        assert_eq!(own, wanted.tags.iter().copied().collect(), "{:#}", vm.record);
        // What replaces a mark may leave it behind: the latest counts.
        let latest = tags.iter().filter(|tag| tag.starts_with("dynvm:expires=")).max();
        let lease = format!("dynvm:expires={}/", text(&attributes["expires_at"]));
        assert!(
            latest.is_some_and(|mark| mark.starts_with(&lease)),
            "{lease} is not {latest:?}"
        );
        assert!(is_whole(lab, &vm), "{:#}", vm.record);
    }
}

/// Whether a server has all its disks.
fn is_whole(lab: &Lab, vm: &Vm) -> bool {
    let devices = lab.records(POOL, "VBD").into_values();
    let disks = devices.filter(|device| {
        let is_disk = device["type"] == "Disk" && device["VDI"] != "OpaqueRef:NULL";
        is_disk && device["VM"] == vm.reference.as_str()
    });
    disks.count() == DISKS
}

/// Gives the template the marks of a server.
fn mark_the_template(lab: &Lab) {
    let (template, record) = lab.named(POOL, "VM", TEMPLATE);
    assert_eq!(record["is_a_template"], true);
    let (_, other) = lab.named(POOL, "VM", "build-server");
    let other = text(&other["uuid"]);
    let marks = [
        format!("dynvm:vm={other}"),
        "dynvm:expires=2020-01-01T00:00:00Z/01DXF6DT000000000000000000".to_owned(),
        "dynvm:creating=2020-01-01T00:00:00Z".to_owned(),
        "dynvm:owner=somebody".to_owned(),
        "dynvm:reaping=01DXF6DT000000000000000000".to_owned(),
        "dynvm:keep".to_owned(),
    ];
    for mark in &marks {
        lab.call(POOL, "VM.add_tags", json!([template, mark]));
        lab.call(POOL, "VM.add_to_other_config", json!([template, mark, ""]));
    }
    lab.call(POOL, "VM.add_to_other_config", json!([template, "dynvm:vm", other]));
    lab.call(POOL, "VM.add_to_other_config", json!([template, "dynvm:spec", "{}"]));
    let devices = lab.records(POOL, "VBD");
    let disks = devices
        .values()
        .filter(|device| device["VM"] == template.as_str() && device["type"] == "Disk");
    for device in disks {
        lab.call(
            POOL,
            "VDI.add_to_other_config",
            json!([device["VDI"], "dynvm:vm", other]),
        );
    }
}
