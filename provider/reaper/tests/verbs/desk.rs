//! A person at a desk: a configuration file for the pools of a lab, and verbs that are carried out with it.

use std::path::PathBuf;

use clap::Parser as _;
use futures::StreamExt as _;
use reaper::cli::Arguments;
use reaper::config::Environment;
use reaper::signals::Signals;
use reaper::verbs;
use serde_json::Value as Json;
use sim::{PoolAddress, World};
use tempfile::TempDir;

use crate::lab::Lab;

/// A lab with a configuration file.
pub(crate) struct Desk {
    pub(crate) lab: Lab,
    folder: TempDir,
}

/// What came of a verb.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) code: u8,
    pub(crate) out: String,
    /// What is told on standard error.
    pub(crate) told: String,
}

impl Desk {
    /// A desk over the small lab.
    pub(crate) async fn small() -> Self {
        Self::of(include_str!("../pool/small.hcl")).await
    }

    /// A desk over a world.
    pub(crate) async fn of(world: &str) -> Self {
        let lab = Lab::of(World::from_hcl(world).unwrap()).await;
        let desk = Self {
            lab,
            folder: tempfile::tempdir().unwrap(),
        };
        desk.configure(&desk.lab.control.pools(), "");
        desk
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, pools: &[PoolAddress], further: &str) {
        let entries = pools.iter().map(|pool| {
            let PoolAddress {
                name,
                url,
                username,
                password,
                ..
            } = pool;
            format!("  {name} = {{ url = {url:?}, username = {username:?}, password = {password:?} }}\n")
        });
        let (entries, state): (String, String) = (entries.collect(), self.state_dir().display().to_string());
        let text = format!("pools = {{\n{entries}}}\nstate_dir = {state:?}\n{further}\n");
        std::fs::write(self.config(), text).unwrap();
    }

    /// Writes the configuration as an INI file of the older service, with a section for each host.
    pub(crate) fn configure_hosts(&self, pool: &PoolAddress) {
        let PoolAddress { username, password, .. } = pool;
        let sections = pool.member_urls.iter().zip(1..).map(|(url, number)| {
            format!("[xenhost{number}]\nhost.name = {url}\nhost.user = {username}\nhost.password = {password}\n")
        });
        std::fs::write(self.config(), sections.collect::<String>()).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("reaper.hcl")
    }

    /// Where it is remembered; made by the first verb that must.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Carries out a verb.
    pub(crate) async fn verb(&self, words: &[&str]) -> Came {
        self.verb_with(words, futures::stream::pending().boxed()).await
    }

    pub(crate) async fn verb_with(&self, words: &[&str], signals: Signals) -> Came {
        let config = self.config().display().to_string();
        let all = ["dynvm-reaper", "--config", &config]
            .into_iter()
            .chain(words.iter().copied());
        let arguments = Arguments::try_parse_from(all).unwrap();
        let environment = Environment::of(&[("USER", "ada")]);
        let mut out = Vec::new();
        let ended = verbs::carry_out(&arguments, environment, signals, &mut out).await;
        let out = String::from_utf8(out).unwrap();
        match ended {
            Ok(code) => Came {
                code,
                out,
                told: String::new(),
            },
            Err(error) => Came {
                code: error.code(),
                out,
                told: error.to_string(),
            },
        }
    }

    /// What a verb prints as JSON, and its exit code.
    pub(crate) async fn json(&self, words: &[&str]) -> (u8, Json) {
        let words: Vec<&str> = words.iter().copied().chain(["-o", "json"]).collect();
        let came = self.verb(&words).await;
        let json = serde_json::from_str(&came.out).unwrap_or_else(|error| panic!("{error}: {came:?}"));
        (came.code, json)
    }
}

impl Came {
    #[track_caller]
    pub(crate) fn expect(self, code: u8, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let text = format!("{}{}", self.out, self.told);
        for part in parts {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        self
    }
}
