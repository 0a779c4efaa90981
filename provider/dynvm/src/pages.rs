//! The reference pages in the registry's layout, made from the tables and the examples.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use engine::docs::{Import, Topic, data_source_page, function_page, list_resource_page, provider_page, resource_page};
use engine::schema::Schema;
use plugin::provider::Provider as _;

use crate::provider::DynvmProvider;

/// All pages, as path below `docs/` and text.
///
/// # Errors
/// If an example is missing: each resource, data source, list resource and function has one.
pub fn all(examples: &Path) -> Result<Vec<(String, String)>> {
    let provider = DynvmProvider::new();
    let mut pages = vec![(
        "index.md".to_owned(),
        provider_page(
            "dynvm",
            provider.schema(),
            Some(&example(examples, "provider/provider.tf")?),
        ),
    )];
    for resource in provider.resources() {
        let name = resource.type_name();
        let example = example(examples, &format!("resources/{name}/resource.tf"))?;
        let import = resource
            .importable()
            .then(|| import(examples, name, resource.schema()))
            .transpose()?;
        let text = resource_page(&Topic {
            import: import.as_ref().map(|(block, identity, command)| Import {
                block,
                identity: identity.as_deref(),
                command,
            }),
            ..topic(name, resource.schema(), &example)
        });
        pages.push((format!("resources/{}.md", short(name)), text));
    }
    for source in provider.data_sources() {
        let name = source.type_name();
        let example = example(examples, &format!("data-sources/{name}/data-source.tf"))?;
        let text = data_source_page(&topic(name, source.schema(), &example));
        pages.push((format!("data-sources/{}.md", short(name)), text));
    }
    for list in provider.list_resources() {
        let name = list.type_name();
        let example = example(examples, &format!("list-resources/{name}/list-resource.tfquery.hcl"))?;
        let text = list_resource_page(&topic(name, list.schema(), &example));
        pages.push((format!("list-resources/{}.md", short(name)), text));
    }
    for function in provider.functions() {
        let signature = function.signature();
        let example = example(examples, &format!("functions/{}/function.tf", signature.name))?;
        let text = function_page("dynvm", signature, Some(&example));
        pages.push((format!("functions/{}.md", signature.name), text));
    }
    Ok(pages)
}

/// How a resource is imported: the block by identifier, that by identity if there is one, and the command.
fn import(examples: &Path, name: &str, schema: &Schema) -> Result<(String, Option<String>, String)> {
    let part = |file: &str| example(examples, &format!("resources/{name}/{file}"));
    let identity = schema.identity.is_some().then(|| part("import-by-identity.tf"));
    Ok((
        part("import-by-string-id.tf")?,
        identity.transpose()?,
        part("import.sh")?,
    ))
}

fn topic<'a>(name: &'a str, schema: &'a Schema, example: &'a str) -> Topic<'a> {
    Topic {
        provider: "dynvm",
        name,
        subcategory: "",
        schema,
        example: Some(example),
        import: None,
    }
}

fn example(examples: &Path, name: &str) -> Result<String> {
    let path = examples.join(name);
    fs::read_to_string(&path).with_context(|| format!("reading the example {}", path.display()))
}

/// The name without the provider's prefix.
fn short(name: &str) -> &str {
    name.strip_prefix("dynvm_").unwrap_or(name)
}
