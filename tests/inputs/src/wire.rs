//! Answers of pools, in JSON-RPC and XML-RPC. However the bytes come in pieces, the same comes out.

use std::fmt::Debug;

use futures::FutureExt as _;
use tokio::io::{AsyncBufRead, BufReader};
use xenapi::{Class, HostMetrics, Task, Vm, Wire, decode_events, decode_listing};

/// Bytes that come at a time: so few that every token is torn, and odd, so that it is torn elsewhere each time.
const PIECE: usize = 7;

pub(crate) fn listing_json(bytes: &[u8]) {
    listings(Wire::Json, bytes);
}

pub(crate) fn listing_xml(bytes: &[u8]) {
    listings(Wire::Xml, bytes);
}

pub(crate) fn events_json(bytes: &[u8]) {
    events(Wire::Json, bytes);
}

pub(crate) fn events_xml(bytes: &[u8]) {
    events(Wire::Xml, bytes);
}

/// Reads the bytes as a listing of classes that between them have every type of field.
fn listings(wire: Wire, bytes: &[u8]) {
    listing::<Vm>(wire, bytes);
    listing::<HostMetrics>(wire, bytes);
    listing::<Task>(wire, bytes);
}

fn listing<C: Class>(wire: Wire, bytes: &[u8]) {
    let whole = listed::<C>(wire, bytes);
    same(&whole, &listed::<C>(wire, BufReader::with_capacity(PIECE, bytes)));
}

fn listed<C: Class>(wire: Wire, body: impl AsyncBufRead + Unpin) -> Result<Vec<(String, C::Record)>, String> {
    let mut records = Vec::new();
    let each = |object: xenapi::Ref<C>, record| records.push((object.as_str().to_owned(), record));
    match at_once(decode_listing::<C>(wire, body, each)) {
        Ok(()) => Ok(records),
        Err(error) => Err(error.to_string()),
    }
}

fn events(wire: Wire, bytes: &[u8]) {
    let changes = |changes: Result<_, xenapi::ErrorKind>| changes.map_err(|error| error.to_string());
    let whole = changes(at_once(decode_events(wire, bytes)));
    let torn = BufReader::with_capacity(PIECE, bytes);
    same(&whole, &changes(at_once(decode_events(wire, torn))));
}

/// What is in memory is never waited for.
fn at_once<T>(reading: impl Future<Output = Result<T, xenapi::ErrorKind>>) -> Result<T, xenapi::ErrorKind> {
    let read = reading.now_or_never();
    read.unwrap_or_else(|| {
        Err(xenapi::ErrorKind::Malformed(
            "it waits for bytes that are there".to_owned(),
        ))
    })
}

/// By their texts, as a number may be none.
fn same<T: Debug>(whole: &Result<T, String>, torn: &Result<T, String>) {
    match (whole, torn) {
        (Ok(whole), Ok(torn)) => assert_eq!(format!("{whole:?}"), format!("{torn:?}")),
        // Of several mistakes another one may be met first.
        (Err(_), Err(_)) => {}
        (whole, torn) => assert_eq!(format!("{whole:?}"), format!("{torn:?}"), "whole and in pieces"),
    }
}
