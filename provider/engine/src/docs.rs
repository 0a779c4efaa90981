//! Reference pages from the schema, in the layout of the registries, as `tfplugindocs` prints them.
//!
//! A page is front matter, the description, an example, the schema and, for resources, how to import. Everything but the
//! examples comes from the table, so a page cannot say another thing than the provider does.

use crate::function::Signature;
use crate::schema::Schema;

mod page;
mod rows;
mod words;

/// What a page of a resource, a data source or a list resource is made of.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    /// The name of the provider: `dynvm`.
    pub provider: &'a str,
    /// The full name of the type: `dynvm_server`.
    pub name: &'a str,
    /// The group in the navigation; may be empty.
    pub subcategory: &'a str,
    /// The table.
    pub schema: &'a Schema,
    /// An example in HCL.
    pub example: Option<&'a str>,
    /// How to import, for resources that can be imported.
    pub import: Option<Import<'a>>,
}

/// How a resource is imported.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// An `import` block that names it by its identifier.
    pub block: &'a str,
    /// An `import` block that names it by its identity, where it has one.
    pub identity: Option<&'a str>,
    /// A `terraform import` command.
    pub command: &'a str,
}

/// Makes the page of a resource: `docs/resources/<name without prefix>.md`.
#[must_use]
pub fn resource_page(topic: &Topic<'_>) -> String {
    page::of_type(topic, "Resource", rows::Surface::Resource)
}

/// Makes the page of a data source: `docs/data-sources/<name without prefix>.md`.
#[must_use]
pub fn data_source_page(topic: &Topic<'_>) -> String {
    page::of_type(topic, "Data Source", rows::Surface::Settings)
}

/// Makes the page of a list resource: `docs/list-resources/<name without prefix>.md`.
#[must_use]
pub fn list_resource_page(topic: &Topic<'_>) -> String {
    page::of_type(topic, "List Resource", rows::Surface::Settings)
}

/// Makes the page of the provider: `docs/index.md`.
#[must_use]
pub fn provider_page(provider: &str, schema: &Schema, example: Option<&str>) -> String {
    page::of_provider(provider, schema, example)
}

/// Makes the page of a function: `docs/functions/<name>.md`.
#[must_use]
pub fn function_page(provider: &str, signature: &Signature, example: Option<&str>) -> String {
    page::of_function(provider, signature, example)
}

#[cfg(test)]
mod tests;
