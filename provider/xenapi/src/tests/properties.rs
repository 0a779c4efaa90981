//! Properties of the codec: it takes any bytes without panic, and reads what it writes.

use futures::{FutureExt, stream};
use proptest::prelude::*;
use serde::de::{MapAccess, SeqAccess};
use tokio_util::io::StreamReader;

use super::said::Said;
use super::server::failure_text;
use crate::wire::{Answer, As, Cut, FromWire, Name, ReadError, Value, Wire, read_answer, read_fragment, request};
use crate::{ErrorKind, Network, NetworkRecord, Ref, decode_listing};

/// A value of any type, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Text(String),
    Flag(bool),
    Whole(i64),
    Number(f64),
    Set(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl FromWire for Tree {
    const EXPECTED: &'static str = "value";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::Text(text.to_owned()))
    }

    fn from_flag(flag: bool) -> Option<Self> {
        Some(Self::Flag(flag))
    }

    fn from_whole(number: i64) -> Option<Self> {
        Some(Self::Whole(number))
    }

    fn from_number(number: f64) -> Option<Self> {
        Some(Self::Number(number))
    }

    fn from_set<'de, A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        Vec::from_set(items).map(Self::Set)
    }

    fn from_map<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut all = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            all.push((name.into_owned(), members.next_value_seed(As::new())?));
        }
        Ok(Self::Map(all))
    }
}

/// What should be read of what was written.
fn tree(value: &Value, wire: Wire) -> Tree {
    match (value, wire) {
        (Value::Text(text), _) => Tree::Text(text.clone()),
        (Value::Bool(flag), _) => Tree::Flag(*flag),
        (Value::Int(number), Wire::Json) => Tree::Whole(*number),
        (Value::Int(number), Wire::Xml) => Tree::Text(number.to_string()),
        (Value::Float(number), _) => Tree::Number(*number),
        (Value::Array(items), _) => Tree::Set(items.iter().map(|item| tree(item, wire)).collect()),
        (Value::Struct(members), _) => {
            let members = members.iter().map(|(name, member)| (name.clone(), tree(member, wire)));
            Tree::Map(members.collect())
        }
    }
}

/// A part that was handed out, with its name.
pub(super) type Part = (String, Tree);

/// Reads an answer that comes in pieces of these lengths, and a last one.
pub(super) fn read(wire: Wire, bytes: &[u8], cut: Cut, lengths: &[usize]) -> (Result<Answer, ReadError>, Vec<Part>) {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for length in lengths {
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        pieces.push(Ok::<_, std::io::Error>(piece));
        rest = behind;
    }
    pieces.push(Ok(rest));
    let mut parts = Vec::new();
    let mut sink = |name: &str, part: crate::wire::Raw<'_>| {
        parts.push((name.to_owned(), part.read()?));
        Ok(())
    };
    // What is in memory is never waited for, so one poll is enough.
    let stream = StreamReader::new(stream::iter(pieces));
    let answer = read_answer(stream, wire, cut, &mut sink).now_or_never().unwrap();
    (answer, parts)
}

fn decode(wire: Wire, bytes: &[u8], cut: Cut) -> (Option<Answer>, Vec<Part>) {
    let _ = listed(wire, bytes);
    let (answer, parts) = read(wire, bytes, cut, &[]);
    (answer.ok(), parts)
}

/// Decodes a listing into records.
fn listed(wire: Wire, bytes: &[u8]) -> Result<Vec<(Ref<Network>, NetworkRecord)>, ErrorKind> {
    let mut all = Vec::new();
    let listing = decode_listing::<Network>(wire, bytes, |network, record| all.push((network, record)));
    listing.now_or_never().unwrap()?;
    Ok(all)
}

pub(super) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..40_usize, 0..60)
}

pub(super) const WIRES: [Wire; 2] = [Wire::Json, Wire::Xml];
const CUTS: [Cut; 3] = [Cut::Whole, Cut::Members, Cut::MembersAndItems("events")];

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        any::<char>().prop_filter("pools have no such character", |c| is_xml(*c)),
        0..12,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn key() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_:=. '\\\\-]{1,12}"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 64.0)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..6).prop_map(Value::Struct),
        ]
    })
}

