//! AlterConfigs and IncrementalAlterConfigs (KIP-339).

use std::collections::HashSet;
use std::sync::Arc;

use ottla_node::admin::ChangeOptions;
use ottla_node::coordination::metadata::{ConfigChange, ConfigEdit, ConfigOp, ConfigResource};
use ottla_wire::ErrorCode;
use ottla_wire::messages::{
    alter_configs_request, alter_configs_response, incremental_alter_configs_request,
    incremental_alter_configs_response,
};

use crate::apis::{Refused, change_mode, config_resource};
use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn alter_configs(
    call: Arc<Call>,
    request: alter_configs_request::AlterConfigsRequest,
) -> alter_configs_response::AlterConfigsResponse {
    let asked: Vec<_> = request
        .resources
        .iter()
        .map(|resource| {
            let values =
                resource.configs.iter().map(|config| (config.name.clone(), config.value.clone())).collect();
            let names = resource.configs.iter().map(|config| (config.name.as_str(), config.value.is_none()));
            let edit = check_names(names).map(|()| ConfigEdit::Replace(values));
            Asked { code: resource.resource_type, name: &resource.resource_name, edit }
        })
        .collect();
    let responses = alter(&call, asked, request.validate_only).await.into_iter().zip(&request.resources);
    let responses = responses.map(|(refused, resource)| {
        let (error_code, error_message) = Refused::split(refused);
        alter_configs_response::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    });
    alter_configs_response::AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

pub(crate) async fn incremental_alter_configs(
    call: Arc<Call>,
    request: incremental_alter_configs_request::IncrementalAlterConfigsRequest,
) -> incremental_alter_configs_response::IncrementalAlterConfigsResponse {
    let asked: Vec<_> = request
        .resources
        .iter()
        .map(|resource| Asked {
            code: resource.resource_type,
            name: &resource.resource_name,
            edit: steps(resource),
        })
        .collect();
    let responses = alter(&call, asked, request.validate_only).await.into_iter().zip(&request.resources);
    let responses = responses.map(|(refused, resource)| {
        let (error_code, error_message) = Refused::split(refused);
        incremental_alter_configs_response::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    });
    incremental_alter_configs_response::IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

/// A change of one resource, as far as it could be read.
struct Asked<'a> {
    code: i8,
    name: &'a str,
    edit: Result<ConfigEdit, Refused>,
}

/// Makes or checks the changes: for each one, why it was refused.
async fn alter(call: &Call, asked: Vec<Asked<'_>>, validate_only: bool) -> Vec<Option<Refused>> {
    let node = &call.front.node;
    let options = ChangeOptions {
        mode: change_mode(validate_only),
        // The request has no timeout of its own.
        timeout: node.settings().config.request_timeout,
    };
    let mut seen = HashSet::new();
    let twice: HashSet<_> = asked
        .iter()
        .map(|asked| (asked.code, asked.name))
        .filter(|resource| !seen.insert(*resource))
        .collect();
    let read = |asked: Asked<'_>| -> Result<ConfigChange, Refused> {
        if twice.contains(&(asked.code, asked.name)) {
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."));
        }
        let edit = asked.edit?;
        let resource = config_resource::parse(asked.code, asked.name)?;
        if let ConfigResource::Broker(Some(id)) = resource
            && id != node.id()
        {
            // What a broker can take depends on its file, so each one checks its own.
            let message = format!("Unexpected broker id, expected {}, but received {id}", node.id());
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
        }
        Ok(ConfigChange { resource, edit })
    };
    let changes: Vec<Result<ConfigChange, Refused>> = asked.into_iter().map(read).collect();
    let mut outcomes =
        node.alter_configs(changes.iter().flatten().cloned().collect(), options).await.map(Vec::into_iter);
    let answers = changes.into_iter().map(|change| match (change, &mut outcomes) {
        (Err(refused), _) => Some(refused),
        (Ok(_), Err(error)) => Some(errors::admin(error)),
        (Ok(change), Ok(outcomes)) => match outcomes.next() {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                Some(Refused::new(errors::alter_config(&change.resource, &error), error.to_string()))
            }
            None => Some(Refused::mismatch()),
        },
    });
    answers.collect()
}

fn steps(resource: &incremental_alter_configs_request::AlterConfigsResource) -> Result<ConfigEdit, Refused> {
    /// `AlterConfigOp.OpType.DELETE`, which needs no value.
    const DELETE: i8 = 1;
    let names = resource
        .configs
        .iter()
        .map(|config| (config.name.as_str(), config.value.is_none() && config.config_operation != DELETE));
    check_names(names)?;
    let step = |config: &incremental_alter_configs_request::AlterableConfig| {
        let value = config.value.clone().unwrap_or_default();
        let op = match config.config_operation {
            0 => ConfigOp::Set(value),
            DELETE => ConfigOp::Delete,
            2 => ConfigOp::Append(value),
            3 => ConfigOp::Subtract(value),
            other => {
                return Err(Refused::new(
                    ErrorCode::INVALID_REQUEST,
                    format!("Unknown operations type {other}"),
                ));
            }
        };
        Ok((config.name.clone(), op))
    };
    Ok(ConfigEdit::Incremental(resource.configs.iter().map(step).collect::<Result<_, _>>()?))
}

/// Checks what Kafka checks before it looks at the keys: the names with whether a value is missing.
fn check_names<'a>(names: impl Iterator<Item = (&'a str, bool)> + Clone) -> Result<(), Refused> {
    let mut seen = HashSet::new();
    if names.clone().any(|(name, _)| !seen.insert(name)) {
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys"));
    }
    let missing: Vec<&str> = names.filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        let message = format!("Null value not supported for : {}", missing.join(", "));
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
