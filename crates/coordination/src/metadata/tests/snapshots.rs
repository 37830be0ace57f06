//! The image as bytes.

use expect_test::expect;

use super::*;

fn full() -> Image {
    let mut image = cluster();
    for line in [
        "register 1 rack=a",
        "unfence 1",
        "register 2 rack=b",
        "unfence 2",
        "create t 2x2 configs=retention.ms:1000",
        "create u.v 1x1",
        "config broker: log.cleaner.threads=2",
        "config broker:2 log.cleaner.threads=3",
        "config group:g consumer.session.timeout.ms=50000",
        "producer-ids 1",
        "fence 2",
    ] {
        run(&mut image, line);
    }
    image
}

#[test]
fn an_image_survives_the_way_through_bytes() {
    let image = full();
    let read = Image::decode(&image.encode().unwrap()).unwrap();
    assert_eq!(show(&read), show(&image));
    assert_eq!(read.hash().unwrap(), image.hash().unwrap());
    // And goes on alike: what is derived (ids, collisions, counts) is there too.
    let (mut a, mut b) = (image, read);
    for line in ["create u_v 1x1", "create w 1x1", "delete #t", "producer-ids 1", "unfence 2"] {
        assert_eq!(run(&mut a, line), run(&mut b, line), "{line}");
    }
    assert_eq!(a.hash().unwrap(), b.hash().unwrap());
}

#[test]
fn the_bytes_of_version_1_stay_readable() {
    // If this changes, old snapshots may not be readable any more: then the new reader must be shown to read this text.
    expect![[r#"{"cluster":"Y2x1c3Rlci4uLi4uLi4uLg","version":12,"metadata_version":1,"next_producer_id":1000,"brokers":[{"id":1,"incarnation":"Zmlyc3QuLi4uLi4uLi4uLg","epoch":2,"directory":"MS4uLi4uLi4uLi4uLi4uLg","endpoints":[{"listener":"PLAINTEXT","protocol":"PLAINTEXT","host":"host1","port":9092}],"rack":"a","fenced":false,"shutting_down":false,"disk_full":false},{"id":2,"incarnation":"Zmlyc3QuLi4uLi4uLi4uLg","epoch":4,"directory":"Mi4uLi4uLi4uLi4uLi4uLg","endpoints":[{"listener":"PLAINTEXT","protocol":"PLAINTEXT","host":"host2","port":9092}],"rack":"b","fenced":true,"shutting_down":false,"disk_full":false}],"topics":[{"name":"t","id":"dC4uLi4uLi4uLi4uLi4uLg","configs":{"retention.ms":"1000"},"partitions":[{"replicas":[1,2],"isr":[1],"leader":1,"leader_epoch":0,"partition_epoch":1},{"replicas":[2,1],"isr":[1],"leader":1,"leader_epoch":1,"partition_epoch":1}]},{"name":"u.v","id":"dS52Li4uLi4uLi4uLi4uLg","configs":{},"partitions":[{"replicas":[1],"isr":[1],"leader":1,"leader_epoch":0,"partition_epoch":0}]}],"broker_configs":[[null,{"log.cleaner.threads":"2"}],[2,{"log.cleaner.threads":"3"}]],"group_configs":[["g",{"consumer.session.timeout.ms":"50000"}]]}"#]].assert_eq(&String::from_utf8(full().encode().unwrap()).unwrap());
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let bytes = full().encode().unwrap();
    for cut in 0..bytes.len() {
        assert!(Image::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        // Without a checksum some flips are another valid image; what is read must at least hold together.
        if let Ok(image) = Image::decode(&flipped) {
            image.check_invariants().unwrap();
        }
    }
}

#[test]
fn images_that_contradict_themselves_are_refused() {
    let text = String::from_utf8(full().encode().unwrap()).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        match Image::decode(text.replace(from, to).as_bytes()) {
            Ok(_) => format!("{to} was accepted\n"),
            Err(e) => format!("{e}\n"),
        }
    };
    expect![[r#"
        the image contradicts itself: a broker or a topic stands there twice
        not an image: Topic name is invalid: 'u/v' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-' at line 1 column 874
        the image contradicts itself: t-0: in-sync replicas that are no replicas, or one named twice
        the image contradicts itself: t-0: leader 2 is not in sync
        the image has metadata version 2, this program knows up to 1: use a newer one
    "#]].assert_eq(
        &[
            refused("\"name\":\"u.v\"", "\"name\":\"t\""),
            refused("\"name\":\"u.v\"", "\"name\":\"u/v\""),
            refused("\"isr\":[1]", "\"isr\":[3]"),
            refused("\"leader\":1", "\"leader\":2"),
            refused("\"metadata_version\":1", "\"metadata_version\":2"),
        ]
        .concat(),
    );
}
