//! Facts about urls of pools.

use super::*;

fn bucket(url: &str) -> Bucket {
    match parse(url).unwrap() {
        Place::Bucket(bucket) => bucket,
        other => panic!("{other:?}"),
    }
}

fn refused(url: &str) -> String {
    parse(url).unwrap_err().to_string()
}

#[test]
fn a_bucket_is_named_with_what_it_needs() {
    let url = "s3://pool_1/a/b/?endpoint=http://127.0.0.1:7480&region=eu&credentials=/etc/keys";
    let expected = Bucket {
        bucket: "pool_1".to_owned(),
        prefix: "a/b".to_owned(),
        endpoint: Some("http://127.0.0.1:7480".to_owned()),
        region: Some("eu".to_owned()),
        virtual_hosted: false,
        credentials: Some("/etc/keys".to_owned()),
    };
    assert_eq!(bucket(url), expected);
    let bare = bucket("s3://pool?virtual_hosted=true");
    assert_eq!((bare.prefix.as_str(), bare.endpoint, bare.virtual_hosted), ("", None, true));
    assert_eq!(bucket("s3://pool/a%20b+c").prefix, "a b+c");
}

#[test]
fn a_pool_of_rados_is_named_with_what_it_needs() {
    let expected = RadosSettings {
        pool: "images".to_owned(),
        namespace: "one".to_owned(),
        config: "/tmp/ceph.conf".into(),
        user: "me".to_owned(),
    };
    let url = "rados://images/one?conf=/tmp/ceph.conf&user=me";
    assert_eq!(parse(url).unwrap(), Place::Rados(expected));
    let Place::Rados(bare) = parse("rados://images").unwrap() else { panic!("it is RADOS") };
    assert_eq!((bare.config.to_str(), bare.user.as_str()), (Some(CEPH_CONFIG), CEPH_USER));
}

#[test]
fn a_url_that_is_none_is_refused_and_no_secret_of_it_is_repeated() {
    for url in [
        "",
        "pool",
        "s3:",
        "s3://",
        "s3://b?virtual_hosted=yes",
        "file:///",
        "file:///x?y=z",
        "http://bucket",
        "s3://b:80/",
        "s3://b#x",
    ] {
        assert!(refused(url).contains("write s3://"), "{url}");
    }
    for url in ["s3://KEY:hush@bucket/", "s3://bucket?endpoint=http://KEY:hush@127.0.0.1:9000"] {
        let said = refused(url);
        assert!(said.contains("credentials=FILE") && !said.contains("hush"), "{said}");
    }
    let said = refused("s3://bucket?secret=hush");
    assert!(said.contains("'secret'") && !said.contains("hush"), "{said}");
}

#[test]
fn the_catalog_says_what_kind_a_place_is() {
    assert_eq!(row(None), ("directory", "file:pool"));
    assert_eq!(row(Some("rados://p")), ("rados", "rados://p"));
}

#[test]
fn a_secret_in_the_url_of_a_store_that_is_elsewhere_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (data, env) = (dir.path().join("data"), Env::real());
    drop(Folder::open(&env, &data, None, None).unwrap());
    let said = |url| Folder::open(&env, &data, Some(url), None).err().unwrap().to_string();
    assert!(!said("s3://KEY:hush@bucket/p").contains("hush"));
    assert!(said("s3://bucket/p").contains("a store keeps its pool"));
}
