use super::*;

fn envelope() -> Envelope {
    let party = |n: u8| Party {
        node: BrokerId::new(i32::from(n)),
        directory: DirectoryId(Uuid::from_bytes([n; 16])),
    };
    Envelope { cluster: ClusterId(Uuid::from_bytes([9; 16])), from: party(0), to: party(2) }
}

#[test]
fn an_envelope_comes_back_as_it_was_sent() {
    assert_eq!(v1::Envelope::from(envelope()).try_into(), Ok(envelope()));
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let refused = |tamper: &dyn Fn(&mut v1::Envelope)| {
        let mut sent = v1::Envelope::from(envelope());
        tamper(&mut sent);
        Envelope::try_from(sent).unwrap_err().0
    };
    assert_eq!(refused(&|e| e.cluster_id = Bytes::new()), "cluster_id");
    assert_eq!(refused(&|e| e.cluster_id = Bytes::from_static(&[1; 17])), "cluster_id");
    assert_eq!(refused(&|e| e.from = None), "from");
    assert_eq!(refused(&|e| e.to = None), "to");
    assert_eq!(refused(&|e| e.to.as_mut().unwrap().node_id = -1), "node_id");
    assert_eq!(refused(&|e| e.from.as_mut().unwrap().directory_id.clear()), "directory_id");
}
