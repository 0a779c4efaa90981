//! The `pools` object: what the provider's has, and `password_file`.

use std::path::{Path, PathBuf};

use fleet::PoolSettings;
use fleet::draft::{CaFile, PoolDraft, PoolFault, TlsDraft, unencrypted};
use xenapi::Secret;

use super::defaults;
use super::environment::{Environment, password_variable};
use super::fields::{Fields, Item};
use super::report::Report;

/// How a pool is reached.
const CONNECTION: [&str; 7] = [
    "url",
    "urls",
    "username",
    "password",
    "password_file",
    "tls",
    "transport",
];
/// Where the provider places servers, which is nothing to a reaper.
const PLACEMENT: [&str; 8] = [
    "templates",
    "storage",
    "network",
    "networks",
    "max_servers",
    "max_servers_by_os",
    "cpu_overcommit",
    "labels",
];
const TLS: [&str; 3] = ["ca_file", "fingerprints", "insecure"];

/// All pools; those that are at fault are in the report.
pub(super) fn all(
    item: &Item<'_>,
    file: &Path,
    environment: &Environment,
    report: &mut Report<'_>,
) -> Vec<PoolSettings> {
    let Some(pools) = item.fields(report) else {
        return Vec::new();
    };
    if pools.iter().next().is_none() {
        report.fail(item.offset, &item.path, "the object is empty: name at least one pool");
    }
    let read = |(name, item)| pool(name, item, file, environment, report);
    pools.iter().filter_map(read).collect()
}

fn pool(
    name: &str,
    item: &Item<'_>,
    file: &Path,
    environment: &Environment,
    report: &mut Report<'_>,
) -> Option<PoolSettings> {
    let fields = item.fields(report)?;
    fields.expect(&[CONNECTION.as_slice(), &PLACEMENT].concat(), report);
    for unused in PLACEMENT.iter().filter_map(|name| fields.get(name)) {
        unused.ignore(report);
    }
    let tls = fields.get("tls").and_then(|item| item.fields(report));
    let draft = PoolDraft {
        name: name.to_owned(),
        url: fields.get("url").map(|item| item.text(report).unwrap_or_default()),
        urls: fields.get("urls").map(|item| item.texts(report).unwrap_or_default()),
        username: fields.get("username").and_then(|item| item.name(report)),
        password: password(name, item, &fields, file, environment, report),
        tls: tls.as_ref().map(|tls| trust(tls, file, report)).unwrap_or_default(),
        transport: fields.get("transport").and_then(|item| item.text(report)),
    };
    let places = Places {
        pool: item,
        fields: &fields,
        tls: tls.as_ref(),
    };
    match draft.check(&defaults()) {
        Ok(connection) => {
            for (index, text) in unencrypted(&connection) {
                let (offset, path) = places.url(Some(index));
                report.warn(offset, &path, &text);
            }
            Some(PoolSettings::new(connection))
        }
        Err(faults) => {
            faults.iter().for_each(|fault| places.tell(fault, report));
            None
        }
    }
}

/// Exactly one source: `password`, `password_file`, or the environment where neither is there.
fn password(
    name: &str,
    pool: &Item<'_>,
    fields: &Fields<'_>,
    file: &Path,
    environment: &Environment,
    report: &mut Report<'_>,
) -> Option<Secret> {
    match (fields.get("password"), fields.get("password_file")) {
        (Some(item), None) => item.name(report).map(Secret::from),
        (None, Some(item)) => password_file(item, file, report),
        (Some(_), Some(item)) => {
            report.fail(item.offset, &item.path, "excludes password: the pool has both");
            None
        }
        (None, None) => {
            let password = environment.password(name);
            if password.is_none() {
                let variable = password_variable(name);
                let text = format!(
                    "there is no password: neither password, nor password_file, nor {variable} in the environment"
                );
                report.fail(pool.offset, &pool.path, text);
            }
            password
        }
    }
}

/// The first line of a file.
fn password_file(item: &Item<'_>, config: &Path, report: &mut Report<'_>) -> Option<Secret> {
    let path = beside(config, &item.name(report)?);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            report.fail(
                item.offset,
                &item.path,
                format!("{:?} cannot be read: {error}", path.display()),
            );
            return None;
        }
    };
    if is_open_to_others(&path) {
        let text = format!(
            "{:?} can be read by others than its owner: chmod 600 closes it",
            path.display()
        );
        report.warn(item.offset, &item.path, &text);
    }
    // What an editor puts at the end of a file is no part of the password.
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() || password.contains('\n') {
        let text = format!(
            "{:?} must hold the password and nothing else, in one line",
            path.display()
        );
        report.fail(item.offset, &item.path, text);
        return None;
    }
    Some(Secret::from(password))
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const READ_BY_OTHERS: u32 = 0o044;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

/// What a `tls` object says, not checked yet.
fn trust(tls: &Fields<'_>, config: &Path, report: &mut Report<'_>) -> TlsDraft {
    tls.expect(&TLS, report);
    let file = tls.get("ca_file").and_then(|item| item.name(report));
    TlsDraft {
        ca_file: file.map(|file| CaFile::read(&beside(config, &file))),
        fingerprints: tls.get("fingerprints").and_then(|item| item.texts(report)),
        insecure: tls.get("insecure").and_then(|item| item.flag(report)) == Some(true),
    }
}

/// A relative path counts from the folder of the configuration: a daemon's own working folder is nobody's business.
fn beside(config: &Path, file: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(file)
}

/// Where the parts of a pool stand.
struct Places<'a> {
    pool: &'a Item<'a>,
    fields: &'a Fields<'a>,
    tls: Option<&'a Fields<'a>>,
}

impl Places<'_> {
    /// Reports a fault where its part stands, unless the part was complained of already.
    fn tell(&self, fault: &PoolFault, report: &mut Report<'_>) {
        let (offset, path) = match fault {
            PoolFault::Name(_) | PoolFault::InsecureVariable => self.whole(),
            // Told by whoever looked for it.
            PoolFault::Password => return,
            PoolFault::Address => {
                let given = [self.fields.get("url"), self.fields.get("urls")];
                if given.into_iter().flatten().any(|item| report.knows(&item.path)) {
                    return;
                }
                self.whole()
            }
            PoolFault::Url { index, .. } => self.url(*index),
            PoolFault::Transport(_) => self.of(self.fields.get("transport")),
            PoolFault::Trust => self.of(self.fields.get("tls")),
            PoolFault::CaFile { .. } => self.of(self.tls.and_then(|tls| tls.get("ca_file"))),
            PoolFault::Fingerprint { .. } => self.of(self.tls.and_then(|tls| tls.get("fingerprints"))),
        };
        if !report.knows(&path) || path == self.pool.path {
            report.fail(offset, &path, fault.to_string());
        }
    }

    /// Where an address stands: by its number in `urls`, or as `url`.
    fn url(&self, index: Option<usize>) -> (usize, String) {
        match (self.fields.get("url"), self.fields.get("urls"), index) {
            (None, Some(urls), Some(index)) => (urls.offset, format!("{}[{index}]", urls.path)),
            (url, _, _) => self.of(url),
        }
    }

    fn whole(&self) -> (usize, String) {
        (self.pool.offset, self.pool.path.clone())
    }

    fn of(&self, item: Option<&Item<'_>>) -> (usize, String) {
        item.map_or_else(|| self.whole(), |item| (item.offset, item.path.clone()))
    }
}
