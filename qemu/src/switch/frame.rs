// SPDX-License-Identifier: GPL-2.0-or-later
//! Frames as QEMU sends them over a stream: length, big endian in four bytes,
//! then the Ethernet frame.

/// Bytes of the length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// QEMU refuses longer ones too.
pub(crate) const FRAME_BYTES_MAX: usize = 68 * 1024;

/// Address of a network card.
pub(crate) type Mac = [u8; 6];

/// Finds the first whole frame in `bytes`: its bytes with the length before
/// them. `Ok(None)` if more bytes are needed, `Err` if these are no frames.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<&[u8]>, ()> {
    let Some(length) = bytes.get(..LENGTH_BYTES) else {
        return Ok(None);
    };
    let length = length
        .iter()
        .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    if length > FRAME_BYTES_MAX {
        return Err(());
    }
    Ok(bytes.get(..LENGTH_BYTES + length))
}

/// Destination and source of a frame with its length before it.
pub(crate) fn addresses(packet: &[u8]) -> Option<(Mac, Mac)> {
    let at = |from: usize| packet.get(from..from + 6)?.try_into().ok();
    Some((at(LENGTH_BYTES)?, at(LENGTH_BYTES + 6)?))
}

/// Whether the address is for more than one card.
pub(crate) fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_one_by_one() {
        let mut bytes = vec![0, 0, 0, 14];
        bytes.extend(1..=14);
        bytes.extend([0, 0, 0, 20, 7]);
        let packet = first(&bytes).unwrap().unwrap();
        assert_eq!(packet.len(), 18);
        assert_eq!(
            addresses(packet),
            Some(([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]))
        );
        assert_eq!(first(&bytes[18..]), Ok(None));
        assert_eq!(first(&bytes[..3]), Ok(None));
        assert_eq!(addresses(&bytes[..15]), None);
    }

    #[test]
    fn an_absurd_length_is_no_frame() {
        assert_eq!(first(&[0, 2, 0, 0]), Err(()));
    }
}
