//! Addresses of pool members, and the order in which they are tried.
//!
//! A pool is configured by one or several URLs. While connected it names further members by their management address, which may be
//! a bare IPv6 address and may not be routable from here: such an address gets scheme and port of the URL that led to it, and the
//! configured ones always stay candidates.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Scheme of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS, port 443 unless named.
    Https,
    /// Plain text, port 80 unless named.
    Http,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// One XenAPI address: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// Says why a text is no XenAPI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is neither `https` nor `http`.
    #[error("{0:?} is no pool address: the scheme is neither https nor http")]
    Scheme(String),
    /// The URL carries a user or a password, which would end up in logs.
    #[error("a pool address must not carry user name or password: give them by their own settings")]
    Credentials,
    /// The host is empty or holds a character that no host name has.
    #[error("{0:?} is no pool address: the host name is empty or malformed")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("{0:?} is no pool address: the port is not a number from 1 to 65535")]
    Port(String),
    /// The URL has a path, a query or a fragment.
    #[error("{0:?} is no pool address: a path, query or fragment has no meaning here")]
    Path(String),
}

impl Endpoint {
    /// Parses `https://host[:port]`, `http://host[:port]`, or a bare `host[:port]`, which means https.
    ///
    /// # Errors
    /// Says which part is malformed; never repeats a password.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let trimmed = text.trim();
        let (scheme, rest) = match trimmed.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((_, rest)) if rest.contains('@') => return Err(EndpointError::Credentials),
            Some(_) => return Err(EndpointError::Scheme(trimmed.to_owned())),
            None => (Scheme::Https, trimmed),
        };
        if rest.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(EndpointError::Path(trimmed.to_owned()));
        }
        let (host, port) = split_authority(authority, trimmed)?;
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
        })
    }

    /// Makes the endpoint of another member that this one named: a text without scheme or port gets those of `self`.
    ///
    /// # Errors
    /// The address is malformed.
    pub fn sibling(&self, address: &str) -> Result<Self, EndpointError> {
        if address.contains("://") {
            return Self::parse(address);
        }
        let trimmed = address.trim();
        if trimmed.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let (host, port) = split_authority(trimmed, trimmed)?;
        Ok(Self {
            scheme: self.scheme,
            host,
            port: port.unwrap_or(self.port),
        })
    }

    /// Tells whether the traffic is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Gives the host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Gives the port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.text();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        if self.port == self.scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn split_authority(authority: &str, whole: &str) -> Result<(String, Option<u16>), EndpointError> {
    let bad_host = || EndpointError::Host(whole.to_owned());
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority.to_owned(), None));
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or_else(bad_host)?;
        if inside.parse::<Ipv6Addr>().is_err() {
            return Err(bad_host());
        }
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port, whole)?),
            None if after.is_empty() => None,
            None => return Err(bad_host()),
        };
        return Ok((inside.to_owned(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port, whole)?)),
        None => (authority, None),
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    // Digits and dots only must be a whole IPv4 address: "10.1" would silently become 10.0.0.1.
    let is_number = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !is_name || (is_number && host.parse::<IpAddr>().is_err()) {
        return Err(bad_host());
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_port(text: &str, whole: &str) -> Result<u16, EndpointError> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(EndpointError::Port(whole.to_owned())),
    }
}

/// The candidates of one pool: configured ones first and for ever, learned ones behind them, the last good one in front.
#[derive(Debug)]
pub(crate) struct Candidates {
    configured: Vec<Endpoint>,
    learned: Vec<Endpoint>,
    preferred: Option<Endpoint>,
}

impl Candidates {
    pub(crate) fn new(configured: Vec<Endpoint>) -> Self {
        Self {
            configured,
            learned: Vec::new(),
            preferred: None,
        }
    }

    /// Lists every candidate once, in the order of trying.
    pub(crate) fn in_turn(&self) -> Vec<Endpoint> {
        let mut list: Vec<Endpoint> = Vec::new();
        for endpoint in self.preferred.iter().chain(&self.configured).chain(&self.learned) {
            if !list.contains(endpoint) {
                list.push(endpoint.clone());
            }
        }
        list
    }

    /// Remembers where the coordinator answered.
    pub(crate) fn prefer(&mut self, endpoint: Endpoint) {
        self.preferred = Some(endpoint);
    }

    /// Replaces the learned members by the addresses that the pool names now; an ejected host is no longer a candidate, because it
    /// would accept the same password as a pool of its own.
    pub(crate) fn learn(&mut self, from: &Endpoint, addresses: &[String]) {
        self.learned = addresses
            .iter()
            .filter_map(|address| from.sibling(address).ok())
            .collect();
        self.learned.truncate(64);
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidates, Endpoint};

    fn check(text: &str, expect: &str) {
        let shown = match Endpoint::parse(text) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expect), "{text:?} gave {shown:?}, expected {expect:?}");
    }

    #[test]
    fn parses_what_people_write() {
        check("https://10.1.0.11", "https://10.1.0.11");
        check("HTTPS://Xen1.Lab/", "https://xen1.lab");
        check("xen1.lab", "https://xen1.lab");
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080");
        check("https://[fd00::1]:8443", "https://[fd00::1]:8443");
        check("fd00::1", "https://[fd00::1]");
        check("https://h:443", "https://h");
    }

    #[test]
    fn refuses_the_rest_without_showing_a_password() {
        check("ftp://h", "neither https nor http");
        check("https://root:pw@h", "must not carry");
        check("ssh://root:pw@h", "must not carry");
        check("https://h/path", "path");
        check("https://h?x=1", "path");
        check("https://h:0", "port");
        check("https://h:99999", "port");
        check("https://", "host");
        check("https://10.1", "host");
        check("https://[nope]", "host");
        check("https://a b", "host");
    }

    #[test]
    fn sibling_takes_scheme_and_port() {
        let from = Endpoint::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!(from.sibling("10.0.0.2").unwrap().to_string(), "http://10.0.0.2:8080");
        assert_eq!(from.sibling("fd00::2").unwrap().to_string(), "http://[fd00::2]:8080");
        assert_eq!(
            from.sibling("127.0.0.1:9090").unwrap().to_string(),
            "http://127.0.0.1:9090"
        );
    }

    #[test]
    fn configured_candidates_stay() {
        let first = Endpoint::parse("https://a").unwrap();
        let mut candidates = Candidates::new(vec![first.clone(), Endpoint::parse("https://b").unwrap()]);
        candidates.learn(&first, &["10.0.0.1".into(), "junk address".into()]);
        candidates.prefer(Endpoint::parse("https://10.0.0.1").unwrap());
        let list: Vec<String> = candidates.in_turn().iter().map(ToString::to_string).collect();
        assert_eq!(list, ["https://10.0.0.1", "https://a", "https://b"]);
    }
}
