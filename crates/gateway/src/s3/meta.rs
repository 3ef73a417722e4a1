//! Headers and what is known of an object; conditions of requests; version ids and etags.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use archipelago_model::FileId;
use archipelago_pool::{Meta, Object, Which};
use axum::http::{HeaderName, HeaderValue};
use s3s::dto::{ETag, ETagCondition, Metadata, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

/// Bytes of names and values of what the user keeps with an object: what S3 has.
const USER_BYTES_MAX: usize = 2048;

/// Storage classes are kept and shown, and mean nothing here.
pub(crate) const STORAGE_CLASS: &str = "s3.storage-class";

/// The headers of a request that stay with the object.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) metadata: Option<Metadata>,
    pub(super) tagging: Option<String>,
    pub(super) storage_class: Option<String>,
}

/// Classes that say what holds of everything here: it is read at once. They are kept as labels.
/// Others would have clients wait for what needs no waiting, as those for archives.
const CLASSES: [&str; 6] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
];

/// Of an input that has these fields.
macro_rules! headers_of {
    ($input:expr) => {
        $crate::s3::meta::Headers {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input.content_encoding.clone(),
            content_language: $input.content_language.clone(),
            expires: $input.expires.clone(),
            metadata: $input.metadata.clone(),
            tagging: $input.tagging.clone(),
            storage_class: $input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
        }
    };
}
pub(super) use headers_of;

impl Headers {
    /// What they say of an object.
    pub(super) fn meta(self) -> S3Result<Meta> {
        let mut headers = BTreeMap::new();
        // Only how it travelled, and over by now.
        let encoding = self.content_encoding.map(|text| {
            let kept = text.split(',').map(str::trim).filter(|one| *one != "aws-chunked");
            kept.collect::<Vec<_>>().join(", ")
        });
        let texts = [
            ("content-type", self.content_type),
            ("cache-control", self.cache_control),
            ("content-disposition", self.content_disposition),
            ("content-encoding", encoding.filter(|text| !text.is_empty())),
            ("content-language", self.content_language),
            ("expires", self.expires.map(|time| http_date(&time))),
        ];
        for (name, text) in texts {
            headers.extend(text.map(|text| (name.to_owned(), text)));
        }
        let user: BTreeMap<String, String> =
            self.metadata.unwrap_or_default().into_iter().collect();
        let bytes: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > USER_BYTES_MAX {
            return Err(s3_error!(
                MetadataTooLarge,
                "Your metadata headers exceed the maximum allowed metadata size"
            ));
        }
        let tags = self.tagging.map(|text| super::tags::of_query(&text)).transpose()?;
        let mut meta = Meta { headers, user, tags: tags.unwrap_or_default(), ..Meta::default() };
        if let Some(class) = self.storage_class.filter(|class| class != "STANDARD") {
            if !CLASSES.contains(&class.as_str()) {
                return Err(s3_error!(
                    InvalidStorageClass,
                    "there is one class here, of what is read at once: leave it out or say {}",
                    CLASSES.join(", ")
                ));
            }
            meta.settings.insert(STORAGE_CLASS.to_owned(), class);
        }
        Ok(meta)
    }
}

/// A header that stayed with an object; none rather than one that cannot be sent, from
/// whatever door it is.
pub(super) fn header(object: &Object, name: &str) -> Option<String> {
    object
        .meta
        .headers
        .get(name)
        .filter(|text| HeaderValue::from_bytes(text.as_bytes()).is_ok())
        .cloned()
}

pub(super) fn expires(object: &Object) -> Option<Timestamp> {
    let text = object.meta.headers.get("expires")?;
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

/// What the user keeps with an object, as far as it can be sent; nothing rather than an empty
/// list.
pub(super) fn user(object: &Object) -> Option<Metadata> {
    let fits = |(name, value): &(&String, &String)| {
        HeaderName::from_bytes(name.as_bytes()).is_ok()
            && HeaderValue::from_bytes(value.as_bytes()).is_ok()
    };
    let user = object.meta.user.iter().filter(fits);
    let user: Metadata = user.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!user.is_empty()).then_some(user)
}

fn http_date(time: &Timestamp) -> String {
    let mut out = Vec::new();
    // Into memory: it does not fail.
    let _ = time.format(TimestampFormat::HttpDate, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The end of the year 9999, behind which no header can say a time.
const MS_MAX: u64 = 253_402_300_799_000;

pub(super) fn time(ms: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms.min(MS_MAX)))
}

/// One that came by a door which knows of no MD5 has an etag that says so by its form.
pub(super) fn etag_text(object: &Object) -> String {
    object.entity_tag()
}

pub(super) fn etag(object: &Object) -> ETag {
    ETag::Strong(etag_text(object))
}

/// The id of a version, as S3 has it.
pub(super) fn version_id(object: &Object) -> String {
    match object.versioned {
        true => format!("{:016x}", object.id.get()),
        false => "null".to_owned(),
    }
}

/// That, where a bucket keeps or kept versions.
pub(super) fn version_shown(object: &Object) -> Option<String> {
    object.versioned.then(|| version_id(object))
}

/// Which version a request means.
pub(super) fn which(version: Option<&str>) -> S3Result<Which> {
    match version {
        None | Some("") => Ok(Which::Latest),
        Some("null") => Ok(Which::Unversioned),
        Some(text) if text.len() == 16 => u64::from_str_radix(text, 16)
            .map(|id| Which::Version(FileId::new(id)))
            .map_err(|_| unknown_version()),
        Some(_) => Err(unknown_version()),
    }
}

fn unknown_version() -> S3Error {
    s3_error!(InvalidArgument, "Invalid version id specified")
}

/// Conditions under which an object is read or copied.
pub(super) struct Conditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
    /// What says that nothing has changed: 304 where something is read, 412 where it is
    /// copied.
    pub(super) unchanged: S3ErrorCode,
}

impl Conditions<'_> {
    /// RFC 9110, 13.2.2, as S3 has it: an etag that matches is stronger than a time.
    pub(super) fn check(&self, object: &Object) -> S3Result<()> {
        let failed = || S3Error::new(S3ErrorCode::PreconditionFailed);
        // Headers have whole seconds.
        let modified = time(object.created_ms / 1000 * 1000);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, object) => return Err(failed()),
            (None, Some(since)) if modified > *since => return Err(failed()),
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if matches(condition, object) => Err(self.unchanged(object)),
            (None, Some(since)) if modified <= *since => Err(self.unchanged(object)),
            _ => Ok(()),
        }
    }

    fn unchanged(&self, object: &Object) -> S3Error {
        let mut error = S3Error::new(self.unchanged.clone());
        if let Ok(value) = axum::http::HeaderValue::from_str(&format!("\"{}\"", etag_text(object)))
        {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert(axum::http::header::ETAG, value);
            error.set_headers(headers);
        }
        error
    }
}

/// Whether an object is the one that a condition names.
pub(super) fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == etag_text(object),
    }
}

/// Conditions under which an object is written.
pub(super) fn check_write(
    newest: Option<&Object>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    match (if_match, newest) {
        (Some(_), None) => return Err(S3Error::new(S3ErrorCode::NoSuchKey)),
        (Some(condition), Some(object)) if !matches(condition, object) => {
            return Err(S3Error::new(S3ErrorCode::PreconditionFailed));
        }
        _ => {}
    }
    match (if_none_match, newest) {
        (Some(condition), Some(object)) if matches(condition, object) => {
            Err(S3Error::new(S3ErrorCode::PreconditionFailed))
        }
        _ => Ok(()),
    }
}
