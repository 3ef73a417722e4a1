//! Policies of buckets: documents that allow or deny, beside lists of rights.
//!
//! What this door cannot decide it decides against the one who asks: a condition on the
//! address of a client never allows and always denies. A policy with anything that is not
//! known here is refused when it comes.

use std::collections::BTreeMap;

use archipelago_pool::{Container, Identity, Object};
use axum::http::{HeaderMap, Uri};
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput,
    PutBucketPolicyOutput, PutObjectInput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Actor, Asked};
use super::door::Door;
use super::fault::denied;
use super::settings;

/// Under this name a policy is kept with a bucket, as it came.
const SETTING: &str = "s3.policy";
/// Bytes of a policy at most: what S3 has.
const POLICY_BYTES_MAX: usize = 20 << 10;

/// A policy.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Policy {
    statement: OneOrMany<Statement>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(Box<T>),
    Many(Vec<T>),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(&**one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Statement {
    effect: String,
    principal: Option<Value>,
    not_principal: Option<Value>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Value>>>,
}

/// What a policy says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Unknown,
}

/// The policy of a bucket; one that cannot be read says nothing.
pub(super) fn of_bucket(container: &Container) -> Policy {
    let kept = container.settings.get(SETTING);
    kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What conditions of policies look at, of the head of a request.
pub(super) fn context(headers: &HeaderMap, uri: &Uri) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, value) in headers {
        let (Some(text), name) = (value.to_str().ok(), name.as_str()) else { continue };
        match name {
            "referer" => drop(out.insert("aws:referer".to_owned(), text.to_owned())),
            "user-agent" => drop(out.insert("aws:useragent".to_owned(), text.to_owned())),
            "x-amz-tagging" => {
                let tags = super::tags::of_query(text).unwrap_or_default();
                out.extend(tags.into_iter().map(|(key, value)| {
                    (format!("s3:requestobjecttag/{}", key.to_lowercase()), value)
                }));
            }
            // No policy has a reason to look at a key.
            _ if super::sse::is_key(name) => {}
            _ if name.starts_with("x-amz-") => {
                out.insert(format!("s3:{name}"), text.to_owned());
            }
            _ => {}
        }
    }
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    for (name, value) in query {
        if matches!(name.as_str(), "prefix" | "delimiter" | "max-keys" | "versionId") {
            out.insert(format!("s3:{}", name.to_lowercase()), value);
        }
    }
    out.insert("aws:securetransport".to_owned(), "false".to_owned());
    out
}

/// Puts what a form says in the place of what the head of its request does, which nobody signed
/// and nobody follows.
pub(super) fn ask_form(context: &mut BTreeMap<String, String>, input: &PutObjectInput) {
    context.retain(|name, _| {
        !name.starts_with("s3:x-amz-") && !name.starts_with("s3:requestobjecttag/")
    });
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            context.insert(format!("s3:x-amz-{name}"), value.to_owned());
        }
    };
    let encryption = input.server_side_encryption.as_ref().map(|kind| kind.as_str());
    put("server-side-encryption", encryption);
    put("server-side-encryption-aws-kms-key-id", input.ssekms_key_id.as_deref());
    let customer = input.sse_customer_algorithm.as_deref();
    put("server-side-encryption-customer-algorithm", customer);
    put("server-side-encryption-customer-key-md5", input.sse_customer_key_md5.as_deref());
    put("acl", input.acl.as_ref().map(|acl| acl.as_str()));
    put("storage-class", input.storage_class.as_ref().map(|class| class.as_str()));
    let tags = input.tagging.as_deref().and_then(|text| super::tags::of_query(text).ok());
    context.extend(
        tags.into_iter()
            .flatten()
            .map(|(key, value)| (format!("s3:requestobjecttag/{}", key.to_lowercase()), value)),
    );
}

