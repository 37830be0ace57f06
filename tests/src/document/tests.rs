use super::*;

fn parse(text: &str) -> anyhow::Result<Vec<Block>> {
    Document::parse("d.md", text).map(|document| document.blocks)
}

#[test]
fn a_block_knows_its_line_and_its_output() {
    let text = "# T\n\n```sh runnable\necho a\n```\n\n```text output\na\n```\n\n```toml\nx = 1\n```\n```python runnable\nprint(1)\n```\n";
    let shell = Block {
        line: 4,
        language: Language::Shell,
        text: "echo a\n".to_owned(),
        output: Some("a\n".to_owned()),
    };
    let python = Block { line: 15, language: Language::Python, text: "print(1)\n".to_owned(), output: None };
    assert_eq!(parse(text).unwrap(), [shell, python]);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    for (text, complaint) in [
        ("```sh runnable\necho\n", "never closed"),
        ("```text output\na\n```\n", "output of nothing"),
        ("```sh runnable\necho\n```\nWords.\n```text output\na\n```\n", "output of nothing"),
        ("Docker:\n\n```sh\ndocker run\n```\n", "untested"),
        ("An untested one.\n\nDocker:\n\n```sh\ndocker run\n```\n", "untested"),
    ] {
        let said = format!("{:#}", parse(text).expect_err(text));
        assert!(said.contains(complaint), "{text}: {said}");
    }
    assert_eq!(parse("Docker (untested here):\n\n```sh\ndocker run\n```\n").unwrap(), []);
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    for (expected, printed, matches) in [
        ("a\nb\n", "a\nb", true),
        ("a\nb\n", "a\nc\n", false),
        ("a\n", "a\nb\n", false),
        ("ready after … ms\n", "ready after 112 ms\n", true),
        ("ready after … ms\n", "ready after 112 s\n", false),
        ("… and …", "x and y", true),
        ("a\n…\nz\n", "a\nz\n", true),
        ("a\n…\nz\n", "a\nb\nc\nz\n", true),
        ("a\n…\nz\n", "a\nb\nc\n", false),
        ("…", "", true),
    ] {
        assert_eq!(is_as_expected(expected, printed), matches, "{expected:?} for {printed:?}");
    }
}
