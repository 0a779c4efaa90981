//! So many servers on such hosts: the arithmetic of holds.

use std::collections::BTreeMap;

use ulid::Ulid;
use xenapi::Uuid;

use super::hold::{Hold, Served};
use super::value::{PerServer, Ticket};

/// So many servers, and of those so many for each host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) servers: u32,
    pub(super) hosts: BTreeMap<Uuid, u32>,
}

impl Count {
    pub(super) fn of(ticket: &Ticket) -> Self {
        Self {
            servers: ticket.servers(),
            hosts: ticket.hosts.clone(),
        }
    }

    pub(super) fn made<'a>(servers: impl Iterator<Item = &'a Served>) -> Self {
        let mut made = Self::default();
        for server in servers {
            made.servers = made.servers.saturating_add(1);
            if let Some(host) = server.host {
                let on = made.hosts.entry(host).or_default();
                *on = on.saturating_add(1);
            }
        }
        made
    }

    /// What is left to be made of it. No host gets more than all that do not run yet.
    pub(super) fn less_made(&self, made: &Self) -> Self {
        let running = made.hosts.values().fold(0_u32, |sum, on| sum.saturating_add(*on));
        let to_start = self.servers.saturating_sub(running);
        let mut left = self.less(made);
        left.hosts.values_mut().for_each(|count| *count = to_start.min(*count));
        left
    }

    pub(super) fn less(&self, other: &Self) -> Self {
        let hosts = self
            .hosts
            .iter()
            .map(|(host, count)| (*host, count.saturating_sub(other.on(host))));
        Self {
            servers: self.servers.saturating_sub(other.servers),
            hosts: hosts.collect(),
        }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, u32::saturating_add)
    }

    pub(super) fn greater(&self, other: &Self) -> Self {
        self.with(other, Ord::max)
    }

    pub(super) fn lesser(&self, other: &Self) -> Self {
        self.with(other, Ord::min)
    }

    fn with(&self, other: &Self, of: fn(u32, u32) -> u32) -> Self {
        let hosts = self.hosts.keys().chain(other.hosts.keys());
        Self {
            servers: of(self.servers, other.servers),
            hosts: hosts.map(|host| (*host, of(self.on(host), other.on(host)))).collect(),
        }
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self.servers >= other.servers && other.hosts.iter().all(|(host, count)| self.on(host) >= *count)
    }

    fn on(&self, host: &Uuid) -> u32 {
        self.hosts.get(host).copied().unwrap_or_default()
    }

    pub(super) fn hold(self, each: &PerServer, reservation: Option<Ulid>) -> Hold {
        let hosts = self.hosts.into_iter().filter(|(_, count)| *count > 0);
        Hold {
            each: each.clone(),
            servers: self.servers,
            hosts: hosts.collect(),
            reservation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::host;
    use super::*;

    fn count(servers: u32, hosts: &[(u8, u32)]) -> Count {
        Count {
            servers,
            hosts: hosts.iter().map(|(byte, count)| (host(*byte), *count)).collect(),
        }
    }

    #[test]
    fn a_server_counts_as_soon_as_it_is_there_and_for_a_host_as_soon_as_it_runs() {
        let all = count(3, &[(1, 2), (2, 1)]);
        let served = |byte: Option<u8>| Served {
            ticket: None,
            reservation: None,
            host: byte.map(host),
        };
        let left = |servers: &[Served]| all.less_made(&Count::made(servers.iter()));
        assert_eq!(left(&[]), all);
        assert_eq!(left(&[served(None)]), count(2, &[(1, 2), (2, 1)]));
        assert_eq!(left(&[served(Some(1))]), count(2, &[(1, 1), (2, 1)]));
        assert_eq!(
            left(&[served(Some(3))]),
            count(2, &[(1, 2), (2, 1)]),
            "elsewhere: either place may be the next"
        );
        assert_eq!(left(&[served(Some(3)), served(Some(3))]), count(1, &[(1, 1), (2, 1)]));
        let elsewhere = vec![served(Some(3)); 4];
        assert_eq!(left(&elsewhere), count(0, &[(1, 0), (2, 0)]));
    }
}
