// SPDX-License-Identifier: GPL-2.0-or-later
//! Epochs and barriers of the send queue.

extern crate std;
use super::{super::mem::tests::Heap, *};
use std::vec;

fn queue() -> SendQueue<Heap> {
    let mut queue = SendQueue::new(
        vec![SendItem::Control; 16].into_boxed_slice(),
        vec![(0, Packet::Ping); 4].into_boxed_slice(),
        vec![ClosedEpoch::default(); 16].into_boxed_slice(),
    );
    queue.open();
    queue
}

fn pop_write(queue: &mut SendQueue<Heap>) -> Option<OpId> {
    match queue.pop() {
        Some(Outgoing::Item(SendItem::Write { op, .. })) => Some(op),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dependent_write_is_behind_a_barrier() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.push_write(0, 2), Some(first));
    queue.completed(first);
    assert_eq!(queue.push_write(0, 3), Some(first + 1));
    assert_eq!(pop_write(&mut queue), Some(1));
    assert_eq!(pop_write(&mut queue), Some(2));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert_eq!(pop_write(&mut queue), Some(3));
    assert_eq!(queue.pop(), None, "the open epoch needs no barrier");
    assert!(!queue.has_next());
    queue.completed(first + 1);
    assert!(queue.has_next());
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first + 1)));
    assert!(!queue.has_next());
    assert_eq!(queue.pop(), None);
    assert!(queue.barrier_acked(first, 1).is_err(), "wrong count");
    assert_eq!(queue.barrier_acked(first, 2), Ok(Some(first)));
    assert_eq!(queue.barrier_acked(first + 1, 1), Ok(Some(first + 1)));
    assert!(queue.barrier_acked(first + 1, 1).is_err(), "again");
}

#[test]
fn what_is_out_of_sync_parts_the_epoch_of_another_volume() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    let item = SendItem::OutOfSync { volume: 1, op: 2 };
    assert!(queue.push(item));
    assert_eq!(queue.push_write(0, 3), Some(first + 1));
    queue.completed(first + 1);
    assert_eq!(pop_write(&mut queue), Some(1));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert_eq!(queue.pop(), Some(Outgoing::Item(item)));
    assert_eq!(pop_write(&mut queue), Some(3));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first + 1)));
    assert!(queue.barrier_acked(first, 1).is_ok());
    assert!(queue.barrier_acked(first + 1, 1).is_ok());
}

#[test]
fn a_read_between_two_writes_does_not_part_their_epoch() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert!(queue.push(SendItem::Read { volume: 0, op: 2 }));
    assert_eq!(queue.push_write(0, 3), Some(first));
    queue.completed(first);
    assert_eq!(pop_write(&mut queue), Some(1));
    let read = Outgoing::Item(SendItem::Read { volume: 0, op: 2 });
    assert_eq!(queue.pop(), Some(read));
    assert_eq!(pop_write(&mut queue), Some(3));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert!(queue.barrier_acked(first, 2).is_ok());
}

#[test]
fn a_flush_waits_for_the_newest_epoch() {
    let mut queue = queue();
    assert_eq!(queue.flush(), Durable::Already);
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.flush(), Durable::After(first));
    let second = queue.push_write(0, 2).unwrap();
    assert_eq!(pop_write(&mut queue), Some(1));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert!(queue.barrier_acked(first, 1).is_ok());
    assert_eq!(queue.flush(), Durable::After(second));
    assert_eq!(pop_write(&mut queue), Some(2));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(second)));
    assert_eq!(queue.flush(), Durable::After(second), "not acknowledged");
    assert!(queue.barrier_acked(second, 1).is_ok());
    assert_eq!(queue.flush(), Durable::Already);
    queue.close();
    assert_eq!(queue.flush(), Durable::Unknown);
}

#[test]
fn rejected_writes_are_not_counted_and_not_waited_for() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.push_write(0, 2), Some(first));
    queue.new_epoch();
    let second = queue.push_write(0, 3).unwrap();
    queue.new_epoch();
    let third = queue.push_write(0, 4).unwrap();
    queue.new_epoch();
    assert_eq!(pop_write(&mut queue), Some(1));
    queue.write_rejected(first);
    assert_eq!(pop_write(&mut queue), Some(2));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert_eq!(pop_write(&mut queue), Some(3));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(second)));
    assert_eq!(pop_write(&mut queue), Some(4));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(third)));
    queue.write_rejected(second);
    assert!(queue.barrier_acked(first, 2).is_err());
    assert!(queue.barrier_acked(first, 1).is_ok());
    assert_eq!(queue.flush(), Durable::After(third));
    // Nothing is said of the second.
    assert!(queue.barrier_acked(third, 1).is_ok());
    assert_eq!(queue.flush(), Durable::Already);
}

#[test]
fn an_epoch_with_a_rejected_write_is_given_up_in_the_end() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.push_write(0, 2), Some(first));
    queue.new_epoch();
    let second = queue.push_write(0, 3).unwrap();
    queue.new_epoch();
    for op in [1, 2] {
        assert_eq!(pop_write(&mut queue), Some(op));
    }
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    assert_eq!(pop_write(&mut queue), Some(3));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(second)));
    assert_eq!(queue.forgive(), None);
    queue.write_rejected(first);
    assert!(queue.may_forgive());
    assert_eq!(queue.forgive(), None, "it may still come");
    assert_eq!(queue.forgive(), Some(first));
    assert!(queue.barrier_acked(first, 1).is_ok(), "late");
    assert!(queue.barrier_acked(second, 1).is_ok());
    assert!(queue.barrier_acked(second + 1, 1).is_err());
}

