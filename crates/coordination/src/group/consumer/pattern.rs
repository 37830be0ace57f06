//! Subscriptions by pattern: which topics a regular expression matches.
//!
//! The language is RE2's as far as topic names go (Kafka uses RE2/J): no look-around, no back references, time linear in the name. A pattern
//! must match the whole name.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::group::response::GroupError;
use crate::metadata::Image;

/// The largest compiled pattern, in bytes. What a client writes must not take the broker's memory: `(a{1000}){1000}` is refused, not compiled.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// The names of all topics that a pattern matches, ascending.
///
/// # Errors
/// [`GroupError::InvalidRegularExpression`].
pub(super) fn matching(pattern: &str, image: &Image) -> Result<Arc<[Arc<str>]>, GroupError> {
    let regex = compile(pattern).map_err(|why| {
        GroupError::InvalidRegularExpression(format!(
            "SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}."
        ))
    })?;
    let names = image.topics().map(|topic| topic.name().as_str());
    Ok(names.filter(|name| regex.is_match(name)).map(Arc::from).collect())
}

/// Compiles the pattern by itself first, so that `a)(b` does not become valid by what is put around it.
fn compile(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        let built =
            RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES).build();
        built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("it takes more than {MAX_COMPILED_BYTES} bytes"),
            // The library draws the place under the pattern; the last line says what is wrong.
            other => {
                other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
    };
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}
