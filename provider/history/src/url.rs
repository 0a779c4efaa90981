//! Where a history is kept: a URL, read and checked once. What it prints never holds a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};

/// The URL of a sink.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkUrl(pub(crate) Kind);

/// What the URL names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A SQLite database.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(Box<Server>),
    /// A file with one JSON object per line.
    Jsonl(PathBuf),
}

/// A PostgreSQL server, and whom to take for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) trust: Trust,
}

/// Which certificates are taken, in libpq's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Each: `prefer`, and `require` without `sslrootcert`.
    Anybody,
    /// Those that these authorities signed: `verify-ca`, and `require` with `sslrootcert`.
    Signed(Roots),
    /// Those that they signed for the name in the URL: `verify-full`.
    Named(Roots),
}

/// Certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The machine's.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// The other options that the driver takes. A key that is none of them is not shown: it may be the half of a password that
/// a bare `&` cut in two.
const OPTIONS: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// What is wrong with the URL of a sink. The text never repeats the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSinkUrl {
    /// The scheme is none of those that are known.
    #[error("a history is kept in sqlite:///path, postgres://user@host/database or jsonl:///path")]
    Scheme,
    /// A file's URL names none, or not by an absolute path.
    #[error("{scheme}:// wants the absolute path of a file, as in {scheme}:///var/lib/dynvm/history")]
    Path {
        /// The scheme.
        scheme: &'static str,
    },
    /// An `@` where none can be.
    #[error("in a PostgreSQL URL, `@` in a user, password or option is written %40 (and `?` %3F, `/` %2F, `:` %3A)")]
    At,
    /// No server is named.
    #[error("the PostgreSQL URL names no host")]
    NoHost,
    /// `sslmode` is none of libpq's.
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// An option is none of those that are known.
    #[error("the options of a PostgreSQL URL are sslmode, sslrootcert, {}", OPTIONS.join(", "))]
    Option,
    /// Something else in a PostgreSQL URL.
    #[error("the PostgreSQL URL is not understood: {0}")]
    Postgres(String),
}

impl SinkUrl {
    /// The SQLite database in a file.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Sqlite(path.into()))
    }

    /// The lines of a JSONL file.
    #[must_use]
    pub fn jsonl(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Jsonl(path.into()))
    }

    /// The file that holds the history; `None` where a server does.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Sqlite(path) | Kind::Jsonl(path) => Some(path),
            Kind::Postgres(_) => None,
        }
    }
}

impl FromStr for SinkUrl {
    type Err = InvalidSinkUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = match text.split_once("://") {
            Some(("sqlite", path)) => Kind::Sqlite(file("sqlite", path)?),
            Some(("jsonl", path)) => Kind::Jsonl(file("jsonl", path)?),
            Some(("postgres" | "postgresql", rest)) => Kind::Postgres(Box::new(server(rest)?)),
            Some(_) | None => return Err(InvalidSinkUrl::Scheme),
        };
        Ok(Self(kind))
    }
}

fn file(scheme: &'static str, path: &str) -> Result<PathBuf, InvalidSinkUrl> {
    let invalid = || InvalidSinkUrl::Path { scheme };
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| invalid())?;
    let names_a_file = decoded.starts_with('/') && !decoded.ends_with('/') && !decoded.contains(['\0', '?', '#']);
    names_a_file
        .then(|| PathBuf::from(decoded.as_ref()))
        .ok_or_else(invalid)
}

fn server(rest: &str) -> Result<Server, InvalidSinkUrl> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A second `@` would make a part of the password a part of the host, and hosts are shown.
    if place.matches('@').count() > 1 || query.contains('@') {
        return Err(InvalidSinkUrl::At);
    }
    let Options { mode, roots, others } = options(query)?;
    let mut config: tokio_postgres::Config = format!("postgresql://{place}?{others}").parse().map_err(reason)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(InvalidSinkUrl::NoHost);
    }
    let (mode, trust) = match (mode.as_deref(), roots) {
        (Some("disable"), _) => (SslMode::Disable, Trust::Anybody),
        (None | Some("allow" | "prefer"), _) => (SslMode::Prefer, Trust::Anybody),
        (Some("require"), None) => (SslMode::Require, Trust::Anybody),
        (Some("require"), Some(roots)) => (SslMode::Require, Trust::Signed(roots)),
        (Some("verify-ca"), roots) => (SslMode::Require, Trust::Signed(roots.unwrap_or(Roots::System))),
        (Some("verify-full"), roots) => (SslMode::Require, Trust::Named(roots.unwrap_or(Roots::System))),
        (Some(_), _) => return Err(InvalidSinkUrl::SslMode),
    };
    config.ssl_mode(mode);
    Ok(Server { config, trust })
}

/// The options that the driver does not know, or knows otherwise, and the others as they were.
#[derive(Default)]
struct Options {
    mode: Option<String>,
    roots: Option<Roots>,
    others: String,
}

fn options(query: &str) -> Result<Options, InvalidSinkUrl> {
    let mut options = Options::default();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let value = || percent_decode_str(value).decode_utf8_lossy().into_owned();
        match key {
            "sslmode" => options.mode = Some(value()),
            "sslrootcert" => {
                let roots = value();
                options.roots = Some(match roots.as_str() {
                    "system" => Roots::System,
                    file => Roots::File(file.into()),
                });
            }
            _ if OPTIONS.contains(&key) => {
                options.others.push_str(option);
                options.others.push('&');
            }
            _ => return Err(InvalidSinkUrl::Option),
        }
    }
    Ok(options)
}

