//! Facts about the door of S3 that need no server: words of requests, policies, conditions.

use std::collections::BTreeMap;

use archipelago_model::{AccountId, FileId};
use archipelago_pool::{Container, Meta, Object, Subject, Versioning, Which};
use axum::http::{HeaderMap, Uri};
use s3s::S3ErrorCode;
use s3s::dto::{ETag, ETagCondition};

use super::auth::{Actor, Asked, holds_too_long};
use super::meta::{self, Conditions};
use super::policy::{self, Verdict};
use super::{acl, fault, is_of_others, is_signed, parts, read, tags};
use crate::failure::Failure;

fn bucket(policy: Option<&str>) -> Container {
    let kept = policy.map(|text| ("s3.policy".to_owned(), text.to_owned()));
    Container {
        id: 1,
        account: AccountId::new(1),
        name: "box".parse().unwrap(),
        bucket: true,
        versioning: Versioning::Off,
        grants: Vec::new(),
        settings: kept.into_iter().collect(),
        objects: 0,
        bytes: 0,
        old_bytes: 0,
        quota_bytes: None,
        quota_objects: None,
        created_ms: 0,
    }
}

fn object(name: &str, etag: &str) -> Object {
    Object {
        id: FileId::new(7),
        name: name.parse().unwrap(),
        versioned: true,
        latest: true,
        marker: false,
        size: 3,
        etag: Some(etag.to_owned()),
        meta: Meta::default(),
        created_ms: 5_500,
        seal: None,
        owner: None,
    }
}

fn anybody(operation: &str, uri: &str) -> Actor {
    let context = policy::context(&HeaderMap::new(), &uri.parse::<Uri>().unwrap());
    Actor::anybody(Asked { operation: operation.to_owned(), key: None, context })
}

fn verdict(document: &str, operation: &str, key: Option<&str>) -> Verdict {
    let bucket = bucket(Some(document));
    policy::of_bucket(&bucket).judge(&anybody(operation, "/box?prefix=a"), &bucket, key)
}

fn statement(effect: &str, action: &str, resource: &str, more: &str) -> String {
    format!(
        "{{\"Statement\":{{\"Effect\":\"{effect}\",\"Principal\":\"*\",\"Action\":\"{action}\",\
         \"Resource\":\"{resource}\"{more}}}}}"
    )
}

