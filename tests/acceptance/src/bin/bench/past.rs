//! What earlier benches found: one line of JSON for each of them, the latest last.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};

use crate::machine::Machine;
use crate::table::Table;

/// Of how many a row shows what they found.
const SHOWN: usize = 3;

/// Earlier benches on machines of the same size as this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past(Vec<Json>);

impl Past {
    /// Reads the record; nobody has measured yet where there is none.
    pub(crate) fn read(file: &Path, machine: &Machine) -> Result<Self> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text.with_context(|| format!("{} cannot be read", file.display()))?,
        };
        Self::parse(&text, &machine.size()).with_context(|| format!("{} is not a record of benches", file.display()))
    }

    fn parse(text: &str, size: &Json) -> Result<Self> {
        let benches = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Json>, _>>()?;
        let of_this_size = |bench: &Json| bench.get("machine") == Some(size);
        Ok(Self(benches.into_iter().filter(of_this_size).collect()))
    }

    /// What the last few found in a row, the latest first.
    pub(crate) fn before(&self, number: u8, what: &str) -> Vec<Json> {
        let is_it = |row: &&Json| {
            row.get("row").and_then(Json::as_u64) == Some(u64::from(number))
                && row.get("what").and_then(Json::as_str) == Some(what)
        };
        let found = self
            .0
            .iter()
            .rev()
            .filter_map(|bench| bench.get("rows")?.as_array()?.iter().find(is_it));
        found.take(SHOWN).cloned().collect()
    }
}

/// Adds what this bench found.
pub(crate) fn append(file: &Path, machine: &Machine, table: &Table) -> Result<()> {
    let bench =
        json!({ "date": machine.date(), "machine": machine.size(), "tool": machine.tool(), "rows": table.figures() });
    let open = OpenOptions::new().append(true).create(true).open(file);
    open.and_then(|mut record| writeln!(record, "{bench}"))
        .with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::Past;
    use serde_json::json;

    #[test]
    fn only_benches_on_machines_of_this_size_are_of_use() {
        let bench = |cpus: u32, median: u32| {
            let rows = [json!({ "row": 1, "what": "start", "median": median, "unit": "ms" })];
            json!({ "date": "2026-11-27", "machine": { "cpus": cpus }, "rows": rows }).to_string()
        };
        let text = [bench(2, 1), bench(64, 2), bench(2, 3), bench(2, 4), bench(2, 5)].join("\n");
        let past = Past::parse(&text, &json!({ "cpus": 2 })).unwrap();
        let medians = |what: &str| -> Vec<u64> {
            let found = past.before(1, what);
            found.iter().map(|row| row["median"].as_u64().unwrap()).collect()
        };
        assert_eq!(medians("start"), [5, 4, 3]);
        assert!(medians("stop").is_empty() && past.before(2, "start").is_empty());
        assert!(Past::parse("{\"date\"", &json!({})).is_err());
    }
}
