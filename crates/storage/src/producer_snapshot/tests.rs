use super::*;

fn states() -> ProducerStates {
    let batch = |sequence, offset| RecentBatch {
        last_sequence: Sequence::new(sequence),
        last_offset: Offset::new(offset),
        offset_delta: 1,
        timestamp: Some(Timestamp::from_millis(77)),
    };
    let mut states = ProducerStates::default();
    states.restore(
        ProducerId::new(9),
        Producer {
            epoch: ProducerEpoch::new(3),
            coordinator_epoch: Some(2),
            last_timestamp: Some(Timestamp::from_millis(77)),
            transaction_start: Some(Offset::new(10)),
            recent: vec![batch(1, 11), batch(3, 13), batch(5, 15)],
        },
    );
    states.restore(
        ProducerId::new(4),
        Producer {
            epoch: ProducerEpoch::new(0),
            coordinator_epoch: None,
            last_timestamp: None,
            transaction_start: None,
            recent: Vec::new(),
        },
    );
    states
}

#[test]
fn what_is_written_is_read_with_every_recent_batch() {
    for states in [ProducerStates::default(), states()] {
        assert_eq!(decode(&encode(&states)).unwrap(), states);
    }
    assert_eq!(encode(&ProducerStates::default()).len(), 10);
    assert_eq!(encode(&states()).len(), 10 + 2 * 46 + 8 + 2 * 32);
}

#[test]
fn a_snapshot_without_our_part_has_the_last_batch_only() {
    let mut bytes = encode(&states());
    bytes.truncate(10 + 2 * 46);
    let crc = crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    let read = decode(&bytes).unwrap();
    let producer = read.get(ProducerId::new(9)).unwrap();
    assert_eq!(producer.recent.len(), 1);
    assert_eq!(producer.next_sequence(), Some(Sequence::new(6)));
    assert_eq!(read.first_unstable_offset(), Some(Offset::new(10)));
}

#[test]
fn damage_anywhere_is_noticed() {
    let sound = encode(&states());
    for at in 0..sound.len() {
        for bit in [1, 0x80] {
            let mut bytes = sound.clone();
            bytes[at] ^= bit;
            assert!(decode(&bytes).is_err(), "byte {at}");
        }
        assert!(decode(&sound[..at]).is_err(), "cut at {at}");
    }
    // A claimed count costs nothing, even with a matching CRC.
    let mut bytes = vec![0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    let crc = crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(decode(&bytes), Err(SnapshotError::Short));
}
