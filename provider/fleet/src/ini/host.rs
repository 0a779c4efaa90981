//! One section `xenhost<N>`: a host with its settings, as this service and the older one understand it.

use std::collections::{BTreeMap, BTreeSet};

use xenapi::Secret;

use super::lines::{Entry, Section};
use super::note::Notes;
use super::{by_key, unknown};
use crate::config::{Duplicates, NetworkChoice, PoolSettings};
use crate::draft::{PoolDefaults, PoolDraft, PoolFault, TlsDraft, unencrypted};

const NAME: &str = "host.name";
const USER: &str = "host.user";
const PASSWORD: &str = "host.password";
const STORAGE: &str = "host.storage.name";
const NETWORK: &str = "host.network.id";
const LABELS: &str = "host.labels";
const FINGERPRINT: &str = "host.tls.fingerprint";
/// What every key about the host, and none about an operating system, begins with.
const ABOUT_HOST: &str = "host.";
const CEILING: &str = "host.vms.max.";
const TEMPLATE: &str = ".template";
const TEMPLATE_NETWORK: &str = ".template.network";
/// What the older service was told beside the template, and dynvm reads from it.
const IN_TEMPLATE: [&str; 3] = [".vcpus", ".memory", ".disk"];

/// What a key is about.
enum Key<'a> {
    /// One that the draft of the pool is made of.
    Connection,
    Storage,
    Network,
    Labels,
    Ceiling(&'a str),
    Template(&'a str),
    TemplateNetwork(&'a str),
    InTemplate,
    Unknown,
}

impl<'a> Key<'a> {
    fn of(key: &'a str) -> Self {
        match key {
            NAME | USER | PASSWORD | FINGERPRINT => return Key::Connection,
            STORAGE => return Key::Storage,
            NETWORK => return Key::Network,
            LABELS => return Key::Labels,
            _ => {}
        }
        let os_before = |suffix| key.strip_suffix(suffix).filter(|os: &&str| !os.is_empty());
        if let Some(os) = key.strip_prefix(CEILING).filter(|os| !os.is_empty()) {
            Key::Ceiling(os)
        } else if key.starts_with(ABOUT_HOST) {
            Key::Unknown
        } else if let Some(os) = os_before(TEMPLATE_NETWORK) {
            Key::TemplateNetwork(os)
        } else if let Some(os) = os_before(TEMPLATE) {
            Key::Template(os)
        } else if IN_TEMPLATE.into_iter().any(|suffix| os_before(suffix).is_some()) {
            Key::InTemplate
        } else {
            Key::Unknown
        }
    }
}

/// The pool of a section; none if a part of it is at fault, which is in the notes then.
pub(super) fn pool(section: &Section, defaults: &PoolDefaults, notes: &mut Notes) -> Option<PoolSettings> {
    let connection = connection(section, defaults, notes);
    let (mut storage, mut network, mut labels) = (None, None, BTreeSet::new());
    let (mut templates, mut networks, mut max_servers_by_os) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in &section.entries {
        // As in the older service, an optional key without a value is as good as none.
        let given = Some(entry.value.clone()).filter(|value| !value.is_empty());
        match Key::of(&entry.key) {
            Key::Connection => {}
            Key::Storage => storage = given,
            Key::Network => network = given.map(NetworkChoice::Device),
            Key::Labels => labels = separate(&entry.value),
            Key::Ceiling(os) => {
                max_servers_by_os.extend(ceiling(section, entry, notes).map(|ceiling| (os.to_owned(), ceiling)));
            }
            Key::Template(os) => match given {
                Some(template) => {
                    templates.insert(os.to_owned(), template);
                }
                None => notes.fail(section, Some(entry), "the name of a template is missing"),
            },
            Key::TemplateNetwork(os) => {
                networks.extend(given.map(|network| (os.to_owned(), NetworkChoice::NamedOrDevice(network))));
            }
            Key::InTemplate => notes.warn(section, Some(entry), "not read: the template says it"),
            Key::Unknown => unknown(section, entry, &known_keys(&entry.key), notes),
        }
    }
    Some(PoolSettings {
        storage,
        network,
        networks,
        templates,
        max_servers_by_os,
        labels,
        duplicates: Duplicates::OneHostEach,
        ..PoolSettings::new(connection?)
    })
}

/// How the pool is reached.
fn connection(section: &Section, defaults: &PoolDefaults, notes: &mut Notes) -> Option<xenapi::PoolConfig> {
    let keys = by_key(section);
    let given = |key: &str| {
        let value = keys.get(key).map(|entry| entry.value.clone());
        value.filter(|value| !value.is_empty())
    };
    let fingerprints = given(FINGERPRINT).map(|text| text.split(',').map(|one| one.trim().to_owned()).collect());
    let draft = PoolDraft {
        name: section.name.clone(),
        url: given(NAME),
        urls: None,
        username: given(USER),
        password: given(PASSWORD).map(Secret::from),
        tls: TlsDraft {
            fingerprints,
            ..TlsDraft::default()
        },
        transport: None,
    };
    match draft.check(defaults) {
        Ok(connection) => {
            for (_, text) in unencrypted(&connection) {
                notes.warn(section, keys.get(NAME).copied(), text);
            }
            Some(connection)
        }
        Err(faults) => {
            for fault in faults {
                let (key, text) = explain(&fault);
                match key.map(|key| (key, keys.get(key))) {
                    Some((_, Some(entry))) => notes.fail(section, Some(entry), text),
                    Some((key, None)) => notes.fail_missing(section, key, text),
                    None => notes.fail(section, None, text),
                }
            }
            None
        }
    }
}

/// The key that a fault is about, and what to say of it.
fn explain(fault: &PoolFault) -> (Option<&'static str>, String) {
    match fault {
        PoolFault::Address => (Some(NAME), "the address of the host is missing".to_owned()),
        PoolFault::Url { .. } => (Some(NAME), fault.to_string()),
        PoolFault::Password => (Some(PASSWORD), "the password is missing".to_owned()),
        PoolFault::Fingerprint { .. } => (Some(FINGERPRINT), fault.to_string()),
        PoolFault::Name(_)
        | PoolFault::Trust
        | PoolFault::CaFile { .. }
        | PoolFault::Transport(_)
        | PoolFault::InsecureVariable => (None, fault.to_string()),
    }
}

/// The labels of a text that has commas or spaces between them.
fn separate(text: &str) -> BTreeSet<String> {
    let parts = text.split(|letter: char| letter == ',' || letter.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn ceiling(section: &Section, entry: &Entry, notes: &mut Notes) -> Option<u32> {
    let parsed = entry.value.parse().ok();
    if parsed.is_none() {
        notes.fail(
            section,
            Some(entry),
            format!("{:?} is not a number of servers", entry.value),
        );
    }
    parsed
}

/// What an unknown key could have been meant to be: a key of the host, or of the operating system that it begins with.
fn known_keys(key: &str) -> Vec<String> {
    match key.split_once('.') {
        Some((os, _)) if !os.is_empty() && !key.starts_with(ABOUT_HOST) => [TEMPLATE, TEMPLATE_NETWORK]
            .map(|suffix| format!("{os}{suffix}"))
            .into(),
        Some(_) | None => [NAME, USER, PASSWORD, STORAGE, NETWORK, LABELS, FINGERPRINT]
            .map(str::to_owned)
            .into(),
    }
}
