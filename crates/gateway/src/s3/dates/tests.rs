use axum::http::{HeaderMap, HeaderValue};

use super::complete;

fn completed(headers: &[(&'static str, &'static str)]) -> Option<String> {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(*name, HeaderValue::from_static(value));
    }
    complete(&mut all);
    let said: Vec<_> = all.get_all("x-amz-date").iter().collect();
    assert!(said.len() < 2);
    said.first().map(|value| value.to_str().unwrap().to_owned())
}

fn of(date: &'static str) -> Option<String> {
    completed(&[("authorization", "AWS4-HMAC-SHA256 Credential=a"), ("date", date)])
}

#[test]
fn a_date_is_said_as_signatures_have_it() {
    for date in [
        "Fri, 31 Jan 2025 12:30:05 GMT",
        "Fri, 31 Jan 2025 12:30:05 -0000",
        "Fri, 31 Jan 2025 14:30:05 +0200",
        "Friday, 31-Jan-25 12:30:05 GMT",
        "20250131T123005Z",
    ] {
        assert_eq!(of(date).as_deref(), Some("20250131T123005Z"), "{date}");
    }
}

#[test]
fn what_is_no_date_is_left_to_be_refused() {
    for date in ["", "yesterday", "Fri, 31 Jan 99999 12:30:05 GMT", "Fri, 31 Jun 2025 12:30:05 GMT"]
    {
        assert_eq!(of(date), None, "{date}");
    }
    assert_eq!(of("Tue, 07 Jul 1950 21:53:04 GMT"), None);
    let long: &'static str = Box::leak("9".repeat(60_000).into_boxed_str());
    assert_eq!(of(long), None);
}

#[test]
fn a_date_that_is_said_twice_is_none() {
    let date = ("date", "Fri, 31 Jan 2025 12:30:05 GMT");
    assert_eq!(completed(&[("authorization", "AWS4-HMAC-SHA256 x"), date, date]), None);
}

#[test]
fn who_says_it_for_the_signature_is_believed() {
    let headers = [
        ("authorization", "AWS4-HMAC-SHA256 x"),
        ("x-amz-date", "nonsense"),
        ("date", "Fri, 31 Jan 2025 12:30:05 GMT"),
    ];
    assert_eq!(completed(&headers).as_deref(), Some("nonsense"));
}

#[test]
fn what_is_signed_otherwise_or_not_at_all_stays_as_it_is() {
    let date = ("date", "Fri, 31 Jan 2025 12:30:05 GMT");
    assert_eq!(completed(&[date]), None);
    assert_eq!(completed(&[("authorization", "AWS key:signature"), date]), None);
}