/// An operation in the words of policies.
fn action_of(asked: &Asked) -> String {
    let action = match asked.operation.as_str() {
        "HeadObject" => "GetObject",
        "ListObjects" | "ListObjectsV2" | "HeadBucket" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListMultipartUploads" => "ListBucketMultipartUploads",
        "ListParts" => "ListMultipartUploadParts",
        "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload"
        | "CopyObject"
        | "UploadPartCopy"
        | "PostObject" => "PutObject",
        "DeleteObjects" => "DeleteObject",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "PutBucketPublicAccessBlock",
        other => other,
    };
    // A right to what is newest is none to what is old, nor to destroy for good.
    let action = match (asked.context.contains_key("s3:versionid"), action) {
        (true, "GetObject") => "GetObjectVersion",
        (true, "DeleteObject") => "DeleteObjectVersion",
        (true, "GetObjectAttributes") => "GetObjectVersionAttributes",
        (true, "GetObjectAcl") => "GetObjectVersionAcl",
        (true, "PutObjectAcl") => "PutObjectVersionAcl",
        (true, "GetObjectTagging") => "GetObjectVersionTagging",
        (true, "PutObjectTagging") => "PutObjectVersionTagging",
        (true, "DeleteObjectTagging") => "DeleteObjectVersionTagging",
        (_, action) => action,
    };
    format!("s3:{action}")
}

impl Policy {
    /// Of a request about a bucket, or about a key in it.
    pub(super) fn judge(&self, actor: &Actor, container: &Container, key: Option<&str>) -> Verdict {
        self.verdict(actor, container, &action_of(&actor.asked), key, None)
    }

    /// Of a request that reads or changes an object which is there.
    pub(super) fn judge_object(
        &self,
        actor: &Actor,
        container: &Container,
        object: &Object,
    ) -> Verdict {
        let action = match actor.asked.operation.as_str() {
            // The object is what is copied from.
            "CopyObject" | "UploadPartCopy" if object.latest => "s3:GetObject".to_owned(),
            "CopyObject" | "UploadPartCopy" => "s3:GetObjectVersion".to_owned(),
            _ => action_of(&actor.asked),
        };
        let key = Some(object.name.as_str());
        self.verdict(actor, container, &action, key, Some(object))
    }

    fn verdict(
        &self,
        actor: &Actor,
        container: &Container,
        action: &str,
        key: Option<&str>,
        object: Option<&Object>,
    ) -> Verdict {
        let resource = match key {
            Some(key) => format!("arn:aws:s3:::{}/{key}", container.name),
            None => format!("arn:aws:s3:::{}", container.name),
        };
        // One that is for everybody means only the account, where that was said so.
        let kept_in = settings::restricts_public(container) && !actor.owns(container);
        let mut verdict = Verdict::Silent;
        for statement in self.statement.iter() {
            if !statement.is_about(actor.identity.as_deref(), action, &resource) {
                continue;
            }
            let truth = statement.holds(actor, object);
            match (statement.effect.as_str(), truth) {
                ("Deny", Truth::Yes | Truth::Unknown) => return Verdict::Denied,
                ("Allow", Truth::Yes) if !(kept_in && statement.is_public()) => {
                    verdict = Verdict::Allowed;
                }
                _ => {}
            }
        }
        verdict
    }

    /// Whether it allows something to everybody, whoever asks and from wherever.
    pub(super) fn is_public(&self) -> bool {
        self.statement.iter().any(|one| one.effect == "Allow" && one.is_public())
    }

    /// Whether all of it can be decided here.
    fn is_known(&self) -> bool {
        self.statement.iter().all(|one| {
            matches!(one.effect.as_str(), "Allow" | "Deny")
                && (one.principal.is_some() != one.not_principal.is_some())
                // To allow everybody but somebody is never what is meant.
                && !(one.effect == "Allow" && one.not_principal.is_some())
                && (one.action.is_some() != one.not_action.is_some())
                && (one.resource.is_some() != one.not_resource.is_some())
                && one.condition.keys().all(|name| is_operator(name))
        })
    }

