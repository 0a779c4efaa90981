//! Malformed and hostile answers: an error that says so, never a crash, never a state that lies.

use std::collections::BTreeSet;

use acceptance::{Lab, Outcome, Workspace, under_each_tool};
use sim::{FaultKind, FaultRule};

use crate::{A, server};

/// Entities that unfold to gigabytes.
const BOMB: &str = concat!(
    "<?xml version=\"1.0\"?><!DOCTYPE b [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\">",
    "<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">",
    "<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;\">",
    "<!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;\"><!ENTITY g \"&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;\">]>",
    "<methodResponse><params><param><value>&g;&g;&g;&g;&g;&g;</value></param></params></methodResponse>"
);

/// What a pool speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Json,
    Xml,
}

const BOTH: [Transport; 2] = [Transport::Json, Transport::Xml];

impl Transport {
    /// The standard lab, whose pools know nothing else in the case of XML.
    fn lab(self) -> Lab {
        Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.json_rpc = self == Self::Json;
            }
        })
    }

    /// An answer that holds no number where one should be.
    fn no_number(self) -> Vec<u8> {
        match self {
            Self::Json => json("{\"x\":NaN}"),
            Self::Xml => success("<struct><member><name>x</name><value><double>NaN</double></value></member></struct>"),
        }
    }

    fn bodies(self) -> Vec<(&'static str, Vec<u8>)> {
        let mut bodies = vec![
            ("nothing", Vec::new()),
            (
                "a web page",
                b"<html><body>Welcome to the captive portal</body></html>".to_vec(),
            ),
            ("no text", vec![0xff, 0xfe, 0x00, 0x80, 0xc3]),
        ];
        bodies.extend(match self {
            Self::Json => json_bodies(),
            Self::Xml => xml_bodies(),
        });
        bodies
    }
}

/// An answer in JSON-RPC with this value.
fn json(value: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"result\":{value},\"id\":1}}").into_bytes()
}

fn json_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    vec![
        ("another protocol", success("<struct></struct>")),
        ("depth", json(&deep)),
        (
            "depth in a record",
            json(&format!("{{\"OpaqueRef:x\":{{\"x\":{deep}}}}}")),
        ),
        ("another type", json("true")),
        ("no number", Transport::Json.no_number()),
        ("a huge number", json("{\"OpaqueRef:x\":{\"memory_static_max\":1e999}}")),
        (
            "no UTF-8",
            json("{\"OpaqueRef:\u{1}\":{}}")
                .into_iter()
                .map(|byte| if byte == 1 { 0xff } else { byte })
                .collect(),
        ),
        ("half a character", json("{\"OpaqueRef:x\":{\"uuid\":\"\\ud800\"}}")),
        ("an empty record", json("{\"OpaqueRef:x\":{}}")),
        ("two results", br#"{"result":{},"result":{}}"#.to_vec()),
        ("neither result nor failure", br#"{"jsonrpc":"2.0","id":1}"#.to_vec()),
        (
            "a failure without a code",
            br#"{"jsonrpc":"2.0","error":{"code":1},"id":1}"#.to_vec(),
        ),
    ]
}

/// An answer in XML-RPC with this value.
fn success(value: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
         <member><name>Value</name><value>{value}</value></member></struct></value></param></params></methodResponse>"
    )
    .into_bytes()
}

fn xml_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = format!(
        "{}{}",
        "<array><data><value>".repeat(50_000),
        "</value></data></array>".repeat(50_000)
    );
    vec![
        ("entities", BOMB.as_bytes().to_vec()),
        ("depth", success(&deep)),
        ("another type", success("<boolean>1</boolean>")),
        ("no number", Transport::Xml.no_number()),
        ("an empty record", success("<struct><member><name>OpaqueRef:x</name><value><struct></struct></value></member></struct>")),
        ("a failure without a code", br#"<methodResponse><params><param><value><struct><member><name>Status</name><value>Failure</value></member></struct></value></param></params></methodResponse>"#.to_vec()),
    ]
}

