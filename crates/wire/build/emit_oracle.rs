//! For this crate's tests only, which include the file: how each struct looks in the JSON of Kafka's converters, random
//! values of it, and the list of all messages. None of it is in the library.

use std::fmt::Write as _;

use crate::schema::{Message, Struct, Type};
use crate::shape::{default_value, differs_from_default, field_name, json_name, snake_case};

pub fn all(messages: &[Message]) -> String {
    let mut out =
        String::from("/// Every message of the schema.\npub fn subjects() -> Vec<Subject> {\n    vec![\n");
    for message in messages {
        writeln!(out, "        Subject::of::<ottla_wire::messages::{}>(),", message.name).unwrap();
    }
    out.push_str("    ]\n}\n\n");
    for message in messages {
        let module = snake_case(&message.name);
        writeln!(out, "mod {module} {{\n    use ottla_wire::messages::{module}::*;\n\n    use super::*;\n")
            .unwrap();
        for part in &message.structs {
            json(part, &mut out);
            random(part, &mut out);
        }
        out.push_str("}\n\n");
    }
    out
}

/// Kafka's converters write the fields of the version, a tagged one only if it differs from its default.
fn json(part: &Struct, out: &mut String) {
    writeln!(out, "    impl Json for {} {{\n        fn json(&self, v: i16) -> Value {{", part.name).unwrap();
    out.push_str("            let mut object = serde_json::Map::new();\n");
    for field in &part.fields {
        let name = field_name(field);
        let mut test = field.versions.condition(part.versions);
        if field.tag.is_some() {
            test = both(&test, &differs_from_default(field));
        }
        let insert = match field.kind {
            Type::Records => format!("insert_records(&mut object, \"{}\", &self.{name})", json_name(field)),
            _ => format!("object.insert(\"{}\".to_owned(), self.{name}.json(v));", json_name(field)),
        };
        writeln!(out, "            if {test} {{ {insert} }}").unwrap();
    }
    out.push_str("            Value::Object(object)\n        }\n    }\n\n");
}

/// Only fields of the version get a value, since the others cannot be written.
fn random(part: &Struct, out: &mut String) {
    writeln!(out, "    impl Random for {} {{\n        fn random(r: &mut Rng, v: i16) -> Self {{", part.name)
        .unwrap();
    out.push_str("            Self {\n");
    for field in &part.fields {
        let mut test = field.versions.condition(part.versions);
        if field.tag.is_some() {
            test = both(&test, "!r.one_in(3)");
        }
        let value = match field.nullable {
            None => "Random::random(r, v)".to_owned(),
            Some(nullable) => {
                let null = nullable.condition(field.versions.intersect(part.versions));
                format!("if {} {{ None }} else {{ Some(Random::random(r, v)) }}", both(&null, "r.one_in(4)"))
            }
        };
        let default = default_value(field);
        writeln!(out, "                {}: if {test} {{ {value} }} else {{ {default} }},", field_name(field))
            .unwrap();
    }
    out.push_str("            }\n        }\n    }\n\n");
}

fn both(test: &str, other: &str) -> String {
    match test {
        "true" => other.to_owned(),
        "false" => "false".to_owned(),
        _ => format!("{test} && {other}"),
    }
}
