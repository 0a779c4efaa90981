//! Passwords and session references: in no log, diagnostic, state or plan, in no argument and no environment of a process, at any level, in any
//! encoding. And logs that show at their level.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use acceptance::{Lab, ProviderBlock, Wiretap, Workspace, quoted, under_each_tool};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sim::{FaultKind, FaultRule};

use crate::SERVER;

/// Letters that each encoding writes in its own way.
const PASSWORD: &str = "Qz7 ö/+&<\">'%=?wörd9";

fn lab() -> Lab {
    Lab::changed(|world| {
        for pool in world.pools.values_mut() {
            pool.password = PASSWORD.to_owned();
        }
    })
}

/// A secret as it might be written: plain, for URLs, XML, JSON and logs, in hexadecimal, and in base64 at any offset of a longer text.
fn spellings(secret: &str) -> BTreeSet<Vec<u8>> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let loose = percent
        .replace("%2F", "/")
        .replace("%3F", "?")
        .replace("%3D", "=")
        .replace("%2D", "-")
        .replace("%3A", ":");
    let xml = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let json = quoted(secret).trim_matches('"').to_owned();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found: Vec<String> = vec![
        secret.to_owned(),
        percent.to_lowercase(),
        percent.replace("%20", "+"),
        percent,
        loose,
        xml.replace('"', "&quot;").replace('\'', "&apos;"),
        xml,
        json.replace('\\', "\\\\"),
        json.replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
        json,
        format!("{secret:?}").trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
    ];
    for offset in 0..3 {
        // The groups of base64 that hold only letters of the secret are the same whatever stands around it.
        let inner: Vec<u8> = secret.bytes().skip(offset).collect();
        let whole = inner.get(..inner.len() / 3 * 3).unwrap_or_default();
        found.push(BASE64_STANDARD.encode(whole));
        found.push(BASE64_URL_SAFE.encode(whole));
    }
    found.into_iter().map(String::into_bytes).collect()
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Demands that no file holds any spelling of any secret.
#[track_caller]
fn expect_silence(files: &BTreeMap<String, Vec<u8>>, secrets: &BTreeSet<String>) {
    assert!(!files.is_empty());
    for secret in secrets {
        for spelling in spellings(secret) {
            for (name, bytes) in files {
                assert!(
                    !holds(bytes, &spelling),
                    "{name} holds {secret:?} as {:?}",
                    String::from_utf8_lossy(&spelling)
                );
            }
        }
    }
}

/// Applies, plans and destroys at TRACE; returns the session references that were used.
fn traced_life(wire: &Wiretap, workspace: &mut Workspace) -> BTreeSet<String> {
    let log = workspace.path("logs").join("trace.log").display().to_string();
    workspace.set("TF_LOG", "TRACE");
    workspace.set("TF_LOG_PATH", &log);
    workspace.apply();
    workspace
        .run(&["plan", "-out=tfplan", "-input=false", "-json"])
        .expect_success();
    workspace.run(&["show", "-json", "tfplan"]).expect_success();
    workspace.run(&["show", "-json"]).expect_success();
    workspace.try_destroy().expect_code(0);
    workspace.unset("TF_LOG");
    let text = String::from_utf8_lossy(&std::fs::read(&log).expect("the log")).into_owned();
    assert!(
        text.contains("terraform-provider-dynvm: "),
        "the provider's own lines are in the log"
    );
    let sessions = wire.sessions();
    assert!(
        sessions.len() >= 3,
        "apply, plan and destroy each had one: {sessions:?}"
    );
    sessions
}

#[test]
fn a_secret_is_found_in_any_spelling() {
    let text = |words: &str| BTreeMap::from([("log".to_owned(), words.as_bytes().to_vec())]);
    let percent = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC).to_string();
    let mut written = vec![PASSWORD.to_owned(), percent, quoted(PASSWORD), format!("{PASSWORD:?}")];
    for before in ["", "r", "root:", "Basic x"] {
        written.push(BASE64_STANDARD.encode(format!("{before}{PASSWORD}@pool")));
    }
    for words in written {
        let files = text(&format!("2026-11-20 [TRACE] sent {words} to the pool"));
        let found = std::panic::catch_unwind(|| expect_silence(&files, &BTreeSet::from([PASSWORD.to_owned()])));
        assert!(found.is_err(), "{words}");
    }
    expect_silence(&text("nothing of it"), &BTreeSet::from([PASSWORD.to_owned()]));
}

