//! Whole files, and what is made of them.

use proptest::prelude::*;

use super::*;
use crate::config::{Duplicates, NetworkChoice};

/// A file with everything that is honoured.
const WHOLE: &str = "
# the lab behind the door
[common]
vm.expiry.minutes = 720
vm.network.timeout.secs = 300

[xenhost1]
host.name = 10.1.0.11
host.user = reaper
host.password = p%a#s;s \"word\" = x
host.storage.name = ssd
host.network.id = eth0
host.vms.max.windows = 4
host.tls.fingerprint = sha256:3A5C0E719D24B8460F9BE257C16D83AA14F0926B38D57EC941AF601D85B32EF7
centos7.template = tmpl-cnt7.7
windows.template = tmpl-win16dc - PATCHED (1)
windows.template.network = lab-net

[xenhost2]
host.name = https://xen12.lab:8443
host.password = secret
";

fn defaults() -> PoolDefaults {
    PoolDefaults {
        originator: "dynvm-provider/0.1.0".to_owned(),
        ..PoolDefaults::default()
    }
}

fn read_text(text: &str) -> Result<IniSettings, IniErrors> {
    read("lab.ini", text, &defaults())
}

/// Errors and warnings, one a line, the latter marked.
fn said(text: &str) -> String {
    let (errors, warnings) = match read_text(text) {
        Ok(settings) => (Vec::new(), settings.warnings),
        Err(failed) => (failed.errors, failed.warnings),
    };
    let errors = errors.iter().map(ToString::to_string);
    let warnings = warnings.iter().map(|note| format!("warning: {note}"));
    errors.chain(warnings).collect::<Vec<_>>().join("\n")
}

/// What is said of a host that is right but for these lines, which begin in line 4.
fn check_host(lines: &str, expect: &str) {
    let text = format!("[xenhost1]\nhost.name = lab\nhost.password = secret\n{lines}\n");
    let said = said(&text);
    assert_eq!(said, expect, "{lines}");
}

#[test]
fn a_whole_file_is_honoured() {
    let settings = read_text(WHOLE).unwrap();
    assert_eq!(settings.ttl, Some(Duration::from_secs(12 * 3600)));
    assert_eq!(settings.ip_timeout, Some(Duration::from_secs(300)));
    assert_eq!(settings.warnings, []);
    let [first, second] = settings.pools.as_slice() else {
        panic!("{:?}", settings.pools);
    };
    assert_eq!(first.name, "xenhost1");
    assert_eq!(first.connection.urls[0].to_string(), "https://10.1.0.11");
    assert_eq!(first.connection.username, "reaper");
    assert_eq!(first.connection.password.expose(), "p%a#s;s \"word\" = x");
    assert!(matches!(&first.connection.tls, xenapi::TlsTrust::Fingerprints(pinned) if pinned.len() == 1));
    assert_eq!(first.connection.originator, "dynvm-provider/0.1.0");
    assert_eq!(first.storage.as_deref(), Some("ssd"));
    assert_eq!(first.network, Some(NetworkChoice::Device("eth0".to_owned())));
    assert_eq!(
        first.networks["windows"],
        NetworkChoice::NamedOrDevice("lab-net".to_owned())
    );
    assert_eq!(first.templates["centos7"], "tmpl-cnt7.7");
    assert_eq!(first.templates["windows"], "tmpl-win16dc - PATCHED (1)");
    assert_eq!(first.max_servers_by_os["windows"], 4);
    assert_eq!(first.duplicates, Duplicates::OneHostEach);
    assert_eq!(second.name, "xenhost2");
    assert_eq!(second.connection.urls[0].to_string(), "https://xen12.lab:8443");
    assert_eq!(second.connection.username, "root");
    assert!(second.templates.is_empty() && second.network.is_none());
}

#[test]
fn what_is_not_read_warns() {
    check_host(
        "centos.vcpus = 4",
        "warning: lab.ini:4: [xenhost1] centos.vcpus: not read: the template says it",
    );
    check_host(
        "centos.memory = 1\ncentos.disk = 1",
        "warning: lab.ini:4: [xenhost1] centos.memory: not read: the template says it\n\
         warning: lab.ini:5: [xenhost1] centos.disk: not read: the template says it",
    );
    check_host(
        "host.storage.nam = ssd",
        "warning: lab.ini:4: [xenhost1] host.storage.nam: unknown key, not read; did you mean \"host.storage.name\"?",
    );
    check_host(
        "centos.tempalte = x",
        "warning: lab.ini:4: [xenhost1] centos.tempalte: unknown key, not read; did you mean \"centos.template\"?",
    );
    check_host(
        "host.template = x",
        "warning: lab.ini:4: [xenhost1] host.template: unknown key, not read",
    );
    check_host(
        ".template = x",
        "warning: lab.ini:4: [xenhost1] .template: unknown key, not read",
    );
    check_host(
        "[couchbase]\ncouchbase.server = db",
        "warning: lab.ini:4: [couchbase]: the database of the older service is not used; to keep a record of servers, see the setting `history`",
    );
    check_host(
        "[comon]\nx = 1",
        "warning: lab.ini:4: [comon]: unknown section, not read; did you mean \"common\"?",
    );
    check_host(
        "[common]\nvm.linux.password = hunter2",
        "warning: lab.ini:5: [common] vm.linux.password: unknown key, not read",
    );
    let said = said("[xenhost1]\nhost.name = http://lab\nhost.password = secret\n");
    assert_eq!(
        said,
        "warning: lab.ini:2: [xenhost1] host.name: http://lab is used without TLS: passwords and sessions travel in the clear"
    );
}