/// Two epochs of one write each, both sent with their barriers.
fn two_epochs(queue: &mut SendQueue<Heap>) -> (u32, u32) {
    let mut send = |op| {
        let epoch = queue.push_write(0, op).unwrap();
        queue.new_epoch();
        assert_eq!(pop_write(queue), Some(op));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(epoch)));
        epoch
    };
    (send(1), send(2))
}

#[test]
fn an_acknowledgement_is_held_for_those_of_older_epochs() {
    let mut queue = queue();
    let (first, second) = two_epochs(&mut queue);
    let (third, fourth) = two_epochs(&mut queue);
    assert_eq!(queue.barrier_acked(third, 1), Ok(None));
    assert!(queue.barrier_acked(third, 1).is_err(), "again");
    assert_eq!(queue.barrier_acked(second, 1), Ok(None));
    assert_eq!(queue.flush(), Durable::After(fourth));
    assert_eq!(queue.barrier_acked(first, 1), Ok(Some(third)));
    assert_eq!(queue.barrier_acked(fourth, 1), Ok(Some(fourth)));
    assert_eq!(queue.flush(), Durable::Already);
    assert_eq!(queue.held, 0);
}

#[test]
fn a_reconnect_forgets_what_was_held() {
    let mut queue = queue();
    let (_, second) = two_epochs(&mut queue);
    assert_eq!(queue.barrier_acked(second, 1), Ok(None));
    queue.set_options(16, true);
    queue.open();
    let (first, second) = two_epochs(&mut queue);
    assert_eq!(queue.held, 0);
    assert_eq!(queue.barrier_acked(second, 1), Ok(Some(second)));
    assert_eq!(queue.barrier_acked(first, 1), Ok(None), "late");
}

#[test]
fn what_is_held_for_an_epoch_that_is_given_up_is_released() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.push_write(0, 2), Some(first));
    queue.new_epoch();
    for op in [1, 2] {
        assert_eq!(pop_write(&mut queue), Some(op));
    }
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
    let (second, third) = two_epochs(&mut queue);
    assert_eq!(queue.barrier_acked(second, 1), Ok(None));
    queue.write_rejected(first);
    queue.write_rejected(second);
    assert_eq!(queue.forgive(), None, "it may still come");
    assert_eq!(queue.forgive(), Some(second));
    assert_eq!(queue.held, 0);
    assert_eq!(queue.barrier_acked(third, 1), Ok(Some(third)));
}

#[test]
fn with_two_primaries_the_first_epoch_of_a_connection_may_never_be_acknowledged() {
    let mut queue = queue();
    queue.set_options(16, true);
    for _ in 0..2 {
        queue.open();
        let (_, second) = two_epochs(&mut queue);
        let both = Ok(Some(second));
        assert_eq!(queue.barrier_acked(second, 1), both);
        let (third, fourth) = two_epochs(&mut queue);
        assert_eq!(queue.barrier_acked(fourth, 1), Ok(None), "no first one");
        assert_eq!(queue.barrier_acked(third, 1), Ok(Some(fourth)));
    }
}

#[test]
fn with_one_primary_every_epoch_is_acknowledged() {
    let mut queue = queue();
    let (first, second) = two_epochs(&mut queue);
    assert_eq!(queue.barrier_acked(second, 1), Ok(None));
    assert!(!queue.may_forgive());
    for _ in 0..100 {
        assert_eq!(queue.forgive(), None);
    }
    assert_eq!(queue.barrier_acked(first, 1), Ok(Some(second)));
}

#[test]
fn the_first_epoch_is_given_up_when_nothing_follows() {
    let mut queue = queue();
    queue.set_options(16, true);
    let (first, second) = two_epochs(&mut queue);
    for _ in 0..LOOKS_FIRST {
        assert!(queue.may_forgive());
        assert_eq!(queue.forgive(), None, "it may still come");
    }
    assert_eq!(queue.forgive(), Some(first));
    assert_eq!(queue.forgive(), None);
    assert!(queue.barrier_acked(first, 1).is_ok(), "late");
    assert!(queue.barrier_acked(second, 1).is_ok());
}

#[test]
fn barrier_numbers_wrap() {
    let mut queue = queue();
    queue.current = u32::MAX;
    let last = queue.push_write(0, 1).unwrap();
    queue.completed(last);
    let next = queue.push_write(0, 2).unwrap();
    assert_eq!((last, next), (u32::MAX, 0));
    assert_eq!(pop_write(&mut queue), Some(1));
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(u32::MAX)));
    assert_eq!(pop_write(&mut queue), Some(2));
    queue.completed(next);
    assert_eq!(queue.pop(), Some(Outgoing::Barrier(0)));
    assert!(queue.barrier_acked(u32::MAX, 1).is_ok());
    assert!(queue.barrier_acked(0, 1).is_ok());
}

#[test]
fn epochs_close_at_their_size_limit() {
    let mut queue = queue();
    queue.set_options(2, false);
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(queue.push_write(0, 2), Some(first));
    assert_eq!(queue.push_write(0, 3), Some(first + 1));
}

#[test]
fn empty_epochs_are_not_closed() {
    let mut queue = queue();
    let epoch = queue.current_epoch();
    queue.new_epoch();
    queue.completed(epoch);
    assert_eq!(queue.current_epoch(), epoch);
}

#[test]
fn a_reconnect_forgets_barriers_and_keeps_counting() {
    let mut queue = queue();
    let first = queue.push_write(0, 1).unwrap();
    assert_eq!(pop_write(&mut queue), Some(1));
    queue.close();
    assert_eq!(queue.push_write(0, 2), None);
    assert_eq!(queue.pop(), None);
    queue.open();
    assert_eq!(queue.push_write(0, 2), Some(first + 1));
    assert_eq!(pop_write(&mut queue), Some(2), "no barrier for the old one");
}