/// A value as requests carry it.
fn written(wire: Wire, value: &Value) -> String {
    let body = request(wire, "m", std::slice::from_ref(value)).unwrap();
    let (start, end) = match wire {
        Wire::Json => ("\"params\":[", "],\"id\":1}"),
        Wire::Xml => ("<params><param>", "</param></params></methodCall>"),
    };
    let (_, behind) = body.split_once(start).unwrap();
    behind.strip_suffix(end).unwrap().to_owned()
}

/// An answer with this text where the value should be.
fn success(wire: Wire, value: &str) -> String {
    let (hole, answer) = match wire {
        Wire::Json => ("\"\"", Said::from("").success(wire)),
        Wire::Xml => ("<value></value>", Said::from("").success(wire)),
    };
    answer.replacen(hole, value, 1)
}

/// Pieces that make nearly valid answers more likely than random bytes do.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "<value>",
            "</value>",
            "<struct>",
            "</struct>",
            "<member>",
            "</member>",
            "<name>",
            "</name>",
            "<array>",
            "<data>",
            "</data>",
            "</array>",
            "&amp;",
            "&#0;",
            "&#x41;",
            "&x;",
            "<int>",
            "</int>",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<value/>",
            "<array/>",
        ]),
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\\"",
            "\\u0041",
            "\\ud800",
            "null",
            "true",
            "-",
            "1e9",
            " ",
            "\n",
            "\"events\":",
            "\"a\":1",
            "\"error\":",
            "\"result\":",
            "events",
            "snapshot",
            "uuid",
            "7",
            "\u{0}",
            "ä",
        ]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (wire, cut) in WIRES.into_iter().flat_map(|wire| CUTS.map(|cut| (wire, cut))) {
            decode(wire, &bytes, cut);
            let mut whole = success(wire, "\u{1}").into_bytes();
            let at = whole.iter().position(|byte| *byte == 1).unwrap();
            whole.splice(at..=at, bytes.iter().copied());
            decode(wire, &whole, cut);
        }
        let _ = read_fragment::<Tree>(&String::from_utf8_lossy(&bytes));
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
        for wire in WIRES {
            let whole = success(wire, &soup);
            let at = cut.index(whole.len());
            for cut in CUTS {
                decode(wire, whole.as_bytes(), cut);
                decode(wire, &whole.as_bytes()[..at], cut);
            }
        }
        let _ = read_fragment::<Tree>(&soup);
    }

    #[test]
    fn what_is_written_is_read(value in value()) {
        for wire in WIRES {
            let expected = tree(&value, wire);
            let text = written(wire, &value);
            if wire == Wire::Xml {
                prop_assert_eq!(read_fragment(&text), Ok(expected.clone()));
            }
            let (answer, parts) = decode(wire, success(wire, &text).as_bytes(), Cut::Whole);
            prop_assert_eq!(answer, Some(Answer::Success));
            prop_assert_eq!(parts, [(String::new(), expected)]);
        }
    }

    #[test]
    fn where_the_pieces_of_an_answer_end_does_not_matter(value in value(), soup in soup(), lengths in lengths()) {
        for wire in WIRES {
            for text in [&written(wire, &value), &soup] {
                let whole = success(wire, text);
                for cut in CUTS {
                    let (answer, parts) = read(wire, whole.as_bytes(), cut, &lengths);
                    prop_assert_eq!((answer.ok(), parts), decode(wire, whole.as_bytes(), cut));
                }
            }
        }
    }

    #[test]
    fn a_cut_answer_is_never_a_success(value in value(), cut in any::<prop::sample::Index>()) {
        for wire in WIRES {
            let whole = success(wire, &written(wire, &value));
            let at = cut.index(whole.len());
            for cut in CUTS {
                let (answer, _) = decode(wire, &whole.as_bytes()[..at], cut);
                prop_assert_eq!(answer, None);
            }
        }
    }

    #[test]
    fn parts_are_what_the_whole_is_made_of(members in proptest::collection::vec((key(), value()), 0..6), lengths in lengths()) {
        let events = ("events".to_owned(), Value::Array(members.iter().map(|(_, member)| member.clone()).collect()));
        let map = Value::Struct(members.iter().cloned().chain([events]).collect());
        for wire in WIRES {
            let answer = success(wire, &written(wire, &map));
            let named = |(name, member): &(String, Value)| (name.clone(), tree(member, wire));
            let mut expected: Vec<Part> = members.iter().map(named).collect();
            expected.extend(members.iter().map(|(_, member)| ("events".to_owned(), tree(member, wire))));
            let (_, parts) = read(wire, answer.as_bytes(), Cut::MembersAndItems("events"), &lengths);
            prop_assert_eq!(parts, expected);
        }
    }
}

