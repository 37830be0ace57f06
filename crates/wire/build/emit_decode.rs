//! The reader of each struct: `fn read(r: &mut Reader, v: i16) -> Result<Self, Error>`.

use std::fmt::Write as _;

use crate::schema::{Field, Message, Struct, Type};
use crate::shape::{default_value, field_name, is_error_code, smallest};

pub fn function(message: &Message, part: &Struct, out: &mut String) {
    let flexible = message.flexible.condition(part.versions);
    let tagged: Vec<&Field> = part.fields.iter().filter(|field| field.tag.is_some()).collect();
    let mut body = String::new();

    let open = if tagged.is_empty() { "let this = Self {\n" } else { "let mut this = Self {\n" };
    body.push_str(open);
    for field in &part.fields {
        let value = match field.versions.condition(part.versions).as_str() {
            _ if field.tag.is_some() => default_value(field),
            "true" => value(message, part, field),
            test => {
                format!("if {test} {{ {} }} else {{ {} }}", value(message, part, field), default_value(field))
            }
        };
        writeln!(body, "            {}: {value},", field_name(field)).unwrap();
    }
    body.push_str("        };\n");

    if flexible != "false" {
        body.push_str("        if flex {\n");
        if tagged.is_empty() {
            body.push_str("            r.skip_tags()?;\n");
        } else {
            body.push_str("            r.tags(|r, tag| {\n                match tag {\n");
            for field in tagged {
                let test = match field.versions.condition(message.flexible.intersect(part.versions)) {
                    test if test == "true" => String::new(),
                    test => format!(" if {test}"),
                };
                let (tag, name) = (field.tag.unwrap(), field_name(field));
                let value = value(message, part, field);
                writeln!(body, "                    {tag}{test} => this.{name} = {value},").unwrap();
                // Unlike a tag nobody knows, one of another version is refused by Kafka too.
                if !test.is_empty() {
                    writeln!(body, "                    {tag} => return Err(Error::UnexpectedTag(tag)),")
                        .unwrap();
                }
            }
            body.push_str(
                "                    _ => return Ok(false),\n                }\n                Ok(true)\n",
            );
            body.push_str("            })?;\n");
        }
        body.push_str("        }\n");
    }
    body.push_str("        Ok(this)\n");

    write!(
        out,
        "    fn read(r: &mut Reader, v: i16) -> Result<Self, Error> {{
        let flex = {flexible};
        {body}    }}

"
    )
    .unwrap();
}

/// The expression that reads a field where it is present.
fn value(message: &Message, part: &Struct, field: &Field) -> String {
    // Tagged fields occur at flexible versions only.
    let flex = match () {
        () if field.never_flexible => "false",
        () if field.tag.is_some() => "true",
        () => "flex",
    };
    let Some(nullable) = field.nullable else {
        return match &field.kind {
            Type::Int16 if is_error_code(field) => "ErrorCode(r.i16()?)".to_owned(),
            Type::Array(element) => {
                let smallest = smallest(message, element, field.versions);
                format!("r.array({flex}, {smallest}, {})?", element_reader(element, flex))
            }
            kind => format!("{}?", plain(kind, flex)),
        };
    };
    let null = nullable.condition(field.versions.intersect(part.versions));
    match &field.kind {
        Type::String => format!("r.nullable_string({flex}, {null})?"),
        Type::Bytes => format!("r.nullable_bytes({flex}, {null})?"),
        Type::Records => format!("r.nullable_records({flex}, {null})?"),
        Type::Array(element) => {
            let smallest = smallest(message, element, field.versions);
            format!("r.nullable_array({flex}, {null}, {smallest}, {})?", element_reader(element, flex))
        }
        // The marker of a nullable struct is a byte, but a varint where the struct is tagged.
        Type::Struct(name) if field.tag.is_some() => {
            format!("r.nullable_tagged_struct({null}, |r| {name}::read(r, v))?")
        }
        Type::Struct(name) => format!("r.nullable_struct({null}, |r| {name}::read(r, v))?"),
        _ => panic!("{} of {} cannot be null", field.name, part.name),
    }
}

fn element_reader(kind: &Type, flex: &str) -> String {
    match kind {
        Type::Struct(_) | Type::String | Type::Bytes => format!("|r| {}", plain(kind, flex)),
        _ => plain(kind, flex).replace("r.", "Reader::").replace("()", ""),
    }
}

fn plain(kind: &Type, flex: &str) -> String {
    match kind {
        Type::Bool => "r.bool()".to_owned(),
        Type::Int8 => "r.i8()".to_owned(),
        Type::Int16 => "r.i16()".to_owned(),
        Type::Int32 => "r.i32()".to_owned(),
        Type::Int64 => "r.i64()".to_owned(),
        Type::Uint16 => "r.u16()".to_owned(),
        Type::Uint32 => "r.u32()".to_owned(),
        Type::Float64 => "r.f64()".to_owned(),
        Type::Uuid => "r.uuid()".to_owned(),
        Type::String => format!("r.string({flex})"),
        Type::Bytes => format!("r.bytes({flex})"),
        Type::Struct(name) => format!("{name}::read(r, v)"),
        Type::Records | Type::Array(_) => panic!("no message has this inside an array"),
    }
}
