use ottla_node::coordination::metadata::voters::VoterRefusal;
use ottla_node::ports::VoterError;
use ottla_wire::messages::add_raft_voter_request::Listener;

use super::*;

const DIRECTORY: Uuid = Uuid::from_bytes([7; 16]);

#[test]
fn a_voter_is_a_node_with_a_directory_and_a_place() {
    let whole = AddRaftVoterRequest {
        voter_id: 3,
        voter_directory_id: DIRECTORY,
        listeners: vec![Listener::default()],
        ..Default::default()
    };
    let (node, directory) = (BrokerId::new(3), DirectoryId(DIRECTORY));
    assert_eq!(addition(&whole), Ok(VoterChange::Add { node, directory }));
    let refused = [
        AddRaftVoterRequest { voter_id: -1, ..whole.clone() },
        AddRaftVoterRequest { voter_directory_id: Uuid::ZERO, ..whole.clone() },
        AddRaftVoterRequest { listeners: Vec::new(), ..whole },
    ];
    for request in refused {
        assert_eq!(addition(&request).unwrap_err().code, ErrorCode::INVALID_REQUEST, "{request:?}");
    }
    let whole = RemoveRaftVoterRequest { voter_id: 3, voter_directory_id: DIRECTORY, ..Default::default() };
    assert_eq!(removal(&whole), Ok(VoterChange::Remove { node, directory }));
    let refused = [
        RemoveRaftVoterRequest { voter_id: -1, ..whole.clone() },
        RemoveRaftVoterRequest { voter_directory_id: Uuid::ZERO, ..whole },
    ];
    for request in refused {
        assert_eq!(removal(&request).unwrap_err().code, ErrorCode::INVALID_REQUEST, "{request:?}");
    }
}

#[test]
fn refusals_are_kafkas() {
    let (node, directory) = (BrokerId::new(3), DirectoryId(DIRECTORY));
    let (admitted, asked) = (directory, DirectoryId(Uuid::ZERO));
    let refusals = [
        (VoterRefusal::Duplicate { node, directory }, ErrorCode::DUPLICATE_VOTER),
        (VoterRefusal::NotFound { node, directory }, ErrorCode::VOTER_NOT_FOUND),
        (VoterRefusal::NoVoter(node), ErrorCode::VOTER_NOT_FOUND),
        (VoterRefusal::NoMember(node), ErrorCode::REQUEST_TIMED_OUT),
        (VoterRefusal::Lagging { node, lag: Some(11) }, ErrorCode::REQUEST_TIMED_OUT),
        (VoterRefusal::Silent(node), ErrorCode::REQUEST_TIMED_OUT),
        (VoterRefusal::Busy, ErrorCode::REQUEST_TIMED_OUT),
        (VoterRefusal::OtherDirectory { node, admitted, asked }, ErrorCode::INVALID_REQUEST),
        (VoterRefusal::LastVoter(node), ErrorCode::INVALID_REQUEST),
        (VoterRefusal::Listed(node), ErrorCode::INVALID_REQUEST),
    ];
    for (refusal, code) in refusals {
        assert_eq!(errors::voter(&refusal.into()).code, code);
    }
    let (here, asked) = ("a".to_owned(), "b".to_owned());
    let others = [
        (VoterError::Unavailable(String::new()), ErrorCode::NOT_CONTROLLER),
        (VoterError::Unknown(String::new()), ErrorCode::REQUEST_TIMED_OUT),
        (VoterError::OtherCluster { here, asked }, ErrorCode::INCONSISTENT_CLUSTER_ID),
    ];
    for (error, code) in others {
        assert_eq!(errors::voter(&error).code, code);
    }
}
