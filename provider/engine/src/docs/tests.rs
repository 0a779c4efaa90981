//! Pages, word for word.

use cty::Type;

use super::{Import, Topic, data_source_page, function_page, list_resource_page, provider_page, resource_page};
use crate::constraint::Constraint;
use crate::function::{Parameter, Signature};
use crate::identity::{IdentityAttribute, IdentitySchema};
use crate::rule::Rule;
use crate::schema::{Attribute, Schema};

fn server() -> Schema {
    let parts = vec![Attribute::string("label").optional().describe("Label.")];
    let disks = vec![
        Attribute::integer("size")
            .required()
            .rule(Rule::at_least(1))
            .describe("Size in GiB."),
        Attribute::string("id").computed().describe("UUID of the disk."),
        Attribute::object_list("parts", parts).optional(),
    ];
    Schema::new(vec![
        Attribute::string("name")
            .required()
            .rule(Rule::length(1..=255))
            .describe("Display name."),
        Attribute::string("os")
            .optional()
            .replaces()
            .describe("Alias of the operating system."),
        Attribute::string("template")
            .optional()
            .replaces_if(|_| true, "it is another template"),
        Attribute::string("pool")
            .optional_computed()
            .replaces_if_configured()
            .describe("Name of the pool."),
        Attribute::boolean("wait")
            .optional_computed()
            .default(true)
            .describe("Whether to wait."),
        Attribute::string("state")
            .optional_computed()
            .default("running")
            .rule(Rule::one_of(["running", "halted"])),
        Attribute::string("secret")
            .optional()
            .sensitive()
            .write_only()
            .describe("Password."),
        Attribute::string("old").optional().deprecated("use `name` instead"),
        Attribute::set("tags", Type::String)
            .optional()
            .rule(Rule::each(Rule::length(1..=10)))
            .describe("Tags."),
        Attribute::object_set("disks", disks).optional().describe("Disks."),
        Attribute::string("id").computed().describe("UUID of the VM."),
    ])
    .describe("A `server`.\n\nIt lives until it expires.")
    .rule(Constraint::exactly_one_of(&["os", "template"]))
    .identity(IdentitySchema::new(vec![
        IdentityAttribute::required("id", Type::String, "UUID of the VM."),
        IdentityAttribute::optional("zones", Type::list(Type::String), "Zones."),
    ]))
}

#[test]
fn a_resource_has_all_sections() {
    let schema = server();
    let topic = Topic {
        provider: "dynvm",
        name: "dynvm_server",
        subcategory: "",
        schema: &schema,
        example: Some("resource \"dynvm_server\" \"web\" {\n  name = \"web\"\n}\n"),
        import: Some(Import {
            block: "import {\n  to = dynvm_server.web\n  id = \"1\"\n}",
            identity: Some("import {\n  to = dynvm_server.web\n  identity = { id = \"1\" }\n}"),
            command: "terraform import dynvm_server.web 1",
        }),
    };
    assert_eq!(resource_page(&topic), include_str!("tests/resource.md"));
}

#[test]
fn a_data_source_replaces_nothing() {
    let schema =
        Schema::new(vec![Attribute::string("id").required().replaces().describe("UUID.")]).describe("A server.");
    let topic = Topic {
        provider: "dynvm",
        name: "dynvm_server",
        subcategory: "Servers",
        schema: &schema,
        example: None,
        import: None,
    };
    assert_eq!(data_source_page(&topic), include_str!("tests/data-source.md"));
    assert_eq!(
        list_resource_page(&topic),
        include_str!("tests/data-source.md").replace("Data Source", "List Resource")
    );
}

#[test]
fn the_provider_has_no_subcategory() {
    let schema =
        Schema::new(vec![Attribute::string("owner").optional().describe("Who asks.")]).describe("Servers for a while.");
    assert_eq!(
        provider_page("dynvm", &schema, Some("provider \"dynvm\" {}\n")),
        include_str!("tests/provider.md")
    );
}

#[test]
fn a_function_shows_its_signature() {
    let signature = Signature {
        name: "longest".into(),
        summary: "The longest duration.".into(),
        description: "Gives the longest of some durations.".into(),
        parameters: vec![Parameter {
            allow_null: true,
            ..Parameter::new("first", Type::String, "A duration.")
        }],
        variadic: Some(Parameter::new("rest", Type::list(Type::String), "Further ones.")),
        returns: Type::String,
    };
    assert_eq!(
        function_page("dynvm", &signature, None),
        include_str!("tests/function.md")
    );
}