    /// Whether it speaks of buckets only. What it says of others means nothing.
    fn is_of_buckets(&self) -> bool {
        self.statement.iter().all(|one| {
            let mut all = one.resource.iter().chain(&one.not_resource).flat_map(OneOrMany::iter);
            all.all(|arn| arn == "*" || arn.starts_with("arn:aws:s3:::"))
        })
    }
}

impl Statement {
    fn is_about(&self, who: Option<&Identity>, action: &str, resource: &str) -> bool {
        let principal = match (&self.principal, &self.not_principal) {
            (Some(principal), _) => is_meant(principal, who),
            (None, Some(principal)) => !is_meant(principal, who),
            (None, None) => false,
        };
        let any = |list: &OneOrMany<String>, text: &str, lower: bool| {
            list.iter().any(|pattern| match lower {
                true => is_like(&pattern.to_lowercase(), &text.to_lowercase()),
                false => is_like(pattern, text),
            })
        };
        let action = match (&self.action, &self.not_action) {
            (Some(list), _) => any(list, action, true) || list.iter().any(|one| one == "*"),
            (None, Some(list)) => !any(list, action, true),
            (None, None) => false,
        };
        let resource = match (&self.resource, &self.not_resource) {
            (Some(list), _) => any(list, resource, false),
            (None, Some(list)) => !any(list, resource, false),
            (None, None) => false,
        };
        principal && action && resource
    }

    fn is_public(&self) -> bool {
        let everybody = match (&self.principal, &self.not_principal) {
            (Some(principal), _) => names(principal).iter().any(|name| name == "*"),
            (None, not) => not.is_some(),
        };
        everybody && self.condition.is_empty()
    }

    fn holds(&self, actor: &Actor, object: Option<&Object>) -> Truth {
        let mut truth = Truth::Yes;
        for (operator, keys) in &self.condition {
            for (key, wanted) in keys {
                let key = key.to_lowercase();
                let found = match key.strip_prefix("s3:existingobjecttag/") {
                    // It is not looked up where something is written or removed.
                    Some(_) if object.is_none() => {
                        truth = Truth::Unknown;
                        continue;
                    }
                    Some(tag) => object.and_then(|object| {
                        let mut tags = object.meta.tags.iter();
                        tags.find(|(name, _)| name.to_lowercase() == tag).map(|(_, v)| v.clone())
                    }),
                    None => actor.asked.context.get(&key).cloned(),
                };
                match compare(operator, found.as_deref(), wanted) {
                    Truth::Yes => {}
                    Truth::No => return Truth::No,
                    Truth::Unknown => truth = Truth::Unknown,
                }
            }
        }
        truth
    }
}

/// The operator without its suffix, and whether a key that is not there is all right.
fn operator_of(name: &str) -> (&str, bool) {
    match name.strip_suffix("IfExists") {
        Some(bare) => (bare, true),
        None => (name, false),
    }
}

fn is_operator(name: &str) -> bool {
    matches!(
        operator_of(name).0,
        "StringEquals"
            | "StringNotEquals"
            | "StringEqualsIgnoreCase"
            | "StringNotEqualsIgnoreCase"
            | "StringLike"
            | "StringNotLike"
            | "Bool"
            | "Null"
            | "IpAddress"
            | "NotIpAddress"
    )
}

