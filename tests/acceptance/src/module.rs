//! The parts of a module that every case needs: the provider's configuration for the pools of a lab.

use std::collections::BTreeMap;
use std::fmt;

use sim::PoolAddress;

/// A text as an HCL expression.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace("${", "$${")
        .replace("%{", "%%{")
}

/// One entry of `pools`: attribute -> HCL expression.
#[derive(Clone, Debug)]
pub struct PoolBlock(BTreeMap<String, String>);

impl PoolBlock {
    /// The entry that a pool of the simulator wants: where it is, how to log in, and with TLS its hosts' fingerprints.
    #[must_use]
    pub fn of(pool: &PoolAddress) -> Self {
        let mut block = Self(BTreeMap::new())
            .with("url", &quoted(&pool.url))
            .with("username", &quoted(&pool.username))
            .with("password", &quoted(&pool.password));
        if !pool.member_fingerprints.is_empty() {
            let pinned: Vec<String> = pool
                .member_fingerprints
                .iter()
                .map(|fingerprint| quoted(fingerprint))
                .collect();
            block = block.with("tls", &format!("{{ fingerprints = [{}] }}", pinned.join(", ")));
        }
        block
    }

    /// With this attribute set to an HCL expression.
    #[must_use]
    pub fn with(mut self, attribute: &str, expression: &str) -> Self {
        self.0.insert(attribute.to_owned(), expression.to_owned());
        self
    }

    /// Without this attribute.
    #[must_use]
    pub fn without(mut self, attribute: &str) -> Self {
        self.0.remove(attribute);
        self
    }

    /// With these aliases, each for the template `tmpl-<alias>`.
    #[must_use]
    pub fn with_aliases<'a>(self, aliases: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs: Vec<String> = aliases
            .into_iter()
            .map(|alias| format!("{} = {}", quoted(alias), quoted(&format!("tmpl-{alias}"))))
            .collect();
        self.with("templates", &format!("{{ {} }}", pairs.join(", ")))
    }
}

/// A `provider "dynvm"` block.
#[derive(Clone, Debug, Default)]
pub struct ProviderBlock {
    pools: BTreeMap<String, PoolBlock>,
    settings: Vec<String>,
}

impl ProviderBlock {
    /// With an entry of `pools`, in place of one of the same name.
    #[must_use]
    pub fn with_pool(mut self, name: &str, pool: PoolBlock) -> Self {
        self.pools.insert(name.to_owned(), pool);
        self
    }

    /// With an entry of `pools` changed.
    #[must_use]
    pub fn edit(mut self, name: &str, change: impl FnOnce(PoolBlock) -> PoolBlock) -> Self {
        if let Some(pool) = self.pools.remove(name) {
            self.pools.insert(name.to_owned(), change(pool));
        }
        self
    }

    /// With only this entry of `pools`.
    #[must_use]
    pub fn only(mut self, name: &str) -> Self {
        self.pools.retain(|known, _| known == name);
        self
    }

    /// With a line of its own, such as `default_ttl = "2h"` or `alias = "other"`.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// The `pools` as an HCL expression.
    #[must_use]
    pub fn pools(&self) -> String {
        let mut text = "{\n".to_owned();
        for (name, pool) in &self.pools {
            text.push_str(&format!("    {} = {{\n", quoted(name)));
            for (attribute, expression) in &pool.0 {
                text.push_str(&format!("      {attribute} = {expression}\n"));
            }
            text.push_str("    }\n");
        }
        text + "  }"
    }
}

impl fmt::Display for ProviderBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "provider \"dynvm\" {{")?;
        for line in &self.settings {
            writeln!(f, "  {line}")?;
        }
        if !self.pools.is_empty() {
            writeln!(f, "  pools = {}", self.pools())?;
        }
        writeln!(f, "}}")
    }
}