#[test]
fn nowhere_when_they_come_from_the_environment() {
    under_each_tool(|tool| {
        let lab = lab();
        let wire = lab.wiretap("lab1");
        let mut workspace = Workspace::new(tool);
        workspace.set("DYNVM_URL", wire.url());
        workspace.set("DYNVM_PASSWORD", PASSWORD);
        workspace.main(&[&crate::server("  template = \"tmpl-debian12\"")]);
        let mut secrets = traced_life(&wire, &mut workspace);
        secrets.insert(PASSWORD.to_owned());
        expect_silence(&workspace.everything_written(), &secrets);
    });
}

#[test]
fn in_no_log_and_no_state_when_they_come_from_a_variable() {
    under_each_tool(|tool| {
        let lab = lab();
        let wire = lab.wiretap("lab1");
        let provider = lab.provider().only("lab1").edit("lab1", |pool| {
            pool.with("url", &quoted(wire.url())).with("password", "var.secret")
        });
        let mut workspace = Workspace::new(tool);
        workspace.set("TF_VAR_secret", PASSWORD);
        let variable = "variable \"secret\" {\n  type = string\n  sensitive = true\n}\n";
        workspace.main(&[variable, &provider.to_string(), SERVER]);
        let mut secrets = traced_life(&wire, &mut workspace);
        secrets.insert(PASSWORD.to_owned());
        let mut files = workspace.everything_written();
        // Terraform itself keeps the values of variables in saved plans, and prints them with `show -json`.
        files.retain(|_, bytes| !holds(bytes, b"\"variables\":{\"secret\""));
        files.retain(|name, _| !name.ends_with("tfplan"));
        expect_silence(&files, &secrets);
    });
}

#[test]
fn in_no_error() {
    under_each_tool(|tool| {
        let lab = lab();
        let mut workspace = lab.workspace(tool, &[SERVER]);
        workspace.set("TF_LOG", "TRACE");
        let log = workspace.path("logs").join("trace.log").display().to_string();
        workspace.set("TF_LOG_PATH", &log);
        for rule in [
            FaultRule::always("session.login_with_password", FaultKind::Http500),
            FaultRule::always("session.login_with_password", FaultKind::CutBefore),
            FaultRule::always("VM.start*", FaultKind::Http500),
        ] {
            lab.control().fault(rule);
            let outcome = workspace.try_apply();
            assert_eq!(outcome.code, Some(1), "{outcome}");
            lab.control().clear_faults();
        }
        let mut files = workspace.everything_written();
        files.retain(|name, _| !name.ends_with("main.tf"));
        expect_silence(&files, &BTreeSet::from([PASSWORD.to_owned()]));
    });
}

/// The sockets in a folder and below.
fn sockets(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(sockets(&entry.path())),
            Ok(kind) if kind.is_socket() => found.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
    found
}

/// What a stranger hears who speaks the protocol, but has no certificate.
fn answer_to_a_stranger(socket: &Path) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("a connection: it is the owner who asks");
    let mut heard = Vec::new();
    // It may hang up in the middle of a word.
    let spoken = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    if spoken.is_ok() {
        stream.read_to_end(&mut heard).ok();
    }
    heard
}