fn compare(operator: &str, found: Option<&str>, wanted: &OneOrMany<Value>) -> Truth {
    let (bare, if_exists) = operator_of(operator);
    let truth = |yes: bool| if yes { Truth::Yes } else { Truth::No };
    let texts = || {
        wanted.iter().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    if bare == "Null" {
        return truth(texts().any(|text| (text == "true") == found.is_none()));
    }
    if matches!(bare, "IpAddress" | "NotIpAddress") {
        return Truth::Unknown;
    }
    let negative =
        matches!(bare, "StringNotEquals" | "StringNotEqualsIgnoreCase" | "StringNotLike");
    let Some(found) = found else { return truth(if_exists || negative) };
    let equal = match bare {
        "StringEquals" | "StringNotEquals" => texts().any(|text| text == found),
        "StringLike" | "StringNotLike" => texts().any(|text| is_like(&text, found)),
        _ => texts().any(|text| text.eq_ignore_ascii_case(found)),
    };
    truth(equal != negative)
}

/// The names of a principal.
fn names(principal: &Value) -> Vec<String> {
    match principal {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(names).collect(),
        Value::Object(kinds) => kinds.get("AWS").map(names).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// `*`, the uuid or the name of an account, or an ARN of an account or of a user.
fn is_meant(principal: &Value, who: Option<&Identity>) -> bool {
    names(principal).iter().any(|name| name == "*" || who.is_some_and(|who| is_named(name, who)))
}

fn is_named(name: &str, who: &Identity) -> bool {
    let is = |text: &str, uuid: [u8; 16], label: &str| match is_uuid(text) {
        // A name that looks like the uuid of another is none.
        true => text == hex::encode(uuid),
        false => text == label,
    };
    let account = |text: &str| is(text, who.account.uuid, who.account.name.as_str());
    let Some(arn) = name.strip_prefix("arn:aws:iam::") else { return account(name) };
    let Some((of, rest)) = arn.split_once(':') else { return false };
    match rest.strip_prefix("user/") {
        None => rest == "root" && account(of),
        Some(id) => {
            // S3 has no users behind its ids: that of an account stands for its users, too.
            let whole = is_uuid(id) && account(id);
            (of.is_empty() || account(of))
                && (is(id, who.user.uuid, who.user.name.as_str()) || whole)
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `*` stands for any text, `?` for a character. Linear in the two lengths but for `*`.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(one) if *one == '?' || *one == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|one| *one == '*')
}

/// `PutBucketPolicy`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let actor = door.actor(&request).await?;
    let input = request.input;
    let bucket = door.own_bucket(&actor, &input.bucket).await?;
    let malformed = |text: &'static str| S3Error::with_message(S3ErrorCode::MalformedPolicy, text);
    if input.policy.len() > POLICY_BYTES_MAX {
        return Err(malformed("a policy has 20 KiB at most"));
    }
    let policy: Policy = serde_json::from_str(&input.policy)
        .map_err(|_| malformed("This policy contains invalid Json"))?;
    if !policy.is_known() {
        return Err(malformed("the policy has something that is not known here"));
    }
    if !policy.is_of_buckets() {
        return Err(malformed("Policy has invalid resource"));
    }
    if policy.is_public() && settings::blocks_public_policy(&bucket) {
        return Err(denied());
    }
    let text = input.policy;
    door.change(bucket.id, move |container| {
        container.settings.insert(SETTING.to_owned(), text.clone());
        Ok(())
    })
    .await?;
    let output = PutBucketPolicyOutput::default();
    Ok(S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT))
}

/// `GetBucketPolicy`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.own_bucket(&actor, &request.input.bucket).await?;
    match bucket.settings.get(SETTING) {
        Some(text) => Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(text.clone()) })),
        None => Err(S3Error::new(S3ErrorCode::NoSuchBucketPolicy)),
    }
}

/// `DeleteBucketPolicy`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.own_bucket(&actor, &request.input.bucket).await?;
    door.change(bucket.id, |container| {
        container.settings.remove(SETTING);
        Ok(())
    })
    .await?;
    let output = DeleteBucketPolicyOutput::default();
    Ok(S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT))
}

/// `GetBucketPolicyStatus`.
pub(super) async fn status(
    door: &Door,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let actor = door.actor(&request).await?;
    let bucket = door.own_bucket(&actor, &request.input.bucket).await?;
    let is_public = of_bucket(&bucket).is_public() || super::acl::of_bucket(&bucket).is_public();
    let policy_status = Some(PolicyStatus { is_public: Some(is_public) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}
