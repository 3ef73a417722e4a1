//! Facts about the small parts: ranges, lists, paths.

use super::super::ranges::{Wanted, wanted};
use super::super::{acl, ask};

#[test]
fn ranges_are_those_of_http() {
    let some = |list: &[(u64, u64)]| Wanted::Some(list.to_vec());
    assert_eq!(wanted(None, 10), Wanted::All);
    assert_eq!(wanted(Some("bytes=0-3"), 10), some(&[(0, 4)]));
    assert_eq!(wanted(Some("bytes=8-99"), 10), some(&[(8, 2)]));
    assert_eq!(wanted(Some("bytes=-3"), 10), some(&[(7, 3)]));
    assert_eq!(wanted(Some("bytes=3-"), 10), some(&[(3, 7)]));
    assert_eq!(wanted(Some("bytes=20-,0-0"), 10), some(&[(0, 1)]));
    for nothing in ["bytes=10-", "bytes=-0", "bytes=99999999999999999999999-"] {
        assert_eq!(wanted(Some(nothing), 10), Wanted::Nothing, "{nothing}");
    }
    for nonsense in ["bytes=", "bytes=x-y", "bytes=5-2", "items=0-1", "bytes=-", "bytes=--1"] {
        assert_eq!(wanted(Some(nonsense), 10), Wanted::All, "{nonsense}");
    }
    let many = format!("bytes={}", vec!["0-0"; 51].join(","));
    assert_eq!(wanted(Some(&many), 1000), Wanted::Nothing);
    assert_eq!(wanted(Some("bytes=0-,0-,0-"), 10), Wanted::Nothing);
    assert_eq!(wanted(Some("bytes=0-0"), 0), Wanted::Nothing);
}

#[test]
fn lists_are_written_in_one_way() {
    let clean = |text| acl::clean(text, false).unwrap();
    assert_eq!(clean(" a , b:c ,, .referer : *.example.com "), "a,b:c,.r:.example.com");
    assert_eq!(clean(".ref:-evil.org,.r:*,.rlistings"), ".r:-evil.org,.r:*,.rlistings");
    assert!(acl::clean(".r:*", true).is_err());
    assert!(acl::clean(".x:y", false).is_err());
    assert!(acl::clean(&"a".repeat(9000), false).is_err());
}

#[test]
fn referrers_are_hosts() {
    let allows = |list: &str, referer: &str| acl::allows_referrer(list, Some(referer), false);
    assert!(allows(".r:.example.com", "http://www.example.com/page"));
    assert!(!allows(".r:.example.com", "http://example.com.evil.org/"));
    assert!(!allows(".r:.example.com", "http://evil.org/?http://www.example.com/"));
    assert!(!allows(".r:*,.r:-evil.org", "http://evil.org/"));
    assert!(allows(".r:*", ""));
    assert!(!acl::allows_referrer(".r:*", None, true));
    assert!(acl::allows_referrer(".r:*,.rlistings", None, true));
}

#[test]
fn percents_are_decoded_and_encoded() {
    assert_eq!(ask::decode("a%20b%2fc%", false).as_deref(), Some("a b/c%"));
    assert_eq!(ask::decode("a+b", true).as_deref(), Some("a b"));
    assert_eq!(ask::decode("%ff", false), None);
    assert_eq!(ask::decode("%2", false).as_deref(), Some("%2"));
    assert_eq!(ask::encode("a b/\u{fc}"), "a%20b/%C3%BC");
}