/// What the driver says is wrong; it names options, never their values.
fn reason(error: tokio_postgres::Error) -> InvalidSinkUrl {
    let source = error.into_source().map(|source| source.to_string());
    InvalidSinkUrl::Postgres(source.unwrap_or_else(|| "its form".to_owned()))
}

impl fmt::Display for SinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Kind::Jsonl(path) => write!(f, "jsonl://{}", path.display()),
            Kind::Postgres(server) => write!(f, "{server}"),
        }
    }
}

impl fmt::Debug for SinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkUrl({self})")
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl fmt::Display for Server {
    /// User, hosts, ports and database: no password, and no option, which could hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let named = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let numbered = self.config.get_hostaddrs().iter().map(ToString::to_string);
        let hosts: Vec<String> = if self.config.get_hosts().is_empty() {
            numbered.collect()
        } else {
            named.collect()
        };
        let ports = self.config.get_ports();
        for (at, host) in hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match ports.get(at).or_else(|| ports.first()) {
                Some(port) => write!(f, "{comma}{host}:{port}")?,
                None => write!(f, "{comma}{host}")?,
            }
        }
        match self.config.get_dbname() {
            Some(database) => write!(f, "/{database}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, shown: &str) {
        let url: SinkUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), shown, "{text}");
        assert_eq!(format!("{url:?}"), format!("SinkUrl({shown})"));
    }

    fn refused(text: &str, why: &str) {
        let error = text.parse::<SinkUrl>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }

    #[test]
    fn reads_each_kind() {
        check(
            "sqlite:///var/lib/dynvm/history.db",
            "sqlite:///var/lib/dynvm/history.db",
        );
        check("jsonl:///a%20b.jsonl", "jsonl:///a b.jsonl");
        check("postgres://ci:s3cret@db/lab", "postgres://ci@db:5432/lab");
        check("postgresql://db:5433", "postgres://db:5433");
        check(
            "postgres://ci@[fd00::1]:5433,db2/lab",
            "postgres://ci@[fd00::1]:5433,db2:5432/lab",
        );
        check(
            "postgres:///lab?host=/run/pg&user=ci&password=s3cret",
            "postgres://ci@/run/pg/lab",
        );
        check("postgres:///lab?hostaddr=10.0.0.1&port=7", "postgres://10.0.0.1:7/lab");
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        refused("", "sqlite:///path");
        refused("/var/lib/history.db", "sqlite:///path");
        refused("mysql://ci:s3cret@db/lab", "sqlite:///path");
        for path in ["", "history.db", "/", "/folder/", "/a?mode=ro", "/a%00b", "/%ff"] {
            refused(&format!("sqlite://{path}"), "absolute path");
            refused(&format!("jsonl://{path}"), "absolute path");
        }
        refused("postgres:///lab", "names no host");
        refused("postgres://ci:p@ss@db/lab", "%40");
        refused("postgres://ci:p?a@db/lab", "%40");
        refused("postgres://db/lab?sslmode=always", "verify-full");
        refused("postgres://db/lab?sslcert=x", "sslrootcert, application_name");
        refused("postgres://db/lab?connect_timeout=soon", "connect_timeout");
        refused("postgres://db:port/lab", "port");
    }

    #[test]
    fn sslmode_means_what_libpq_means() {
        let check = |options: &str, mode: SslMode, trust: Trust| {
            let url: SinkUrl = format!("postgres://db/lab?{options}").parse().unwrap();
            let Kind::Postgres(server) = url.0 else {
                panic!("another kind")
            };
            assert_eq!(
                (server.config.get_ssl_mode(), &server.trust),
                (mode, &trust),
                "{options}"
            );
        };
        let file = || Roots::File("/ca.pem".into());
        check("", SslMode::Prefer, Trust::Anybody);
        check("connect_timeout=3&sslmode=disable", SslMode::Disable, Trust::Anybody);
        check("sslmode=prefer", SslMode::Prefer, Trust::Anybody);
        check("sslmode=require", SslMode::Require, Trust::Anybody);
        check(
            "sslmode=require&sslrootcert=%2Fca.pem",
            SslMode::Require,
            Trust::Signed(file()),
        );
        check(
            "sslmode=verify-ca&sslrootcert=/ca.pem",
            SslMode::Require,
            Trust::Signed(file()),
        );
        check(
            "sslmode=verify-full&sslrootcert=system",
            SslMode::Require,
            Trust::Named(Roots::System),
        );
        check("sslmode=verify-full", SslMode::Require, Trust::Named(Roots::System));
    }

    proptest! {
        #[test]
        fn no_password_is_ever_shown(user in "[a-z]{1,3}", host in "[a-z]{1,3}", noise in "[?&=/:@#%0-9a-z]{0,4}") {
            let secret = format!("HUNTER{noise}TWO");
            for text in [
                format!("postgres://{user}:{secret}@{host}/db"),
                format!("postgres://{user}@{host}/db?password={secret}"),
                format!("postgres://{user}@{host}/db?password=x&{secret}"),
                format!("postgres://{user}@{host}/db?sslmode={secret}"),
                format!("postgres://{user}:{secret}@{host}:x/db"),
                format!("mysql://{user}:{secret}@{host}/db"),
            ] {
                let shown = match text.parse::<SinkUrl>() {
                    Ok(url) => format!("{url} {url:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                prop_assert!(!shown.contains("HUNTER") && !shown.contains("TWO"), "{}: {}", text, shown);
            }
        }
    }
}
