use axum::http::HeaderName;

use super::*;

const URL: &str =
    "/box/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=abc&X-Amz-SignedHeaders=";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn by_url(signed: &str, pairs: &[(&str, &str)]) -> S3Result<()> {
    check(false, &format!("{URL}{signed}").parse().unwrap(), &headers(pairs))
}

fn by_header(signed: &str, pairs: &[(&str, &str)]) -> S3Result<()> {
    let value =
        format!("{FOUR} Credential=a/b/c/s3/aws4_request, SignedHeaders={signed}, Signature=d");
    let pairs = [&[("authorization", value.as_str()), ("host", "h")], pairs].concat();
    check(false, &"/box/key".parse().unwrap(), &headers(&pairs))
}

#[test]
fn a_header_of_s3_that_is_not_signed_is_refused() {
    for name in ["x-amz-acl", "x-amz-copy-source", "X-Amz-Meta-Colour", "x-amz-tagging"] {
        let extra = [(name, "value")];
        for refused in [by_url("host", &extra), by_header("host", &extra)] {
            assert_eq!(refused.unwrap_err().code(), &S3ErrorCode::AccessDenied, "{name}");
        }
        let lower = name.to_ascii_lowercase();
        by_url(&format!("host%3B{lower}"), &extra).unwrap();
        by_header(&format!("host;{lower}"), &extra).unwrap();
        // What is signed has to be a whole name.
        assert!(by_header(&format!("host;{lower}x"), &extra).is_err());
    }
}

#[test]
fn what_the_signature_covers_in_another_way_needs_no_place_in_the_list() {
    let pairs = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("content-type", "text/plain")];
    by_url("host", &pairs).unwrap();
    by_header("host", &pairs).unwrap();
}

#[test]
fn the_host_has_to_be_signed() {
    for signed in ["", "content-type"] {
        assert!(by_url(signed, &[]).is_err());
        assert!(by_header(signed, &[]).is_err());
    }
}

#[test]
fn signatures_of_version_two_are_for_urls_that_ask_for_nothing_else() {
    let by_two = [("authorization", "AWS AKID:c2ln")];
    let refused = check(false, &"/box/key".parse().unwrap(), &headers(&by_two));
    assert_eq!(refused.unwrap_err().code(), &S3ErrorCode::InvalidRequest);
    let url = "/box/key?AWSAccessKeyId=a&Signature=b&Expires=9999999999";
    check(false, &url.parse().unwrap(), &headers(&[])).unwrap();
    assert!(check(false, &url.parse().unwrap(), &headers(&by_two)).is_err());
    for more in ["encryption", "attributes", "policyStatus=", "x-amz-acl=public-read"] {
        let wide = format!("{url}&{more}").parse().unwrap();
        assert!(check(false, &wide, &headers(&[])).is_err(), "{more}");
    }
}

#[test]
fn one_request_is_signed_in_one_way() {
    let value = format!("{FOUR} Credential=a, SignedHeaders=host;x-amz-acl, Signature=d");
    let refused = by_url("host", &[("authorization", &value), ("x-amz-acl", "public-read")]);
    assert_eq!(refused.unwrap_err().code(), &S3ErrorCode::InvalidArgument);
}

#[test]
fn a_list_that_is_there_twice_signs_nothing() {
    let url = format!("{URL}host&X-Amz-SignedHeaders=host%3Bx-amz-acl");
    let extra = headers(&[("x-amz-acl", "public-read")]);
    assert!(check(false, &url.parse().unwrap(), &extra).is_err());
    let two = "host, SignedHeaders=host;x-amz-acl";
    assert!(by_header(two, &[("x-amz-acl", "public-read")]).is_err());
}

#[test]
fn a_form_brings_no_headers_of_s3() {
    let uri: Uri = "/box".parse().unwrap();
    check(true, &uri, &headers(&[])).unwrap();
    assert!(check(true, &uri, &headers(&[("x-amz-acl", "public-read")])).is_err());
}

#[test]
fn what_looks_like_version_four_as_well_is_still_of_version_two() {
    // The library looks for version 2 first.
    let four = "X-Amz-Signature=x&X-Amz-SignedHeaders=host";
    let by_two = [("authorization", "AWS AKID:c2ln")];
    let url = format!("/box?encryption&{four}").parse().unwrap();
    assert!(check(false, &url, &headers(&by_two)).is_err());
    let url = "/box?encryption&AWSAccessKeyId=a&Signature=b&Expires=9999999999";
    let both = format!("{url}&{four}").parse().unwrap();
    assert!(check(false, &both, &headers(&[])).is_err());
}
