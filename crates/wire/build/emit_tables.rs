//! The tables: API keys with their versions, and error codes.

use std::fmt::Write as _;

use crate::schema::Message;
use crate::shape::snake_case;
use crate::versions::Versions;

/// `enum ApiKey`, its facts as `const fn facts`, and the list of all.
pub fn api_keys(messages: &[Message]) -> String {
    let mut requests: Vec<&Message> = messages.iter().filter(|message| message.kind == "request").collect();
    requests.sort_by_key(|request| request.api);
    let name = |request: &Message| request.name.strip_suffix("Request").unwrap().to_owned();

    let mut out = String::from(
        "/// An API that a broker's listener serves.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         #[repr(i16)]\npub enum ApiKey {\n",
    );
    for request in &requests {
        let (api, key) = (name(request), request.api.expect("a request has a key"));
        let module = snake_case(&request.name);
        writeln!(out, "    /// [`{module}`](crate::messages::{module}), {}.", request.versions.described())
            .unwrap();
        writeln!(out, "    {api} = {key},").unwrap();
    }
    out.push_str(
        "}\n\nimpl ApiKey {\n    /// All APIs in the order of their keys.\n    pub const ALL: &[Self] = &[\n",
    );
    requests.iter().for_each(|request| writeln!(out, "        Self::{},", name(request)).unwrap());
    out.push_str("    ];\n\n    const fn facts(self) -> Facts {\n        match self {\n");
    for request in &requests {
        let Versions { first, last } = request.versions;
        // The response has no listeners of its own, but may not be flexible where its request is.
        let response = format!("{}Response", name(request));
        let response =
            messages.iter().find(|m| m.name == response).unwrap_or_else(|| panic!("no {response}"));
        assert_eq!(request.versions, response.versions, "{}", request.name);
        assert_eq!(request.flexible, response.flexible, "{}", request.name);
        let flexible = if request.flexible.is_empty() {
            "None".to_owned()
        } else {
            assert_eq!(request.flexible.last, last, "{}", request.name);
            format!("Some({})", request.flexible.first)
        };
        writeln!(
            out,
            "            Self::{api} => Facts {{ name: \"{api}\", first: {first}, last: {last}, stable: {stable}, \
             flexible: {flexible}, controller: {controller} }},",
            api = name(request),
            stable = if request.unstable { last - 1 } else { last },
            controller = request.listeners.iter().any(|listener| listener == "controller"),
        )
        .unwrap();
    }
    out.push_str("        }\n    }\n}\n\n");
    out.push_str(
        "/// Calls the macro `$then` with one line `Api ApiRequest ApiResponse;` for every [`ApiKey`], so that a table over all\n\
         /// APIs cannot forget one. Type names are those of [`messages`](crate::messages).\n\
         #[macro_export]\nmacro_rules! for_each_api {\n    ($then:ident) => {\n        $then! {\n",
    );
    for request in &requests {
        let api = name(request);
        writeln!(out, "            {api} {api}Request {api}Response;").unwrap();
    }
    out.push_str("        }\n    };\n}\n");
    out
}

/// One constant per error code, and the table by code.
pub fn error_codes(table: &str) -> String {
    let mut constants = String::from("impl ErrorCode {\n");
    let mut facts =
        String::from("const fn facts(code: i16) -> Option<(&'static str, bool)> {\n    Some(match code {\n");
    let mut all =
        String::from("    /// Every code Kafka has a name for, in order.\n    pub const ALL: &[Self] = &[\n");
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split('\t').collect();
        let [code, name, retriable] = words[..] else { panic!("error code '{line}'") };
        let retriable: bool = retriable.parse().expect("true or false");
        let advice = if retriable { "a client retries" } else { "final" };
        writeln!(
            constants,
            "    /// `{name}`, {code}: {advice}.\n    pub const {name}: Self = Self({code});"
        )
        .unwrap();
        writeln!(facts, "        {code} => (\"{name}\", {retriable}),").unwrap();
        writeln!(all, "        Self({code}),").unwrap();
    }
    format!("{constants}\n{all}    ];\n}}\n\n{facts}        _ => return None,\n    }})\n}}\n")
}
