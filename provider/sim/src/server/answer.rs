//! HTTP answers: whole, cut short, or none at all.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

/// The connection is to be closed at once.
#[derive(Debug, Error)]
#[error("the connection is cut")]
pub(super) struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A body that may end before its declared length.
#[derive(Debug)]
pub(super) struct Payload {
    chunk: Option<Bytes>,
    declared: u64,
    is_cut: bool,
}

impl Payload {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let declared = bytes.len() as u64;
        Self {
            chunk: Some(bytes),
            declared,
            is_cut: false,
        }
    }

    /// Sends the first bytes only, then closes the connection.
    pub(super) fn truncated(bytes: impl Into<Bytes>, keep: u64) -> Self {
        let bytes = bytes.into();
        let declared = bytes.len() as u64;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).min(bytes.len());
        Self {
            chunk: Some(bytes.slice(..keep)),
            declared,
            is_cut: keep < bytes.len(),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.chunk.take() {
            Some(chunk) if !chunk.is_empty() => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            _ if self.is_cut => Poll::Ready(Some(Err(Cut))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.is_cut && self.chunk.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.declared)
    }
}

/// The answer to a call: 200, whether it succeeded or not.
pub(super) fn rpc(content_type: &'static str, payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// An answer of the HTTP layer, after which the connection closes.
pub(super) fn plain(status: StatusCode) -> Response<Payload> {
    let text = format!(
        "<html><body><h1>HTTP {} {}</h1></body></html>",
        status.as_u16(),
        status.canonical_reason().unwrap_or("")
    );
    let mut response = Response::new(Payload::whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response
}
