//! One VM as one read shows it, as far as its judgement needs.

use fleet::lease::VmMarks;
use fleet::{BIRTH_PREFIX, BirthName};
use xenapi::{Host, PowerState, Ref, Uuid, Vm, VmRecord};

/// What kind of row of the class VM it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A VM.
    Vm,
    /// A template that somebody made, or a clone that nobody has made a VM of yet.
    Template,
    /// A template that came with the host.
    DefaultTemplate,
    /// A snapshot, which is a template as well.
    Snapshot,
    /// The VM that runs a host.
    ControlDomain,
}

/// A VM as one read shows it.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The reference.
    pub vm: Ref<Vm>,
    /// The UUID.
    pub uuid: Uuid,
    /// The name.
    pub name: String,
    /// What kind of row it is.
    pub kind: Kind,
    /// What it is doing.
    pub power_state: PowerState,
    /// The host it runs on, or null.
    pub host: Ref<Host>,
    /// vCPUs.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Its marks.
    pub marks: VmMarks,
    /// What its name says, if it is a birth name.
    pub birth: Option<BirthName>,
    /// An operation that is in progress on it.
    pub operation: Option<String>,
    /// An operation that a deletion needs and that somebody has blocked, with the reason.
    pub block: Option<(String, String)>,
}

/// The operations without which a VM cannot be deleted.
const NEEDED: [&str; 2] = ["destroy", "hard_shutdown"];

impl Sight {
    /// Looks at a record.
    pub fn of(vm: &Ref<Vm>, record: &VmRecord) -> Self {
        let keys = record.other_config.iter();
        let keys = keys.map(|(key, value)| (key.as_str(), value.as_str()));
        let blocks = NEEDED.iter().filter_map(|operation| {
            let reason = record.blocked_operations.get(*operation)?;
            Some(((*operation).to_owned(), reason.clone()))
        });
        Self {
            vm: vm.clone(),
            uuid: record.uuid,
            name: record.name_label.clone(),
            kind: Kind::of(record),
            power_state: record.power_state.clone(),
            host: record.resident_on.clone(),
            cpus: record.vcpus_at_startup,
            memory_bytes: record.memory_static_max,
            marks: VmMarks::read(&record.uuid, record.tags.iter().map(String::as_str), keys),
            birth: BirthName::parse(&record.name_label),
            operation: record.current_operations.values().next().cloned(),
            block: blocks.into_iter().next(),
        }
    }

    /// Says whether anything about it recalls dynvm. Of all others nothing needs to be remembered.
    pub fn is_traced(&self) -> bool {
        !self.marks.is_bare() || self.name.starts_with(BIRTH_PREFIX)
    }

    /// Says whether its birth has not ended: it is under a birth name still, and no lease of its own was ever written.
    pub fn is_half_born(&self) -> bool {
        self.birth.is_some() && (!self.marks.names_itself() || self.marks.expires().is_empty())
    }
}

impl Kind {
    fn of(record: &VmRecord) -> Self {
        if record.is_control_domain {
            Kind::ControlDomain
        } else if record.is_a_snapshot {
            Kind::Snapshot
        } else if record.is_default_template {
            Kind::DefaultTemplate
        } else if record.is_a_template {
            Kind::Template
        } else {
            Kind::Vm
        }
    }
}
