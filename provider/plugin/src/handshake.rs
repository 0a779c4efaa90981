//! The handshake: a cookie on the way in, one line on the way out.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::environment::Environment;

/// The value by which Terraform and OpenTofu start a provider; it is the same for all providers.
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// Says whether a host started this process.
pub(crate) fn is_started_by_host(environment: &Environment) -> bool {
    environment.cookie.as_deref() == Some(COOKIE)
}

/// What a person who starts a provider by hand should read. The name is the provider's, as `dynvm`.
#[must_use]
pub fn started_by_hand(name: &str) -> String {
    format!(
        "This is the Terraform provider {name}. Terraform or OpenTofu starts it by itself when a configuration\n\
         names it under required_providers. There is nothing to be done with it by hand, except --version,\n\
         --help, and --debug, which keeps it running for a debugger.\n"
    )
}

/// The line that tells the host where to connect. The certificate is the server's, as DER.
pub(crate) fn line(socket: &Path, certificate: Option<&[u8]>, environment: &Environment) -> String {
    // Go decodes the certificate without padding and refuses padded text.
    let certificate = certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
    // go-plugin before 1.5 splits the line into six fields and would take a seventh for a part of the certificate.
    let multiplex = if environment.multiplex_asked { "|false" } else { "" };
    format!("1|6|unix|{}|grpc|{certificate}{multiplex}\n", socket.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_must_match() {
        let with = |cookie: Option<&str>| Environment {
            cookie: cookie.map(str::to_owned),
            ..Environment::default()
        };
        assert!(is_started_by_host(&with(Some(COOKIE))));
        assert!(!is_started_by_host(&with(Some("something else"))));
        assert!(!is_started_by_host(&with(None)));
    }

    #[test]
    fn the_line_has_six_fields_or_seven_if_asked() {
        let plain = Environment::default();
        let socket = Path::new("/tmp/plugin1/s");
        assert_eq!(line(socket, None, &plain), "1|6|unix|/tmp/plugin1/s|grpc|\n");
        assert_eq!(
            line(socket, Some(b"\xff\xfe\xfd\xfc"), &plain),
            "1|6|unix|/tmp/plugin1/s|grpc|//79/A\n"
        );
        let asked = Environment {
            multiplex_asked: true,
            ..plain
        };
        assert_eq!(
            line(socket, Some(b"abc"), &asked),
            "1|6|unix|/tmp/plugin1/s|grpc|YWJj|false\n"
        );
    }
}
