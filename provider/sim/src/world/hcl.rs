//! Reading a world from HCL, with errors that name line and column.

use super::{DEFAULT_LAB, World};
use thiserror::Error;

/// Why a world file cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}: {message}")]
pub struct WorldError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl World {
    /// Reads a world.
    ///
    /// # Errors
    /// Bad syntax, unknown settings, wrong types, and names that refer to nothing; each with its place in the text.
    pub fn from_hcl(text: &str) -> Result<Self, WorldError> {
        let world: Self = ::hcl::from_str(text).map_err(|error| located(text, &error))?;
        world.check(text)?;
        Ok(world)
    }

    /// The built-in lab: two pools with five hosts, five operating systems, foreign VMs.
    #[must_use]
    pub fn default_lab() -> Self {
        Self::from_hcl(DEFAULT_LAB).unwrap_or_default()
    }

    /// Prints the world in the form that [`World::from_hcl`] reads.
    #[must_use]
    pub fn to_hcl(&self) -> String {
        ::hcl::to_string(self).unwrap_or_default()
    }

    fn check(&self, text: &str) -> Result<(), WorldError> {
        let fail = |needle: &str, message: String| Err(at(text, needle, message));
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return fail(
                "time_scale",
                format!("time_scale is {}; it must be above 0", self.time_scale),
            );
        }
        for (name, pool) in &self.pools {
            if pool.hosts.is_empty() {
                return fail(&quoted(name), format!("pool \"{name}\" has no host"));
            }
            pool.check(text)?;
        }
        Ok(())
    }
}

impl super::PoolSpec {
    fn check(&self, text: &str) -> Result<(), WorldError> {
        let known = |kind: &str, name: &str, found: bool| {
            if found {
                Ok(())
            } else {
                Err(at(
                    text,
                    &quoted(name),
                    format!("there is no {kind} \"{name}\" in this pool"),
                ))
            }
        };
        for user in &self.users {
            if crate::rbac::Role::parse(&user.role).is_none() {
                return Err(at(text, &quoted(&user.role), format!("`{}` is not a role", user.role)));
            }
        }
        for sr in self.srs.values() {
            if !["ext", "nfs", "lvm", "lvmoiscsi", "iso", "udev"].contains(&sr.kind.as_str()) {
                return Err(at(
                    text,
                    &quoted(&sr.kind),
                    format!("`{}` is not a known SR type", sr.kind),
                ));
            }
            for host in sr.host.iter().chain(&sr.unplugged_on) {
                known("host", host, self.hosts.contains_key(host))?;
            }
        }
        for network in self.networks.values() {
            if network.cidr.parse::<ipnet::IpNet>().is_err() {
                return Err(at(
                    text,
                    &quoted(&network.cidr),
                    format!("`{}` is not a CIDR", network.cidr),
                ));
            }
            for host in &network.hosts {
                known("host", host, self.hosts.contains_key(host))?;
            }
        }
        for template in self.templates.values() {
            for network in &template.networks {
                known("network", network, self.networks.contains_key(network))?;
            }
            if let Some(sr) = &template.sr {
                known("sr", sr, self.srs.contains_key(sr))?;
            }
        }
        for vm in self.vms.values() {
            known("template", &vm.template, self.templates.contains_key(&vm.template))?;
        }
        Ok(())
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn located(text: &str, error: &::hcl::Error) -> WorldError {
    if let ::hcl::Error::Parse(parse) = error {
        let place = parse.location();
        return WorldError {
            line: place.line(),
            column: place.column(),
            message: parse.message().to_owned(),
        };
    }
    let message = error.to_string();
    // Errors found after parsing name the offending key or value in backticks, but not its place.
    let needle = message.split('`').nth(1).unwrap_or_default().to_owned();
    at(text, &needle, message)
}

/// The error at the first place where `needle` stands as a word, or at the start.
fn at(text: &str, needle: &str, message: String) -> WorldError {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let offset = text
        .match_indices(needle)
        .map(|(offset, _)| offset)
        .find(|offset| {
            let before = text.get(..*offset).and_then(|t| t.chars().next_back());
            let after = text.get(offset + needle.len()..).and_then(|t| t.chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .unwrap_or(0);
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    WorldError { line, column, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fails(text: &str, line: usize, column: usize, part: &str) {
        let error = World::from_hcl(text).unwrap_err();
        assert!(error.message.contains(part), "{error}");
        assert_eq!((error.line, error.column), (line, column), "{error}");
    }

    #[test]
    fn errors_name_their_place() {
        fails("pool \"a\" {\n  host \"h\" { cpus = }\n}\n", 2, 21, "");
        fails(
            "pool \"a\" {\n  host \"h\" {\n    cpu = 3\n  }\n}\n",
            3,
            5,
            "unknown field `cpu`",
        );
        fails("pool \"a\" {\n}\n", 1, 6, "has no host");
        let sr = "pool \"a\" {\n  host \"h\" {}\n  sr \"s\" {\n    host = \"nope\"\n  }\n}\n";
        fails(sr, 4, 12, "no host \"nope\"");
    }

    #[test]
    fn the_default_lab_reads_and_survives_a_round_trip() {
        let lab = World::default_lab();
        assert_eq!(lab.pools.keys().collect::<Vec<_>>(), ["lab1", "lab2"]);
        let again = World::from_hcl(&lab.to_hcl()).unwrap();
        assert_eq!(
            serde_json::to_value(&lab).unwrap(),
            serde_json::to_value(&again).unwrap()
        );
    }
}
