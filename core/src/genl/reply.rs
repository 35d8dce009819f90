// SPDX-License-Identifier: GPL-2.0-or-later
//! Replies to requests.

use super::info::{Record, TimeoutParams};
use super::state::TimeoutType;
use super::tla::Tla;
use super::tlv::{find_nest, Attributes, Malformed};
use super::writer::{NoRoom, Writer};

const INFO_TEXT: u16 = 1;

/// Writes the attributes of a reply: the request's context as it came, then every text in a CFG_REPLY of its own.
///
/// `request_attributes` are the attributes of the request; if they are malformed the context is left out.
///
/// # Errors
///
/// [`NoRoom`].
pub fn encode_reply(
    writer: &mut Writer<'_>,
    request_attributes: &[u8],
    texts: &[&str],
) -> Result<(), NoRoom> {
    // The echo is a copy of the bytes, flag bits and all (drbd9-api.md section 2).
    if let Ok(Some(context)) = find_nest(request_attributes, Tla::CfgContext) {
        writer.put_raw(context.whole)?;
    }
    for text in texts.iter().filter(|text| !text.is_empty()) {
        writer.plain_nest(Tla::CfgReply, |w| w.put_text(INFO_TEXT, text))?;
    }
    Ok(())
}

/// Writes the answer to GET_TIMEOUT_TYPE after [`encode_reply`].
///
/// # Errors
///
/// [`NoRoom`].
pub fn encode_timeout_type(
    writer: &mut Writer<'_>,
    timeout_type: TimeoutType,
) -> Result<(), NoRoom> {
    TimeoutParams { timeout_type }.encode(writer)
}

/// The texts of a reply, in order.
pub fn info_texts(attributes: &[u8]) -> impl Iterator<Item = Result<&str, Malformed>> {
    Attributes::new(attributes)
        .filter(|attribute| !matches!(attribute, Ok(other) if other.nr != Tla::CfgReply.number()))
        .flat_map(|nest| {
            let inner = nest.map_or(&[][..], |nest| nest.payload);
            Attributes::new(inner).filter_map(|attribute| match attribute {
                Ok(attribute) if attribute.nr == INFO_TEXT => Some(attribute.text()),
                Ok(_) => None,
                Err(malformed) => Some(Err(malformed)),
            })
        })
}
