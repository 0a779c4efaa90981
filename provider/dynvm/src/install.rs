//! `terraform-provider-dynvm install`: copies this binary to where terraform and tofu look without a registry.
//!
//! The folder is an implied local mirror in unpacked layout, `HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/`; both tools search
//! `~/.terraform.d/plugins`, each under its own default host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The default registry hosts of Terraform and of OpenTofu.
const HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// Copies `binary` below `plugins` once for each host and returns where it now stands.
///
/// # Errors
/// If the binary cannot be read or a folder cannot be written.
pub fn install(binary: &Path, plugins: &Path, version: &str) -> Result<Vec<PathBuf>> {
    let platform = platform()?;
    HOSTS
        .iter()
        .map(|host| {
            let folder = plugins.join(host).join("dynvm/dynvm").join(version).join(&platform);
            let target = folder.join(format!("terraform-provider-dynvm_v{version}"));
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            copy(binary, &target)?;
            Ok(target)
        })
        .collect()
}

/// Where both tools search: `.terraform.d/plugins` in the home folder.
///
/// # Errors
/// If there is no home folder.
pub fn default_plugins() -> Result<PathBuf> {
    let home = std::env::home_dir().context("no home folder: name one with --plugins")?;
    Ok(home.join(".terraform.d/plugins"))
}

/// Copies beside the target first: a terraform that runs now keeps the old file, and a half-written one is never started.
fn copy(binary: &Path, target: &Path) -> Result<()> {
    let beside = target.with_extension("new");
    fs::copy(binary, &beside).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, target).with_context(|| format!("writing {}", target.display()))
}

/// The platform in Go's names, which the folder layout wants.
fn platform() -> Result<String> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os @ ("linux" | "freebsd" | "windows") => os,
        other => bail!("terraform has no name for the operating system {other}"),
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "arm" => "arm",
        other => bail!("terraform has no name for the processor {other}"),
    };
    Ok(format!("{os}_{arch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_under_both_hosts_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let binary = folder.path().join("binary");
        for text in ["first", "second"] {
            fs::write(&binary, text).expect("written");
            let placed = install(&binary, &folder.path().join("plugins"), "1.2.3").expect("installed");
            assert_eq!(placed.len(), 2);
            for path in placed {
                assert!(path.ends_with("terraform-provider-dynvm_v1.2.3"));
                assert_eq!(fs::read_to_string(path).expect("read"), text);
            }
        }
    }
}
