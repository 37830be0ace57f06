use super::*;

#[test]
fn results_come_in_the_order_of_the_items_whoever_is_done_first() {
    let items: Vec<u64> = (0..100).collect();
    // Early items take longest.
    let work = |item: &u64| {
        let spun = (0..(100 - item) * 1_000).fold(*item, |sum, n| sum ^ std::hint::black_box(n));
        if item % 10 == 3 { Err(*item) } else { Ok((*item, std::hint::black_box(spun))) }
    };
    for count in [0, 1, 2, 100] {
        let results = side_by_side(&items[..count], work);
        let numbers: Vec<u64> =
            results.iter().map(|result| result.map_or_else(|item| item, |(item, _)| item)).collect();
        assert_eq!(numbers, items[..count]);
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), count / 10);
    }
}
