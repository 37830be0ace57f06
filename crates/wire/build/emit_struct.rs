//! Structs with their documentation and defaults, and what makes one a [`Message`] of the crate.

use std::fmt::Write as _;

use crate::schema::{Field, Message, Struct, Type};
use crate::shape::{default_value, derives_default, field_name, rust_type};
use crate::versions::Versions;

pub fn definition(message: &Message, part: &Struct, out: &mut String) {
    if part.name == message.name {
        writeln!(out, "/// Kafka's `{}`, {}.", message.name, message.versions.described()).unwrap();
    } else {
        writeln!(out, "/// `{}` in [`{}`], {}.", part.name, message.name, part.versions.described()).unwrap();
    }
    let derives = part.fields.iter().all(derives_default);
    let default = if derives { ", Default" } else { "" };
    writeln!(out, "#[derive(Debug, Clone, PartialEq{default})]").unwrap();
    if part.fields.is_empty() {
        writeln!(out, "pub struct {} {{}}\n", part.name).unwrap();
        return;
    }
    writeln!(out, "pub struct {} {{", part.name).unwrap();
    for field in &part.fields {
        writeln!(out, "    /// {}", field_doc(part, field)).unwrap();
        writeln!(out, "    pub {}: {},", field_name(field), rust_type(field)).unwrap();
    }
    out.push_str("}\n\n");
    if !derives {
        writeln!(out, "impl Default for {} {{\n    fn default() -> Self {{\n        Self {{", part.name)
            .unwrap();
        for field in &part.fields {
            writeln!(out, "            {}: {},", field_name(field), default_value(field)).unwrap();
        }
        out.push_str("        }\n    }\n}\n\n");
    }
}

fn field_doc(part: &Struct, field: &Field) -> String {
    let mut doc = format!("`{}`, {}", field.name, schema_type(&field.kind));
    if field.versions != part.versions {
        write!(doc, ", {}", field.versions.described()).unwrap();
    }
    if let Some(tag) = field.tag {
        write!(doc, ", tag {tag}").unwrap();
    }
    match field.nullable.map(|nullable| nullable.intersect(field.versions)) {
        Some(nullable) if nullable.is_empty() => doc.push_str(", never null on the wire"),
        Some(nullable) if nullable != field.versions => {
            write!(doc, ", or null in {}", nullable.described()).unwrap()
        }
        Some(_) => doc.push_str(", or null"),
        None => {}
    }
    if let Some(default) = &field.default {
        write!(doc, ", default {default}").unwrap();
    }
    if field.versions != part.versions && field.ignorable {
        doc.push_str(", dropped by other versions");
    }
    doc.push('.');
    doc
}

fn schema_type(kind: &Type) -> String {
    match kind {
        Type::Bool => "bool".to_owned(),
        Type::Int8 => "int8".to_owned(),
        Type::Int16 => "int16".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Uint16 => "uint16".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Float64 => "float64".to_owned(),
        Type::Uuid => "uuid".to_owned(),
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Records => "records".to_owned(),
        Type::Struct(name) => format!("[`{name}`]"),
        Type::Array(element) => format!("array of {}", schema_type(element)),
    }
}

pub fn message_impl(message: &Message, out: &mut String) {
    let Message { name, versions: Versions { first, last }, .. } = message;
    write!(
        out,
        "impl Message for {name} {{
    const NAME: &'static str = \"{name}\";
    const VERSIONS: std::ops::RangeInclusive<i16> = {first}..={last};

    fn decode(r: &mut Reader, v: i16) -> Result<Self, Error> {{
        Error::check_version::<Self>(v)?;
        Self::read(r, v)
    }}

    fn encode(&self, w: &mut Writer, v: i16) -> Result<(), Error> {{
        Error::check_version::<Self>(v)?;
        self.write(w, v)
    }}
}}
"
    )
    .unwrap();
    if message.kind == "request" {
        let api = name.strip_suffix("Request").expect("a request's name ends so");
        write!(
            out,
            "
impl Request for {name} {{
    const API: crate::ApiKey = crate::ApiKey::{api};
    type Response = super::{api}Response;
}}
"
        )
        .unwrap();
    }
}