#[test]
fn in_no_argument_and_no_environment_and_behind_a_door_of_its_own() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.password = PASSWORD.to_owned();
                pool.templates["tmpl-debian12"].guest.never = true;
            }
        });
        let wire = lab.wiretap("lab1");
        let provider = lab.provider().only("lab1");
        let provider = provider.edit("lab1", |pool| pool.with("url", &quoted(wire.url())));
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider.to_string(), SERVER]);
        let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        lab.until("the server runs and its address is awaited", || {
            let mut vms = lab.vms().into_iter();
            vms.any(|vm| vm.text("power_state") == "Running" && vm.text("name_label") == "web")
        });

        let processes = running.processes();
        let names: Vec<&str> = processes.iter().map(|process| process.executable.as_str()).collect();
        let is_provider = |name: &&&str| name.starts_with("terraform-provider-dynvm");
        assert_eq!(
            names.iter().filter(is_provider).count(),
            1,
            "it has no children: {names:?}"
        );
        let mut secrets = wire.sessions();
        assert!(!secrets.is_empty(), "a session was used");
        secrets.insert(PASSWORD.to_owned());
        let seen = processes.into_iter().enumerate().flat_map(|(number, process)| {
            let named = |what: &str| format!("the {what} of process {number}, {}", process.executable);
            [
                (named("arguments"), process.arguments),
                (named("environment"), process.environment),
            ]
        });
        expect_silence(&seen.collect(), &secrets);

        let sockets = sockets(&workspace.path("tmp"));
        assert!(!sockets.is_empty(), "the plugin's socket");
        for socket in sockets {
            let mode = |path: &Path| fs::metadata(path).map(|found| found.mode() & 0o777).ok();
            assert_eq!(socket.parent().and_then(mode), Some(0o700), "{}", socket.display());
            let heard = answer_to_a_stranger(&socket);
            // Nothing, or an alert of TLS, whose record type is 21.
            assert!(heard.is_empty() || heard.first() == Some(&21), "{heard:?}");
        }

        running.interrupt();
        let outcome = running.wait(Duration::from_secs(60)).expect_code(1);
        workspace.destroy();
        let mut files = workspace.everything_written();
        files.retain(|name, _| !name.ends_with("main.tf"));
        files.insert("what was printed".to_owned(), outcome.to_string().into_bytes());
        expect_silence(&files, &secrets);
    });
}

/// Letters of user data that each encoding writes in its own way.
const USER_DATA: &str = "token: Kb5 ü/+&<\">'%=?gähn3";

#[test]
fn no_user_data_anywhere_but_in_the_state() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let provider = lab.provider().to_string();
        let mut workspace = Workspace::new(tool);
        let log = workspace.path("logs").join("trace.log").display().to_string();
        workspace.set("TF_LOG", "TRACE");
        workspace.set("TF_LOG_PATH", &log);
        let mut printed = BTreeMap::new();
        let mut print = |step: &str, outcome: acceptance::Outcome| {
            printed.insert(step.to_owned(), outcome.to_string().into_bytes());
        };
        let module = |data: &str| {
            let server = crate::server(&format!("  os = \"debian12\"\n  user_data = {}", quoted(data)));
            workspace.main(&[&provider, &server]);
        };
        module(USER_DATA);
        // Each step of the drive fails once, and each failure has its own words.
        let refusal = FaultKind::Error {
            code: "SR_BACKEND_FAILURE_44".to_owned(),
            params: Vec::new(),
        };
        for (method, kind) in [
            ("VDI.create", refusal.clone()),
            ("VBD.create", FaultKind::Http500),
            ("PUT *", refusal),
            ("PUT *", FaultKind::Http500),
        ] {
            lab.control().fault(FaultRule::always(method, kind));
            print(&format!("{method} fails"), workspace.try_apply().expect_code(1));
            lab.control().clear_faults();
        }
        print("apply", workspace.apply());
        module(&format!("{USER_DATA} and more"));
        print("plan", workspace.run(&["plan", "-input=false", "-no-color"]));
        print("plan as JSON", workspace.run(&["plan", "-input=false", "-json"]));
        print("show", workspace.run(&["show", "-no-color"]).expect_success());
        print("replace", workspace.apply());
        print("destroy", workspace.try_destroy().expect_code(0));
        let traced = std::fs::read(&log).expect("the log");
        assert!(holds(&traced, b"VDI.import_raw"), "the transfer is in the log");
        printed.insert("log".to_owned(), traced);
        expect_silence(&printed, &BTreeSet::from([USER_DATA.to_owned()]));
    });
}

/// A provider whose history is where the variable of that name says.
fn with_history(lab: &Lab) -> ProviderBlock {
    lab.provider().setting("history = var.history")
}

/// The variable.
const HISTORY: &str = "variable \"history\" {\n  type = string\n  sensitive = true\n}\n";

#[test]
fn in_no_error_about_the_url_of_a_history() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let mut workspace = Workspace::new(tool);
        workspace.set("TF_VAR_history", &format!("postgres://ci:{PASSWORD}@db/lab"));
        workspace.main(&[HISTORY, &with_history(&lab).to_string(), SERVER]);
        let error = workspace.try_plan().only_error();
        error.expect_at("history").expect_text("Invalid history");
        expect_silence(&workspace.everything_written(), &[PASSWORD.to_owned()].into());
    });
}

