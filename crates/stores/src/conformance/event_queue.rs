//! The contract of [`EventQueue`].
//!
//! Times are whole seconds, because Amazon SQS counts in seconds. The queue may contain messages
//! of other tests; they are ignored and left in the queue.

use cadmill_core::domain::ids::JobId;
use cadmill_core::ports::event_queue::Message;
use cadmill_core::ports::{EventQueue, PortError};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Long enough for a message to stay hidden while a test checks it.
const LONG: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const NO_TIME: Duration = Duration::ZERO;
/// How long a test waits for an expected message.
const PATIENCE: Duration = Duration::from_secs(15);

/// How the server behind the queue differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A receipt of an earlier delivery has no effect once the message was delivered again. On AWS
    /// such a call succeeds, "but the message might not be deleted" (Amazon SQS API Reference,
    /// "DeleteMessage"): a worker must not rely on either. `false` is for servers that delete the
    /// message, so that its later receipt is worth nothing.
    pub ignores_stale_receipts: bool,
}

impl Options {
    /// Only the receipt of the last delivery counts.
    pub const ALL: Self = Self { ignores_stale_receipts: true };
}

/// Runs the whole contract. The queue must deliver a message at least four times.
///
/// # Panics
/// If the queue violates the contract.
pub async fn suite(queue: &dyn EventQueue, options: Options) {
    queue.check().await.expect("the queue answers");
    delivers_what_was_sent(queue).await;
    delivers_later_what_was_sent_for_later(queue).await;
    hides_what_was_received(queue).await;
    shows_again_what_was_not_deleted(queue).await;
    if options.ignores_stale_receipts {
        heeds_the_latest_receipt_only(queue).await;
    }
    let deliveries = deliveries_of_twelve(queue).await;
    if options.ignores_stale_receipts {
        assert_eq!(deliveries, 12, "each to one receiver");
    }
    counts(queue).await;
    buries(queue).await;
    sifts_the_dead(queue).await;
    wakes_who_waits(queue).await;
}

fn body() -> String {
    format!("{{\"test\":\"{}\"}}", JobId::random())
}

/// Receives until this message arrives; other messages are made visible again after a second.
async fn expect(queue: &dyn EventQueue, body: &str, hidden: Duration) -> Message {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut found = None;
        for message in queue.receive(10, SECOND, hidden).await.expect("received") {
            if message.body == body && found.is_none() {
                found = Some(message);
            } else {
                let _ = queue.change_visibility(&message, SECOND).await;
            }
        }
        if let Some(message) = found {
            return message;
        }
    }
    panic!("the message did not come");
}

/// Whether this message arrives within a second.
async fn comes(queue: &dyn EventQueue, body: &str) -> bool {
    let mut came = false;
    for message in queue.receive(10, SECOND, SECOND).await.expect("received") {
        came |= message.body == body;
    }
    came
}

async fn delivers_what_was_sent(queue: &dyn EventQueue) {
    let long = format!("{}ä€\"\\\n{}", body(), "x".repeat(200_000));
    for body in [body(), long] {
        queue.send(&body).await.expect("sent");
        let message = expect(queue, &body, LONG).await;
        assert_eq!(message.deliveries, 1, "the first delivery counts");
        assert!(!message.id.is_empty() && !message.receipt.is_empty());
        queue.delete(&message).await.expect("deleted");
    }
}

async fn delivers_later_what_was_sent_for_later(queue: &dyn EventQueue) {
    let (sent, since) = (body(), Instant::now());
    queue.send_later(&sent, 2 * SECOND).await.expect("sent");
    let message = expect(queue, &sent, LONG).await;
    assert!(since.elapsed() >= SECOND, "it came after {:?}", since.elapsed());
    queue.delete(&message).await.expect("deleted");
}

async fn hides_what_was_received(queue: &dyn EventQueue) {
    let body = body();
    queue.send(&body).await.expect("sent");
    let message = expect(queue, &body, LONG).await;
    assert!(!comes(queue, &body).await, "a received message is hidden");
    queue.delete(&message).await.expect("deleted");
    assert!(!comes(queue, &body).await, "a deleted message is gone");
}

async fn shows_again_what_was_not_deleted(queue: &dyn EventQueue) {
    let body = body();
    queue.send(&body).await.expect("sent");
    let first = expect(queue, &body, SECOND).await;
    let second = expect(queue, &body, LONG).await;
    assert_eq!(first.id, second.id, "the same at each delivery");
    assert!(second.deliveries > first.deliveries, "deliveries are counted");

    queue.change_visibility(&second, NO_TIME).await.expect("shown at once");
    let third = expect(queue, &body, SECOND).await;
    assert_eq!(third.deliveries, second.deliveries + 1);
    queue.change_visibility(&third, LONG).await.expect("hidden for longer");
    tokio::time::sleep(SECOND + SECOND / 2).await;
    assert!(!comes(queue, &body).await, "hidden for longer than it was received for");
    queue.delete(&third).await.expect("deleted");
}

async fn heeds_the_latest_receipt_only(queue: &dyn EventQueue) {
    let body = body();
    queue.send(&body).await.expect("sent");
    let stale = expect(queue, &body, LONG).await;
    queue.change_visibility(&stale, NO_TIME).await.expect("shown at once");
    let latest = expect(queue, &body, LONG).await;
    assert_ne!(stale.receipt, latest.receipt, "each delivery has its receipt");
    let worthless = |answer: Result<(), PortError>| matches!(answer, Ok(()) | Err(PortError::NotFound(_)));
    assert!(worthless(queue.delete(&stale).await));
    assert!(worthless(queue.change_visibility(&stale, LONG).await));

    queue.change_visibility(&latest, NO_TIME).await.expect("the message is still there");
    let last = expect(queue, &body, LONG).await;
    queue.delete(&last).await.expect("deleted");
    assert!(worthless(queue.delete(&last).await), "deleting twice is harmless");
}

