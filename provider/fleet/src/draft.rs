//! A pool as somebody wrote it, checked in one place for all who read configurations: the provider's block, the environment,
//! the INI file, the reaper's file.
//!
//! A fault says which part of the draft it is about; whoever read the draft knows where that stands in the source.

use std::path::Path;

use xenapi::{
    CaPem, Endpoint, EndpointError, Fingerprint, Limits, PoolConfig, Secret, TlsError, TlsTrust, Wire, WireChoice,
};

/// The name of the pool that the environment describes.
const ENVIRONMENT_POOL: &str = "default";
/// The login name of a pool that is given none.
const USERNAME: &str = "root";
/// What `transport` may be.
pub const TRANSPORTS: [&str; 2] = [JSON_RPC, XML_RPC];
const JSON_RPC: &str = "json-rpc";
const XML_RPC: &str = "xml-rpc";
/// The longest name of a pool, in bytes.
const LONGEST_NAME: usize = 64;

/// How a pool is reached, as it was written.
#[derive(Debug, Clone, Default)]
pub struct PoolDraft {
    /// Its name.
    pub name: String,
    /// One address; excludes `urls`.
    pub url: Option<String>,
    /// Several addresses.
    pub urls: Option<Vec<String>>,
    /// The login name; `root` without one.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The trust in its certificates.
    pub tls: TlsDraft,
    /// The protocol, one of [`TRANSPORTS`]; without one, JSON-RPC where the pool offers it.
    pub transport: Option<String>,
}

/// How certificates are verified, as it was written; at most one part may be there.
#[derive(Debug, Clone, Default)]
pub struct TlsDraft {
    /// The authorities to trust.
    pub ca_file: Option<CaFile>,
    /// The only certificates to trust.
    pub fingerprints: Option<Vec<String>>,
    /// Trust any certificate.
    pub insecure: bool,
}

/// A PEM file of authorities, read.
#[derive(Debug, Clone)]
pub struct CaFile {
    path: String,
    pem: Result<Vec<u8>, String>,
}

/// What holds for a pool that does not say otherwise.
#[derive(Debug, Clone, Default)]
pub struct PoolDefaults {
    /// Name and version of this program, such as `dynvm-provider/0.1.0`.
    pub originator: String,
    /// The trust in certificates.
    pub tls: TlsTrust,
}

/// What is wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolFault {
    /// The name can stand neither in a state nor in an import id.
    #[error("{0:?} cannot name a pool: 1 to 64 characters, none of / \" < > &")]
    Name(String),
    /// Neither of `url` and `urls`, or both, or an empty list.
    #[error("there must be exactly one of url and urls")]
    Address,
    /// An address is malformed.
    #[error("{reason}")]
    Url {
        /// Which of `urls`; none for `url`.
        index: Option<usize>,
        /// Why.
        reason: EndpointError,
    },
    /// There is no password, or an empty one.
    #[error("a password is needed, and must not be empty")]
    Password,
    /// Several parts of the trust are there.
    #[error("at most one of ca_file, fingerprints and insecure = true may be set")]
    Trust,
    /// The file cannot be read, or holds no certificate.
    #[error("{path:?} cannot be used as a PEM file of certificate authorities: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A fingerprint is malformed, or there is none in the list.
    #[error("{reason}")]
    Fingerprint {
        /// Which; none for the list as a whole.
        index: Option<usize>,
        /// Why.
        reason: TlsError,
    },
    /// The protocol is none.
    #[error("{0:?} is no transport: it must be json-rpc or xml-rpc")]
    Transport(String),
    /// `DYNVM_TLS_INSECURE` is neither true nor false.
    #[error("it must be true or false")]
    InsecureVariable,
}