#[test]
fn answers_without_status_are_taken() {
    let xml = "<methodResponse><params><param><value><array><data><value>VM.start</value></data></array></value></param></params></methodResponse>";
    let (answer, parts) = decode(Wire::Xml, xml.as_bytes(), Cut::Whole);
    assert_eq!(answer, Some(Answer::Success));
    assert_eq!(
        parts,
        [(String::new(), Tree::Set(vec![Tree::Text("VM.start".to_owned())]))]
    );
}

#[test]
fn empty_elements_are_taken() {
    let empty = [
        ("<value/>", Tree::Text(String::new())),
        ("<value><string/></value>", Tree::Text(String::new())),
        ("<value><nil/></value>", Tree::Text(String::new())),
        ("<value><array/></value>", Tree::Set(Vec::new())),
        ("<value><array><data/></array></value>", Tree::Set(Vec::new())),
        ("<value><struct/></value>", Tree::Map(Vec::new())),
    ];
    for (text, expected) in empty {
        let (_, parts) = decode(Wire::Xml, success(Wire::Xml, text).as_bytes(), Cut::Whole);
        assert_eq!(parts, [(String::new(), expected)], "{text}");
    }
    let (answer, parts) = decode(
        Wire::Xml,
        success(Wire::Xml, "<value><struct/></value>").as_bytes(),
        Cut::Members,
    );
    assert_eq!((answer, parts), (Some(Answer::Success), Vec::new()));
}

#[test]
fn a_listing_must_be_a_map() {
    for wire in WIRES {
        for said in [Said::empty_set(), Said::from("x")] {
            assert_eq!(
                decode(wire, said.success(wire).as_bytes(), Cut::Members),
                (None, Vec::new())
            );
        }
    }
}

#[test]
fn texts_of_json_may_be_escaped_in_any_way() {
    let (_, parts) = decode(
        Wire::Json,
        br#"{"r\u0065sult":{"\u004fpaqueRef:a":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00}]"}}"#,
        Cut::Members,
    );
    let text = "\"\\/\u{8}\u{c}\n\r\tä\u{1f600}}]".to_owned();
    assert_eq!(parts, [("OpaqueRef:a".to_owned(), Tree::Text(text))]);
}

#[test]
fn what_is_no_utf8_is_refused_wherever_it_stands() {
    for wire in WIRES {
        let said = Said::from([("key", "value".into())]);
        for word in ["key", "value"] {
            let whole = said.success(wire);
            let at = whole.rfind(word).unwrap();
            let mut bytes = whole.into_bytes();
            bytes[at] = 0xff;
            for cut in CUTS {
                assert_eq!(decode(wire, &bytes, cut).0, None, "{word} over {wire:?}");
            }
        }
    }
}

#[test]
fn a_kept_listing_is_decoded() {
    let network = Said::from([
        ("uuid", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".into()),
        ("name_label", "lab".into()),
        ("blobs", [("deep", Said::empty_set())].into()),
        ("PIFs", ["OpaqueRef:p"].into()),
        ("other_config", [("a", "b".into())].into()),
    ]);
    let good = Said::from([("OpaqueRef:n", network.clone())]);
    let bad = Said::from([("OpaqueRef:n", network.with("PIFs", Some("none".into())))]);
    for wire in WIRES {
        let all = listed(wire, good.success(wire).as_bytes()).unwrap();
        let [(object, record)] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!((object.as_str(), record.name_label.as_str()), ("OpaqueRef:n", "lab"));
        assert_eq!(
            (record.pifs.len(), record.other_config.len(), record.tags.len()),
            (1, 1, 0)
        );

        let error = listed(wire, bad.success(wire).as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("network OpaqueRef:n: the field PIFs is no set"),
            "{error}"
        );
        let refused = failure_text(wire, &["RBAC_PERMISSION_DENIED".to_owned(), "x".to_owned()]);
        let error = listed(wire, refused.as_bytes()).unwrap_err();
        assert!(matches!(error, ErrorKind::Failure(failure) if failure.is_permission()));
        let cut = &good.success(wire)[..100];
        assert!(matches!(listed(wire, cut.as_bytes()), Err(ErrorKind::Malformed(_))));
    }
}
