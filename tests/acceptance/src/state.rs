//! What `show -json` says of a state or a saved plan.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// The resources of a state by address, modules included.
#[derive(Clone, Debug)]
pub struct State {
    whole: Json,
    resources: BTreeMap<String, Json>,
}

impl State {
    pub(crate) fn read(whole: Json) -> Self {
        let mut resources = BTreeMap::new();
        collect(&whole["values"]["root_module"], &mut resources);
        Self { whole, resources }
    }

    /// The attributes of a resource or data source.
    #[track_caller]
    #[must_use]
    pub fn values(&self, address: &str) -> &Json {
        let known: Vec<&String> = self.resources.keys().collect();
        let resource = self.resources.get(address);
        &resource.unwrap_or_else(|| panic!("no {address} in the state, only {known:?}"))["values"]
    }

    /// An attribute that must be a text.
    #[track_caller]
    #[must_use]
    pub fn text(&self, address: &str, attribute: &str) -> String {
        let value = &self.values(address)[attribute];
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("{address}.{attribute} is {value}"))
            .to_owned()
    }

    /// Whether a resource is tainted.
    #[must_use]
    pub fn is_tainted(&self, address: &str) -> bool {
        self.resources
            .get(address)
            .is_some_and(|resource| resource["tainted"] == true)
    }

    /// The addresses of all resources and data sources.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        self.resources.keys().map(String::as_str).collect()
    }

    /// The value of an output.
    #[must_use]
    pub fn output(&self, name: &str) -> &Json {
        &self.whole["values"]["outputs"][name]["value"]
    }
}

fn collect(module: &Json, resources: &mut BTreeMap<String, Json>) {
    for resource in module["resources"].as_array().into_iter().flatten() {
        let address = resource["address"].as_str().unwrap_or_default();
        resources.insert(address.to_owned(), resource.clone());
    }
    for child in module["child_modules"].as_array().into_iter().flatten() {
        collect(child, resources);
    }
}

/// A saved plan.
#[derive(Clone, Debug)]
pub struct Plan {
    whole: Json,
}

impl Plan {
    pub(crate) fn read(whole: Json) -> Self {
        Self { whole }
    }

    /// The change of a resource.
    #[track_caller]
    #[must_use]
    pub fn change(&self, address: &str) -> &Json {
        let changes = self.whole["resource_changes"].as_array().into_iter().flatten();
        changes.clone().find(|change| change["address"] == address).map_or_else(
            || {
                let known: Vec<&Json> = changes.map(|change| &change["address"]).collect();
                panic!("no change of {address} in the plan, only of {known:?}")
            },
            |change| &change["change"],
        )
    }

    /// The actions for a resource, such as `["update"]`.
    #[track_caller]
    #[must_use]
    pub fn actions(&self, address: &str) -> Vec<&str> {
        let actions = self.change(address)["actions"].as_array();
        actions.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// The planned values of a resource, as far as they are known.
    #[track_caller]
    #[must_use]
    pub fn after(&self, address: &str) -> &Json {
        &self.change(address)["after"]
    }

    /// Whether an attribute is known only after the apply.
    #[track_caller]
    #[must_use]
    pub fn is_unknown(&self, address: &str, attribute: &str) -> bool {
        self.change(address)["after_unknown"][attribute] == true
    }

    /// The whole document.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.whole
    }
}
