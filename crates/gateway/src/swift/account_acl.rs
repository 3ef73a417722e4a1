//! `X-Account-Access-Control`: who else may do what in a whole account, as JSON:
//! `{"admin":["lab:bob"],"read-write":[...],"read-only":[...]}`.

use std::collections::BTreeMap;

use archipelago_pool::{Identity, Role};

use super::acl::{self, ACL_BYTES_MAX};
use super::answer::Refusal;

pub(super) const HEADER: &str = "x-account-access-control";
/// Setting of an account: the list, in one way of writing.
pub(super) const SETTING: &str = "swift.account-acl";

/// What is given, the most first, and what that makes of whoever has it.
const LEVELS: [(&str, Role); 3] =
    [("admin", Role::Admin), ("read-write", Role::Member), ("read-only", Role::Reader)];

type Lists = BTreeMap<String, Vec<String>>;

/// Checks a list, and writes it in one way; an empty one is `None`.
pub(super) fn clean(text: &str) -> Result<Option<String>, Refusal> {
    if text.len() > ACL_BYTES_MAX {
        return Err(Refusal::invalid(format_args!("an ACL has {ACL_BYTES_MAX} bytes at most")));
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong =
        |why: &str| Refusal::invalid(format_args!("X-Account-Access-Control invalid: {why}"));
    let lists: Lists =
        serde_json::from_str(text).map_err(|_| wrong("not a JSON object of lists of names"))?;
    if lists.keys().any(|key| !LEVELS.iter().any(|(level, _)| level == key)) {
        return Err(wrong("its keys are admin, read-write and read-only"));
    }
    if lists.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&lists).map_err(Refusal::invalid)?;
    Ok(Some(ascii(&text)))
}

/// JSON that can stand in a header: what is not ASCII is escaped.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// What a list makes of somebody; one that cannot be read lets nobody in.
pub(super) fn role(list: &str, who: &Identity) -> Option<Role> {
    let lists: Lists = serde_json::from_str(list).ok()?;
    let named = |level: &str| {
        lists.get(level).is_some_and(|items| items.iter().any(|item| acl::names(item, who)))
    };
    LEVELS.iter().find(|(level, _)| named(level)).map(|(_, role)| *role)
}
