//! `config_file`: the INI file of the older service, in place of `pools`.

use std::time::Duration;

use engine::diagnostics::Diagnostics;
use fleet::PoolSettings;
use fleet::draft::PoolDefaults;
use fleet::ini::{self, IniNote, IniSettings};

/// The attribute that names the file.
pub(super) const ATTRIBUTE: &str = "config_file";

/// What the file says besides the pools.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Common {
    /// The ttl of servers that ask for none, which is also the longest.
    pub(super) ttl: Option<Duration>,
    /// How long an address may take.
    pub(super) ip_timeout: Option<Duration>,
}

/// Reads the file; what is wrong with it, or not read, becomes diagnostics.
pub(super) fn read(file: &str, defaults: &PoolDefaults, found: &mut Diagnostics) -> (Vec<PoolSettings>, Common) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            found.error_at(
                ATTRIBUTE,
                "Unreadable config_file",
                format!("\"{file}\" cannot be read: {error}."),
            );
            return Default::default();
        }
    };
    match ini::read(file, &text, defaults) {
        Ok(IniSettings {
            pools,
            ttl,
            ip_timeout,
            warnings,
        }) => {
            warn(&warnings, found);
            (pools, Common { ttl, ip_timeout })
        }
        Err(failed) => {
            for error in &failed.errors {
                found.error_at(ATTRIBUTE, "Invalid config_file", format!("{error}."));
            }
            warn(&failed.warnings, found);
            Default::default()
        }
    }
}

fn warn(notes: &[IniNote], found: &mut Diagnostics) {
    for note in notes {
        found.warning_at(ATTRIBUTE, "Note on config_file", format!("{note}."));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cty::Value;

    use super::*;
    use crate::config::schema;
    use crate::settings::Settings;

    const HOST: &str = "[xenhost1]\nhost.name = 10.1.0.11\nhost.password = p%s;#\ncentos7.template = tmpl-cnt7.7\n";
    const COMMON: &str = "[common]\nvm.expiry.minutes = 60\nvm.network.timeout.secs = 90\n";

    /// What a provider with this file and these settings is, and has to say.
    fn configured(file: &str, fields: &[(&str, Value)]) -> (Settings, Diagnostics) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lab.ini");
        fs::write(&path, file).expect("a file");
        let config = schema::table().empty().with(ATTRIBUTE, path.display().to_string());
        let config = fields
            .iter()
            .fold(config, |config, (name, value)| config.with(*name, value.clone()));
        crate::config::read(&config, "0.0.0")
    }

    /// The ttls, in minutes, and the wait for an address, in seconds.
    fn check_times(file: &str, fields: &[(&str, Value)], expect: (u64, u64, Option<u64>)) {
        let (settings, found) = configured(file, fields);
        let Settings::Ready(lab) = settings else {
            panic!("{found:?}");
        };
        let minutes = |ttl: Duration| ttl.as_secs() / 60;
        let wait = lab.ip_timeout.map(|wait| wait.as_secs());
        assert_eq!((minutes(lab.default_ttl), minutes(lab.max_ttl), wait), expect);
        assert!(lab.offers["xenhost1"].os.contains("centos7"));
    }

    #[test]
    fn labels_are_those_of_the_file() {
        let (settings, _) = configured(&format!("{HOST}host.labels = gpu, big\n"), &[]);
        let Settings::Ready(lab) = settings else {
            panic!("ready");
        };
        assert_eq!(
            lab.offers["xenhost1"].labels,
            ["big".to_owned(), "gpu".to_owned()].into()
        );
    }

    #[test]
    fn the_file_gives_what_the_provider_does_not_say() {
        let file = format!("{COMMON}{HOST}");
        check_times(HOST, &[], (12 * 60, 24 * 60, None));
        check_times(&file, &[], (60, 60, Some(90)));
        check_times(&file, &[("max_ttl", "2h".into())], (60, 120, Some(90)));
        check_times(&file, &[("max_ttl", "30m".into())], (30, 30, Some(90)));
        check_times(&file, &[("default_ttl", "15m".into())], (15, 60, Some(90)));
        let (_, found) = configured(&file, &[("default_ttl", "2h".into())]);
        assert!(found.has_errors(), "longer than the file's expiry");
    }

    #[test]
    fn what_is_wrong_is_told_at_the_attribute() {
        let (settings, found) = configured(&format!("{HOST}host.vms.max.centos7 = many\nx = 1\n[xenhost2]\n"), &[]);
        assert!(matches!(settings, Settings::Absent));
        let said: Vec<String> = found
            .iter()
            .map(|diagnostic| {
                let text = diagnostic.to_string();
                let (about, detail) = text.split_once("/").unwrap_or_default();
                let at = detail.split_once("lab.ini:").map(|(_, at)| at).unwrap_or_default();
                format!("{about} {}", at.split("; ").next().unwrap_or_default())
            })
            .collect();
        assert_eq!(
            said,
            [
                "error: Invalid config_file (config_file):  5: [xenhost1] host.vms.max.centos7: \"many\" is not a number of servers.",
                "error: Invalid config_file (config_file):  7: [xenhost2] host.name: the address of the host is missing.",
                "error: Invalid config_file (config_file):  7: [xenhost2] host.password: the password is missing.",
                "warning: Note on config_file (config_file):  6: [xenhost1] x: unknown key, not read.",
            ]
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let config = schema::table().empty().with(ATTRIBUTE, "/nowhere/lab.ini");
        let (settings, found) = crate::config::read(&config, "0.0.0");
        assert!(matches!(settings, Settings::Absent));
        assert!(
            found.iter().all(|one| one.summary == "Unreadable config_file"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_excludes_pools() {
        use engine::validate::{WriteOnly, config};
        let table = schema::table();
        let both = table
            .empty()
            .with(ATTRIBUTE, "lab.ini")
            .with("pools", Value::object::<&str>([]));
        let faults = config(&table, &both, WriteOnly::Allowed);
        assert!(faults.has_errors(), "{faults:?}");
    }
}