/// An error in words, and no sign of a crash.
#[track_caller]
fn check(what: &str, outcome: &Outcome) {
    assert_eq!(outcome.code, Some(1), "{what}: an error\n{outcome}");
    let text = outcome.text().to_lowercase();
    for sign in [
        "panic",
        "crashed",
        "bug in the provider",
        "request cancelled",
        "plugin error",
        "rpc error",
    ] {
        assert!(!text.contains(sign), "{what}: {sign}\n{outcome}");
    }
    let diagnostics = outcome.diagnostics();
    let error = diagnostics.iter().find(|one| one.severity == "error");
    let error = error.unwrap_or_else(|| panic!("{what}: no error\n{outcome}"));
    assert!(error.detail.contains("lab1"), "{what}: which pool? {error:#?}");
    assert!(
        error.detail.len() < 4000,
        "{what}: {} bytes of detail",
        error.detail.len()
    );
}

/// A lab with one server in lab1, its workspace, and the methods that a refresh of it calls.
fn refreshed(tool: &acceptance::Tool, transport: Transport) -> (Lab, Workspace, BTreeSet<String>) {
    let lab = transport.lab();
    let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  pool = \"lab1\"")]);
    workspace.apply();
    lab.forget_requests();
    workspace.expect_empty_plan();
    let methods = lab.methods().into_keys().filter(|method| !method.contains("logout"));
    let methods = methods.collect();
    (lab, workspace, methods)
}

fn refresh_with(lab: &Lab, workspace: &Workspace, method: &str, kind: FaultKind) -> Outcome {
    lab.control().fault(FaultRule {
        pool: Some("lab1".to_owned()),
        ..FaultRule::always(method, kind)
    });
    let outcome = workspace.try_plan();
    lab.control().clear_faults();
    outcome
}

#[test]
fn garbage_for_the_record_of_a_server() {
    under_each_tool(|tool| {
        for transport in BOTH {
            let (lab, workspace, _) = refreshed(tool, transport);
            for (what, body) in transport.bodies() {
                check(
                    what,
                    &refresh_with(&lab, &workspace, "VM.get*", FaultKind::Garbage(body)),
                );
            }
            workspace.expect_empty_plan();
            assert_eq!(workspace.state().addresses(), [A]);
            workspace.destroy();
        }
    });
}

#[test]
fn a_record_without_end() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let list = "data \"dynvm_servers\" \"all\" {\n  pool = \"lab1\"\n}\n";
        let workspace = lab.workspace(tool, &[list]);
        workspace.try_plan().expect_code(0);
        let (_, wiki) = lab.named("lab1", "VM", "old-jenkins");
        let endless = [("notes".to_owned(), "x".repeat(24 << 20))];
        let uuid = wiki["uuid"].as_str().unwrap_or_default();
        lab.control()
            .set_other_config(uuid, endless.into())
            .expect("other_config");
        check("24 MiB in one record", &workspace.try_plan());
    });
}

#[test]
fn garbage_for_any_call_of_a_refresh() {
    under_each_tool(|tool| {
        for transport in BOTH {
            let (lab, workspace, methods) = refreshed(tool, transport);
            for method in methods {
                let body = transport.no_number();
                check(
                    &method,
                    &refresh_with(&lab, &workspace, &method, FaultKind::Garbage(body)),
                );
            }
            workspace.expect_empty_plan();
            workspace.destroy();
        }
    });
}

#[test]
fn answers_that_end_too_soon() {
    under_each_tool(|tool| {
        let (lab, workspace, methods) = refreshed(tool, Transport::Json);
        for method in methods {
            check(
                &method,
                &refresh_with(&lab, &workspace, &method, FaultKind::Truncate(30)),
            );
        }
        check(
            "no web server",
            &refresh_with(&lab, &workspace, "VM.get*", FaultKind::Http500),
        );
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn garbage_while_a_server_is_made_leaves_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let lines = "  os = \"debian12\"\n  pool = \"lab1\"\n  timeouts = { create = \"5s\" }";
        let workspace = lab.workspace(tool, &[&server(lines)]);
        for method in ["host.get_servertime", "VM.clone", "VM.set_tags", "VM.start_on"] {
            lab.control()
                .fault(FaultRule::always(method, FaultKind::Garbage(json("[1"))));
            let outcome = workspace.try_apply();
            lab.control().clear_faults();
            check(method, &outcome);
            workspace.destroy();
            acceptance::assert_unchanged(&lab, &before);
        }
    });
}