/// Four receivers get all of twelve messages. Returns the number of receipts with which one was
/// deleted: a queue that delivers at least once may deliver one twice at the same moment.
async fn deliveries_of_twelve(queue: &dyn EventQueue) -> usize {
    let sent: BTreeSet<String> = (0..12).map(|_| body()).collect();
    for body in &sent {
        queue.send(body).await.expect("sent");
    }
    let (mut received, mut deleted) = (BTreeSet::new(), 0);
    let end = Instant::now() + PATIENCE;
    while received.len() < sent.len() && Instant::now() < end {
        let several = (0..4).map(|_| queue.receive(3, SECOND, LONG));
        for messages in futures_util::future::join_all(several).await {
            let messages = messages.expect("received");
            assert!(messages.len() <= 3, "at most as many as asked for");
            for message in messages {
                if sent.contains(&message.body) {
                    match queue.delete(&message).await {
                        Ok(()) => {
                            deleted += 1;
                            received.insert(message.body);
                        }
                        // Of two receipts only the newer one is valid.
                        Err(PortError::NotFound(_)) => {}
                        Err(error) => panic!("deleting a message: {error}"),
                    }
                } else {
                    let _ = queue.change_visibility(&message, SECOND).await;
                }
            }
        }
    }
    assert_eq!(received, sent, "each came");
    deleted
}

async fn counts(queue: &dyn EventQueue) {
    let all = async || {
        let depth = queue.depth().await.expect("counted");
        depth.ready + depth.hidden
    };
    let before = all().await;
    let body = body();
    queue.send(&body).await.expect("sent");
    let end = Instant::now() + PATIENCE;
    while all().await <= before && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(all().await > before, "a message that was sent is counted");
    let message = expect(queue, &body, 10 * SECOND).await;
    assert!(
        queue.depth().await.expect("counted").hidden > 0,
        "a message that was received is counted as hidden"
    );
    queue.delete(&message).await.expect("deleted");
}

async fn buries(queue: &dyn EventQueue) {
    let before = queue.dead_letters().await.expect("counted");
    let body = body();
    queue.send(&body).await.expect("sent");
    let message = expect(queue, &body, SECOND).await;
    queue.dead_letter(&message).await.expect("buried");
    tokio::time::sleep(SECOND + SECOND / 2).await;
    assert!(!comes(queue, &body).await, "a buried message is not delivered");
    let end = Instant::now() + PATIENCE;
    let mut after = before;
    while after <= before && Instant::now() < end {
        after = queue.dead_letters().await.expect("counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(after > before, "it lies with the dead letters");
}

/// The dead letter with this body, within one look through all of them.
async fn dead(queue: &dyn EventQueue, body: &str) -> Option<Message> {
    let (mut found, mut others) = (None, Vec::new());
    loop {
        let letters = queue.receive_dead(10, LONG).await.expect("received");
        if letters.is_empty() {
            break;
        }
        for letter in letters {
            assert!(!letter.id.is_empty() && !letter.receipt.is_empty());
            if letter.body == body {
                assert!(found.is_none(), "one look has it once");
                found = Some(letter);
            } else {
                others.push(letter);
            }
        }
    }
    for letter in others {
        queue.release_dead(&letter).await.expect("visible again");
    }
    found
}

async fn sifts_the_dead(queue: &dyn EventQueue) {
    let [kept, deleted] = [body(), body()];
    for body in [&kept, &deleted] {
        queue.send(body).await.expect("sent");
        let message = expect(queue, body, LONG).await;
        queue.dead_letter(&message).await.expect("buried");
    }
    let expect_dead = |body: String| async move {
        let end = Instant::now() + PATIENCE;
        loop {
            match dead(queue, &body).await {
                Some(letter) => return letter,
                None => assert!(Instant::now() < end, "the dead letter does not come"),
            }
        }
    };
    let letter = expect_dead(deleted.clone()).await;
    queue.release_dead(&letter).await.expect("visible again");
    let letter = expect_dead(deleted.clone()).await;
    queue.delete_dead(&letter).await.expect("deleted");
    assert!(matches!(queue.delete_dead(&letter).await, Ok(()) | Err(PortError::NotFound(_))), "harmless");
    assert_eq!(dead(queue, &deleted).await, None);
    let letter = expect_dead(kept).await;
    queue.release_dead(&letter).await.expect("visible again");
}

async fn wakes_who_waits(queue: &dyn EventQueue) {
    // No message arrives: the wait ends by itself.
    let began = Instant::now();
    let _ = queue.receive(1, NO_TIME, SECOND).await.expect("received");
    assert!(began.elapsed() < PATIENCE, "no wait was asked for");

    let body = body();
    let began = Instant::now();
    let receive = async {
        loop {
            let messages = queue.receive(1, Duration::from_secs(20), LONG).await.expect("received");
            match messages.into_iter().next() {
                Some(message) if message.body == body => return message,
                Some(message) => drop(queue.change_visibility(&message, LONG).await),
                None => panic!("the wait ended without the message"),
            }
        }
    };
    let send = async {
        tokio::time::sleep(SECOND / 2).await;
        queue.send(&body).await.expect("sent");
    };
    let (message, ()) = futures_util::future::join(receive, send).await;
    assert!(began.elapsed() < PATIENCE, "a message ends the wait");
    queue.delete(&message).await.expect("deleted");
}
