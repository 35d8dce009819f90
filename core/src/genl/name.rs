// SPDX-License-Identifier: GPL-2.0-or-later
//! Names of resources and connections.

use super::ret_code::RetCode;
use crate::config::Refusal;

/// Checks a name that is to be given to an object; `strict` is the module parameter `strict_names`.
///
/// # Errors
///
/// The refusals of drbd9-api.md section 5, NEW_RESOURCE.
pub fn check_name(name: &str, strict: bool) -> Result<(), Refusal> {
    let refuse = |text| Err(Refusal::new(RetCode::ERR_INVALID_REQUEST, text));
    if name.is_empty() {
        return Err(Refusal::new(RetCode::ERR_MANDATORY_TAG, "name missing"));
    }
    if name == "all" {
        return refuse("invalid name ('all' means every resource)");
    }
    let mut bytes = name.bytes();
    if strict {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
        if !bytes.all(allowed) {
            return refuse("invalid name (strict_names=1 allows only [0-9A-Za-z+._-])");
        }
    } else if bytes.any(|byte| byte == b'/' || byte.is_ascii_control() || byte == b' ') {
        return refuse("invalid name (no '/', blanks or control characters)");
    }
    // A name is also the name of a directory in debugfs.
    if name == "." || name == ".." {
        return refuse("invalid name ('.' and '..' are directories)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["r0", "web.data_1+x-y", "ALL"] {
            assert_eq!(check_name(good, true), Ok(()));
        }
        for bad in ["", "all", "a b", "a/b", "..", "ä", "a\n"] {
            assert!(check_name(bad, true).is_err(), "{bad:?}");
        }
        assert_eq!(check_name("ä:1", false), Ok(()));
        for bad in ["a b", "a/b", "a\t", ".", "all"] {
            assert!(check_name(bad, false).is_err(), "{bad:?}");
        }
        assert_eq!(
            check_name("", true).unwrap_err().code,
            RetCode::ERR_MANDATORY_TAG
        );
    }
}
