//! On what it was measured.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::place::Place;

/// The machine, its terraform, and the day.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    cpus: usize,
    processor: String,
    memory_gib: f64,
    tool: String,
    /// Of the last minute: what else ran here makes all times worse.
    load: String,
}

impl Machine {
    pub(crate) fn look(place: &Place) -> Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo").context("the memory of this machine")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("the processors of this machine")?;
        let load = fs::read_to_string("/proc/loadavg").context("the load of this machine")?;
        let kib: f64 = field(&memory, "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .context("no MemTotal")?;
        Ok(Self {
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            cpus: available_parallelism().context("the number of CPUs")?.get(),
            processor: field(&processors, "model name")
                .unwrap_or("a processor without a name")
                .to_owned(),
            memory_gib: kib / 1024.0 / 1024.0,
            tool: version(place)?,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }

    /// The day.
    pub(crate) fn date(&self) -> &str {
        &self.date
    }

    /// Which terraform, with its version.
    pub(crate) fn tool(&self) -> &str {
        &self.tool
    }

    /// By what figures can be compared.
    pub(crate) fn size(&self) -> Json {
        json!({ "cpus": self.cpus, "processor": self.processor, "memory_gib": self.memory_gib.round() })
    }
}

fn version(place: &Place) -> Result<String> {
    let outcome = place.nothing().run(&["version", "-json"]).expect_success();
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).context("the answer to `version -json`")?;
    let number = json.get("terraform_version").and_then(|version| version.as_str());
    Ok(format!("{} {}", place.tool(), number.context("no version in it")?))
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            cpus,
            processor,
            memory_gib,
            tool,
            load,
        } = self;
        write!(
            f,
            "{date}: {cpus} CPUs ({processor}), {memory_gib:.0} GiB of memory, {tool}; load average {load} before the start"
        )
    }
}