impl PoolFault {
    /// A short title.
    pub fn title(&self) -> &'static str {
        match self {
            PoolFault::Name(_) => "Invalid pool name",
            PoolFault::Address => "Pool needs one of url and urls",
            PoolFault::Url { .. } => "Invalid pool address",
            PoolFault::Password => "No password",
            PoolFault::Trust => "Contradicting TLS settings",
            PoolFault::CaFile { .. } => "Unusable CA file",
            PoolFault::Fingerprint { .. } => "Invalid fingerprint",
            PoolFault::Transport(_) => "Invalid transport",
            PoolFault::InsecureVariable => "Invalid DYNVM_TLS_INSECURE",
        }
    }

    /// The fault in a draft made [from variables](PoolDraft::from_variables), in their words.
    pub fn of_variables(&self) -> String {
        let variable = match self {
            PoolFault::Name(_) | PoolFault::Address | PoolFault::Url { .. } | PoolFault::Transport(_) => "DYNVM_URL",
            PoolFault::Password => "DYNVM_PASSWORD",
            PoolFault::CaFile { .. } => "DYNVM_TLS_CA_FILE",
            PoolFault::Fingerprint { .. } => "DYNVM_TLS_FINGERPRINT",
            PoolFault::InsecureVariable => "DYNVM_TLS_INSECURE",
            PoolFault::Trust => {
                return "at most one of the environment variables DYNVM_TLS_CA_FILE, DYNVM_TLS_FINGERPRINT and DYNVM_TLS_INSECURE may be set"
                    .to_owned();
            }
        };
        format!("the environment variable {variable}: {self}")
    }
}

impl PoolDraft {
    /// The pool that the environment names by `DYNVM_URL` and its companions, if it names one. `get` gives a variable that is
    /// set and not empty.
    ///
    /// # Errors
    /// A variable is neither true nor false but should be.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, PoolFault> {
        let Some(url) = get("DYNVM_URL") else {
            return Ok(None);
        };
        let insecure = match get("DYNVM_TLS_INSECURE").as_deref() {
            None | Some("0" | "false" | "no") => false,
            Some("1" | "true" | "yes") => true,
            Some(_) => return Err(PoolFault::InsecureVariable),
        };
        let several = |text: String| text.split(',').map(|one| one.trim().to_owned()).collect();
        Ok(Some(Self {
            name: ENVIRONMENT_POOL.to_owned(),
            url: Some(url),
            urls: None,
            username: get("DYNVM_USERNAME"),
            password: get("DYNVM_PASSWORD").map(Secret::from),
            tls: TlsDraft {
                ca_file: get("DYNVM_TLS_CA_FILE").map(|path| CaFile::read(path.as_ref())),
                fingerprints: get("DYNVM_TLS_FINGERPRINT").map(several),
                insecure,
            },
            transport: None,
        }))
    }

    /// Checks the draft as a whole.
    ///
    /// # Errors
    /// All faults, not only the first.
    pub fn check(self, defaults: &PoolDefaults) -> Result<PoolConfig, Vec<PoolFault>> {
        let mut faults = Vec::new();
        if !is_name(&self.name) {
            faults.push(PoolFault::Name(self.name.clone()));
        }
        let urls = endpoints(self.url, self.urls, &mut faults);
        let password = self.password.filter(|password| !password.expose().is_empty());
        if password.is_none() {
            faults.push(PoolFault::Password);
        }
        let trust = self.tls.check().unwrap_or_else(|tls| {
            faults.extend(tls);
            None
        });
        let wire = wire(self.transport, &mut faults);
        match password {
            Some(password) if faults.is_empty() => Ok(PoolConfig {
                name: self.name,
                urls,
                username: self.username.unwrap_or_else(|| USERNAME.to_owned()),
                password,
                tls: trust.unwrap_or_else(|| defaults.tls.clone()),
                wire,
                originator: defaults.originator.clone(),
                limits: Limits::default(),
            }),
            Some(_) | None => Err(faults),
        }
    }
}

impl TlsDraft {
    /// Checks the trust by itself; `None` if it says nothing.
    ///
    /// # Errors
    /// All faults, not only the first.
    pub fn check(self) -> Result<Option<TlsTrust>, Vec<PoolFault>> {
        match (self.ca_file, self.fingerprints, self.insecure) {
            (None, None, false) => Ok(None),
            (None, None, true) => Ok(Some(TlsTrust::Insecure)),
            (Some(file), None, false) => file.parse().map(Some).map_err(|fault| vec![fault]),
            (None, Some(texts), false) => fingerprints(&texts).map(Some),
            (Some(_), Some(_), _) | (Some(_), None, true) | (None, Some(_), true) => Err(vec![PoolFault::Trust]),
        }
    }
}

