// SPDX-License-Identifier: GPL-2.0-or-later
//! What is said survives the wire, and what is known merges in any order.

use super::super::facts::{Ending, Facts};
use super::super::id::{GroupId, Incarnation, NodeId};
use super::super::memory::Memory;
use super::super::overrides::{Key, Overrides, Value};

fn facts(lives: &[(u8, u64, Option<u64>)]) -> Facts {
    let mut facts = Facts::default();
    for (node, active, over) in lives {
        facts.activate(NodeId(*node), Incarnation(*active));
        if let Some(over) = over {
            facts.end(NodeId(*node), Incarnation(*over), Ending::Fenced);
        }
    }
    facts
}

#[test]
fn facts_merge_in_any_order_and_as_often_as_one_likes() {
    let a = facts(&[(1, 3, Some(2)), (2, 1, None)]);
    let b = facts(&[(1, 2, Some(3)), (3, 9, Some(9))]);
    let mut ab = a.clone();
    assert!(ab.merge(&b));
    let mut ba = b.clone();
    assert!(ba.merge(&a));
    assert_eq!(ab, ba);
    assert!(!ab.merge(&a) && !ab.merge(&b));
    assert!(ab.of(NodeId(1)).is_inert());
    assert!(!ab.of(NodeId(2)).is_inert());
    assert!(
        !Facts::default().of(NodeId(7)).is_inert(),
        "nothing is known of it"
    );
}

#[test]
fn a_life_after_the_fencing_is_not_over() {
    let mut facts = facts(&[(1, 3, Some(3))]);
    assert!(facts.of(NodeId(1)).is_inert());
    assert!(facts.activate(NodeId(1), Incarnation(4)));
    assert!(!facts.of(NodeId(1)).is_inert());
    assert!(
        facts.of(NodeId(1)).is_over(Incarnation(3)) && !facts.of(NodeId(1)).is_over(Incarnation(4))
    );
}

#[test]
fn the_later_wish_wins_everywhere() {
    let key = Key::Standby(NodeId(1));
    let mut a = Overrides::default();
    a.set(key, Value::Yes, NodeId(1));
    let mut b = a.clone();
    b.set(key, Value::No, NodeId(2));
    a.set(Key::Maintenance, Value::Yes, NodeId(1));
    let mut ab = a.clone();
    assert!(ab.merge(&b));
    let mut ba = b.clone();
    assert!(ba.merge(&a));
    assert_eq!(ab, ba);
    assert!(!ab.is(key) && ab.is(Key::Maintenance));
}

#[test]
fn memory_comes_back_from_json() {
    let mut memory = Memory {
        facts: facts(&[(1, 3, Some(2))]),
        amnesia: true,
        ..Memory::default()
    };
    memory.overrides.set(
        Key::Move(GroupId::of("db")),
        Value::Node(NodeId(2)),
        NodeId(1),
    );
    let text = serde_json::to_string(&memory).expect("written");
    let back: Memory = serde_json::from_str(&text).expect("read");
    assert_eq!(back, memory);
}

#[test]
fn groups_are_known_by_their_names() {
    assert_ne!(GroupId::of("db"), GroupId::of("web"));
    assert_eq!(GroupId::of(""), GroupId(0x811c_9dc5));
    assert_eq!(GroupId::of("a"), GroupId(0xe40c_292c));
}