#[test]
fn what_no_header_can_say_is_left_out() {
    let mut object = object("o", "etag");
    for (name, value) in [("a b", "x"), ("bad", "x\ny"), ("colour", "gr\u{fc}n")] {
        object.meta.user.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in [("content-disposition", "a\nb"), ("cache-control", "no-store")] {
        object.meta.headers.insert(name.to_owned(), value.to_owned());
    }
    let user = super::meta::user(&object).unwrap();
    assert_eq!(user.keys().collect::<Vec<_>>(), ["colour"]);
    assert_eq!(super::meta::header(&object, "content-disposition"), None);
    assert_eq!(super::meta::header(&object, "cache-control").as_deref(), Some("no-store"));
}

#[test]
fn a_policy_allows_what_it_names_and_nothing_else() {
    let allow = statement("Allow", "s3:Get*", "arn:aws:s3:::box/pub/*", "");
    assert_eq!(verdict(&allow, "GetObject", Some("pub/x")), Verdict::Allowed);
    assert_eq!(verdict(&allow, "HeadObject", Some("pub/x")), Verdict::Allowed);
    assert_eq!(verdict(&allow, "PutObject", Some("pub/x")), Verdict::Silent);
    assert_eq!(verdict(&allow, "GetObject", Some("x")), Verdict::Silent);
    assert_eq!(verdict(&allow, "ListObjects", None), Verdict::Silent);
    let other = statement("Allow", "*", "arn:aws:s3:::boxes*", "");
    assert_eq!(verdict(&other, "GetObject", Some("x")), Verdict::Silent);
}

#[test]
fn what_a_policy_denies_nothing_allows() {
    let both = "{\"Statement\":[\
        {\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"},\
        {\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:DeleteObject\",\"Resource\":\"*\"}]}";
    assert_eq!(verdict(both, "DeleteObject", Some("x")), Verdict::Denied);
    assert_eq!(verdict(both, "DeleteObjects", Some("x")), Verdict::Denied);
    assert_eq!(verdict(both, "GetObject", Some("x")), Verdict::Allowed);
}

#[test]
fn conditions_hold_or_do_not_and_unknown_ones_count_against_who_asks() {
    let with = |effect: &str, condition: &str| {
        let more = format!(",\"Condition\":{condition}");
        let document = statement(effect, "s3:ListBucket", "arn:aws:s3:::box", &more);
        verdict(&document, "ListObjectsV2", None)
    };
    let prefix = |text: &str| format!("{{\"StringEquals\":{{\"s3:prefix\":\"{text}\"}}}}");
    assert_eq!(with("Allow", &prefix("a")), Verdict::Allowed);
    assert_eq!(with("Allow", &prefix("b")), Verdict::Silent);
    let address = "{\"IpAddress\":{\"aws:SourceIp\":\"127.0.0.1/8\"}}";
    assert_eq!(with("Allow", address), Verdict::Silent);
    assert_eq!(with("Deny", address), Verdict::Denied);
}

#[test]
fn a_right_to_the_newest_version_is_none_to_old_ones() {
    let document = statement("Allow", "s3:GetObject", "arn:aws:s3:::box/*", "");
    let bucket = bucket(Some(&document));
    let old = anybody("GetObject", "/box/x?versionId=0000000000000007");
    let policy = policy::of_bucket(&bucket);
    assert_eq!(policy.judge(&old, &bucket, Some("x")), Verdict::Silent);
    assert_eq!(policy.judge_object(&old, &bucket, &object("x", "e")), Verdict::Silent);
}

#[test]
fn a_tag_that_is_not_looked_up_counts_against_who_asks() {
    let more = ",\"Condition\":{\"StringEquals\":{\"s3:ExistingObjectTag/a\":\"1\"}}";
    let deny = statement("Deny", "s3:DeleteObject", "arn:aws:s3:::box/*", more);
    assert_eq!(verdict(&deny, "DeleteObject", Some("x")), Verdict::Denied);
}

#[test]
fn times_behind_the_last_year_that_headers_can_say_are_cut() {
    assert_eq!(meta::time(u64::MAX), meta::time(253_402_300_799_000));
}

#[test]
fn a_policy_that_cannot_be_read_says_nothing() {
    assert_eq!(verdict("{\"Statement\": 7}", "GetObject", Some("x")), Verdict::Silent);
}

#[test]
fn version_ids_go_round_and_strange_ones_are_refused() {
    let object = object("x", "e");
    assert_eq!(meta::which(Some(&meta::version_id(&object))).unwrap(), Which::Version(object.id));
    assert_eq!(meta::which(Some("null")).unwrap(), Which::Unversioned);
    assert_eq!(meta::which(None).unwrap(), Which::Latest);
    for strange in ["7", "zzzzzzzzzzzzzzzz", "00000000000000071"] {
        assert!(meta::which(Some(strange)).is_err(), "{strange}");
    }
}

#[test]
fn an_etag_that_matches_is_stronger_than_a_time() {
    let object = object("x", "e");
    let etag = |text: &str| ETagCondition::ETag(ETag::Strong(text.to_owned()));
    let (same, other, early, late) = (etag("e"), etag("f"), meta::time(1_000), meta::time(9_000));
    let check = |if_match, if_none_match, since, unless| {
        let conditions = Conditions {
            if_match,
            if_none_match,
            if_modified_since: since,
            if_unmodified_since: unless,
            unchanged: S3ErrorCode::NotModified,
        };
        conditions.check(&object).map_err(|error| error.code().clone())
    };
    assert_eq!(check(Some(&same), None, None, Some(&early)), Ok(()));
    assert_eq!(check(Some(&other), None, None, None), Err(S3ErrorCode::PreconditionFailed));
    assert_eq!(check(None, None, None, Some(&early)), Err(S3ErrorCode::PreconditionFailed));
    assert_eq!(check(None, Some(&same), Some(&early), None), Err(S3ErrorCode::NotModified));
    assert_eq!(check(None, Some(&other), Some(&late), None), Ok(()));
    assert_eq!(check(None, None, Some(&late), None), Err(S3ErrorCode::NotModified));
    assert_eq!(check(None, None, Some(&early), None), Ok(()));
}

#[test]
fn a_range_to_copy_is_both_ends_and_nothing_else() {
    assert_eq!(parts::copy_range("bytes=0-9").unwrap(), (0, 10));
    assert_eq!(parts::copy_range("bytes=5-5").unwrap(), (5, 1));
    let whole = format!("bytes=0-{}", u64::MAX);
    for wrong in ["0-9", "bytes=9-0", "bytes=-9", "bytes=1-", "bytes=+1-2", "bytes=1-2-3", &whole] {
        assert!(parts::copy_range(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn tags_are_few_short_and_different() {
    let read = |text: &str| tags::of_query(text).ok();
    assert_eq!(
        read("a=1&b=%20"),
        Some(BTreeMap::from([("a".into(), "1".into()), ("b".into(), " ".into())]))
    );
    assert_eq!(read("a=1&a=2"), None);
    assert_eq!(read(&format!("{}=1", "k".repeat(129))), None);
    assert_eq!(read(&format!("a={}", "v".repeat(257))), None);
    let eleven: Vec<String> = (0..11).map(|n| format!("k{n}=")).collect();
    assert_eq!(read(&eleven.join("&")), None);
}

#[test]
fn a_request_is_of_this_door_when_it_is_signed_or_nobody_else_has_its_path() {
    let request = |uri: &str, header: Option<&str>| {
        let mut builder = axum::extract::Request::builder().uri(uri);
        if let Some(header) = header {
            builder = builder.header("authorization", header);
        }
        builder.body(axum::body::Body::empty()).unwrap()
    };
    assert!(is_signed(&request("/v1/volumes", Some("AWS4-HMAC-SHA256 Credential=x"))));
    assert!(is_signed(&request("/box/x?X-Amz-Signature=1", None)));
    assert!(!is_signed(&request("/box/x", Some("Bearer AWS"))));
    assert!(is_of_others("/v1/volumes") && is_of_others("/") && is_of_others("/identity/v3"));
    assert!(!is_of_others("/box/v1"));
}

#[test]
fn only_the_etag_of_attributes_loses_its_quotes() {
    let document = "<ETag>\"abc-2\"</ETag><ObjectParts><Part>\"</Part></ObjectParts>";
    let bare = "<ETag>abc-2</ETag><ObjectParts><Part>\"</Part></ObjectParts>";
    assert_eq!(read::without_quotes(document), bare);
    assert_eq!(read::without_quotes("<ObjectSize>3</ObjectSize>"), "<ObjectSize>3</ObjectSize>");
}

#[test]
fn lists_grant_nothing_where_the_owner_enforces_ownership() {
    let public = r#"{"grants":[["Everybody","Read"]],"hides_owner":false}"#;
    let mut open = bucket(None);
    open.settings.insert("s3.acl".to_owned(), public.to_owned());
    let mut shown = object("a", "00");
    shown.meta.settings.insert("s3.acl".to_owned(), public.to_owned());
    let anybody = Subject::anybody();
    let may = |bucket: &Container| {
        let of_object = acl::grants_of_object(bucket, &shown, &anybody);
        (!acl::grants_of_bucket(bucket, &anybody).is_empty(), !of_object.is_empty())
    };
    assert_eq!(may(&open), (true, true));
    let enforced = r#"["BucketOwnerEnforced"]"#;
    open.settings.insert("s3.ownership".to_owned(), enforced.to_owned());
    assert_eq!(may(&open), (false, false));
}

#[test]
fn a_url_is_signed_for_a_week_at_most() {
    let too_long = |seconds: &str| {
        let uri = format!("/box/key?X-Amz-Expires={seconds}&X-Amz-Signature=00");
        holds_too_long(&uri.parse::<Uri>().unwrap())
    };
    assert!(!too_long("604800"));
    assert!(too_long("604801"));
    assert!(!holds_too_long(&"/box/key".parse::<Uri>().unwrap()));
}

#[test]
fn what_is_wrong_with_a_body_is_told_by_its_code() {
    for (message, code) in [
        ("UploadStreamError: Sha256Mismatch", "XAmzContentSHA256Mismatch"),
        ("AwsChunkedStreamError: SignatureMismatch", "SignatureDoesNotMatch"),
        ("AwsChunkedStreamError: Underlying: nothing came for 60 s", "RequestTimeout"),
        ("the last piece of the body is missing", "IncompleteBody"),
        ("4 bytes came where 5 were announced", "IncompleteBody"),
    ] {
        let failure = Failure::invalid(format!("the upload broke off: {message}; send it again"));
        let error = fault::broken(&failure, fault::Missing::Key);
        assert_eq!(error.code().as_str(), code, "{message}");
        assert!(error.status_code().is_some_and(|status| status.is_client_error()), "{message}");
    }
}
