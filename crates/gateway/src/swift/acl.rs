//! Lists of who may read and write a container: `.r:*,.rlistings,account:user`.

use archipelago_pool::{Container, Grant, Grantee, Identity, Right, Role, Subject};

use super::access::{READ, WRITE};
use super::answer::Refusal;

/// A list has so many bytes at most; Swift has no limit but that of headers.
pub(super) const ACL_BYTES_MAX: usize = 8 << 10;

/// Checks a list, and writes it in one way.
pub(super) fn clean(value: &str, write: bool) -> Result<String, Refusal> {
    if value.len() > ACL_BYTES_MAX {
        return Err(Refusal::invalid(format_args!("an ACL has {ACL_BYTES_MAX} bytes at most")));
    }
    let mut out = Vec::new();
    for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let Some((first, second)) = item.split_once(':') else {
            out.push(item.to_owned());
            continue;
        };
        let (first, second) = (first.trim(), second.trim());
        match first {
            ".r" | ".ref" | ".referer" | ".referrer" if write => {
                return Err(Refusal::invalid("Referrers not allowed in write ACL"));
            }
            ".r" | ".ref" | ".referer" | ".referrer" => out.push(referrer(second)?),
            _ if first.starts_with('.') => {
                return Err(Refusal::invalid(format_args!("Unknown designator in ACL: {first}")));
            }
            _ => out.push(item.to_owned()),
        }
    }
    Ok(out.join(","))
}

fn referrer(text: &str) -> Result<String, Refusal> {
    let (sign, host) = match text.strip_prefix('-') {
        Some(host) => ("-", host.trim()),
        None => ("", text),
    };
    let host = match host.strip_prefix('*') {
        Some(domain) if !domain.is_empty() => domain.trim(),
        _ => host,
    };
    if host.is_empty() || host == "." {
        return Err(Refusal::invalid("No host/domain value after referrer designation in ACL"));
    }
    Ok(format!(".r:{sign}{host}"))
}

/// What the lists of a container say of somebody, as grants: who is on a list of readers sees
/// names, too. Referrers are no grants: they are asked by this door alone.
pub(crate) fn grants_of(container: &Container, subject: &Subject) -> Vec<Grant> {
    let Some(who) = &subject.identity else { return Vec::new() };
    let to = Grantee::UserIn(who.user.id, who.account.id);
    let lists: [(&str, &[Right]); 2] =
        [(READ, &[Right::Read, Right::List]), (WRITE, &[Right::Write])];
    let mut out = Vec::new();
    for (setting, rights) in lists {
        let list = container.settings.get(setting).map(String::as_str).unwrap_or_default();
        if list.split(',').any(|item| !item.is_empty() && names(item, who)) {
            out.extend(rights.iter().map(|right| Grant::new(to, *right)));
        }
    }
    out
}

/// Whether a list lets whoever comes from a page in. `listing`: names are to be seen, which `.r:`
/// alone does not allow.
pub(super) fn allows_referrer(acl: &str, referer: Option<&str>, listing: bool) -> bool {
    let items: Vec<&str> = acl.split(',').filter(|item| !item.is_empty()).collect();
    referrer_allowed(&items, referer) && (!listing || items.contains(&".rlistings"))
}

fn referrer_allowed(items: &[&str], referer: Option<&str>) -> bool {
    let host = referer.and_then(host_of).unwrap_or("unknown");
    let mut allowed = false;
    for rule in items.iter().filter_map(|item| item.strip_prefix(".r:")) {
        let (rule, allow) = match rule.strip_prefix('-') {
            Some(rule) => (rule, false),
            None => (rule, true),
        };
        let matches = rule == host
            || (rule.starts_with('.') && host.ends_with(rule))
            || (allow && rule == "*");
        if matches {
            allowed = allow;
        }
    }
    allowed
}

fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next().unwrap_or(host)).filter(|host| !host.is_empty())
}

/// Whether an item means somebody: `account`, `account:user`, `*:user`, `account:*`, `*:*`,
/// with names or ids. What looks like an id is never taken for a name.
pub(super) fn names(item: &str, who: &Identity) -> bool {
    if item.starts_with('.') {
        return false;
    }
    let (account, user) = item.split_once(':').unwrap_or((item, "*"));
    if account == "*" && !item.contains(':') {
        return false;
    }
    // All of an account: its guests are not of it.
    if account != "*" && user == "*" && who.role == Role::Guest {
        return false;
    }
    is(account, who.account.name.as_str(), who.account.uuid)
        && is(user, who.user.name.as_str(), who.user.uuid)
}

fn is(text: &str, name: &str, uuid: [u8; 16]) -> bool {
    let looks_like_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match looks_like_id {
        true => text.eq_ignore_ascii_case(&hex::encode(uuid)),
        false => text == "*" || text == name,
    }
}
