//! Properties of the codec: it takes any bytes without panic, and reads what it writes.

use futures::{FutureExt, stream};
use proptest::prelude::*;
use tokio_util::io::StreamReader;

use super::server::success;
use crate::wire::{Answer, Emitted, ReadError, Shape, Value, read_answer, read_fragment, value_text};

/// Reads an answer that comes in pieces of these lengths, and a last one.
pub(super) fn read(bytes: &[u8], shape: Shape, lengths: &[usize]) -> (Result<Answer, ReadError>, Vec<Emitted>) {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for length in lengths {
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        pieces.push(Ok::<_, std::io::Error>(piece));
        rest = behind;
    }
    pieces.push(Ok(rest));
    let mut parts = Vec::new();
    let mut sink = |part| {
        parts.push(part);
        Ok(())
    };
    // What is in memory is never waited for, so one poll is enough.
    let stream = StreamReader::new(stream::iter(pieces));
    let answer = read_answer(stream, shape, &mut sink).now_or_never().unwrap();
    (answer, parts)
}

fn decode(bytes: &[u8], shape: Shape) -> (Option<Answer>, Vec<Emitted>) {
    let (answer, parts) = read(bytes, shape, &[]);
    (answer.ok(), parts)
}

pub(super) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..40_usize, 0..60)
}

fn shapes() -> Vec<Shape> {
    vec![
        Shape::Value,
        Shape::Record(&["a", "uuid"]),
        Shape::Records(&["a", "uuid"]),
        Shape::Events(vec!["a", "uuid"]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        any::<char>().prop_filter("XML has no such character", |c| is_xml(*c)),
        0..12,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn key() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_:=. '-]{1,12}"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Value::Float),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..6).prop_map(Value::Struct),
        ]
    })
}

/// Pieces that make nearly valid answers more likely than random bytes do.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<value>"),
        Just("</value>"),
        Just("<struct>"),
        Just("</struct>"),
        Just("<member>"),
        Just("</member>"),
        Just("<name>"),
        Just("</name>"),
        Just("<array>"),
        Just("<data>"),
        Just("</data>"),
        Just("</array>"),
        Just("events"),
        Just("snapshot"),
        Just("uuid"),
        Just("&amp;"),
        Just("&#0;"),
        Just("&#x41;"),
        Just("&x;"),
        Just("<int>"),
        Just("</int>"),
        Just("7"),
        Just("<![CDATA["),
        Just("]]>"),
        Just("<!--"),
        Just("-->"),
        Just("<value/>"),
        Just("\u{0}"),
        Just("ä"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for shape in shapes() {
            decode(&bytes, shape);
        }
        let _ = read_fragment(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_taken(text in any::<String>(), digits in "[0-9TZ:.+-]{0,24}") {
        for text in [&text, &digits] {
            let _ = crate::wire::parse_time(text);
            let _ = text.parse::<crate::Uuid>();
            let _ = text.parse::<crate::Fingerprint>();
            let _ = crate::Filter::eq("name__label", text);
            if let Ok(endpoint) = crate::Endpoint::parse(text) {
                prop_assert_eq!(crate::Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
            let reference = crate::Ref::<crate::Vm>::new(text);
            prop_assert!(reference.is_null() || !reference.as_str().contains(['"', '<', '&', ' ']));
        }
    }

    #[test]
    fn any_soup_is_taken(soup in soup(), cut in any::<prop::sample::Index>()) {
        let whole = success(&soup);
        let at = cut.index(whole.len());
        for shape in shapes() {
            decode(whole.as_bytes(), shape.clone());
            decode(&whole.as_bytes()[..at], shape);
        }
    }

    #[test]
    fn what_is_written_is_read(value in value()) {
        let xml = value_text(&value).unwrap();
        prop_assert_eq!(read_fragment(&xml), Ok(value.clone()));
        let (answer, _) = decode(success(&xml).as_bytes(), Shape::Value);
        prop_assert_eq!(answer, Some(Answer::Success(value)));
    }

    #[test]
    fn where_the_pieces_of_an_answer_end_does_not_matter(value in value(), soup in soup(), lengths in lengths()) {
        for text in [value_text(&value).unwrap(), soup] {
            let whole = success(&text);
            for shape in shapes() {
                let (answer, parts) = read(whole.as_bytes(), shape.clone(), &lengths);
                prop_assert_eq!((answer.ok(), parts), decode(whole.as_bytes(), shape));
            }
        }
    }

    #[test]
    fn a_cut_answer_is_never_a_success(value in value(), cut in any::<prop::sample::Index>()) {
        let whole = success(&value_text(&value).unwrap());
        let at = cut.index(whole.len());
        let (answer, _) = decode(&whole.as_bytes()[..at], Shape::Value);
        prop_assert_eq!(answer, None);
    }
}

#[test]
fn listings_are_handed_out_one_by_one_with_the_wanted_fields() {
    let record = "<value><struct><member><name>uuid</name><value>1</value></member><member><name>NVRAM</name><value><struct>\
        <member><name>EFI</name><value>AAAA</value></member></struct></value></member></struct></value>";
    let xml = success(&format!(
        "<value><struct><member><name>OpaqueRef:a</name>{record}</member></struct></value>"
    ));
    let (answer, parts) = decode(xml.as_bytes(), Shape::Records(&["uuid"]));
    let wanted = Value::Struct(vec![("uuid".to_owned(), Value::text("1"))]);
    assert_eq!(parts, [Emitted::Record("OpaqueRef:a".to_owned(), wanted)]);
    assert_eq!(answer, Some(Answer::Success(Value::Struct(Vec::new()))));
}

#[test]
fn answers_without_status_are_taken() {
    let xml = "<methodResponse><params><param><value><array><data><value>VM.start</value></data></array></value></param></params></methodResponse>";
    let (answer, _) = decode(xml.as_bytes(), Shape::Value);
    assert_eq!(
        answer,
        Some(Answer::Success(Value::Array(vec![Value::text("VM.start")])))
    );
}

#[test]
fn many_records_take_no_more_than_one() {
    let record = format!(
        "<value><struct><member><name>uuid</name><value>{}</value></member></struct></value>",
        "x".repeat(1000)
    );
    let many: String = (0..3000)
        .map(|n| format!("<member><name>OpaqueRef:{n}</name>{record}</member>"))
        .collect();
    let xml = success(&format!("<value><struct>{many}</struct></value>"));
    let (answer, parts) = decode(xml.as_bytes(), Shape::Records(&["uuid"]));
    assert!(answer.is_some());
    assert_eq!(parts.len(), 3000);
}
