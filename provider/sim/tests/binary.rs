//! `dynvm-sim` as a process: its files, its control door, its end, its errors.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

fn simulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm-sim"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a condition; the time-out only ends a test that has failed.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn ready(path: &Path) -> Json {
    until("the ready file appears", || {
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    })
}

/// A request to the control API.
fn control(url: &str, method: &str, path: &str, body: &str) -> (u16, Json) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let head = format!("{method} /control/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    let kind = "Content-Type: application/json\r\n";
    write!(stream, "{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap_or(Json::Null),
    )
}

fn terminate(child: &mut Child) {
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success(), "a signal is a normal end");
}

#[test]
fn it_says_where_it_is_and_can_be_controlled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let mut child = simulator()
        .args(["--clock", "auto", "-o", "json", "--ready-file"])
        .arg(&file)
        .spawn()
        .unwrap();
    let ready = ready(&file);
    let url = ready["control"].as_str().unwrap();
    let names: Vec<_> = ready["pools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(names, ["lab1", "lab2"]);
    assert_eq!(ready["pools"][0]["username"], "root");
    let (_, world) = control(url, "GET", "world", "");
    assert_eq!(world["lab1"]["host"].as_object().unwrap().len(), 2);
    let (status, vms) = control(
        url,
        "POST",
        "pools/lab1/call/VM.get_by_name_label",
        r#"["build-server"]"#,
    );
    assert_eq!(status, 200);
    let (_, uuid) = control(url, "POST", "pools/lab1/call/VM.get_uuid", &json!([vms[0]]).to_string());
    let uuid = uuid.as_str().unwrap();
    assert_eq!(control(url, "POST", &format!("vms/{uuid}/tags"), r#"["x"]"#).0, 200);
    let (_, tags) = control(url, "POST", "pools/lab1/call/VM.get_tags", &json!([vms[0]]).to_string());
    assert_eq!(tags, json!(["x"]));
    assert_eq!(control(url, "POST", "vms/nobody/tags", r#"["x"]"#).0, 404);
    for (action, body) in [("snapshot", r#""s""#), ("disk", r#"{"name": "data", "gib": 1}"#)] {
        let (status, made) = control(url, "POST", &format!("vms/{uuid}/{action}"), body);
        assert_eq!(
            (status, made.as_str().map(str::len)),
            (200, Some(36)),
            "{action}: {made}"
        );
    }
    // It runs: neither a copy nor a template can be made of it.
    for (action, body) in [("clone", r#""c""#), ("copy", r#""c""#), ("template", "null")] {
        let (status, refused) = control(url, "POST", &format!("vms/{uuid}/{action}"), body);
        assert_eq!(status, 409, "{action}: {refused}");
    }
    assert_eq!(control(url, "POST", &format!("vms/{uuid}/name"), r#""new""#).0, 200);
    assert_eq!(control(url, "POST", "pools/lab1/tags", r#"["pause"]"#).0, 200);
    assert_eq!(control(url, "POST", "pools/lab1/other_config", r#"{"k": "v"}"#).0, 200);
    let half = json!({"method": "VM.get_all_records_where", "kind": "half_listing"});
    assert_eq!(control(url, "POST", "faults", &half.to_string()).0, 200);
    let rule = json!({"method": "VM.clone", "kind": {"error": {"code": "X", "params": []}}});
    assert_eq!(control(url, "POST", "faults", &rule.to_string()).0, 200);
    assert_eq!(control(url, "POST", "clock/advance", r#"{"ms": 5000}"#).0, 200);
    assert!(control(url, "GET", "clock", "").1["now_ms"].as_u64().unwrap() >= 5000);
    assert_eq!(control(url, "DELETE", &format!("vms/{uuid}"), "").0, 200);
    let (status, failure) = control(url, "POST", "pools/lab1/call/VM.get_uuid", &json!([vms[0]]).to_string());
    assert_eq!((status, &failure["failure"][0]), (409, &json!("HANDLE_INVALID")));
    terminate(&mut child);
}

#[test]
fn it_ends_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let script = r#""$0" --exit-with-parent --ready-file "$1" >/dev/null 2>&1 & while [ ! -e "$1" ]; do :; done"#;
    let shell = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_dynvm-sim")])
        .arg(&file)
        .status()
        .unwrap();
    assert!(shell.success());
    let url = ready(&file)["control"]
        .as_str()
        .unwrap()
        .trim_start_matches("http://")
        .to_owned();
    until("the simulator is gone", || {
        TcpStream::connect(&url).is_err().then_some(())
    });
}

#[test]
fn mistakes_in_a_world_name_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.hcl");
    std::fs::write(&file, "pool \"a\" {\n  host \"h\" {\n    cpu = 1\n  }\n}\n").unwrap();
    let output = simulator().arg("--world").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&format!("{}:3:5: ", file.display())) && text.contains("unknown field `cpu`"),
        "{text}"
    );
}

#[test]
fn the_printed_lab_is_a_world_to_start_from() {
    for argument in ["world", "--print-world"] {
        let output = simulator().arg(argument).output().unwrap();
        let world = sim::World::from_hcl(&String::from_utf8(output.stdout).unwrap()).unwrap();
        assert_eq!(world.pools["lab1"].templates.len(), 5);
    }
}
