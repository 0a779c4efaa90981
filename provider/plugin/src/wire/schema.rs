//! Schemas.

use engine::schema::{Attribute, Kind, Nesting, Schema};
use proto::tfplugin6::{
    self as wire, StringKind,
    schema::{self, object::NestingMode},
};

/// A schema. There are no nested blocks: nested attributes do the same, and may be computed.
pub(crate) fn schema(schema: &Schema) -> wire::Schema {
    let block = schema::Block {
        version: schema.version,
        attributes: schema.attributes.iter().map(attribute).collect(),
        description: schema.description.clone(),
        description_kind: StringKind::Markdown.into(),
        ..schema::Block::default()
    };
    wire::Schema {
        version: schema.version,
        block: Some(block),
    }
}

fn attribute(attribute: &Attribute) -> schema::Attribute {
    // Type and nested type exclude each other; a host panics without either.
    let (ty, nested_type) = match &attribute.kind {
        Kind::Plain(ty) => (ty.to_json().into_bytes(), None),
        Kind::Nested(nesting, attributes) => (Vec::new(), Some(object(*nesting, attributes))),
    };
    schema::Attribute {
        name: attribute.name.clone(),
        r#type: ty,
        nested_type,
        description: attribute.description.clone(),
        description_kind: StringKind::Markdown.into(),
        required: attribute.presence.is_required(),
        optional: attribute.presence.is_optional(),
        computed: attribute.presence.is_computed(),
        sensitive: attribute.sensitive,
        deprecated: attribute.deprecated.is_some(),
        deprecation_message: attribute.deprecated.clone().unwrap_or_default(),
        write_only: attribute.write_only,
    }
}

fn object(nesting: Nesting, attributes: &[Attribute]) -> schema::Object {
    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    schema::Object {
        attributes: attributes.iter().map(attribute).collect(),
        nesting: nesting.into(),
        ..schema::Object::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_has_a_type_or_attributes_of_its_own() {
        let inner = Attribute::integer("size_mib").required().deprecated("use size instead");
        let schema = schema(&Schema::new(vec![
            Attribute::string("name").required().sensitive(),
            Attribute::object_set("disks", vec![inner])
                .optional_computed()
                .describe("Disks."),
        ]));
        let attributes = schema.block.unwrap().attributes;
        assert_eq!(attributes[0].r#type, b"\"string\"");
        assert_eq!(attributes[0].nested_type, None);
        assert!(attributes[0].required && attributes[0].sensitive && !attributes[0].computed);
        assert!(attributes[1].r#type.is_empty());
        assert!(attributes[1].optional && attributes[1].computed && !attributes[1].required);
        let nested = attributes[1].nested_type.as_ref().unwrap();
        assert_eq!(nested.nesting(), NestingMode::Set);
        assert_eq!(nested.attributes[0].deprecation_message, "use size instead");
        assert!(nested.attributes[0].deprecated);
    }
}
