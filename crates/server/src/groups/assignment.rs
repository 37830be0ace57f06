//! What a member of a classic group was assigned: bytes that clients write for one another, which tools read too.
//!
//! Source: `ConsumerProtocolAssignment.json` of Kafka 4.3. Versions differ in nothing that matters here.

use ottla_rpc::v1;

/// The partitions in an assignment of the protocol type "consumer"; `None` if the bytes are something else.
pub(super) fn partitions(assignment: &[u8]) -> Option<Vec<v1::TopicPartition>> {
    let mut rest = assignment;
    let _version = i16::from_be_bytes(take(&mut rest)?);
    let topics = i32::from_be_bytes(take(&mut rest)?);
    let mut partitions = Vec::new();
    // Each turn takes bytes or ends, so a claimed number costs nothing.
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (topic, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let topic = std::str::from_utf8(topic).ok()?;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            let partition = i32::from_be_bytes(take(&mut rest)?);
            partitions.push(v1::TopicPartition { topic: topic.to_owned(), partition });
        }
    }
    Some(partitions)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(topics: i32) -> Vec<u8> {
        let mut bytes = vec![0, 3];
        bytes.extend(topics.to_be_bytes());
        bytes.extend([0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5]);
        bytes.extend((-1i32).to_be_bytes());
        bytes
    }

    #[test]
    fn partitions_stand_under_their_topic() {
        let found: Vec<_> =
            partitions(&bytes(1)).unwrap().into_iter().map(|p| (p.topic, p.partition)).collect();
        assert_eq!(found, [("a".to_owned(), 0), ("a".to_owned(), 5)]);
    }

    #[test]
    fn what_is_torn_or_foreign_is_no_assignment() {
        let whole = bytes(1);
        for length in 0..whole.len() - 4 {
            assert_eq!(partitions(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(partitions(&bytes(i32::MAX)), None, "claims more than there is");
        assert_eq!(partitions(&bytes(-1)), Some(Vec::new()), "null is empty");
    }
}
