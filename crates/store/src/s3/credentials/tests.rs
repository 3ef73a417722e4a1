//! Facts about credentials.

use super::*;

fn of_file(text: &str) -> Result<Credentials, StoreError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    Credentials::from_file(&Env::real(), file.path())
}

#[test]
fn no_formatter_shows_a_secret() {
    let mut credentials = Credentials::new("AKID", "hush-hush");
    credentials.token = Some(Zeroizing::new("hush-token".to_owned()));
    let shown = format!("{credentials:?} {credentials:#?}");
    assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
}

#[test]
fn the_default_profile_of_a_file_counts() {
    let text = "[other]\naws_access_key_id=no\naws_secret_access_key=no\n\n[default]\n# a word\n\
                aws_access_key_id = AKID\naws_secret_access_key = a=b/c+d==\n";
    let credentials = of_file(text).unwrap();
    assert_eq!((credentials.key(), credentials.secret()), ("AKID", "a=b/c+d=="));
    assert_eq!(credentials.token(), None);
}

#[test]
fn a_file_without_headings_is_the_default_profile() {
    let text = "aws_access_key_id=A\naws_secret_access_key=B\naws_session_token=C\n";
    let credentials = of_file(text).unwrap();
    assert_eq!((credentials.secret(), credentials.token()), ("B", Some("C")));
}

#[test]
fn what_a_file_lacks_is_named_and_what_it_has_is_not_shown() {
    let error = of_file("[default]\naws_secret_access_key=hush\n").unwrap_err().to_string();
    assert!(error.contains("aws_access_key_id") && !error.contains("hush"), "{error}");
    let error = Credentials::from_file(&Env::real(), Path::new("/nowhere/x")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/x"), "{error}");
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    assert!(of_file(&"#\n".repeat(FILE_BYTES_MAX)).is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(Credentials::from_file(&Env::real(), file.path()).is_err());
}

#[test]
fn the_variable_that_is_missing_is_named() {
    let get = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "A".to_owned());
    let error = Credentials::from_variables(get).unwrap_err().to_string();
    assert!(error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    let all = |name: &str| Some(name.to_lowercase());
    let credentials = Credentials::from_variables(all).unwrap();
    assert_eq!(credentials.token(), Some("aws_session_token"));
}