impl CaFile {
    /// Reads a file; what fails is told when the draft is checked.
    pub fn read(path: &Path) -> Self {
        Self {
            path: path.display().to_string(),
            pem: std::fs::read(path).map_err(|error| error.to_string()),
        }
    }

    fn parse(self) -> Result<TlsTrust, PoolFault> {
        let parsed = self
            .pem
            .and_then(|pem| CaPem::parse(&pem).map_err(|error| error.to_string()));
        parsed.map(TlsTrust::CaFile).map_err(|reason| PoolFault::CaFile {
            path: self.path,
            reason,
        })
    }
}

/// The addresses of a pool that are used without TLS: which, and what there is to say about it.
pub fn unencrypted(pool: &PoolConfig) -> impl Iterator<Item = (usize, String)> {
    let urls = pool.urls.iter().enumerate();
    urls.filter(|(_, url)| !url.is_encrypted()).map(|(index, url)| {
        (
            index,
            format!("{url} is used without TLS: passwords and sessions travel in the clear"),
        )
    })
}

fn is_name(text: &str) -> bool {
    let has_bad = text.contains(['/', '"', '<', '>', '&']) || text.chars().any(char::is_control);
    !text.is_empty() && text.len() <= LONGEST_NAME && !has_bad
}

fn endpoints(url: Option<String>, urls: Option<Vec<String>>, faults: &mut Vec<PoolFault>) -> Vec<Endpoint> {
    let texts = match (url, urls) {
        (Some(url), None) => vec![(None, url)],
        (None, Some(urls)) if !urls.is_empty() => (0..).map(Some).zip(urls).collect(),
        (Some(_), Some(_)) | (None, Some(_) | None) => {
            faults.push(PoolFault::Address);
            Vec::new()
        }
    };
    let parse = |(index, text): (Option<usize>, String)| {
        Endpoint::parse(&text)
            .map_err(|reason| faults.push(PoolFault::Url { index, reason }))
            .ok()
    };
    texts.into_iter().filter_map(parse).collect()
}

fn wire(transport: Option<String>, faults: &mut Vec<PoolFault>) -> WireChoice {
    match transport.as_deref() {
        None => WireChoice::Auto,
        Some(JSON_RPC) => WireChoice::Only(Wire::Json),
        Some(XML_RPC) => WireChoice::Only(Wire::Xml),
        Some(other) => {
            faults.push(PoolFault::Transport(other.to_owned()));
            WireChoice::Auto
        }
    }
}

