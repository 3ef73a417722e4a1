use archipelago_model::AccountId;
use archipelago_pool::Versioning;

use super::*;

const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
const MD5: &str = "DWygnHRtgiJ77HCm+1rvHw==";

fn bucket(seal: Option<&DefaultSeal>) -> Container {
    let mut bucket = Container {
        id: 1,
        account: AccountId::new(1),
        name: "box".parse().unwrap(),
        bucket: true,
        versioning: Versioning::Off,
        settings: Default::default(),
        grants: Vec::new(),
        objects: 0,
        bytes: 0,
        old_bytes: 0,
        quota_bytes: None,
        quota_objects: None,
        created_ms: 0,
    };
    DefaultSeal::put(seal, &mut bucket);
    bucket
}

/// What is said of a key, and of a method: `None` for nothing.
fn wanted(
    [algorithm, key, md5]: [Option<&str>; 3],
    method: Option<&str>,
    kms_key: Option<&str>,
    seal: Option<&DefaultSeal>,
) -> S3Result<Wanted> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let (algorithm, key, md5, kms_key) = (text(algorithm), text(key), text(md5), text(kms_key));
    let method = text(method).map(ServerSideEncryption::from);
    let said = Said {
        key: SaidKey { algorithm: algorithm.as_ref(), key: key.as_ref(), md5: md5.as_ref() },
        algorithm: method.as_ref(),
        kms_key: kms_key.as_ref(),
        kms_context: None,
    };
    said.wanted(&bucket(seal))
}

const NO_KEY: [Option<&str>; 3] = [None; 3];
const GOOD: [Option<&str>; 3] = [Some("AES256"), Some(KEY), Some(MD5)];

#[test]
fn a_key_comes_with_its_algorithm_and_its_md5_or_not_at_all() {
    let good = wanted(GOOD, None, None, None).unwrap();
    assert!(matches!(good.sealing, Sealing::Client(_)));
    for bad in [
        [None, Some(KEY), Some(MD5)],
        [Some("AES256"), None, Some(MD5)],
        [Some("AES256"), Some(KEY), None],
        [Some("AES256"), None, None],
        [Some("AES256"), Some(KEY), Some("AAAAAAAAAAAAAAAAAAAAAA==")],
        [Some("AES256"), Some("c2hvcnQ="), Some("mGu8t5x3ZRz2RyOJKkgB3g==")],
        [Some("AES256"), Some("no base64!"), Some(MD5)],
    ] {
        let error = wanted(bad, None, None, None).unwrap_err();
        assert_eq!(*error.code(), S3ErrorCode::InvalidArgument, "{bad:?}");
    }
    let error = wanted([Some("AES192"), Some(KEY), Some(MD5)], None, None, None).unwrap_err();
    assert_eq!(*error.code(), S3ErrorCode::InvalidEncryptionAlgorithmError);
}

#[test]
fn ways_of_encryption_exclude_each_other() {
    for (key, method, kms_key) in [
        (GOOD, Some("AES256"), None),
        (GOOD, Some("aws:kms"), Some("one")),
        (GOOD, None, Some("one")),
        (NO_KEY, Some("AES256"), Some("one")),
        (NO_KEY, None, Some("one")),
        (NO_KEY, Some("aes:kms"), None),
        (NO_KEY, Some("aws:kms"), Some("")),
        (NO_KEY, Some("aws:kms"), Some("with space")),
        // No key is taken that was not named.
        (NO_KEY, Some("aws:kms"), None),
    ] {
        let error = wanted(key, method, kms_key, None).unwrap_err();
        assert_eq!(*error.code(), S3ErrorCode::InvalidArgument, "{method:?} {kms_key:?}");
    }
}

#[test]
fn a_bucket_names_the_key_that_a_request_does_not() {
    let seal = DefaultSeal::Service("two".to_owned());
    let sealing = |method, kms_key| wanted(NO_KEY, method, kms_key, Some(&seal)).unwrap().sealing;
    assert!(matches!(sealing(None, None), Sealing::Default));
    assert!(matches!(sealing(Some("AES256"), None), Sealing::Store));
    assert!(matches!(sealing(Some("aws:kms"), None), Sealing::Service(key) if key == "two"));
    assert!(matches!(sealing(Some("aws:kms"), Some("one")), Sealing::Service(key) if key == "one"));
}

#[test]
fn no_formatter_shows_a_key() {
    let mut headers = HeaderMap::new();
    for name in KEYS {
        headers.insert(name, HeaderValue::from_static(KEY));
    }
    assert!(format!("{headers:?}").contains(KEY));
    hide_keys(&mut headers);
    assert!(!format!("{headers:?}").contains(KEY));
    let wanted = wanted(GOOD, None, None, None).unwrap();
    assert!(!format!("{wanted:?}").contains("pO3u"));
    let uri = "/box/key".parse().unwrap();
    let context = super::super::policy::context(&headers, &uri);
    assert!(!format!("{context:?}").contains(KEY));
}

#[test]
fn what_is_read_is_asked_for_with_the_right_key_and_without_a_method() {
    let key = wanted(GOOD, None, None, None).unwrap().key.unwrap();
    assert!(check(None, None).is_ok());
    assert_eq!(*check(None, Some(&key)).unwrap_err().code(), S3ErrorCode::InvalidRequest);
    let mut headers = HeaderMap::new();
    assert!(refuse_method(&headers).is_ok());
    headers.insert(HEADER, HeaderValue::from_static("aws:kms"));
    assert_eq!(*refuse_method(&headers).unwrap_err().code(), S3ErrorCode::InvalidArgument);
}
