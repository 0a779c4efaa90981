//! Whole configurations, and what is made of them.

use std::fs;

use proptest::prelude::*;

use super::*;

/// A configuration with everything in it.
const WHOLE: &str = r#"
# who is reaped
pools = {
  lab1 = {
    url       = "https://10.1.0.11"
    username  = "reaper"
    password  = "s$${e}cret"
    transport = "xml-rpc"
    tls       = { fingerprints = ["sha256:3A5C0E719D24B8460F9BE257C16D83AA14F0926B38D57EC941AF601D85B32EF7"] }
    storage   = "ssd"
    network   = "lab-net"
    networks  = { windows = "win-net" }
    templates = { centos7 = "tmpl-cnt7.7" }
    max_servers = 40
    max_servers_by_os = { windows = 4 }
    cpu_overcommit    = 1.5
    labels            = ["gpu"]
  }
  "lab-2" = { urls = ["xen21", "xen22:8443"], password = null, tls = { insecure = true } }
}
grace         = "5m"
max_ttl       = "2d"
max_deletions = 20
owners        = ["ci/*"]
listen        = "127.0.0.1:9471"
history       = "postgres://reaper:hunter2@db/history"
state_dir     = "/srv/dynvm"
"#;

fn environment() -> Environment {
    Environment::of(&[
        ("DYNVM_PASSWORD_LAB_2", "from outside"),
        ("DYNVM_PASSWORD_LAB1", "unused"),
    ])
}

fn read_hcl(text: &str) -> Result<Config, ConfigErrors> {
    read_text(Path::new("reaper.hcl"), text, &environment())
}

/// What is said of a text: the errors, or else the warnings.
fn said(text: &str) -> String {
    match read_hcl(text) {
        Ok(config) => config.warnings.join("\n"),
        Err(errors) => errors.to_string(),
    }
}

fn check(text: &str, expect: &str) {
    assert_eq!(said(text), expect, "{text}");
}

/// What is said of a pool that is right but for this; it begins in line 3 and column 5.
fn check_pool(lines: &str, expect: &str) {
    check(&format!("pools = {{\n  lab1 = {{\n    {lines}\n  }}\n}}\n"), expect);
}

/// What is said of a right pool and this, in line 2.
fn check_setting(line: &str, expect: &str) {
    check(&format!("pools = {{ lab1 = {{ url = \"lab\" }} }}\n{line}\n"), expect);
}