fn fingerprints(texts: &[String]) -> Result<TlsTrust, Vec<PoolFault>> {
    let (mut pinned, mut faults) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match text.parse::<Fingerprint>() {
            Ok(fingerprint) => pinned.push(fingerprint),
            Err(reason) => faults.push(PoolFault::Fingerprint {
                index: Some(index),
                reason,
            }),
        }
    }
    if texts.is_empty() {
        faults.push(PoolFault::Fingerprint {
            index: None,
            reason: TlsError::NoFingerprints,
        });
    }
    if faults.is_empty() {
        Ok(TlsTrust::Fingerprints(pinned))
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "sha256:3A5C0E719D24B8460F9BE257C16D83AA14F0926B38D57EC941AF601D85B32EF7";

    fn draft() -> PoolDraft {
        PoolDraft {
            name: "lab1".to_owned(),
            url: Some("10.1.0.11".to_owned()),
            password: Some("secret".into()),
            ..PoolDraft::default()
        }
    }

    fn check(draft: PoolDraft, expect: &str) {
        let shown = match draft.check(&PoolDefaults::default()) {
            Ok(pool) => {
                let urls: Vec<String> = pool.urls.iter().map(ToString::to_string).collect();
                format!("{}@{} {:?} {:?}", pool.username, urls.join(","), pool.tls, pool.wire)
            }
            Err(faults) => {
                let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
                texts.join("; ")
            }
        };
        assert!(shown.contains(expect), "{shown} lacks {expect}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_plain_pool_is_reached_by_tls_as_root() {
        check(draft(), "root@https://10.1.0.11 SystemRoots Auto");
    }

    #[test]
    fn the_transport_can_be_chosen() {
        let of = |transport: &str| PoolDraft {
            transport: Some(transport.to_owned()),
            ..draft()
        };
        check(of("json-rpc"), "SystemRoots Only(Json)");
        check(of("xml-rpc"), "SystemRoots Only(Xml)");
        check(of("soap"), "\"soap\" is no transport: it must be json-rpc or xml-rpc");
    }

    #[test]
    fn each_fault_is_told() {
        let tls = |tls| PoolDraft { tls, ..draft() };
        check(
            PoolDraft {
                name: "a/b".to_owned(),
                url: None,
                password: Some("".into()),
                ..draft()
            },
            "\"a/b\" cannot name a pool: 1 to 64 characters, none of / \" < > &; there must be exactly one of url and urls; a password is needed",
        );
        check(
            PoolDraft {
                urls: Some(vec!["b".to_owned()]),
                ..draft()
            },
            "exactly one of url and urls",
        );
        check(
            PoolDraft {
                url: None,
                urls: Some(vec!["a".to_owned(), "ftp://b".to_owned(), "http://c:x".to_owned()]),
                ..draft()
            },
            "\"ftp://b\" is no pool address: the scheme is neither https nor http; \"http://c:x\" is no pool address: the port",
        );
        check(
            tls(TlsDraft {
                fingerprints: Some(Vec::new()),
                ..TlsDraft::default()
            }),
            "the list of fingerprints is empty",
        );
        check(
            tls(TlsDraft {
                fingerprints: Some(vec![FINGERPRINT.to_owned(), "sha256:AB".to_owned()]),
                ..TlsDraft::default()
            }),
            "\"sha256:AB\" is no fingerprint",
        );
        check(
            tls(TlsDraft {
                fingerprints: Some(vec![FINGERPRINT.to_owned()]),
                insecure: true,
                ..TlsDraft::default()
            }),
            "at most one of ca_file, fingerprints and insecure",
        );
        check(
            tls(TlsDraft {
                ca_file: Some(CaFile::read("/nowhere/ca.pem".as_ref())),
                ..TlsDraft::default()
            }),
            "\"/nowhere/ca.pem\" cannot be used as a PEM file",
        );
    }

    #[test]
    fn the_environment_names_one_pool() {
        let of = |variables: &[(&str, &str)]| {
            let get = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            PoolDraft::from_variables(get)
        };
        assert!(of(&[("DYNVM_PASSWORD", "x")]).unwrap().is_none());
        let two = format!("{FINGERPRINT}, {FINGERPRINT}");
        let pool = of(&[
            ("DYNVM_URL", "http://lab"),
            ("DYNVM_USERNAME", "reaper"),
            ("DYNVM_PASSWORD", "secret"),
            ("DYNVM_TLS_FINGERPRINT", &two),
        ]);
        check(pool.unwrap().unwrap(), "reaper@http://lab Fingerprints");
        let fault = of(&[("DYNVM_URL", "lab"), ("DYNVM_TLS_INSECURE", "maybe")]).unwrap_err();
        assert_eq!(fault.title(), "Invalid DYNVM_TLS_INSECURE");
    }

    #[test]
    fn plain_http_is_noticed() {
        let pool = PoolDraft {
            url: None,
            urls: Some(vec!["https://a".to_owned(), "http://b".to_owned()]),
            ..draft()
        };
        let pool = pool.check(&PoolDefaults::default()).unwrap();
        let found: Vec<_> = unencrypted(&pool).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == 1 && found[0].1.starts_with("http://b is used without TLS"));
    }
}
