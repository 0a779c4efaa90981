//! Row 15: decoding the records of 1,000 VMs, against the parser of the Python SDK on the same bytes.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use acceptance::{Lab, standard_world};
use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;
use tokio::io::BufReader;
use xenapi::{Vm, Wire};

use crate::place::{FOREIGN, POOL, Place, plain};
use crate::sample::Sample;
use crate::table::{Bar, Measure, Row, Unit};

const RUNS: usize = 15;
/// As much as comes from a connection at a time.
const CHUNK: usize = 16 << 10;
/// The ratio of a decoder that is ten times as fast.
const TEN_TIMES: f64 = 0.1;

/// What the Python SDK does with an answer: `xmlrpc.client` is all that it decodes with. And what it could do with JSON.
const PYTHON: &str = r#"
import json, sys, time, xmlrpc.client

def xml(body):
    parser, target = xmlrpc.client.getparser()
    parser.feed(body)
    parser.close()
    return target.close()

decode = {"xml": xml, "json": json.loads}[sys.argv[1]]
body = open(sys.argv[2], "rb").read()
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    decode(body)
    print(time.perf_counter() - began)
"#;

/// Decodes the same listing in both forms with both programs.
pub(crate) fn rows(_: &Place) -> Result<Vec<Row>> {
    let lab = lab();
    let (xml, json) = (answer(&lab, Wire::Xml)?, answer(&lab, Wire::Json)?);
    drop(lab);
    let (ours_xml, ours_json) = (ours(Wire::Xml, &xml)?, ours(Wire::Json, &json)?);
    let (python_xml, python_json) = (python("xml", &xml)?, python("json", &json)?);
    let python_speed = speed(&xml, &python_xml)?;
    let scale = 1e3;
    let row = |what: &str, ours: &[f64], bound: f64| {
        let measure = Measure::of(Unit::Milliseconds, ours.iter().map(|seconds| seconds * scale));
        let bounds = ours.iter().map(|_| bound * scale);
        Row::new(15, what, measure.over(bounds)).bar(Bar::Ratio(TEN_TIMES))
    };
    Ok(vec![
        row(&what("XML", &xml), &ours_xml, median(&python_xml)?).note(&format!(
            "`VM.get_all_records` of a pool with 1,000 VMs, {:.1} MB, from memory to typed records, {CHUNK} bytes at a time: {:.0} MB/s. The bound is the \
             Python SDK's parser (`xmlrpc.client`, to dicts of strings) on the same bytes, at once: {python_speed:.0} MB/s.",
            megabytes(&xml),
            speed(&xml, &ours_xml)?,
        )),
        row(
            &what("JSON", &json),
            &ours_json,
            megabytes(&json) / python_speed,
        )
        .note(&format!(
            "The same in JSON, {:.1} MB: {:.0} MB/s. The bound is what as many bytes of XML take in Python. For comparison: Python's `json.loads` does \
             {:.0} MB/s, to dicts.",
            megabytes(&json),
            speed(&json, &ours_json)?,
            speed(&json, &python_json)?,
        )),
    ])
}

fn what(form: &str, body: &[u8]) -> String {
    format!("decoding 1,000 VMs, {:.1} MB of {form}", megabytes(body))
}

/// A pool without TLS in which the VMs of others run.
fn lab() -> Lab {
    let mut world = standard_world();
    world.pools.retain(|name, _| name == POOL);
    for pool in world.pools.values_mut() {
        for host in pool.hosts.values_mut() {
            host.cpus = 2_048;
            host.memory_gib = 8_192;
        }
        for sr in pool.srs.values_mut() {
            sr.size_gib = 400_000;
        }
        pool.vms.insert("somebody-elses".to_owned(), plain(FOREIGN));
    }
    Lab::of(world)
}

/// The answer of the pool to the listing, as it comes over the wire.
fn answer(lab: &Lab, wire: Wire) -> Result<Vec<u8>> {
    let pool = lab.pool(POOL);
    let authority = pool.url.trim_start_matches("http://").trim_end_matches('/');
    let login = post(
        authority,
        wire,
        "session.login_with_password",
        &[&pool.username, &pool.password],
    )?;
    let text = String::from_utf8(login)?;
    let session = text
        .split(['"', '<', '>'])
        .find(|word| word.starts_with("OpaqueRef:"))
        .context("a login without a session")?;
    post(authority, wire, "VM.get_all_records", &[session])
}

/// Makes a call and gives the body of its answer.
fn post(authority: &str, wire: Wire, method: &str, params: &[&str]) -> Result<Vec<u8>> {
    let (path, body) = match wire {
        Wire::Json => (
            "/jsonrpc",
            serde_json::json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 }).to_string(),
        ),
        Wire::Xml => {
            let params: String = params
                .iter()
                .map(|param| format!("<param><value>{param}</value></param>"))
                .collect();
            let call = format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>");
            ("/", call)
        }
    };
    let mut stream = TcpStream::connect(authority)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = b"\r\n\r\n";
    let head = answer.windows(end.len()).position(|bytes| bytes == end);
    let head = head.context("an answer without an end of its head")? + end.len();
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{method} was refused");
    Ok(answer.split_off(head))
}

/// Seconds that the client's decoder takes, run by run.
fn ours(wire: Wire, body: &[u8]) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            let mut count = 0;
            let body = BufReader::with_capacity(CHUNK, body);
            runtime.block_on(xenapi::decode_listing::<Vm>(wire, body, |vm, record| {
                black_box((vm, record));
                count += 1;
            }))?;
            let took = began.elapsed().as_secs_f64();
            ensure!(count >= FOREIGN, "{count} VMs were decoded");
            Ok(took)
        })
        .collect()
}

/// Seconds that Python takes, run by run.
fn python(form: &str, body: &[u8]) -> Result<Vec<f64>> {
    let mut file = NamedTempFile::new()?;
    file.write_all(body)?;
    let output = Command::new("python3")
        .args(["-c", PYTHON, form])
        .arg(file.path())
        .arg(RUNS.to_string())
        .output()
        .context("no python3")?;
    if !output.status.success() {
        bail!("python3: {}", String::from_utf8_lossy(&output.stderr));
    }
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(line.parse()?)).collect()
}

fn median(seconds: &[f64]) -> Result<f64> {
    let sample = Sample::of(seconds.iter().copied()).context("no measurement")?;
    Ok(sample.median())
}

fn megabytes(body: &[u8]) -> f64 {
    body.len() as f64 / 1e6
}

/// Megabytes per second.
fn speed(body: &[u8], seconds: &[f64]) -> Result<f64> {
    Ok(megabytes(body) / median(seconds)?)
}
