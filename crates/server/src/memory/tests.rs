use std::time::Duration;

use ottla_node::connections::SMALL;

use super::*;

const BOUND: usize = 10 * SMALL;
const MAX_BEYOND: usize = 20 * SMALL;

/// A DATA frame.
fn data(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[0, 0, 0, 0, 0, 1], payload].concat()
}

/// A gRPC message.
fn message(length: usize) -> Vec<u8> {
    let mut message = [&[0][..], &u32::try_from(length).unwrap().to_be_bytes()].concat();
    message.resize(5 + length, 0xee);
    message
}

fn may_read(connection: &ConnectionMemory) -> Option<usize> {
    match connection.poll_read(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(allowed) => Some(allowed),
        Poll::Pending => None,
    }
}

#[test]
fn what_has_come_counts_until_its_call_lets_go_whoever_holds_it() {
    let memory = RequestMemory::new(Some(BOUND));
    let connection = ConnectionMemory::new(&memory, MAX_BEYOND);
    let call = connection.call();
    let (sent, half) = (message(4 * SMALL), 2 * SMALL);
    connection.read(&data(&sent[..half]));
    assert_eq!(memory.used(), half, "hyper has it");
    call.take(&sent[..half]);
    assert_eq!(memory.used(), half, "the call has it");
    connection.read(&data(&sent[half..]));
    call.take(&sent[half..]);
    assert_eq!(memory.used(), sent.len(), "it is whole, and in work");
    call.let_go();
    assert_eq!(memory.used(), 0, "it is appended");
    connection.read(&data(&sent));
    call.take(&sent);
    assert_eq!(memory.used(), 0, "nobody wants what comes now");
}

#[test]
fn each_message_of_a_stream_counts_for_itself() {
    let memory = RequestMemory::new(Some(BOUND));
    let connection = ConnectionMemory::new(&memory, MAX_BEYOND);
    let call = connection.call();
    let (first, second) = (message(3 * SMALL), message(2 * SMALL));
    let both = [&first[..], &second, &message(SMALL)[..100]].concat();
    connection.read(&data(&both));
    call.take(&both);
    assert_eq!(memory.used(), both.len());
    let begun = (call.next_message(), call.next_message());
    drop(begun.0);
    assert_eq!(memory.used(), both.len() - first.len());
    drop(begun.1);
    assert_eq!(memory.used(), 0, "a hundred bytes are not counted");
    assert_eq!(connection.state.lock().held(), 100);
}

#[test]
fn what_hyper_throws_away_is_forgotten_when_a_call_ends() {
    let memory = RequestMemory::new(Some(BOUND));
    let connection = ConnectionMemory::new(&memory, MAX_BEYOND);
    connection.read(&data(&message(4 * SMALL)));
    assert_eq!(memory.used(), 0, "there is no call it could be for");
    let (gone, other) = (connection.call(), connection.call());
    connection.read(&data(&message(4 * SMALL)));
    other.hold_back(true);
    drop(gone);
    assert_eq!(memory.used(), 4 * SMALL + 5, "it may be the other call's, which takes nothing now");
    other.hold_back(false);
    let late = Instant::now() + Duration::from_secs(2);
    assert_eq!(connection.look(late), None);
    assert_eq!(memory.used(), 0, "it was not the other's, which would have taken it");
    let half = data(&message(4 * SMALL));
    connection.read(&half[..3 * SMALL]);
    assert_eq!(connection.look(late + Duration::from_secs(60)), None);
    assert_eq!(memory.used(), 3 * SMALL - 9, "half a frame is there, and nobody can take it yet");
    drop(other);
}

#[test]
fn when_memory_is_spent_a_connection_waits_until_another_lets_go() {
    let memory = RequestMemory::new(Some(BOUND));
    let [holder, ahead, behind] = [(); 3].map(|()| ConnectionMemory::new(&memory, MAX_BEYOND));
    let [held, _ahead, _behind] = [&holder, &ahead, &behind].map(|connection| connection.call());
    let sent = message(BOUND);
    holder.read(&data(&sent));
    held.take(&sent);
    assert_eq!(may_read(&ahead), Some(SMALL), "small requests go on");
    for connection in [&ahead, &behind] {
        connection.read(&data(&message(SMALL)));
    }
    assert_eq!(may_read(&ahead), Some(usize::MAX), "one may always go on");
    assert_eq!(may_read(&behind), None);
    held.let_go();
    assert_eq!(may_read(&behind), Some(usize::MAX));
}

#[test]
fn a_client_that_stops_in_a_message_is_in_the_way_when_memory_is_spent() {
    let memory = RequestMemory::new(Some(BOUND));
    let [slow, spent] = [(); 2].map(|()| ConnectionMemory::new(&memory, MAX_BEYOND));
    let [call, other] = [&slow, &spent].map(|connection| connection.call());
    let half = &message(5 * SMALL)[..2 * SMALL];
    slow.read(&data(half));
    call.take(half);
    slow.awaited();
    let now = Instant::now();
    assert_eq!(slow.look(now + Duration::from_secs(60)), None, "there is memory");
    let whole = message(BOUND);
    spent.read(&data(&whole));
    other.take(&whole);
    assert_eq!(slow.look(now + Duration::from_millis(500)), None);
    assert_eq!(slow.look(now + Duration::from_secs(2)), Some(2 * SMALL));
    assert_eq!(spent.look(now + Duration::from_secs(2)), None, "its time has not begun");
}

#[test]
fn a_client_that_waits_for_us_is_not_in_the_way_and_one_that_takes_no_answers_is() {
    let memory = RequestMemory::new(Some(BOUND));
    let connection = ConnectionMemory::new(&memory, MAX_BEYOND);
    let call = connection.call();
    connection.read(&data(&message(BOUND)));
    call.hold_back(true);
    connection.awaited();
    let later = Instant::now() + Duration::from_secs(60);
    assert_eq!(connection.look(later), None);
    call.answer_is_unread(true);
    assert_eq!(connection.look(later), Some(BOUND + 5));
    call.answer_is_unread(false);
    assert_eq!(connection.look(later), None);
}

#[test]
fn messages_mixed_beyond_the_bound_end_their_connection() {
    let memory = RequestMemory::new(Some(BOUND));
    let connection = ConnectionMemory::new(&memory, MAX_BEYOND);
    let _call = connection.call();
    connection.read(&data(&message(30 * BOUND)[..BOUND]));
    assert_eq!(may_read(&connection), Some(usize::MAX), "its turn beyond the bound");
    connection.read(&data(&message(30 * BOUND)[..MAX_BEYOND]));
    assert_eq!(may_read(&connection), None);
    assert!(connection.look(Instant::now()).is_some());
}
