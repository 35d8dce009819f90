// SPDX-License-Identifier: GPL-2.0-or-later
//! Whatever is in the file, reading it ends, and ends without a panic.

use std::path::Path;

use drbd_conf::{print, resolve, LocalHost, Running};

/// Everything that is done with a text.
fn digest(text: String) {
    let (config, found) = drbd_conf::load_text("t", text);
    let _ = found.render(&config.sources);
    let local = LocalHost {
        nodename: "alpha",
        has_address: &|_| false,
        interactive: true,
        peer: None,
    };
    // Also what was not understood completely must be safe to look at.
    let (resolved, found) = resolve(config, &local);
    let _ = found.render(&resolved.config.sources);
    let _ = print::dump_all(&resolved, true);
    let _ = print::dump_all(&resolved, false);
    let _ = print::dump_xml(&resolved);
}

/// Samples without includes: a mutated pattern could list the whole disk.
fn samples() -> Vec<String> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut list = Vec::new();
    for directory in ["in", "bad"] {
        for entry in std::fs::read_dir(golden.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "conf") {
                let text = std::fs::read_to_string(path).unwrap();
                if !text.contains("include") {
                    list.push(text);
                }
            }
        }
    }
    assert!(list.len() > 50);
    list
}

#[test]
fn a_file_cut_anywhere_is_survived() {
    for text in samples() {
        for end in (0..text.len()).step_by(7) {
            if let Some(head) = text.get(..end) {
                digest(head.to_owned());
            }
        }
    }
}

#[test]
fn tokens_in_any_order_are_survived() {
    // A multiplicative generator is random enough and always the same.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
    };
    for text in samples() {
        let words: Vec<&str> = text.split_inclusive([' ', ';', '{', '}', '\n']).collect();
        for _ in 0..40 {
            let mut mixed = words.clone();
            for _ in 0..4 {
                let (a, b) = (next(mixed.len().max(1)), next(mixed.len().max(1)));
                if mixed.is_empty() {
                    break;
                }
                match next(3) {
                    0 => mixed.swap(a, b),
                    1 => mixed.insert(a, words[next(words.len())]),
                    _ => {
                        mixed.remove(a);
                    }
                }
            }
            digest(mixed.concat());
            let _ = Running::parse(&mixed.concat());
        }
    }
}

#[test]
fn garbage_ends_soon() {
    let start = processor_seconds();
    for piece in [
        "}",
        "{",
        ";",
        "resource a {",
        "skip",
        "\"",
        "[",
        "volume 0 {",
        "é\0 ",
    ] {
        digest(piece.repeat(50_000));
    }
    let used = processor_seconds() - start;
    assert!(used < 60, "{used} s");
}

/// Seconds that this thread has run: others may keep the machine busy.
fn processor_seconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: u64 = text.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1_000_000_000
}
