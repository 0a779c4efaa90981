//! The one transfer that is no call: the content of a disk image goes up by PUT.
//!
//! The session travels as a cookie, never in the URL, which proxies and servers log. xapi answers 302 when another host sees the
//! storage repository; the same request is made there, if that is a host of the pool: nobody else is shown the session.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, COOKIE, HeaderValue, LOCATION};
use tokio::time::Instant;
use tracing::{Instrument, debug_span, field};

use super::{Call, Repeat, Transport, code_of};
use crate::counters::Sample;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Outcome};
use crate::secret::Secret;

/// Where the content goes. It may be secret: none of this can be printed.
pub(crate) struct Upload<'a> {
    pub(crate) method: &'static str,
    /// Reference of the disk image.
    pub(crate) object: &'a str,
    /// Path and query, without the session.
    pub(crate) path: String,
    pub(crate) content: Bytes,
    pub(crate) limit: Duration,
}

/// How a host answered.
enum Answer {
    Taken,
    Elsewhere(Endpoint),
}

const MAX_HOPS: usize = 3;

impl Transport {
    /// Sends the content to the host that can take it, the first or another of the members. The data is not yet written when this
    /// returns: the task tells.
    pub(crate) async fn upload(
        &self,
        first: &Endpoint,
        members: &[Endpoint],
        session: &Secret,
        upload: &Upload<'_>,
    ) -> Result<(), Error> {
        let call = Call {
            method: upload.method,
            params: Vec::new(),
            limit: upload.limit,
            repeat: Repeat::Once,
            object: Some(upload.object.to_owned()),
        };
        let mut endpoint = first.clone();
        for _ in 0..=MAX_HOPS {
            match self.send(&endpoint, session, upload, &call).await? {
                Answer::Taken => return Ok(()),
                Answer::Elsewhere(next) if members.contains(&next) => endpoint = next,
                Answer::Elsewhere(next) => {
                    let text = format!("it sends the transfer to {next}, which is no host that the pool names");
                    return Err(self.error(&call, ErrorKind::Malformed(text), Outcome::Rejected));
                }
            }
        }
        let kind = ErrorKind::Malformed("hosts send the transfer to each other".to_owned());
        Err(self.error(&call, kind, Outcome::Rejected))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        session: &Secret,
        upload: &Upload<'_>,
        call: &Call,
    ) -> Result<Answer, Error> {
        let span = debug_span!(
            "xenapi_upload",
            pool = %self.pool,
            method = call.method,
            seconds = field::Empty,
            bytes_out = field::Empty,
            bytes_in = field::Empty,
            code = field::Empty,
        );
        let began = Instant::now();
        let exchange = self.put(endpoint, session, upload, call);
        let result = match tokio::time::timeout(upload.limit, exchange)
            .instrument(span.clone())
            .await
        {
            Ok(result) => result,
            Err(_) => Err(self.error(call, ErrorKind::TimedOut(upload.limit), Outcome::MaybeSent)),
        };
        let code = match &result {
            Ok(Answer::Taken) => "ok",
            Ok(Answer::Elsewhere(_)) => "redirected",
            Err(error) => code_of(error),
        };
        self.finish(
            &span,
            &Sample {
                method: call.method,
                code,
                bytes_out: upload.content.len() as u64,
                bytes_in: 0,
                time: began.elapsed(),
            },
        );
        result
    }

    async fn put(
        &self,
        endpoint: &Endpoint,
        session: &Secret,
        upload: &Upload<'_>,
        call: &Call,
    ) -> Result<Answer, Error> {
        let malformed = |text: &str, outcome| self.error(call, ErrorKind::Malformed(text.to_owned()), outcome);
        let mut cookie = HeaderValue::from_str(&format!("session_id={}", session.expose()))
            .map_err(|_| malformed("the session is no header text", Outcome::NotSent))?;
        cookie.set_sensitive(true);
        let url = format!("{endpoint}{}", upload.path);
        let sent = self
            .client
            .put(url)
            .header(COOKIE, cookie)
            .header(CONTENT_LENGTH, upload.content.len())
            .body(upload.content.clone())
            .send()
            .await;
        let response = sent.map_err(|error| self.send_error(endpoint, call, &error))?;
        match response.status() {
            StatusCode::OK => Ok(Answer::Taken),
            StatusCode::FOUND | StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT => {
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                // Scheme as here, whatever it says: the cookie must not leave an encrypted connection.
                let authority = location.and_then(|text| text.split_once("://")).map(|(_, rest)| rest);
                let authority = authority.and_then(|rest| rest.split('/').next()).unwrap_or_default();
                endpoint
                    .sibling(authority)
                    .map(Answer::Elsewhere)
                    .map_err(|_| malformed("it sends the transfer nowhere", Outcome::Rejected))
            }
            other => {
                let outcome = if other.is_client_error() || other.is_redirection() {
                    Outcome::Rejected
                } else {
                    Outcome::MaybeSent
                };
                Err(self.error(call, ErrorKind::Http(other.as_u16()), outcome))
            }
        }
    }
}
