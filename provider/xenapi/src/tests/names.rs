//! Names of members as pools write them: unescaped, whatever they hold.

use proptest::prelude::*;

use super::properties::{lengths, read};
use super::server::{Server, ok, record, success};
use crate::wire::{Answer, Emitted, ReadError, Shape, Value, WireError, check_key, read_fragment};
use crate::{ErrorKind, Outcome, Ref, TextMap};

fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("&".to_owned()),
        Just("<".to_owned()),
        Just(">".to_owned()),
        Just("</".to_owned()),
        Just("</name".to_owned()),
        Just("name>".to_owned()),
        Just("<name>".to_owned()),
        Just("<value>".to_owned()),
        Just("</value>".to_owned()),
        Just("</member>".to_owned()),
        Just("&amp;".to_owned()),
        Just("&#0;".to_owned()),
        Just("<!--".to_owned()),
        Just("<![CDATA[".to_owned()),
        Just("]]>".to_owned()),
        Just("\r\n".to_owned()),
        Just("\u{feff}".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("that would end it", |name| !name.contains("</name>"))
}

fn map(names: &[String]) -> (String, Value) {
    let members: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "<value>v</value>")).collect();
    let value = names.iter().map(|name| (name.clone(), Value::text("v"))).collect();
    (record(&members), Value::Struct(value))
}

proptest! {
    #[test]
    fn every_name_is_read(names in proptest::collection::vec(name(), 0..4), lengths in lengths()) {
        let (text, value) = map(&names);
        let (answer, _) = read(success(&text).as_bytes(), Shape::Value, &lengths);
        prop_assert_eq!(answer.unwrap(), Answer::Success(value.clone()));
        prop_assert_eq!(read_fragment(&text), Ok(value));
    }

    #[test]
    fn no_name_spoils_a_listing(names in proptest::collection::vec(name(), 0..4), lengths in lengths()) {
        let (text, value) = map(&names);
        let vm = record(&[("blobs", &text), ("other_config", &text), ("uuid", "<value>u</value>")]);
        let listing = success(&record(&[("OpaqueRef:a", &vm), ("OpaqueRef:b", &vm)]));
        let (_, parts) = read(listing.as_bytes(), Shape::Records(&["uuid", "other_config"]), &lengths);
        let wanted = Value::Struct(vec![("other_config".to_owned(), value), ("uuid".to_owned(), Value::text("u"))]);
        let expected = ["OpaqueRef:a", "OpaqueRef:b"].map(|object| Emitted::Record(object.to_owned(), wanted.clone()));
        prop_assert_eq!(parts, expected);
    }

    #[test]
    fn a_name_that_holds_its_own_end_is_an_error(before in name(), behind in name(), lengths in lengths()) {
        // A value in the name is taken for the member's, and what is wrong with it is found before what comes behind it.
        let behind = behind.replace("<value", "");
        let (text, _) = map(&[format!("{before}</name>{behind}")]);
        for fields in [&["other_config"], &["uuid"]] {
            let vm = record(&[("other_config", &text)]);
            let listing = success(&record(&[("OpaqueRef:a", &vm)]));
            match read(listing.as_bytes(), Shape::Records(fields), &lengths).0 {
                Err(ReadError::Wire(WireError::Name(place))) => prop_assert_eq!(place, "Value/OpaqueRef:a/other_config"),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_written_needs_no_escape(name in name()) {
        let is_plain = !name.contains(['<', '>', '&', '"', '\r']);
        prop_assert_eq!(check_key(&name).is_ok(), is_plain);
    }
}

fn check_refused(key: &str) {
    let (text, _) = map(&[key.to_owned()]);
    for shape in [Shape::Value, Shape::Record(&["other_config"]), Shape::Record(&["uuid"])] {
        let answer = success(&record(&[("other_config", &text)]));
        match read(answer.as_bytes(), shape.clone(), &[]).0 {
            Err(ReadError::Wire(error @ WireError::Name(_))) => {
                assert!(error.to_string().contains("Value/other_config"), "{error}");
            }
            other => panic!("{key:?} as {shape:?}: {other:?}"),
        }
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
        check_refused(key);
    }
}

#[tokio::test]
async fn no_write_carries_a_name_that_needs_an_escape() {
    let server = Server::xapi(|_| ok("<value></value>")).await;
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
    assert_eq!(
        server.seen().last().unwrap().strings().last(),
        Some(&"XenCenter.CustomFields.R&amp;D")
    );
}
