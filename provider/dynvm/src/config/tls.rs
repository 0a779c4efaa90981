//! How certificates are verified, as a `tls` object says it.

use cty::{Path, Value};
use engine::diagnostics::Diagnostics;
use fleet::draft::{CaFile, PoolFault, TlsDraft};
use xenapi::TlsTrust;

/// What holds for pools without a `tls` of their own.
pub(super) fn general(config: &Value, found: &mut Diagnostics) -> TlsTrust {
    match draft(config.get("tls")).check() {
        Ok(trust) => trust.unwrap_or_default(),
        Err(faults) => {
            for fault in faults {
                found.error_at(
                    place(&Path::from("tls"), &fault),
                    fault.title(),
                    format!("`tls`: {fault}."),
                );
            }
            TlsTrust::default()
        }
    }
}

/// What a `tls` object says, not checked yet.
pub(super) fn draft(tls: &Value) -> TlsDraft {
    TlsDraft {
        ca_file: tls.get("ca_file").as_str().map(|file| CaFile::read(file.as_ref())),
        fingerprints: texts(tls.get("fingerprints")),
        insecure: tls.get("insecure").as_bool() == Some(true),
    }
}

/// Where the part of a `tls` object is that a fault is about.
pub(super) fn place(tls: &Path, fault: &PoolFault) -> Path {
    match fault {
        PoolFault::CaFile { .. } => tls.attribute("ca_file"),
        PoolFault::Fingerprint { index: None, .. } => tls.attribute("fingerprints"),
        PoolFault::Fingerprint { index: Some(index), .. } => tls.attribute("fingerprints").index(*index),
        PoolFault::Trust
        | PoolFault::Name(_)
        | PoolFault::Address
        | PoolFault::Url { .. }
        | PoolFault::Password
        | PoolFault::Transport(_)
        | PoolFault::InsecureVariable => tls.clone(),
    }
}

/// A list of texts, if there is one.
pub(super) fn texts(list: &Value) -> Option<Vec<String>> {
    let items = list.as_list()?;
    Some(
        items
            .iter()
            .map(|item| item.as_str().unwrap_or_default().to_owned())
            .collect(),
    )
}