#[test]
fn a_whole_configuration_is_read() {
    let config = read_hcl(WHOLE).unwrap();
    let [second, first] = config.pools.as_slice() else {
        panic!("{:?}", config.pools);
    };
    assert_eq!(first.name, "lab1");
    assert_eq!(first.connection.urls[0].to_string(), "https://10.1.0.11");
    assert_eq!(first.connection.username, "reaper");
    assert_eq!(first.connection.wire, xenapi::WireChoice::Only(xenapi::Wire::Xml));
    assert_eq!(second.connection.wire, xenapi::WireChoice::Auto);
    assert_eq!(first.connection.password.expose(), "s${e}cret");
    assert!(matches!(&first.connection.tls, TlsTrust::Fingerprints(pinned) if pinned.len() == 1));
    assert!(first.connection.originator.starts_with("dynvm-reaper/0."));
    assert_eq!(second.name, "lab-2");
    assert_eq!(second.connection.urls.len(), 2);
    assert_eq!(second.connection.username, "root");
    assert_eq!(second.connection.password.expose(), "from outside");
    assert!(matches!(second.connection.tls, TlsTrust::Insecure));
    assert_eq!(config.grace, Duration::from_secs(300));
    assert_eq!(config.max_ttl, Some(Duration::from_secs(172_800)));
    assert_eq!(config.max_deletions, 20);
    assert_eq!(config.owners, ["ci/*"]);
    assert_eq!(config.listen.map(|address| address.port()), Some(9471));
    assert_eq!(config.state_dir, Path::new("/srv/dynvm"));
    let url = Secret::from("postgres://reaper:hunter2@db/history");
    assert_eq!(config.history, HistorySetting::Url(url));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let printed = format!("{config:?}");
    for secret in ["cret", "outside", "hunter2"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = read_hcl("pools = { lab1 = { url = \"lab\" } }").unwrap();
    assert_eq!(config.grace, Duration::ZERO);
    assert_eq!(config.max_ttl, None);
    assert_eq!(config.max_deletions, 50);
    assert!(config.owners.is_empty() && config.listen.is_none());
    assert_eq!(config.state_dir, Path::new("/var/lib/dynvm"));
    assert_eq!(config.history, HistorySetting::StateDir);
    let off = read_hcl("pools = { lab1 = { url = \"lab\" } }\nhistory = \"none\"").unwrap();
    assert_eq!(off.history, HistorySetting::Off);
}

#[test]
fn a_pool_is_checked_as_in_the_provider() {
    check_pool(
        "url = \"lab\"\n    password = \"p\"\n    transport = \"soap\"",
        "reaper.hcl:5:5: pools.lab1.transport: \"soap\" is no transport: it must be json-rpc or xml-rpc",
    );
    check_pool(
        "url = \"ftp://x\"",
        "reaper.hcl:3:5: pools.lab1.url: \"ftp://x\" is no pool address: the scheme is neither https nor http",
    );
    check_pool(
        "urls = [\"a\", \"b/c\"]",
        "reaper.hcl:3:5: pools.lab1.urls[1]: \"b/c\" is no pool address: a path, query or fragment has no meaning here",
    );
    check_pool(
        "username = \"x\"",
        "reaper.hcl:2:3: pools.lab1: there must be exactly one of url and urls",
    );
    check_pool(
        "url = \"http://lab\"",
        "reaper.hcl:3:5: pools.lab1.url: http://lab is used without TLS: passwords and sessions travel in the clear",
    );
    check_pool(
        "url = \"lab\", tls = { fingerprints = [\"AB\"] }",
        "reaper.hcl:3:26: pools.lab1.tls.fingerprints: \"AB\" is no fingerprint: expected sha256: and 32 bytes in hexadecimal",
    );
    check_pool(
        "url = \"lab\", tls = { fingerprints = [\"AB\"], insecure = true }",
        "reaper.hcl:3:18: pools.lab1.tls: at most one of ca_file, fingerprints and insecure = true may be set",
    );
    check_pool(
        "url = \"lab\", tls = { ca_fil = \"x\" }",
        "reaper.hcl:3:26: pools.lab1.tls.ca_fil: there is no such attribute; did you mean \"ca_file\"?",
    );
    check(
        "pools = { \"a/b\" = { url = \"lab\", password = \"x\" } }",
        "reaper.hcl:1:11: pools[\"a/b\"]: \"a/b\" cannot name a pool: 1 to 64 characters, none of / \" < > &",
    );
    check(
        "pools = {}",
        "reaper.hcl:1:1: pools: the object is empty: name at least one pool",
    );
    check(
        "",
        "reaper.hcl:1:1: pools: there is no pool, here or by DYNVM_URL in the environment",
    );
}

#[test]
fn a_password_has_exactly_one_source() {
    check(
        "pools = {\n  other = { url = \"lab\" }\n}",
        "reaper.hcl:2:3: pools.other: there is no password: neither password, nor password_file, nor DYNVM_PASSWORD_OTHER in the environment",
    );
    check_pool(
        "url = \"lab\", password = \"x\", password_file = \"y\"",
        "reaper.hcl:3:34: pools.lab1.password_file: excludes password: the pool has both",
    );
    check_pool(
        "url = \"lab\", password = \"\"",
        "reaper.hcl:3:18: pools.lab1.password: must not be empty",
    );
    assert_eq!(environment::password_variable("lab 1.b-ü"), "DYNVM_PASSWORD_LAB_1_B__");
}

#[test]
fn only_literals_are_read() {
    let not_literal = |at: &str| {
        format!(
            "reaper.hcl:{at}: only literal values are read here, no variables, functions, templates or other expressions"
        )
    };
    for value in [
        "var.x",
        "file(\"x\")",
        "\"a${b}\"",
        "(1)",
        "1 + 1",
        "x",
        "[for a in b : a]",
    ] {
        check_pool(
            &format!("url = \"lab\", password = {value}"),
            &not_literal("3:18: pools.lab1.password"),
        );
        check_pool(
            &format!("url = \"lab\", templates = {{ a = {value} }}"),
            &not_literal("3:32: pools.lab1.templates.a"),
        );
        check_setting(&format!("owners = [{value}]"), &not_literal("2:11: owners[0]"));
    }
    check_pool("url = var.url", &not_literal("3:5: pools.lab1.url"));
    check_pool("urls = [var.url]", &not_literal("3:13: pools.lab1.urls[0]"));
    check_pool("(url) = \"lab\", url = \"lab\"", &not_literal("3:5: pools.lab1"));
}

#[test]
fn a_setting_of_another_type_is_told() {
    check_setting("grace = 5", "reaper.hcl:2:1: grace: must be a string");
    check_setting(
        "grace = \"5\"",
        "reaper.hcl:2:1: grace: \"5\" is not a duration: write numbers with the units d, h, m, s or ms, largest first, as in \"1h30m\"",
    );
    check_setting("grace = \"0s\"", "");
    check_setting("max_ttl = \"0s\"", "reaper.hcl:2:1: max_ttl: must be longer than 0");
    for number in ["0", "-1", "1.5", "5000000000"] {
        check_setting(
            &format!("max_deletions = {number}"),
            "reaper.hcl:2:1: max_deletions: must be a whole number from 1 to 4294967295",
        );
    }
    check_setting(
        "max_deletions = \"9\"",
        "reaper.hcl:2:1: max_deletions: must be a whole number",
    );
    check_setting("owners = \"ci/*\"", "reaper.hcl:2:1: owners: must be a list");
    check_setting("owners = [\"\"]", "reaper.hcl:2:11: owners[0]: must not be empty");
    check_setting(
        "owners = []",
        "reaper.hcl:2:1: owners: the list is empty; without the attribute, the servers of all owners are reaped",
    );
    check_setting(
        "listen = \":9471\"",
        "reaper.hcl:2:1: listen: \":9471\" is not an address with a port, such as \"127.0.0.1:9471\"",
    );
    check_setting(
        "history = \"mysql://root:hunter2@db\"",
        "reaper.hcl:2:1: history: neither \"none\" nor a URL: a history is kept in sqlite:///path, postgres://user@host/database or jsonl:///path",
    );
    check_setting("state_dir = \"\"", "reaper.hcl:2:1: state_dir: must not be empty");
    check_setting("state_dir = null", "");
    check("pools = []", "reaper.hcl:1:1: pools: must be an object");
}

#[test]
fn all_errors_are_told_at_once_in_their_order() {
    check(
        "gracee = \"5m\"\npools = {\n  über = {\n    ür = 1, url = 5, labels = [a]\n    password = \"x\"\n  }\n}\nlisten = true\n",
        "reaper.hcl:1:1: gracee: there is no such attribute; did you mean \"grace\"?\n\
         reaper.hcl:4:5: pools.über.ür: there is no such attribute\n\
         reaper.hcl:4:13: pools.über.url: must be a string\n\
         reaper.hcl:4:32: pools.über.labels[0]: only literal values are read here, no variables, functions, templates or other expressions\n\
         reaper.hcl:8:1: listen: must be a string",
    );
}

#[test]
fn bad_syntax_has_a_place() {
    check(
        "grace = \"1m\"
pools = {
  lab1 = {
}
",
        "reaper.hcl:2:1: what begins here is not an attribute, or is not complete: is a brace, bracket or quote missing?",
    );
    check(
        "grace = \"1m\"\ngrace = \"2m\"",
        "reaper.hcl:2:1: invalid attribute; expected unique attribute key; found redefined attribute",
    );
    check_pool(
        "url = \"a\", \"url\" = \"b\"",
        "reaper.hcl:3:16: pools.lab1.url: is there twice",
    );
    check_setting(
        "provider \"dynvm\" {}",
        "reaper.hcl:2:1: provider: a block has no meaning here; an attribute is written `provider = ...`",
    );
}

/// A folder with a configuration of this pool, and a file with a password.
fn with_password_file(text: &str, mode: u32) -> (tempfile::TempDir, Result<Config, ConfigErrors>) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (folder.path().join("reaper.hcl"), folder.path().join("password"));
    fs::write(
        &config,
        "pools = { lab1 = { url = \"lab\", password_file = \"password\" } }",
    )
    .unwrap();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let read = read(&config, &environment());
    (folder, read)
}

#[test]
fn a_password_file_lies_beside_the_configuration() {
    for text in ["se cret ", "se cret \n", "se cret \r\n"] {
        let (_folder, config) = with_password_file(text, 0o600);
        let config = config.unwrap();
        assert_eq!(config.pools[0].connection.password.expose(), "se cret ");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    let (_folder, config) = with_password_file("secret", 0o640);
    let warnings = config.unwrap().warnings.join("\n");
    assert!(warnings.contains("can be read by others than its owner"), "{warnings}");
    for text in ["", "\n", "two\nlines"] {
        let (_folder, config) = with_password_file(text, 0o600);
        let errors = config.unwrap_err().to_string();
        assert!(errors.contains("must hold the password and nothing else"), "{errors}");
        assert!(!errors.contains("lines"), "{errors}");
    }
    check_pool(
        "url = \"lab\", password_file = \"/nowhere/password\"",
        "reaper.hcl:3:18: pools.lab1.password_file: \"/nowhere/password\" cannot be read: No such file or directory (os error 2)",
    );
}

#[test]
fn an_ini_file_is_known_by_name_or_content() {
    let ini = "[common]\nvm.expiry.minutes = 60\n[xenhost1]\nhost.name = lab\nhost.password = secret\nhost.labels = gpu\nx = 1\n";
    for file in ["lab.ini", "reaper.conf"] {
        let config = read_text(Path::new(file), ini, &environment()).unwrap();
        assert_eq!(config.pools[0].name, "xenhost1");
        assert_eq!(config.max_ttl, Some(Duration::from_secs(3600)));
        assert_eq!(
            config.warnings,
            [format!("{file}:7: [xenhost1] x: unknown key, not read")]
        );
    }
    let errors = read_text(Path::new("lab.INI"), "pools = {}", &environment()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "lab.INI: there is no pool: no section [xenhost1]\nlab.INI:1: a key before the first section"
    );
}

#[test]
fn without_a_file_the_environment_names_a_pool() {
    let nowhere = Path::new("/nowhere/reaper.hcl");
    let of = |variables: &[(&str, &str)]| read_file_or_environment(nowhere, &Environment::of(variables));
    let config = of(&[("DYNVM_URL", "http://lab"), ("DYNVM_PASSWORD", "secret")]).unwrap();
    assert_eq!(config.pools[0].name, "default");
    assert_eq!(
        config.warnings,
        ["DYNVM_URL: http://lab is used without TLS: passwords and sessions travel in the clear"]
    );
    assert_eq!(
        of(&[("DYNVM_URL", "lab")]).unwrap_err().to_string(),
        "environment: the environment variable DYNVM_PASSWORD: a password is needed, and must not be empty"
    );
    assert_eq!(
        of(&[]).unwrap_err().to_string(),
        "/nowhere/reaper.hcl: there is no configuration: neither --config, nor this file, nor DYNVM_URL in the environment"
    );
    let other = Environment::of(&[("DYNVM_URL", "lab"), ("DYNVM_PASSWORD", "secret")]);
    let config = read_text(Path::new("reaper.hcl"), "grace = \"1m\"", &other).unwrap();
    assert_eq!((config.pools[0].name.as_str(), config.grace.as_secs()), ("default", 60));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reaper.hcl");
    fs::write(&file, "pools = { lab1 = { url = \"lab\", password = \"x\" } }").unwrap();
    assert_eq!(read_file_or_environment(&file, &other).unwrap().pools[0].name, "lab1");
}

/// Texts that are nearly configurations.
fn any_configuration() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("{ lab1 = { url = \"lab\", password = \"x\", tls = { insecure = true } } }".to_owned()),
        "\"[ -~]{0,12}\"",
        "-?[0-9]{1,12}(\\.[0-9])?",
        "\\[(\"[a-z]*\",? ?){0,3}\\]?",
        "\\{ ?([a-z]{1,4} = (\"\"|1|x) ?,? ?){0,3}\\}?",
        "\\PC{0,12}",
    ];
    let name = prop_oneof![
        "pools|grace|max_ttl|max_deletions|owners|listen|history|state_dir",
        "\\PC{0,6}"
    ];
    let line = (name, value).prop_map(|(name, value)| format!("{name} = {value}"));
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any_configuration(), noise in "\\PC{0,80}") {
        // Only that it ends matters here, and that what is wrong has a place.
        for text in [text, noise] {
            if let Err(errors) = read_hcl(&text) {
                prop_assert!(errors.iter().next().is_some());
            }
        }
    }
}
