//! The codecs: golden bytes as Terraform sends them, what is refused, and what holds for any value.

mod any;
mod golden;
mod refused;

use cty::{Type, Value, json, msgpack};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn msgpack_brings_back_what_it_was_given((ty, value) in any::typed(any::Unknown::Allowed)) {
        let bytes = msgpack::encode(&value, &ty)?;
        prop_assert_eq!(msgpack::decode(&bytes, &ty)?, value);
    }

    #[test]
    fn json_brings_back_what_it_was_given((ty, value) in any::typed(any::Unknown::Refused)) {
        let text = json::encode(&value, &ty)?;
        prop_assert_eq!(json::decode(text.as_bytes(), &ty)?, value);
    }

    #[test]
    fn types_come_back(ty in any::ty()) {
        prop_assert_eq!(Type::from_json(ty.to_json().as_bytes())?, ty);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(ty in any::ty(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let outcomes = [msgpack::decode(&bytes, &ty), json::decode(&bytes, &ty), json::decode_untyped(&bytes)];
        for value in outcomes.into_iter().flatten() {
            prop_assert!(value.to_string().len() < 100_000);
        }
    }

    #[test]
    fn damaged_bytes_make_no_decoder_panic((ty, value) in any::typed(any::Unknown::Allowed), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = msgpack::encode(&value, &ty)?;
        let length = bytes.len();
        bytes[at.index(length)] = byte;
        if let Ok(decoded) = msgpack::decode(&bytes, &ty) {
            prop_assert!(msgpack::encode(&decoded, &ty).is_ok());
        }
    }

    #[test]
    fn the_canonical_form_is_a_fixed_point((ty, value) in any::typed(any::Unknown::Allowed)) {
        prop_assert_eq!(value.clone().canonical(&ty), value);
    }
}

#[test]
fn null_is_of_every_type() {
    for ty in [Type::Bool, Type::Dynamic, Type::object([("a", Type::String)])] {
        assert_eq!(msgpack::encode(&Value::Null, &ty).as_deref(), Ok(&[0xc0][..]));
        assert_eq!(json::encode(&Value::Null, &ty).as_deref(), Ok("null"));
    }
}
