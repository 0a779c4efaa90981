//! Names of members as pools write them. In XML they come unescaped, whatever they hold; in JSON escaped, as they should.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::properties::{Tree, WIRES, lengths, read};
use super::said::Said;
use super::server::{Server, ok};
use crate::wire::{Answer, Cut, ReadError, WireError, check_key, read_fragment};
use crate::{ErrorKind, Outcome, Ref, TextMap, Wire};

/// Any name but one that XML cannot tell from its end.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "&",
            "<",
            ">",
            "</",
            "</name",
            "name>",
            "<name>",
            "<value>",
            "</value>",
            "</member>",
            "&amp;",
            "&#0;",
            "<!--",
            "<![CDATA[",
            "]]>",
            "\r\n",
            "\u{feff}",
            "\"",
            "\\",
            "\\u0041",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("that would end it", |name| !name.contains("</name>"))
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set(name(), 0..4)
}

fn map<'a>(names: impl IntoIterator<Item = &'a String>) -> Said {
    Said::Map(names.into_iter().map(|name| (name.clone(), "v".into())).collect())
}

fn tree(names: &BTreeSet<String>) -> Tree {
    let members = names.iter().map(|name| (name.clone(), Tree::Text("v".to_owned())));
    Tree::Map(members.collect())
}

proptest! {
    #[test]
    fn every_name_is_read(names in names(), lengths in lengths()) {
        for wire in WIRES {
            let (answer, parts) = read(wire, map(&names).success(wire).as_bytes(), Cut::Whole, &lengths);
            prop_assert_eq!(answer.unwrap(), Answer::Success);
            prop_assert_eq!(parts, [(String::new(), tree(&names))]);
        }
        prop_assert_eq!(read_fragment(&map(&names).xml()), Ok(tree(&names)));
    }

    #[test]
    fn no_name_spoils_a_listing(names in names(), lengths in lengths()) {
        let vm = || Said::from([("blobs", map(&names)), ("uuid", "u".into())]);
        let listing = Said::from([("OpaqueRef:a", vm()), ("OpaqueRef:b", vm())]);
        for wire in WIRES {
            let (_, parts) = read(wire, listing.success(wire).as_bytes(), Cut::Members, &lengths);
            let vm = Tree::Map(vec![
                ("blobs".to_owned(), tree(&names)),
                ("uuid".to_owned(), Tree::Text("u".to_owned())),
            ]);
            let expected = ["OpaqueRef:a", "OpaqueRef:b"].map(|object| (object.to_owned(), vm.clone()));
            prop_assert_eq!(parts, expected);
        }
    }

    #[test]
    fn in_xml_a_name_that_holds_its_own_end_is_an_error(before in name(), behind in name(), lengths in lengths()) {
        // A value in the name is taken for the member's, and what is wrong with it is found before what comes behind it.
        let behind = behind.replace("<value", "");
        let name = format!("{before}</name>{behind}");
        let vm = Said::from([("other_config", map([&name]))]);
        let listing = Said::from([("OpaqueRef:a", vm)]).success(Wire::Xml);
        match read(Wire::Xml, listing.as_bytes(), Cut::Members, &lengths).0 {
            Err(ReadError::Wire(WireError::Name(place))) => prop_assert_eq!(place, "Value/OpaqueRef:a/other_config"),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn in_json_no_name_is_taken_for_anything_else(before in name(), behind in name(), lengths in lengths()) {
        let names = BTreeSet::from([format!("{before}</name>{behind}")]);
        let listing = Said::from([("OpaqueRef:a", map(&names))]).success(Wire::Json);
        let (_, parts) = read(Wire::Json, listing.as_bytes(), Cut::Members, &lengths);
        prop_assert_eq!(parts, [("OpaqueRef:a".to_owned(), tree(&names))]);
    }

    #[test]
    fn what_is_written_needs_no_escape(name in name()) {
        let is_plain = !name.contains(['<', '>', '&', '"', '\r']);
        prop_assert_eq!(check_key(&name).is_ok(), is_plain);
    }
}

#[test]
fn whatever_ends_a_name_early_is_named() {
    for key in [
        "</name>",
        "a</name>",
        "a</name>b",
        "a</name> ",
        "a</name>&",
        "a</name>&x;",
        "a</name><",
        "a</name><b>",
        "a</name></value>",
        "a</name><!--",
        "a</name><![CDATA[",
        "a</name></name>",
        "a</name><value>b",
        "a</name><value>b</value>",
        "a</name><value/>",
    ] {
        let answer = Said::from([("other_config", map([&key.to_owned()]))]).success(Wire::Xml);
        for cut in [Cut::Whole, Cut::Members] {
            match read(Wire::Xml, answer.as_bytes(), cut, &[]).0 {
                Err(ReadError::Wire(error @ WireError::Name(_))) => {
                    assert!(error.to_string().contains("Value/other_config"), "{error}");
                }
                other => panic!("{key:?}: {other:?}"),
            }
        }
    }
}

/// Reads as two members in XML: nothing in the answer tells it from what the pool would write for two.
const FORGED: &str = "a</name><value>b</value></member><member><name>dynvm:vm";

#[tokio::test]
async fn over_json_no_key_forges_another() {
    for (wire, keys) in [(Wire::Json, vec![FORGED]), (Wire::Xml, vec!["a", "dynvm:vm"])] {
        let server = Server::xapi(wire, |_| ok([(FORGED, "u".into())])).await;
        let vm = Ref::new("OpaqueRef:vm");
        let map = server.pool().vm().get_other_config(&vm).await.unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), keys, "{wire:?}");
    }
}

async fn no_write_carries_a_name_that_needs_an_escape(wire: Wire) {
    let server = Server::xapi(wire, |_| ok("")).await;
    let pool = server.pool();
    let vm = Ref::new("OpaqueRef:vm");
    let key = "XenCenter.CustomFields.R&D";
    let map = TextMap::from([(key.to_owned(), "yes".to_owned())]);
    for result in [
        pool.vm().set_other_config(&vm, &map).await,
        pool.vm().set_platform(&vm, &map).await,
        pool.vm().add_to_other_config(&vm, key, "yes").await,
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsendable(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    pool.vm().remove_from_other_config(&vm, key).await.unwrap();
    assert_eq!(server.methods().last().unwrap(), "VM.remove_from_other_config");
    assert_eq!(server.seen().last().unwrap().strings().last().unwrap(), key);
}

over_both_wires!(no_write_carries_a_name_that_needs_an_escape);
