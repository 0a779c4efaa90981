//! `dynvm-docs write` and `dynvm-docs check`: the reference pages under `docs/`, made from the attribute tables and the examples.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

/// Writes the reference pages, or says which are not what the tables say.
#[derive(Parser)]
enum Verb {
    /// Writes them.
    Write,
    /// Fails if one differs from the tables and examples.
    Check,
}

fn main() -> Result<()> {
    let root = root();
    let pages = dynvm::pages::all(&root.join("examples"))?;
    match Verb::parse() {
        Verb::Write => pages
            .iter()
            .try_for_each(|(name, text)| write(&root.join("docs").join(name), text)),
        Verb::Check => check(&root, &pages),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn check(root: &Path, pages: &[(String, String)]) -> Result<()> {
    let stale: Vec<&str> = pages
        .iter()
        .filter(|(name, text)| fs::read_to_string(root.join("docs").join(name)).ok().as_ref() != Some(text))
        .map(|(name, _)| name.as_str())
        .collect();
    if !stale.is_empty() {
        bail!("not what the tables say: {}. Run `make docs`.", stale.join(", "));
    }
    Ok(())
}

/// The root of the repository this was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(PathBuf::new, Path::to_path_buf)
}
