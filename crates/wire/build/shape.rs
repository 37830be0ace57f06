//! What follows from a schema: where a struct is really used, how small it can be, and what things are called in Rust.

use crate::schema::{Field, Message, Struct, Type, struct_name};
use crate::versions::Versions;

/// Narrows every range to what can occur: a field's range in Kafka's files reaches outside its message's, and a struct
/// used in several places exists where any of them does. Fields that no valid version has are dropped.
pub fn settle_ranges(message: &mut Message) {
    message.structs[0].versions = message.versions;
    // No struct contains itself, so widening from the root reaches every use after at most one round per level.
    loop {
        let mut changed = false;
        for at in 0..message.structs.len() {
            let parent = message.structs[at].versions;
            let uses: Vec<(String, Versions)> = message.structs[at]
                .fields
                .iter()
                .filter_map(|field| Some((struct_name(&field.kind)?, field.versions.intersect(parent))))
                .collect();
            for (name, versions) in uses {
                let part = message.structs.iter_mut().find(|part| part.name == name);
                let part = part.unwrap_or_else(|| panic!("no struct {name}"));
                let wider = part.versions.hull(versions);
                changed |= wider != part.versions;
                part.versions = wider;
            }
        }
        if !changed {
            break;
        }
    }
    for part in &mut message.structs {
        let range = part.versions;
        part.fields.iter_mut().for_each(|field| field.versions = field.versions.intersect(range));
        part.fields.retain(|field| !field.versions.is_empty());
    }
    message.structs.retain(|part| !part.versions.is_empty());
    message.flexible = message.flexible.intersect(message.versions);
}

/// The fewest bytes one value of `kind` takes at any of `versions`. A claimed array length is held against it.
pub fn smallest(message: &Message, kind: &Type, versions: Versions) -> usize {
    (versions.first..=versions.last)
        .map(|v| smallest_at(message, kind, v))
        .min()
        .expect("a field has versions")
}

fn smallest_at(message: &Message, kind: &Type, v: i16) -> usize {
    let flexible = message.flexible.contains(v);
    match kind {
        Type::Bool | Type::Int8 => 1,
        Type::Int16 | Type::Uint16 => 2,
        Type::Int32 | Type::Uint32 => 4,
        Type::Int64 | Type::Float64 => 8,
        Type::Uuid => 16,
        Type::String if !flexible => 2,
        Type::Bytes | Type::Records | Type::Array(_) if !flexible => 4,
        Type::String | Type::Bytes | Type::Records | Type::Array(_) => 1,
        Type::Struct(name) => {
            let part = find_struct(message, name);
            let fields = part.fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(v));
            let size = |field: &Field| match (&field.kind, field.nullable) {
                (Type::Struct(_), Some(_)) => 1,
                (kind, _) => smallest_at(message, kind, v),
            };
            fields.map(size).sum::<usize>() + usize::from(flexible)
        }
    }
}

pub fn find_struct<'a>(message: &'a Message, name: &str) -> &'a Struct {
    message.structs.iter().find(|part| part.name == name).unwrap_or_else(|| panic!("no struct {name}"))
}

/// The Rust type of a field.
pub fn rust_type(field: &Field) -> String {
    let plain = match &field.kind {
        Type::Int16 if is_error_code(field) => "ErrorCode".to_owned(),
        Type::Array(element) => format!("Vec<{}>", element_type(element)),
        kind => element_type(kind),
    };
    if field.nullable.is_some() { format!("Option<{plain}>") } else { plain }
}

pub fn element_type(kind: &Type) -> String {
    match kind {
        Type::Bool => "bool",
        Type::Int8 => "i8",
        Type::Int16 => "i16",
        Type::Int32 => "i32",
        Type::Int64 => "i64",
        Type::Uint16 => "u16",
        Type::Uint32 => "u32",
        Type::Float64 => "f64",
        Type::Uuid => "Uuid",
        Type::String => "String",
        Type::Bytes => "Bytes",
        Type::Records => "Records",
        Type::Struct(name) => name,
        Type::Array(_) => panic!("no message has arrays of arrays"),
    }
    .to_owned()
}

/// Kafka types its error codes `int16`; their name tells them from numbers.
pub fn is_error_code(field: &Field) -> bool {
    field.kind == Type::Int16 && field.name.ends_with("ErrorCode")
}

/// The Rust expression of a field's default.
pub fn default_value(field: &Field) -> String {
    let plain = match (&field.kind, field.default.as_deref()) {
        (_, Some("null")) => return "None".to_owned(),
        (Type::Int16, Some(code)) if is_error_code(field) => format!("ErrorCode({code})"),
        (Type::Int16, None) if is_error_code(field) => "ErrorCode::NONE".to_owned(),
        (Type::String, Some(text)) => format!("{text:?}.to_owned()"),
        (Type::Float64, None) => "0.0".to_owned(),
        (_, Some(value)) => value.to_owned(),
        (Type::Bool, None) => "false".to_owned(),
        (Type::String, None) => "String::new()".to_owned(),
        (Type::Bytes, None) => "Bytes::new()".to_owned(),
        (Type::Uuid, None) => "Uuid::ZERO".to_owned(),
        (Type::Array(_), None) => "Vec::new()".to_owned(),
        (Type::Struct(name), None) => format!("{name}::default()"),
        (Type::Records, None) => panic!("records default to null"),
        (_, None) => "0".to_owned(),
    };
    if field.nullable.is_some() { format!("Some({plain})") } else { plain }
}

/// Whether `#[derive(Default)]` gives the field's default.
pub fn derives_default(field: &Field) -> bool {
    match field.nullable {
        Some(_) => field.default.as_deref() == Some("null"),
        None => field.default.is_none(),
    }
}

/// The Rust condition for `self.field` to differ from its default.
pub fn differs_from_default(field: &Field) -> String {
    let name = field_name(field);
    if field.nullable.is_some() {
        return match (&field.kind, field.default.as_deref()) {
            (_, Some("null")) => format!("self.{name}.is_some()"),
            (Type::Array(_) | Type::String | Type::Bytes, None) => {
                format!("self.{name}.as_ref().is_none_or(|x| !x.is_empty())")
            }
            _ => format!("self.{name} != {}", default_value(field)),
        };
    }
    match (&field.kind, field.default.as_deref()) {
        (Type::Bool, Some("true")) => format!("!self.{name}"),
        (Type::Bool, _) => format!("self.{name}"),
        (Type::String, Some(text)) => format!("self.{name} != {text:?}"),
        (Type::Array(_) | Type::String | Type::Bytes, None) => format!("!self.{name}.is_empty()"),
        _ => format!("self.{name} != {}", default_value(field)),
    }
}

/// A field's name in Rust.
pub fn field_name(field: &Field) -> String {
    let name = snake_case(&field.name);
    if matches!(name.as_str(), "type" | "match") { format!("r#{name}") } else { name }
}

/// A field's name in Kafka's JSON: the first letter small, nothing else changed.
pub fn json_name(field: &Field) -> String {
    let (first, rest) = field.name.split_at(1);
    format!("{}{rest}", first.to_lowercase())
}

/// `ISRNodes` and `IsrNodes` are `isr_nodes`; `V3AndBelowTopics` is `v3_and_below_topics`.
pub fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let after_lower = i > 0 && !chars[i - 1].is_uppercase();
        let before_lower = chars.get(i + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && i > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
