//! Row 1: from exec to the handshake line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use acceptance::provider_binary;
use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P521_SHA512};

use crate::place::Place;
use crate::table::{Bar, Measure, Row, Unit};

const STARTS: u32 = 40;
/// The first ones read the executable from disk.
const WARM_UP: u32 = 5;

/// Starts the provider again and again, as terraform does.
pub(crate) fn rows(_place: &Place) -> Result<Vec<Row>> {
    let binary = provider_binary();
    let sockets = tempfile::tempdir().context("a temporary folder")?;
    let certificate = client_certificate()?;
    let mut took = Vec::new();
    for start in 0..WARM_UP + STARTS {
        let milliseconds = once(&binary, sockets.path(), &certificate)?;
        if start >= WARM_UP {
            took.push(milliseconds);
        }
    }
    let row = Row::new(1, "exec to the handshake line", Measure::of(Unit::Milliseconds, took))
        .bar(Bar::AtMost(5.0))
        .note("The release build, started with the environment that terraform passes, a client certificate (P-521) included.");
    Ok(vec![row])
}

fn once(binary: &Path, sockets: &Path, certificate: &str) -> Result<f64> {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("TMPDIR", sockets)
        .env(
            "TF_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_CLIENT_CERT", certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("{} does not start", binary.display()))?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("the provider's stdout")?;
    let read = BufReader::new(stdout).read_line(&mut line);
    let took = started.elapsed();
    child.kill().context("the provider cannot be ended")?;
    child.wait().context("the provider does not end")?;
    read.context("the handshake line")?;
    ensure!(line.starts_with("1|6|unix|"), "{line:?} instead of a handshake line");
    Ok(took.as_secs_f64() * 1e3)
}

/// A certificate of the kind that go-plugin's client makes for itself.
fn client_certificate() -> Result<String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).context("a key")?;
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).context("a certificate")?;
    Ok(parameters.self_signed(&key).context("a certificate")?.pem())
}
