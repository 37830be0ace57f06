//! `server.properties`: the syntax of `java.util.Properties`.
//!
//! A key ends at the first `=`, `:` or blank that no backslash precedes. `#` and `!` begin a comment line. A backslash at
//! the end of a line continues it, and the blanks the next line begins with do not count. `\t`, `\n`, `\r`, `\f` and
//! `\uXXXX` are what they are in Java; any other escaped character is itself. The text is UTF-8.

use std::iter::Peekable;
use std::str::Chars;

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Line the key stands on, from 1.
    pub line: usize,
    /// The key.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A line that is not one of `java.util.Properties`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads a whole file. The same key may come twice; the last one counts, as in Java.
pub fn parse(text: &str) -> Result<Vec<Property>, SyntaxError> {
    let mut properties = Vec::new();
    let mut lines = Lines { rest: text, line: 0 };
    while let Some((line, logical)) = lines.next_logical() {
        let mut chars = logical.chars().peekable();
        let name = unescape_until(&mut chars, line, is_separator)?;
        skip_separator(&mut chars);
        let value = unescape_until(&mut chars, line, |_| false)?;
        properties.push(Property { line, name, value });
    }
    Ok(properties)
}

/// Cuts a text into logical lines: comments and empty lines left out, continued lines joined.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next_natural(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        let (natural, after) = self.rest.split_at(end);
        self.rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\n', '\r'])).unwrap_or(after);
        Some(natural)
    }

    fn next_logical(&mut self) -> Option<(usize, String)> {
        loop {
            let natural = self.next_natural()?.trim_start_matches(is_blank);
            // A line with nothing but a backslash continues nothing: what follows begins anew, a comment among others.
            if natural.is_empty()
                || (natural == "\\" && !self.rest.is_empty())
                || natural.starts_with(['#', '!'])
            {
                continue;
            }
            let line = self.line;
            let mut logical = natural.to_owned();
            while ends_in_escape(&logical) {
                logical.pop();
                match self.next_natural() {
                    Some(next) => logical.push_str(next.trim_start_matches(is_blank)),
                    None => break,
                }
            }
            return Some((line, logical));
        }
    }
}

/// An odd number of backslashes at the end: the last one escapes the line's end.
fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}

fn is_separator(character: char) -> bool {
    matches!(character, '=' | ':') || is_blank(character)
}

/// Blanks, at most one `=` or `:`, blanks.
fn skip_separator(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|character| is_blank(*character)).is_some() {}
    if chars.next_if(|character| matches!(character, '=' | ':')).is_some() {
        while chars.next_if(|character| is_blank(*character)).is_some() {}
    }
}

fn unescape_until(
    chars: &mut Peekable<Chars<'_>>,
    line: usize,
    ends: impl Fn(char) -> bool,
) -> Result<String, SyntaxError> {
    let mut text = String::new();
    while let Some(character) = chars.next_if(|character| !ends(*character)) {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match chars.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\u{c}'),
            Some('u') => text.push(unicode_escape(chars, line)?),
            Some(other) => text.push(other),
            None => {}
        }
    }
    Ok(text)
}

/// The four digits after `\u`; Java writes characters outside the basic plane as two such escapes.
fn unicode_escape(chars: &mut Peekable<Chars<'_>>, line: usize) -> Result<char, SyntaxError> {
    let malformed =
        SyntaxError { line, what: "a \\u escape needs four hexadecimal digits that make a character" };
    let first = four_digits(chars).ok_or_else(|| malformed.clone())?;
    if let Some(character) = char::from_u32(first) {
        return Ok(character);
    }
    let escaped =
        (0xd800..0xdc00).contains(&first) && chars.next() == Some('\\') && chars.next() == Some('u');
    let second =
        escaped.then(|| four_digits(chars)).flatten().filter(|second| (0xdc00..0xe000).contains(second));
    let second = second.ok_or_else(|| malformed.clone())?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(malformed)
}

fn four_digits(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| Some(number * 16 + chars.next()?.to_digit(16)?))
}
