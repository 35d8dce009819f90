// SPDX-License-Identifier: GPL-2.0-or-later
//! Payloads, large arrays, hashes, random numbers, rate limits.

use super::check;
use crate::os::{
    hash::Hash,
    log::RateLimit,
    mem::Buf,
    module::ModuleRef,
    pages::{PagePool, Payload, MAX_PAYLOAD},
    random,
};
use kernel::prelude::*;

fn pattern(payload: &mut Payload, seed: u8) {
    let mut n = seed;
    for chunk in payload.chunks_mut() {
        for byte in chunk {
            *byte = n;
            n = n.wrapping_mul(5).wrapping_add(3);
        }
    }
}

pub(super) fn run() -> Result {
    let pool = PagePool::new(0)?;
    check(
        pool.alloc(0).is_err() && pool.alloc(MAX_PAYLOAD + 1).is_err(),
        "payload sizes refused",
    )?;
    let mut kept = KVec::new();
    for len in [
        1,
        512,
        4096,
        4097,
        65536,
        69632,
        258048,
        MAX_PAYLOAD - 4096,
        MAX_PAYLOAD,
    ] {
        let mut payload = pool.alloc(len)?;
        pattern(&mut payload, 1);
        check(payload.len() == len, "payload has its length")?;
        let total: usize = payload.chunks().map(<[u8]>::len).sum();
        check(total == len, "chunks add up")?;
        kept.push(payload, GFP_KERNEL)?;
    }
    check(pool.in_use_pages() >= 256 * 2, "pages in use are counted")?;
    drop(kept);
    check(pool.in_use_pages() == 0, "pages came back")?;

    let mut payload = pool.alloc(200_000)?;
    pattern(&mut payload, 7);
    payload.copy_in(131_000, b"across the chunks")?;
    let mut back = [0u8; 17];
    payload.copy_out(131_000, &mut back)?;
    check(&back == b"across the chunks", "copy in and out")?;
    check(
        payload.copy_in(199_990, &back).is_err(),
        "copy beyond the end refused",
    )?;
    payload.truncate(100_001);
    check(payload.len() == 100_001, "truncate")?;
    check(
        payload.copy_out(100_000, &mut back).is_err(),
        "reading behind the cut refused",
    )?;
    payload.fill(0);
    check(payload.is_zero(), "fill with zero")?;
    payload.copy_in(100_000, b"1")?;
    check(!payload.is_zero(), "one byte is not zero")?;
    let mut payload = pool.alloc(9)?;
    payload.copy_in(0, b"123456789")?;
    check(
        payload.crc32c() == 0xe306_9283,
        "crc32c of the check string",
    )?;
    check(
        pool.try_alloc(65536).is_some(),
        "allocation without waiting",
    )?;

    let mut hash = Hash::new(c"sha256")?;
    let mut digest = [0u8; 32];
    check(hash.update(b"x").is_err(), "update before begin refused")?;
    hash.begin()?;
    payload.digest(&mut hash)?;
    check(hash.finish(&mut digest)? == 32, "sha256 has 32 bytes")?;
    check(
        digest.first_chunk() == Some(&[0x15, 0xe2, 0xb0, 0xd3]),
        "sha256 of the check string",
    )?;
    check(Hash::new(c"nonesuch").is_err(), "unknown hash refused")?;
    let mut hmac = Hash::new(c"hmac(sha256)")?;
    hmac.set_key(b"key")?;
    hmac.begin()?;
    hmac.update(b"data")?;
    check(hmac.finish(&mut digest)? == 32, "hmac(sha256)")?;

    let slab = Buf::from_fn(100_000, |i| i as u64)?;
    check(
        slab.len() == 100_000 && slab.get(77_777) == Some(&77_777),
        "large slab",
    )?;
    let mut bitmap = Buf::filled(1 << 20, 0u64)?;
    if let Some(last) = bitmap.last_mut() {
        *last = 1;
    }
    check(bitmap.iter().sum::<u64>() == 1, "8 MiB bitmap")?;

    let mut a = [0u8; 32];
    random::fill(&mut a);
    check(
        a != [0; 32] && random::u64() != random::u64(),
        "random numbers differ",
    )?;
    let limit = RateLimit::new(3, 100_000);
    check((0..10).filter(|_| limit.ok()).count() == 3, "rate limit")?;
    // While the module initialises, references can be taken.
    let module = ModuleRef::get();
    check(module.clone().is_some(), "module reference")
}
