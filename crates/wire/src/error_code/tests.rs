use super::*;

#[test]
fn codes_have_kafkas_names() {
    assert_eq!(ErrorCode::ALL.len(), 135);
    assert_eq!(ErrorCode::default(), ErrorCode::NONE);
    assert_eq!(ErrorCode(6), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(ErrorCode::NOT_LEADER_OR_FOLLOWER.to_string(), "NOT_LEADER_OR_FOLLOWER");
    assert!(ErrorCode::NOT_LEADER_OR_FOLLOWER.is_retriable());
    assert!(!ErrorCode::OFFSET_OUT_OF_RANGE.is_retriable());
    assert!(ErrorCode::UNKNOWN_SERVER_ERROR.is_error());
    assert!(!ErrorCode::NONE.is_error());
    assert_eq!(ErrorCode(999).to_string(), "error code 999");
    assert!(!ErrorCode(999).is_retriable());
}
