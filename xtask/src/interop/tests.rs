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
