//! DescribeConfigs: what the keys of topics, brokers and groups come to.

use ottla_node::admin::configs::DescribeConfigsError;
use ottla_node::coordination::config::Entry;
use ottla_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::apis::{Refused, config_resource};
use crate::dispatch::Call;
use crate::errors;

/// What the client wants to know of each key.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn describe_configs(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let detail = Detail { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.into_iter().map(|resource| {
        let entries = entries(call, &resource);
        answer(resource, entries, detail)
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

fn entries(call: &Call, asked: &DescribeConfigsResource) -> Result<Vec<Entry>, Refused> {
    let resource = config_resource::parse(asked.resource_type, &asked.resource_name)?;
    let describe = call.front.node.describe_configs(&resource);
    describe.map_err(|error: DescribeConfigsError| {
        Refused::new(errors::describe_configs(&error), error.to_string())
    })
}

fn answer(
    resource: DescribeConfigsResource,
    entries: Result<Vec<Entry>, Refused>,
    detail: Detail,
) -> DescribeConfigsResult {
    let (entries, refused) = match entries {
        Ok(entries) => (entries, None),
        Err(refused) => (Vec::new(), Some(refused)),
    };
    let (error_code, error_message) = Refused::split(refused);
    // No list and an empty one both mean all.
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let wanted = |entry: &Entry| keys.as_ref().is_none_or(|keys| keys.contains(&entry.name));
    let configs = entries.into_iter().filter(wanted).map(|entry| describe(entry, detail)).collect();
    DescribeConfigsResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
    }
}

fn describe(entry: Entry, detail: Detail) -> DescribeConfigsResourceResult {
    let synonyms = if detail.synonyms { entry.synonyms } else { Vec::new() };
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.wire_code(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name,
                value: synonym.value,
                source: synonym.source.wire_code(),
            })
            .collect(),
        config_type: entry.kind_code,
        documentation: entry.documentation.filter(|_| detail.documentation).map(str::to_owned),
    }
}
