//! Each struct of the coordinators' records as a tree of named fields: `fn tree(&self, v: i16) -> Tree`.

use std::fmt::Write as _;

use crate::schema::{Message, Struct};
use crate::shape::{differs_from_default, field_name, json_name};

/// Whether a message is shown to people: only what lies in files.
pub fn is_shown(message: &Message) -> bool {
    matches!(message.kind.as_str(), "data" | "coordinator-key" | "coordinator-value")
}

/// As Kafka's converters to JSON do it: the fields of the version, a tagged one only if it differs from its default.
pub fn function(part: &Struct, out: &mut String) {
    let mut fields = String::new();
    for field in &part.fields {
        let mut test = field.versions.condition(part.versions);
        if field.tag.is_some() {
            let differs = differs_from_default(field);
            test = if test == "true" { differs } else { format!("{test} && {differs}") };
        }
        let named = format!("(\"{}\", self.{}.tree(v))", json_name(field), field_name(field));
        match test.as_str() {
            "true" => writeln!(fields, "            Some({named}),").unwrap(),
            test => writeln!(fields, "            ({test}).then(|| {named}),").unwrap(),
        }
    }
    write!(
        out,
        "impl ToTree for {} {{
    fn tree(&self, v: i16) -> Tree {{
        let fields: [Option<(&'static str, Tree)>; {}] = [
{fields}        ];
        Tree::Fields(fields.into_iter().flatten().collect())
    }}
}}

",
        part.name,
        part.fields.len()
    )
    .unwrap();
}