#[test]
fn what_cannot_be_honoured_is_an_error() {
    check_host(
        "host.vms.max.centos = many",
        "lab.ini:4: [xenhost1] host.vms.max.centos: \"many\" is not a number of servers",
    );
    check_host(
        "centos.template =",
        "lab.ini:4: [xenhost1] centos.template: the name of a template is missing",
    );
    check_host(
        "host.tls.fingerprint = AB:CD",
        "lab.ini:4: [xenhost1] host.tls.fingerprint: \"AB:CD\" is no fingerprint: expected sha256: and 32 bytes in hexadecimal",
    );
    for minutes in ["0", "-5", "12h", "99999999999"] {
        check_host(
            &format!("[common]\nvm.expiry.minutes = {minutes}"),
            &format!(
                "lab.ini:5: [common] vm.expiry.minutes: \"{minutes}\" is not a number of minutes from 1 to 5256000"
            ),
        );
    }
    check_host("[common]\nvm.network.timeout.secs = 0", "");
    check_host(
        "[common]\nvm.network.timeout.secs = soon",
        "lab.ini:5: [common] vm.network.timeout.secs: \"soon\" is not a number of seconds from 0 to 86400",
    );
}

#[test]
fn all_errors_are_told_at_once() {
    let text = "[xenhost1]\nhost.user = root\nhost.pasword = hunter2\n[xenhost2]\nhost.name = ftp://x\nhost.password =\n[xenhost<3>]\nhost.name = a\nhost.password = b\n";
    assert_eq!(
        said(text),
        "lab.ini:1: [xenhost1] host.name: the address of the host is missing\n\
         lab.ini:1: [xenhost1] host.password: the password is missing\n\
         lab.ini:5: [xenhost2] host.name: \"ftp://x\" is no pool address: the scheme is neither https nor http\n\
         lab.ini:6: [xenhost2] host.password: the password is missing\n\
         lab.ini:7: [xenhost<3>]: \"xenhost<3>\" cannot name a pool: 1 to 64 characters, none of / \" < > &\n\
         warning: lab.ini:3: [xenhost1] host.pasword: unknown key, not read; did you mean \"host.password\"?"
    );
    assert_eq!(said(""), "lab.ini: there is no pool: no section [xenhost1]");
}

#[test]
fn labels_have_commas_or_spaces_between_them() {
    for (value, labels) in [
        ("gpu", &["gpu"][..]),
        ("gpu,big", &["big", "gpu"]),
        (" gpu ,\tbig  gpu,,", &["big", "gpu"]),
        ("", &[]),
        (" , ", &[]),
    ] {
        let text = format!("[xenhost1]\nhost.name = lab\nhost.password = secret\nhost.labels = {value}\n");
        let settings = read_text(&text).unwrap();
        assert_eq!(settings.warnings, []);
        let found: Vec<&str> = settings.pools[0].labels.iter().map(String::as_str).collect();
        assert_eq!(found, labels, "{value:?}");
    }
}

#[test]
fn a_default_trust_holds_where_nothing_is_pinned() {
    let defaults = PoolDefaults {
        tls: xenapi::TlsTrust::Insecure,
        ..defaults()
    };
    let settings = read("lab.ini", WHOLE, &defaults).unwrap();
    assert!(matches!(
        settings.pools[0].connection.tls,
        xenapi::TlsTrust::Fingerprints(_)
    ));
    assert!(matches!(settings.pools[1].connection.tls, xenapi::TlsTrust::Insecure));
}

#[test]
fn an_ini_file_is_known_by_its_first_section() {
    assert!(is_ini(WHOLE));
    assert!(is_ini("\u{feff}; x\n\n  [a]"));
    for text in ["", "# [a]", "pools = {\n}", "// x\n[a]"] {
        assert!(!is_ini(text), "{text}");
    }
}

/// Lines as they are in such files, and worse.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\[(common|couchbase|xenhost[0-9]|.*)\\]?",
        "(host\\.(name|user|password|labels|network\\.id)|[a-z]{1,3}\\.template(\\.network)?|vm\\.expiry\\.minutes) ?[=:] ?.*",
        ".*",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(lines in prop::collection::vec(any_line(), 0..12)) {
        let text = lines.join("\n");
        // Only that it ends matters here.
        let _ = read_text(&text);
        is_ini(&text);
    }

    #[test]
    fn any_password_survives(password in "[^\\s\\p{C}]([^\\p{C}\\p{Zl}\\p{Zp}]*[^\\s\\p{C}])?") {
        let text = format!("[xenhost1]\nhost.name = lab\nhost.password = {password}\n");
        let settings = read_text(&text).unwrap();
        prop_assert_eq!(settings.pools[0].connection.password.expose(), password);
    }
}
