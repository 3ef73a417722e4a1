use super::*;

fn days(days: i32) -> Option<LifecycleExpiration> {
    Some(LifecycleExpiration { days: Some(days), ..LifecycleExpiration::default() })
}

fn said(expiration: Option<LifecycleExpiration>) -> LifecycleRule {
    LifecycleRule {
        abort_incomplete_multipart_upload: None,
        expiration,
        filter: None,
        id: Some("one".to_owned()),
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
        prefix: Some("logs/".to_owned()),
        status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
        transitions: None,
    }
}

fn code(result: S3Result<Rule>) -> S3ErrorCode {
    result.unwrap_err().code().clone()
}

#[test]
fn a_plain_rule_is_what_it_says() {
    let rule = rule(&said(days(30))).unwrap();
    assert!(rule.enabled);
    assert_eq!(rule.filter.prefix, "logs/");
    assert_eq!(rule.expiration, Some(Expiration::Days(30)));
}

#[test]
fn a_filter_has_what_is_inside_and_what_is_beside_its_and() {
    let tag = |key: &str| Tag { key: Some(key.to_owned()), value: Some("v".to_owned()) };
    let and = LifecycleRuleAndOperator {
        prefix: Some("a/".to_owned()),
        tags: Some(vec![tag("x"), tag("y")]),
        object_size_greater_than: Some(5),
        object_size_less_than: None,
    };
    let filter = LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() };
    let one = LifecycleRule { filter: Some(filter), prefix: None, ..said(days(1)) };
    let filter = rule(&one).unwrap().filter;
    assert_eq!((filter.prefix.as_str(), filter.larger_than), ("a/", Some(5)));
    assert_eq!(filter.tags.keys().collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn a_filter_that_says_a_thing_twice_means_no_more_than_either() {
    let with = |prefix: &str| {
        let and = LifecycleRuleAndOperator {
            prefix: Some("a/".to_owned()),
            object_size_greater_than: Some(5),
            object_size_less_than: Some(50),
            tags: None,
        };
        let filter = LifecycleRuleFilter {
            and: Some(and),
            prefix: Some(prefix.to_owned()),
            object_size_greater_than: Some(7),
            object_size_less_than: Some(70),
            ..LifecycleRuleFilter::default()
        };
        rule(&LifecycleRule { filter: Some(filter), prefix: None, ..said(days(1)) })
    };
    let both = with("a").unwrap().filter;
    assert_eq!(both.prefix, "a/");
    assert_eq!((both.larger_than, both.smaller_than), (Some(7), Some(50)));
    assert_eq!(with("a/b").unwrap().filter.prefix, "a/b");
    assert_eq!(code(with("b/")), S3ErrorCode::InvalidRequest);
}

#[test]
fn what_a_rule_may_not_say_is_refused_with_the_code_of_s3() {
    let both = LifecycleRule { filter: Some(LifecycleRuleFilter::default()), ..said(days(1)) };
    assert_eq!(code(rule(&both)), S3ErrorCode::MalformedXML);
    assert_eq!(code(rule(&said(days(0)))), S3ErrorCode::InvalidArgument);
    assert_eq!(code(rule(&said(days(-1)))), S3ErrorCode::InvalidArgument);
    assert_eq!(code(rule(&said(None))), S3ErrorCode::InvalidRequest);
    let none = Some(LifecycleExpiration::default());
    assert_eq!(code(rule(&said(none))), S3ErrorCode::MalformedXML);
    let noon = Some(LifecycleExpiration {
        date: Some(meta::time(DAY_MS / 2)),
        ..LifecycleExpiration::default()
    });
    assert_eq!(code(rule(&said(noon))), S3ErrorCode::InvalidArgument);
    let status = ExpirationStatus::from_static("enabled");
    assert_eq!(code(rule(&LifecycleRule { status, ..said(days(1)) })), S3ErrorCode::MalformedXML);
}

#[test]
fn there_are_no_storage_classes_to_move_to() {
    let moves =
        LifecycleRule { transitions: Some(vec![s3s::dto::Transition::default()]), ..said(days(1)) };
    assert_eq!(code(rule(&moves)), S3ErrorCode::InvalidStorageClass);
}

#[test]
fn ids_are_unique_short_and_made_where_none_is_said() {
    let without = LifecycleRule { id: None, ..said(days(1)) };
    let made = named(vec![without.clone(), without], 7).unwrap();
    assert_ne!(made[0].id, made[1].id);
    assert!(named(vec![said(days(1)), said(days(2))], 7).is_err());
    let long = LifecycleRule { id: Some("x".repeat(256)), ..said(days(1)) };
    assert!(named(vec![long], 7).is_err());
    assert!(named(Vec::new(), 7).is_err());
}