/// A PostgreSQL server that asks for a password, hands it to the test, and lets nobody in.
fn doorkeeper(heard: Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for guest in listener.incoming().flatten() {
            // Whoever leaves early has said nothing.
            if let Ok(password) = refuse(guest) {
                heard.send(password).ok();
            }
        }
    });
    address
}

fn refuse(mut guest: TcpStream) -> io::Result<String> {
    // The startup message has no letter before its length, all others have one.
    message(&mut guest)?;
    guest.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3])?;
    guest.read_exact(&mut [0])?;
    let password = message(&mut guest)?;
    let fields = "SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"ci\"\0\0";
    let length = u32::try_from(4 + fields.len()).expect("short").to_be_bytes();
    guest.write_all(&[b"E".as_slice(), &length, fields.as_bytes()].concat())?;
    Ok(String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned())
}

/// The body of the next message.
fn message(guest: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    guest.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).expect("as long");
    let mut body = vec![0; length.saturating_sub(4)];
    guest.read_exact(&mut body)?;
    Ok(body)
}

#[test]
fn in_no_log_and_no_state_when_a_history_has_one() {
    under_each_tool(|tool| {
        let (heard, passwords) = mpsc::channel();
        let lab = Lab::standard();
        let wire = lab.wiretap("lab1");
        let password = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC);
        let url = format!("postgres://ci:{password}@{}/lab?sslmode=disable", doorkeeper(heard));
        let provider = with_history(&lab).only("lab1");
        let provider = provider.edit("lab1", |pool| pool.with("url", &quoted(wire.url())));
        let mut workspace = Workspace::new(tool);
        workspace.set("TF_VAR_history", &url);
        workspace.main(&[HISTORY, &provider.to_string(), SERVER]);
        traced_life(&wire, &mut workspace);
        assert_eq!(
            passwords.recv().as_deref(),
            Ok(PASSWORD),
            "it was sent where it belongs"
        );
        let mut files = workspace.everything_written();
        let is_said = |bytes: &Vec<u8>| holds(bytes, b"password authentication failed for user");
        assert!(files.values().any(is_said), "why nothing was written is told");
        // Terraform itself keeps the values of variables in saved plans, and prints them with `show -json`.
        files.retain(|_, bytes| !holds(bytes, b"\"variables\":{\"history\""));
        files.retain(|name, _| !name.ends_with("tfplan"));
        expect_silence(&files, &[PASSWORD.to_owned()].into());
    });
}

#[test]
fn log_lines_show_at_their_level() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let mut workspace = lab.workspace(tool, &[SERVER]);
        let log = workspace.path("logs").join("leveled.log");
        workspace.set("TF_LOG_PATH", &log.display().to_string());
        let mut counts = Vec::new();
        for level in ["TRACE", "DEBUG", "INFO", "WARN"] {
            workspace.set("TF_LOG", level);
            drop(std::fs::remove_file(&log));
            workspace.run(&["plan", "-input=false"]).expect_success();
            if level == "TRACE" {
                workspace.apply();
            }
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let ours: Vec<&str> = text
                .lines()
                .filter(|line| line.contains(" provider.terraform-provider-dynvm"))
                .collect();
            let raw: Vec<&&str> = ours.iter().filter(|line| line.contains("\"@level\"")).collect();
            assert!(raw.is_empty(), "lines that Terraform could not read: {raw:#?}");
            let allowed: &[&str] = match level {
                "TRACE" => &["[TRACE]", "[DEBUG]", "[INFO]", "[WARN]", "[ERROR]"],
                "DEBUG" => &["[DEBUG]", "[INFO]", "[WARN]", "[ERROR]"],
                "INFO" => &["[INFO]", "[WARN]", "[ERROR]"],
                _ => &["[WARN]", "[ERROR]"],
            };
            for line in &ours {
                assert!(allowed.iter().any(|mark| line.contains(mark)), "{level}: {line}");
            }
            counts.push(ours.len());
        }
        assert!(counts[0] > counts[2], "more at TRACE than at INFO: {counts:?}");
        workspace.destroy();
    });
}
