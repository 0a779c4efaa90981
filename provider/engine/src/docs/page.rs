//! The frame of a page: front matter, headings, examples.

use super::rows::{self, Surface};
use super::words::{plain_text, type_in_signature, type_words};
use super::{Import, Topic};
use crate::function::{Parameter, Signature};
use crate::identity::{IdentitySchema, InImport};
use crate::schema::Schema;

/// A page as a sequence of paragraphs, a blank line between any two.
struct Page(Vec<String>);

impl Page {
    fn new(front_matter: String, heading: String) -> Page {
        Page(vec![front_matter, heading])
    }

    fn add(mut self, paragraph: impl Into<String>) -> Page {
        let paragraph = paragraph.into();
        if !paragraph.is_empty() {
            self.0.push(paragraph);
        }
        self
    }

    fn example(self, example: Option<&str>) -> Page {
        match example {
            Some(example) => self.add("## Example Usage").add(fenced("terraform", example)),
            None => self,
        }
    }

    fn schema(self, schema: &Schema, surface: Surface) -> Page {
        let page = self.add("## Schema");
        let page = schema.rules.iter().fold(page, |page, rule| page.add(rule.to_string()));
        rows::paragraphs(&schema.attributes, surface)
            .into_iter()
            .fold(page, Page::add)
    }

    fn text(self) -> String {
        let mut text = self.0.join("\n\n");
        text.push('\n');
        text
    }
}

pub(super) fn of_type(topic: &Topic<'_>, kind: &str, surface: Surface) -> String {
    let Topic {
        provider,
        name,
        subcategory,
        schema,
        example,
        import,
    } = *topic;
    let title = format!("{name} {kind} - {provider}");
    let page = Page::new(
        front_matter(&title, Some(subcategory), &schema.description),
        format!("# {name} ({kind})"),
    )
    .add(schema.description.trim())
    .example(example)
    .schema(schema, surface);
    let identity = schema.identity.as_ref();
    import
        .into_iter()
        .fold(page, |page, import| importing(page, import, identity))
        .text()
}

pub(super) fn of_provider(provider: &str, schema: &Schema, example: Option<&str>) -> String {
    let title = format!("{provider} Provider");
    Page::new(front_matter(&title, None, &schema.description), format!("# {title}"))
        .add(schema.description.trim())
        .example(example)
        .schema(schema, Surface::Settings)
        .text()
}

pub(super) fn of_function(provider: &str, signature: &Signature, example: Option<&str>) -> String {
    let title = format!("{} function - {provider}", signature.name);
    let page = Page::new(
        front_matter(&title, Some(""), &signature.summary),
        format!("# function: {}", signature.name),
    )
    .add(signature.description.trim())
    .example(example)
    .add("## Signature")
    .add(fenced("text", &declaration(signature)));
    let arguments = arguments(signature);
    if arguments.is_empty() {
        return page.text();
    }
    page.add("## Arguments").add(arguments.join("\n")).text()
}

/// The subcategory is absent from the provider's page: the registries refuse it there.
fn front_matter(title: &str, subcategory: Option<&str>, description: &str) -> String {
    let subcategory = subcategory
        .map(|subcategory| format!("subcategory: {subcategory:?}\n"))
        .unwrap_or_default();
    let description = plain_text(description)
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect::<String>();
    format!("---\npage_title: {title:?}\n{subcategory}description: |-\n{description}---")
}

fn importing(page: Page, import: Import<'_>, identity: Option<&IdentitySchema>) -> Page {
    let page = page
        .add("## Import")
        .add("Import is supported using the following syntax:");
    let page = match (import.identity, identity) {
        (Some(block), Some(identity)) => by_identity(page, block, identity),
        (Some(_) | None, _) => page,
    };
    page.add(
        "In Terraform v1.5.0 and later, the [`import` block](https://developer.hashicorp.com/terraform/language/import) \
         can be used with the `id` attribute, for example:",
    )
    .add(fenced("terraform", import.block))
    .add(
        "The [`terraform import` command](https://developer.hashicorp.com/terraform/cli/commands/import) can be used, \
         for example:",
    )
    .add(fenced("shell", import.command))
}

fn by_identity(page: Page, block: &str, identity: &IdentitySchema) -> Page {
    let page = page
        .add(
            "In Terraform v1.12.0 and later, the [`import` block](https://developer.hashicorp.com/terraform/language/import) \
             can be used with the `identity` attribute, for example:",
        )
        .add(fenced("terraform", block))
        .add("### Identity Schema");
    [("Required", InImport::Required), ("Optional", InImport::Optional)]
        .into_iter()
        .fold(page, |page, (title, need)| {
            let rows = identity.attributes.iter().filter(|row| row.import == need);
            let lines: Vec<String> = rows
                .map(|row| format!("- `{}` ({}) {}", row.name, type_words(&row.ty), row.description))
                .collect();
            if lines.is_empty() {
                page
            } else {
                page.add(format!("#### {title}")).add(lines.join("\n"))
            }
        })
}

fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```", text.trim_end())
}

fn declaration(signature: &Signature) -> String {
    let fixed = signature
        .parameters
        .iter()
        .map(|Parameter { name, ty, .. }| format!("{name} {}", type_in_signature(ty)));
    let variadic = signature
        .variadic
        .iter()
        .map(|Parameter { name, ty, .. }| format!("{name} {}...", type_in_signature(ty)));
    let parameters: Vec<String> = fixed.chain(variadic).collect();
    format!(
        "{}({}) {}",
        signature.name,
        parameters.join(", "),
        type_in_signature(&signature.returns)
    )
}

fn arguments(signature: &Signature) -> Vec<String> {
    let argument = |parameter: &Parameter, variadic: &str| {
        let nullable = if parameter.allow_null { ", Nullable" } else { "" };
        let line = format!(
            "1. `{}` ({variadic}{}{nullable}) {}",
            parameter.name,
            type_words(&parameter.ty),
            parameter.description.trim()
        );
        line.trim_end().to_owned()
    };
    let fixed = signature.parameters.iter().map(|parameter| argument(parameter, ""));
    fixed
        .chain(
            signature
                .variadic
                .iter()
                .map(|parameter| argument(parameter, "Variadic, ")),
        )
        .collect()
}
