//! The schema's line format, as `cargo xtask schema` writes it.

use std::iter::Peekable;

use crate::versions::Versions;

/// One request, response, header, record key, record value, or other piece of data.
pub struct Message {
    pub kind: String,
    pub name: String,
    pub api: Option<i16>,
    pub versions: Versions,
    pub flexible: Versions,
    pub listeners: Vec<String>,
    /// The latest version may still change: it is understood but not advertised.
    pub unstable: bool,
    /// The message itself, then the structs inside it.
    pub structs: Vec<Struct>,
}

pub struct Struct {
    pub name: String,
    /// The versions at which the struct is used anywhere in its message.
    pub versions: Versions,
    pub fields: Vec<Field>,
}

pub struct Field {
    /// In Kafka's spelling.
    pub name: String,
    pub kind: Type,
    pub versions: Versions,
    /// Where null is allowed. `Some` of an empty range still makes the field an `Option`.
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    /// As written, where it is not the type's zero; `null` for null.
    pub default: Option<String>,
    /// A value that a version cannot carry is dropped in silence.
    pub ignorable: bool,
    /// Keeps its classic encoding at flexible versions.
    pub never_flexible: bool,
}

#[derive(Clone, PartialEq)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint16,
    Uint32,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

/// Parses one schema file.
pub fn parse(text: &str) -> Vec<Message> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut lines = lines.map(|line| {
        let content = line.trim_start();
        ((line.len() - content.len()) / 2, content)
    });
    let mut lines = lines.by_ref().peekable();
    let mut messages = Vec::new();
    while let Some((depth, line)) = lines.next() {
        assert_eq!(depth, 0, "'{line}' belongs to no message");
        let mut message = parse_head(line);
        let mut structs =
            vec![Struct { name: message.name.clone(), versions: Versions::NONE, fields: Vec::new() }];
        structs[0].fields = parse_fields(1, &mut lines, &mut structs);
        message.structs = structs;
        messages.push(message);
    }
    messages
}

fn parse_head(line: &str) -> Message {
    let mut words = line.split(' ');
    let (kind, name) = (words.next().unwrap().to_owned(), words.next().expect("a message's name").to_owned());
    let mut message = Message {
        kind,
        name,
        api: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        listeners: Vec::new(),
        unstable: false,
        structs: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("api", key)) => message.api = Some(key.parse().unwrap()),
            Some(("versions", versions)) => message.versions = Versions::parse(versions),
            Some(("flexible", versions)) => message.flexible = Versions::parse(versions),
            Some(("listeners", all)) => message.listeners = all.split(',').map(str::to_owned).collect(),
            None if word == "unstable" => message.unstable = true,
            _ => panic!("'{word}' in '{line}'"),
        }
    }
    message
}

/// Parses the fields that stand at `depth`; structs met on the way go to `structs`.
fn parse_fields<'a>(
    depth: usize,
    lines: &mut Peekable<impl Iterator<Item = (usize, &'a str)>>,
    structs: &mut Vec<Struct>,
) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some((_, line)) = lines.next_if(|(at, _)| *at == depth) {
        if let Some(shared) = line.strip_prefix("struct ") {
            let name = shared.split(' ').next().unwrap().to_owned();
            add_struct(name, depth, lines, structs);
            continue;
        }
        let field = parse_field(line);
        if lines.peek().is_some_and(|(at, _)| *at > depth) {
            add_struct(struct_name(&field.kind).expect("only structs have fields"), depth, lines, structs);
        }
        fields.push(field);
    }
    fields
}

fn add_struct<'a>(
    name: String,
    depth: usize,
    lines: &mut Peekable<impl Iterator<Item = (usize, &'a str)>>,
    structs: &mut Vec<Struct>,
) {
    let at = structs.len();
    structs.push(Struct { name, versions: Versions::NONE, fields: Vec::new() });
    structs[at].fields = parse_fields(depth + 1, lines, structs);
}

fn parse_field(line: &str) -> Field {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_else(|| panic!("'{line}' is too short"));
    let mut field = Field {
        name: next().to_owned(),
        kind: parse_type(next()),
        versions: Versions::parse(next()),
        nullable: None,
        tag: None,
        default: None,
        ignorable: false,
        never_flexible: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("nullable", versions)) => field.nullable = Some(Versions::parse(versions)),
            Some(("tag", tag)) => field.tag = Some(tag.parse().unwrap()),
            Some(("default", value)) => field.default = Some(value.to_owned()),
            Some(("flexible", "none")) => field.never_flexible = true,
            None if word == "ignorable" => field.ignorable = true,
            _ => panic!("'{word}' in '{line}'"),
        }
    }
    // Kafka's records are null unless given, whatever their definition says.
    if field.kind == Type::Records {
        field.nullable = field.nullable.or(Some(Versions::NONE));
        field.default = Some("null".to_owned());
    }
    field
}

fn parse_type(text: &str) -> Type {
    match text {
        "bool" => Type::Bool,
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "uint16" => Type::Uint16,
        "uint32" => Type::Uint32,
        "float64" => Type::Float64,
        "uuid" => Type::Uuid,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ => match text.strip_prefix("[]") {
            Some(element) => Type::Array(Box::new(parse_type(element))),
            None => {
                assert!(text.starts_with(char::is_uppercase), "type '{text}'");
                Type::Struct(text.to_owned())
            }
        },
    }
}

/// The struct that a type is or holds.
pub fn struct_name(kind: &Type) -> Option<String> {
    match kind {
        Type::Struct(name) => Some(name.clone()),
        Type::Array(element) => struct_name(element),
        _ => None,
    }
}
