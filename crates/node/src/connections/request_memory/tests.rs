use std::sync::atomic::AtomicU32;
use std::task::Wake;

use super::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Client {
    account: Account,
    bell: Arc<Bell>,
    held: usize,
}

impl Client {
    fn new(memory: &Arc<RequestMemory>) -> Self {
        Self { account: Account::new(memory), bell: Arc::default(), held: 0 }
    }

    /// Reads what it may of these bytes; `None` if it has to wait.
    fn read(&mut self, bytes: usize) -> Option<usize> {
        let waker = Waker::from(Arc::clone(&self.bell));
        let Poll::Ready(allowed) = self.account.poll_read(self.held, &mut Context::from_waker(&waker)) else {
            return None;
        };
        let read = bytes.min(allowed);
        self.held += read;
        self.account.settle(self.held, 0);
        Some(read)
    }

    fn whole(&mut self) {
        self.account.request_started();
        self.account.settle(self.held, self.held);
    }

    fn answered(&mut self) {
        self.held = 0;
        self.account.settle(0, 0);
    }

    fn was_woken(&self) -> bool {
        self.bell.0.swap(0, Ordering::SeqCst) > 0
    }
}

fn clients<const N: usize>(memory: &Arc<RequestMemory>) -> [Client; N] {
    std::array::from_fn(|_| Client::new(memory))
}

const BIG: usize = 10 * SMALL;

#[test]
fn small_requests_are_not_counted_and_never_wait() {
    let memory = RequestMemory::new(Some(BIG));
    let [mut small, mut big, mut other] = clients(&memory);
    assert_eq!(small.read(SMALL), Some(SMALL));
    assert_eq!(memory.used(), 0);
    assert_eq!((big.read(BIG), other.read(usize::MAX)), (Some(BIG), Some(SMALL)));
    assert_eq!(memory.used(), BIG, "a spent bound admits what is small, and no more");
    small.answered();
    assert_eq!(small.read(100), Some(100));
}

#[test]
fn a_request_beyond_the_bound_waits_until_another_is_answered() {
    let memory = RequestMemory::new(Some(BIG));
    let [mut first, mut ahead, mut waiting] = clients(&memory);
    first.read(BIG);
    first.whole();
    for client in [&mut ahead, &mut waiting] {
        assert_eq!(client.read(BIG), Some(SMALL));
    }
    // One may always go on, so that there is no deadlock; it is the first that asks.
    assert_eq!((ahead.read(SMALL), waiting.read(1)), (Some(SMALL), None));
    ahead.whole();
    assert_eq!(ahead.read(1), None, "beyond the bound only to the end of one request");
    assert!(!waiting.was_woken());
    first.answered();
    assert!(ahead.was_woken(), "it joined the line last");
    assert_eq!(ahead.read(1), Some(1));
    assert!(waiting.was_woken(), "the next in the line looks for what is left");
    assert_eq!(waiting.read(1), Some(1));
}

#[test]
fn where_nobody_can_end_a_request_they_end_one_after_the_other() {
    let memory = RequestMemory::new(Some(3 * BIG));
    let mut all: [Client; 3] = clients(&memory);
    for client in &mut all {
        assert_eq!(client.read(BIG), Some(BIG));
    }
    let [one, two, three] = &mut all;
    assert_eq!((one.read(BIG), two.read(BIG), three.read(BIG)), (Some(BIG), None, None));
    assert_eq!(memory.used(), 4 * BIG, "the bound, and one request");
    one.whole();
    assert_eq!((two.read(BIG), three.read(BIG)), (None, None));
    one.answered();
    assert!(three.was_woken() && !two.was_woken());
    assert_eq!(three.read(BIG), Some(BIG));
    // The line has moved on, and the bound is spent again: now the next of them may go beyond it.
    assert!(two.was_woken());
    assert_eq!(two.read(BIG), Some(BIG));
    assert_eq!(memory.used(), 4 * BIG);
}

#[test]
fn a_connection_that_ends_gives_back_what_it_held_and_its_turn() {
    let memory = RequestMemory::new(Some(BIG));
    let [mut holder, mut gone, mut next] = clients(&memory);
    holder.read(BIG);
    gone.read(SMALL);
    next.read(SMALL);
    assert_eq!((gone.read(BIG), next.read(BIG)), (Some(BIG), None));
    assert!(gone.account.is_in_the_way());
    drop(gone);
    assert!(next.was_woken());
    assert_eq!(next.read(BIG), Some(BIG));
    drop((holder, next));
    assert_eq!(memory.used(), 0);
}

#[test]
fn one_that_leaves_the_line_wakes_the_next() {
    let memory = RequestMemory::new(Some(BIG));
    let [mut holder, mut beyond, mut gone, mut next] = clients(&memory);
    holder.read(BIG);
    for client in [&mut beyond, &mut gone, &mut next] {
        client.read(SMALL);
    }
    assert_eq!((beyond.read(1), next.read(1), gone.read(1)), (Some(1), None, None));
    holder.answered();
    assert!(gone.was_woken() && !next.was_woken());
    // Woken, and gone before it could look.
    drop(gone);
    assert!(next.was_woken());
    assert_eq!(next.read(1), Some(1));
}

#[test]
fn without_a_bound_nobody_waits() {
    let memory = RequestMemory::new(None);
    let [mut client] = clients(&memory);
    assert_eq!(client.read(usize::MAX / 2), Some(usize::MAX / 2));
    assert_eq!(client.read(1), Some(1));
}
