//! The writer of each struct: `fn write(&self, w: &mut Writer, v: i16) -> Result<(), Error>`.

use std::fmt::Write as _;

use crate::schema::{Field, Message, Struct, Type};
use crate::shape::{differs_from_default, field_name, is_error_code};

pub fn function(message: &Message, part: &Struct, out: &mut String) {
    let flexible = message.flexible.condition(part.versions);
    let mut body = String::new();
    for field in part.fields.iter().filter(|field| field.tag.is_none()) {
        let write = value(part, field);
        match field.versions.condition(part.versions).as_str() {
            "true" => writeln!(body, "        {write};").unwrap(),
            test => {
                let refuse = refuse(message, field);
                writeln!(body, "        if {test} {{\n            {write};\n        }}{refuse}").unwrap();
            }
        }
    }
    body.push_str(&tag_section(message, part, &flexible));
    write!(
        out,
        "    fn write(&self, w: &mut Writer, v: i16) -> Result<(), Error> {{
        let flex = {flexible};
{body}        Ok(())
    }}
"
    )
    .unwrap();
}

/// What happens to a value that the version has no place for: dropped if the schema says so, else an error.
fn refuse(message: &Message, field: &Field) -> String {
    if field.ignorable {
        return String::new();
    }
    format!(
        " else if {} {{\n            return Err(Error::unsupported_field::<{}>(\"{}\", v));\n        }}",
        differs_from_default(field),
        message.name,
        field.name
    )
}

/// Tagged fields are written in the order of their tags and only where they differ from their default.
fn tag_section(message: &Message, part: &Struct, flexible: &str) -> String {
    if flexible == "false" {
        return String::new();
    }
    let mut tagged: Vec<&Field> = part.fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    if tagged.is_empty() {
        return "        if flex {\n            w.no_tags();\n        }\n".to_owned();
    }
    let mut out = String::new();
    let mut count = Vec::new();
    let mut writes = String::new();
    for field in tagged {
        let tag = field.tag.unwrap();
        let differs = differs_from_default(field);
        let outside = field.versions.outside(part.versions);
        match (outside.as_str(), field.ignorable) {
            ("false", _) => writeln!(out, "        let tag{tag} = {differs};").unwrap(),
            (_, true) => {
                let test = field.versions.condition(part.versions);
                writeln!(out, "        let tag{tag} = {test} && {differs};").unwrap();
            }
            (_, false) => {
                let error = format!("Error::unsupported_field::<{}>(\"{}\", v)", message.name, field.name);
                writeln!(out, "        let tag{tag} = {differs};").unwrap();
                writeln!(
                    out,
                    "        if tag{tag} && ({outside}) {{\n            return Err({error});\n        }}"
                )
                .unwrap();
            }
        }
        count.push(format!("u32::from(tag{tag})"));
        let body = value(part, field);
        writeln!(writes, "            if tag{tag} {{").unwrap();
        writeln!(writes, "                w.tag({tag}, |w| {{\n                    {body};").unwrap();
        writes.push_str("                    Ok(())\n                })?;\n            }\n");
    }
    writeln!(out, "        if flex {{\n            w.uvarint({});\n{writes}        }}", count.join(" + "))
        .unwrap();
    out
}

/// The statement that writes a field where it is present.
fn value(part: &Struct, field: &Field) -> String {
    let flex = match () {
        () if field.never_flexible => "false",
        () if field.tag.is_some() => "true",
        () => "flex",
    };
    let name = format!("self.{}", field_name(field));
    let Some(nullable) = field.nullable else {
        return match &field.kind {
            Type::Int16 if is_error_code(field) => format!("w.error_code({name})"),
            Type::Array(element) => format!("w.array({flex}, &{name}, {})?", element_writer(element, flex)),
            Type::String => format!("w.string({flex}, &{name})?"),
            Type::Bytes => format!("w.bytes({flex}, &{name})?"),
            Type::Struct(_) => format!("{name}.write(w, v)?"),
            kind => format!("w.{}({name})", scalar(kind)),
        };
    };
    let null = nullable.condition(field.versions.intersect(part.versions));
    match &field.kind {
        Type::String => format!("w.nullable_string({flex}, {null}, {name}.as_deref())?"),
        Type::Bytes => format!("w.nullable_bytes({flex}, {null}, {name}.as_deref())?"),
        Type::Records => format!("w.nullable_records({flex}, {null}, {name}.as_ref())?"),
        Type::Array(element) => {
            let element = element_writer(element, flex);
            format!("w.nullable_array({flex}, {null}, {name}.as_deref(), {element})?")
        }
        Type::Struct(_) if field.tag.is_some() => {
            format!("w.nullable_tagged_struct({null}, {name}.as_ref(), |w, x| x.write(w, v))?")
        }
        Type::Struct(_) => format!("w.nullable_struct({null}, {name}.as_ref(), |w, x| x.write(w, v))?"),
        _ => panic!("{} of {} cannot be null", field.name, part.name),
    }
}

fn element_writer(kind: &Type, flex: &str) -> String {
    match kind {
        Type::String => format!("|w, x| w.string({flex}, x)"),
        Type::Bytes => format!("|w, x| w.bytes({flex}, x)"),
        Type::Struct(_) => "|w, x| x.write(w, v)".to_owned(),
        kind => format!("|w, x| {{ w.{}(*x); Ok(()) }}", scalar(kind)),
    }
}

fn scalar(kind: &Type) -> &'static str {
    match kind {
        Type::Bool => "bool",
        Type::Int8 => "i8",
        Type::Int16 => "i16",
        Type::Int32 => "i32",
        Type::Int64 => "i64",
        Type::Uint16 => "u16",
        Type::Uint32 => "u32",
        Type::Float64 => "f64",
        Type::Uuid => "uuid",
        _ => panic!("not a scalar"),
    }
}
