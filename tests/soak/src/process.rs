//! A process of the provider: a fleet of its own, which ends in good order or is killed.

use std::sync::Arc;
use std::time::Duration;

use fleet::{Fleet, FleetConfig, PoolSettings};
use sim::PoolAddress;

use crate::world::Lab;

/// A process. It is one by what the pools see of it: an originator of its own, and so sessions of its own.
pub(crate) struct Process {
    pub(crate) fleet: Arc<Fleet>,
    originator: String,
}

impl Process {
    pub(crate) fn start(lab: &Lab, originator: String) -> anyhow::Result<Self> {
        let pools: anyhow::Result<Vec<PoolSettings>> =
            lab.addresses.iter().map(|pool| settings(pool, &originator)).collect();
        let config = FleetConfig {
            pools: pools?,
            default_ttl: Duration::from_secs(30 * 60),
            max_ttl: Duration::from_secs(24 * 3600),
            owner: "ci/soak".into(),
            version: "0.1.0".into(),
        };
        Ok(Self {
            fleet: Fleet::new(config),
            originator,
        })
    }

    /// Ends as the provider does at the end of a run.
    pub(crate) async fn end(self) {
        self.fleet.settle().await;
        self.fleet.logout().await;
    }

    /// Dies at once. The tasks of the fleet cannot be taken from the runtime they share with all others; but nothing that they
    /// send arrives any more, and nothing reaches them, which is all that a pool sees of a death.
    pub(crate) fn kill(self, lab: &Lab) {
        lab.control.sever(&self.originator);
    }
}

fn settings(pool: &PoolAddress, originator: &str) -> anyhow::Result<PoolSettings> {
    let os = [("debian12", "tmpl-debian12"), ("centos7", "tmpl-centos7")];
    Ok(PoolSettings {
        templates: os.map(|(os, template)| (os.to_owned(), template.to_owned())).into(),
        ..PoolSettings::new(connection(pool, originator)?)
    })
}

/// How a pool is reached by somebody of that name.
pub(crate) fn connection(pool: &PoolAddress, originator: &str) -> anyhow::Result<xenapi::PoolConfig> {
    let urls = pool.member_urls.iter().map(|url| xenapi::Endpoint::parse(url));
    Ok(xenapi::PoolConfig {
        name: pool.name.clone(),
        urls: urls.collect::<Result<_, _>>()?,
        username: pool.username.clone(),
        password: pool.password.clone().into(),
        tls: xenapi::TlsTrust::SystemRoots,
        wire: xenapi::WireChoice::Auto,
        originator: originator.to_owned(),
        limits: xenapi::Limits::default(),
    })
}
