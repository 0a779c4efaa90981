//! [`Environment`]: what the host says by environment variables, read once.

use std::{ffi::OsString, path::PathBuf};

use crate::logging::LogLevel;

/// What the host says by environment variables.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `TF_PLUGIN_MAGIC_COOKIE`, by which a plugin knows that it was not started by hand.
    pub cookie: Option<String>,
    /// `PLUGIN_CLIENT_CERT`: the host's certificate as PEM; without it there is no TLS.
    pub client_certificate: Option<String>,
    /// `PLUGIN_UNIX_SOCKET_DIR`, or where temporary files go.
    pub socket_directory: PathBuf,
    /// `PLUGIN_UNIX_SOCKET_GROUP`: who else may open the socket, by name or number.
    pub socket_group: Option<String>,
    /// Whether `PLUGIN_MULTIPLEX_GRPC` is set: the host reads a seventh field of the handshake line.
    pub multiplex_asked: bool,
    /// What may be logged, from `TF_LOG`, `TF_LOG_PROVIDER` and `TF_LOG_PROVIDER_<NAME>`.
    pub log: Option<LogLevel>,
}

impl Default for Environment {
    /// Of a process without any variables.
    fn default() -> Environment {
        Environment::read("", |_| None)
    }
}

impl Environment {
    /// Reads the variables of this process. The name is the provider's.
    #[must_use]
    pub fn of_process(name: &str) -> Environment {
        Environment::read(name, |variable| std::env::var_os(variable))
    }

    /// Reads the variables from elsewhere.
    pub fn read(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> Environment {
        // An empty variable is how shells and CI systems unset one.
        let text = |key: &str| {
            variable(key)
                .and_then(|value| value.into_string().ok())
                .filter(|value| !value.is_empty())
        };
        let path = |key: &str| variable(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        let own = format!("TF_LOG_PROVIDER_{}", name.to_uppercase().replace('-', "_"));
        Environment {
            cookie: text("TF_PLUGIN_MAGIC_COOKIE"),
            client_certificate: text("PLUGIN_CLIENT_CERT"),
            socket_directory: path("PLUGIN_UNIX_SOCKET_DIR")
                .or_else(|| path("TMPDIR"))
                .unwrap_or_else(|| PathBuf::from("/tmp")),
            socket_group: text("PLUGIN_UNIX_SOCKET_GROUP"),
            multiplex_asked: text("PLUGIN_MULTIPLEX_GRPC").is_some(),
            log: [own.as_str(), "TF_LOG_PROVIDER", "TF_LOG"]
                .into_iter()
                .find_map(text)
                .and_then(|level| LogLevel::parse(&level)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let find = |key: &str| {
            variables
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| OsString::from(value))
        };
        Environment::read("dynvm", find)
    }

    #[test]
    fn nothing_set_means_plain_and_silent() {
        let environment = environment(&[("PLUGIN_CLIENT_CERT", ""), ("TF_LOG", "")]);
        assert_eq!(environment.client_certificate, None);
        assert_eq!(environment.log, None);
        assert_eq!(environment.socket_directory, PathBuf::from("/tmp"));
        assert!(!environment.multiplex_asked);
    }

    #[test]
    fn the_socket_directory_wins_over_the_temporary_one() {
        let environment = environment(&[("TMPDIR", "/var/tmp"), ("PLUGIN_UNIX_SOCKET_DIR", "/run/plugins")]);
        assert_eq!(environment.socket_directory, PathBuf::from("/run/plugins"));
    }

    #[test]
    fn the_nearest_log_variable_wins() {
        for (variables, expected) in [
            (&[("TF_LOG", "warn")][..], Some(LogLevel::Warn)),
            (&[("TF_LOG", "warn"), ("TF_LOG_PROVIDER", "info")], Some(LogLevel::Info)),
            (
                &[
                    ("TF_LOG", "warn"),
                    ("TF_LOG_PROVIDER", "info"),
                    ("TF_LOG_PROVIDER_DYNVM", "DEBUG"),
                ],
                Some(LogLevel::Debug),
            ),
            (&[("TF_LOG", "trace"), ("TF_LOG_PROVIDER", "off")], None),
            (&[("TF_LOG", "json")], Some(LogLevel::Trace)),
            (&[("TF_LOG_CORE", "trace")], None),
        ] {
            assert_eq!(environment(variables).log, expected, "{variables:?}");
        }
    }
}
