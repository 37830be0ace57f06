//! The file that `kafka-consumer-groups.sh --export` writes and `--from-file` reads: `topic,partition,offset` on each line,
//! or `group,topic,partition,offset` where it is about several groups.

use ottla_client::Offset;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: Offset,
}

/// The lines that are about a group.
///
/// # Errors
/// The number of the line and what is wrong with it.
pub(super) fn parse(text: &str, group: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // Names of topics and groups that a file can have need no comma within quotes.
        let fields: Vec<&str> = line.split(',').map(unquoted).collect();
        let (of, topic, partition, offset) = match *fields.as_slice() {
            [topic, partition, offset] => (group, topic, partition, offset),
            [of, topic, partition, offset] => (of, topic, partition, offset),
            _ => return Err(format!("line {}: expected topic,partition,offset, not '{line}'", at + 1)),
        };
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let partition = number(partition).and_then(|number| i32::try_from(number).ok());
        let (Some(partition), Some(offset)) = (partition, number(offset)) else {
            return Err(format!("line {}: partition and offset are numbers from 0, not '{line}'", at + 1));
        };
        if of == group {
            lines.push(Line { topic: topic.to_owned(), partition, offset: Offset::new(offset) });
        }
    }
    Ok(lines)
}

/// One line of the file.
pub(super) fn format(topic: &str, partition: i32, offset: Offset) -> String {
    format!("{topic},{partition},{}", offset.get())
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field)
}
