//! The INI file of the older service, as settings. Reads a text: no file, no environment, no pool.
//!
//! ```text
//! [common]
//! vm.expiry.minutes = 720
//! vm.network.timeout.secs = 400
//!
//! [xenhost1]
//! host.name = 10.1.0.11
//! host.user = root
//! host.password = as it is: no quotes, no escapes, no comments behind it
//! centos7.template = tmpl-cnt7.7
//! ```
//!
//! Each section `xenhost<N>` is a pool of that name; of several that turn out to be members of one pool, each is its host, and room is
//! counted once ([`Duplicates::OneHostEach`](crate::Duplicates)). What is not read warns; what is read but cannot be honoured is an error,
//! because silence would mean servers where nobody wants them.

mod host;
mod lines;
mod note;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::lines::{Entry, Section};
use self::note::Notes;
use crate::choices::Choices;
use crate::config::PoolSettings;
use crate::draft::PoolDefaults;

pub use self::note::IniNote;

/// What the names of pool sections begin with.
const HOST: &str = "xenhost";
/// The section that holds for all pools.
const COMMON: &str = "common";
/// The database of the older service.
const DATABASE: &str = "couchbase";
const EXPIRY: &str = "vm.expiry.minutes";
const TIMEOUT: &str = "vm.network.timeout.secs";
/// The longest expiry: ten years.
const LONGEST_EXPIRY: u64 = 10 * 365 * 24 * 60;
/// The longest wait for an address: a day.
const LONGEST_TIMEOUT: u64 = 24 * 3600;

/// What a file says.
#[derive(Debug, Clone)]
pub struct IniSettings {
    /// The pools, in the order of their sections.
    pub pools: Vec<PoolSettings>,
    /// The ttl of servers that ask for none, which is also the longest.
    pub ttl: Option<Duration>,
    /// How long an address may take.
    pub ip_timeout: Option<Duration>,
    /// What is not read, or not as safe as it could be.
    pub warnings: Vec<IniNote>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines_of(.errors))]
pub struct IniErrors {
    /// All errors, in the order of the file.
    pub errors: Vec<IniNote>,
    /// What else was noticed: an unknown key may be the missing one, misspelt.
    pub warnings: Vec<IniNote>,
}

/// Says whether a text looks like an INI file: its first line that is neither empty nor a comment begins a section.
pub fn is_ini(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line.starts_with('['))
}

/// Reads a file's text; `file` is its name, for messages.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn read(file: &str, text: &str, defaults: &PoolDefaults) -> Result<IniSettings, IniErrors> {
    let mut notes = Notes::new(file);
    let sections = lines::sections(text, &mut notes);
    let mut pools = Vec::new();
    let (mut ttl, mut ip_timeout) = (None, None);
    for section in &sections {
        match section.name.as_str() {
            COMMON => (ttl, ip_timeout) = common(section, &mut notes),
            DATABASE => notes.warn(
                section,
                None,
                "the database of the older service is not used; to keep a record of servers, see the setting `history`",
            ),
            name if name.starts_with(HOST) => pools.extend(host::pool(section, defaults, &mut notes)),
            name => notes.warn(
                section,
                None,
                format!("unknown section, not read{}", meant(name, &[COMMON, HOST])),
            ),
        }
    }
    if !sections.iter().any(|section| section.name.starts_with(HOST)) {
        notes.fail_whole(format!("there is no pool: no section [{HOST}1]"));
    }
    let (errors, warnings) = notes.sorted();
    if errors.is_empty() {
        Ok(IniSettings {
            pools,
            ttl,
            ip_timeout,
            warnings,
        })
    } else {
        Err(IniErrors { errors, warnings })
    }
}

/// The section that holds for all pools: ttl and the wait for an address.
fn common(section: &Section, notes: &mut Notes) -> (Option<Duration>, Option<Duration>) {
    let (mut ttl, mut ip_timeout) = (None, None);
    for entry in &section.entries {
        match entry.key.as_str() {
            EXPIRY => ttl = expiry(section, entry, notes),
            TIMEOUT => ip_timeout = timeout(section, entry, notes),
            _ => unknown(section, entry, &[EXPIRY, TIMEOUT], notes),
        }
    }
    (ttl, ip_timeout)
}

fn expiry(section: &Section, entry: &Entry, notes: &mut Notes) -> Option<Duration> {
    match entry.value.parse() {
        Ok(minutes @ 1..=LONGEST_EXPIRY) => Some(Duration::from_secs(minutes * 60)),
        Ok(_) | Err(_) => {
            let range = format!(
                "{:?} is not a number of minutes from 1 to {LONGEST_EXPIRY}",
                entry.value
            );
            notes.fail(section, Some(entry), range);
            None
        }
    }
}

/// As in the older service, 0 means that the default holds.
fn timeout(section: &Section, entry: &Entry, notes: &mut Notes) -> Option<Duration> {
    match entry.value.parse() {
        Ok(0) => None,
        Ok(seconds @ 1..=LONGEST_TIMEOUT) => Some(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => {
            let range = format!(
                "{:?} is not a number of seconds from 0 to {LONGEST_TIMEOUT}",
                entry.value
            );
            notes.fail(section, Some(entry), range);
            None
        }
    }
}

/// A key that nobody reads. Its value may be a password, so only the key is shown.
fn unknown<S: AsRef<str>>(section: &Section, entry: &Entry, known: &[S], notes: &mut Notes) {
    let text = format!("unknown key, not read{}", meant(&entry.key, known));
    notes.warn(section, Some(entry), text);
}

fn meant<S: AsRef<str>>(wanted: &str, known: &[S]) -> String {
    let choices = Choices::new(wanted, known.iter().map(|name| name.as_ref().to_owned()));
    let meant = choices.meant().map(|name| format!("; did you mean {name:?}?"));
    meant.unwrap_or_default()
}

fn lines_of(notes: &[IniNote]) -> String {
    let lines: Vec<String> = notes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The keys of a section by name; of one given twice the last, which was reported.
fn by_key(section: &Section) -> BTreeMap<&str, &Entry> {
    section
        .entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry))
        .collect()
}
