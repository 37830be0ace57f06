use it::interop::client::Client;

use super::cells::{CELLS, Story};

#[test]
fn every_protocol_of_every_client_is_a_cell_once() {
    let mut expected: Vec<String> = Client::ALL
        .iter()
        .flat_map(|client| client.protocols().iter().map(move |protocol| format!("{client:?} {protocol:?}")))
        .collect();
    let mut cells: Vec<String> = CELLS
        .iter()
        .filter_map(|cell| match cell.story {
            Story::Share(client, protocol) => Some(format!("{client:?} {protocol:?}")),
            Story::Tool(_) => None,
        })
        .collect();
    expected.sort();
    cells.sort();
    assert_eq!(cells, expected);
}

#[test]
fn the_document_has_a_line_for_every_cell() {
    let document = std::fs::read_to_string(it::project::root().join("docs/compatibility.md")).unwrap();
    let lines: Vec<(&str, &str)> = document
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .map(|columns| (columns[0].trim_start_matches("| "), columns[2]))
        .collect();
    let cells: Vec<(&str, &str)> = CELLS.iter().map(|cell| (cell.client, cell.feature)).collect();
    assert_eq!(lines, cells, "run `cargo xtask interop`");
}
