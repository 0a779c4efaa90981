//! How certificates are verified: system roots, a CA file, pinned fingerprints, or not at all.

use cty::{Path, Value};
use engine::diagnostics::Diagnostics;
use xenapi::{CaPem, Fingerprint, TlsTrust};

use super::environment::PoolFromEnvironment;

/// What a `tls` object says; `None` if it says nothing.
pub(super) fn read(tls: &Value, at: &Path, found: &mut Diagnostics) -> Option<TlsTrust> {
    if let Some(file) = tls.get("ca_file").as_str() {
        return ca_file(file, &at.clone().attribute("ca_file"), found);
    }
    if let Some(list) = tls.get("fingerprints").as_list() {
        let texts = list.iter().filter_map(Value::as_str);
        return fingerprints(texts, &at.clone().attribute("fingerprints"), found);
    }
    (tls.get("insecure").as_bool() == Some(true)).then_some(TlsTrust::Insecure)
}

/// What the environment says of its pool.
pub(super) fn of_environment(pool: &PoolFromEnvironment, found: &mut Diagnostics) -> Option<TlsTrust> {
    let here = Path::root();
    let insecure = match pool.tls_insecure.as_deref() {
        None | Some("0" | "false" | "no") => false,
        Some("1" | "true" | "yes") => true,
        Some(_) => {
            found.error(
                "Invalid DYNVM_TLS_INSECURE",
                "The environment variable DYNVM_TLS_INSECURE must be `true` or `false`.",
            );
            return None;
        }
    };
    let given = usize::from(pool.tls_ca_file.is_some())
        + usize::from(!pool.tls_fingerprints.is_empty())
        + usize::from(insecure);
    if given > 1 {
        found.error(
            "Contradicting TLS settings",
            "At most one of DYNVM_TLS_CA_FILE, DYNVM_TLS_FINGERPRINT and DYNVM_TLS_INSECURE may be set.",
        );
        return None;
    }
    if let Some(file) = &pool.tls_ca_file {
        return ca_file(file, &here, found);
    }
    if !pool.tls_fingerprints.is_empty() {
        return fingerprints(pool.tls_fingerprints.iter().map(String::as_str), &here, found);
    }
    insecure.then_some(TlsTrust::Insecure)
}

fn ca_file(file: &str, at: &Path, found: &mut Diagnostics) -> Option<TlsTrust> {
    let read = std::fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|pem| CaPem::parse(&pem).map_err(|error| error.to_string()));
    match read {
        Ok(pem) => Some(TlsTrust::CaFile(pem)),
        Err(reason) => {
            found.error_at(
                at.clone(),
                "Unusable CA file",
                format!("\"{file}\" cannot be used as a PEM file of certificate authorities: {reason}."),
            );
            None
        }
    }
}

fn fingerprints<'a>(texts: impl Iterator<Item = &'a str>, at: &Path, found: &mut Diagnostics) -> Option<TlsTrust> {
    let mut pinned = Vec::new();
    for text in texts {
        match text.parse::<Fingerprint>() {
            Ok(fingerprint) => pinned.push(fingerprint),
            Err(error) => found.error_at(at.clone(), "Invalid fingerprint", format!("\"{text}\": {error}.")),
        }
    }
    if pinned.is_empty() {
        None
    } else {
        Some(TlsTrust::Fingerprints(pinned))
    }
}
