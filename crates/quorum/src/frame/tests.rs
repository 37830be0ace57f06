//! A value comes back as it was, or not at all.

use super::*;

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = encode("the key", &vec![1u64, 2, 3]).unwrap();
    assert_eq!(decode::<Vec<u64>>("the key", &bytes).unwrap(), [1, 2, 3]);
    assert!(matches!(decode::<Vec<u64>>("another key", &bytes), Err(FrameError::Checksum(_))));
    for cut in 0..bytes.len() {
        assert!(
            matches!(decode::<Vec<u64>>("the key", &bytes[..cut]), Err(FrameError::Checksum(_))),
            "cut at {cut}"
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(decode::<Vec<u64>>("the key", &flipped), Err(FrameError::Checksum(_))), "bit {bit}");
    }
}

#[test]
fn a_newer_layout_is_named_as_such() {
    let mut bytes = encode("the key", &"value").unwrap();
    bytes[0] = 2;
    let sum = checksum(2, "the key", &bytes[5..]);
    bytes[1..5].copy_from_slice(&sum.to_le_bytes());
    let error = decode::<String>("the key", &bytes).unwrap_err();
    expect_test::expect!["the key has layout version 2, which this program does not know: use a newer one"]
        .assert_eq(&error.to_string());
}

#[test]
fn the_layout_of_version_1_stays_readable() {
    let bytes = encode("the key", &"value").unwrap();
    expect_test::expect!["[1, 18, 103, 193, 165, 34, 118, 97, 108, 117, 101, 34]"]
        .assert_eq(&format!("{bytes:?}"));
}
