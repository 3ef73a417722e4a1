//! Whose objects are: the bucket's owner's, or the account's that wrote them, as the bucket says.

use std::collections::BTreeMap;

use archipelago_model::AccountId;
use archipelago_pool::{Account, Container, OWNER_ENFORCED, OWNERSHIP, Object, Upload};
use s3s::dto::{
    DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, Initiator, ObjectCannedACL,
    ObjectOwnership, Owner, OwnershipControls, OwnershipControlsRule,
    PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::acl::{self, Acl, Said};
use super::auth::Actor;
use super::door::{Door, owner};
use super::fault::denied;
use super::policy::Verdict;
use super::settings::{self, no_content};

/// A setting of a bucket that was made here: what holds where nothing is said of ownership.
/// Containers of other doors, and buckets from before there were writers' objects, have none:
/// all that is in them is their owner's.
const UNSAID: &str = "s3.ownership-unsaid";

/// Whose what others put into a bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// The bucket's owner's. Lists of rights grant nothing, and requests that say one are refused.
    Enforced,
    /// Of who writes it, unless it comes with the list `bucket-owner-full-control`.
    Preferred,
    /// Of who writes it.
    Writer,
    /// The bucket's owner's.
    Owner,
}

fn rule(bucket: &Container) -> Rule {
    let unsaid = || bucket.settings.get(UNSAID).cloned();
    match bucket.ownership().or_else(unsaid).as_deref() {
        Some(OWNER_ENFORCED) => Rule::Enforced,
        Some(ObjectOwnership::BUCKET_OWNER_PREFERRED) => Rule::Preferred,
        Some(ObjectOwnership::OBJECT_WRITER) => Rule::Writer,
        _ => Rule::Owner,
    }
}

/// Whether what lists of the bucket and its objects grant does not count: what is kept of them
/// counts again when the owner says otherwise.
pub(super) fn ignores_lists(bucket: &Container) -> bool {
    rule(bucket) == Rule::Enforced
}

/// Says it of a new bucket, which comes with this list.
pub(super) fn keep(
    settings: &mut BTreeMap<String, String>,
    ownership: Option<&ObjectOwnership>,
    said: &Said<'_>,
) -> S3Result<()> {
    settings.insert(UNSAID.to_owned(), ObjectOwnership::OBJECT_WRITER.to_owned());
    let Some(ownership) = ownership else { return Ok(()) };
    let word = known(ownership)?;
    let private = said.canned == Some(ObjectCannedACL::PRIVATE) || !said.says_something();
    if word == OWNER_ENFORCED && !private {
        return Err(S3Error::new(S3ErrorCode::InvalidBucketAclWithObjectOwnership));
    }
    settings.insert(OWNERSHIP.to_owned(), written(&word)?);
    Ok(())
}

fn known(ownership: &ObjectOwnership) -> S3Result<String> {
    match ownership.as_str() {
        word @ (ObjectOwnership::BUCKET_OWNER_ENFORCED
        | ObjectOwnership::BUCKET_OWNER_PREFERRED
        | ObjectOwnership::OBJECT_WRITER) => Ok(word.to_owned()),
        _ => Err(S3Error::new(S3ErrorCode::MalformedXML)),
    }
}

fn written(word: &str) -> S3Result<String> {
    serde_json::to_string(&[word]).map_err(S3Error::internal_error)
}

/// Of what a request puts: whose it is, and its list.
pub(super) struct Claim {
    /// `None`: the bucket's owner.
    pub(super) owner: Option<AccountId>,
    pub(super) list: Acl,
}

/// Accounts of what is in a bucket, as S3 shows them.
pub(super) struct Owners {
    own: Owner,
    others: BTreeMap<AccountId, Owner>,
}

/// Under this name an upload keeps who began it, where that is not the bucket's owner.
pub(super) const INITIATOR: &str = "s3.initiator";

/// Notes who begins an upload.
pub(super) fn keep_initiator(
    actor: &Actor,
    bucket: &Container,
    settings: &mut BTreeMap<String, String>,
) {
    if let Some(who) = actor.identity.as_ref().filter(|who| who.account.id != bucket.account) {
        settings.insert(INITIATOR.to_owned(), who.account.id.get().to_string());
    }
}

fn initiator(upload: &Upload) -> Option<AccountId> {
    upload.meta.settings.get(INITIATOR)?.parse().ok().map(AccountId::new)
}

impl Owners {
    /// Who began an upload.
    pub(super) fn initiator(&self, upload: &Upload) -> Initiator {
        let Owner { display_name, id } = self.of(initiator(upload));
        Initiator { display_name, id }
    }

    /// Whose it is, if not the bucket's owner's.
    pub(super) fn of(&self, writer: Option<AccountId>) -> Owner {
        writer.and_then(|writer| self.others.get(&writer)).unwrap_or(&self.own).clone()
    }
}

impl Door {
    /// Whose what a request puts into a bucket is, with the list that it says.
    pub(super) async fn claim(
        &self,
        actor: &Actor,
        said: &Said<'_>,
        bucket: &Container,
    ) -> S3Result<Claim> {
        let rule = rule(bucket);
        let stranger = actor.identity.as_ref().filter(|_| !actor.owns(bucket));
        let gives_all = said.canned == Some(ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL);
        let owner = match rule {
            Rule::Enforced | Rule::Owner => None,
            Rule::Preferred if gives_all => None,
            Rule::Preferred | Rule::Writer => stranger.map(|who| who.account.id),
        };
        if !said.says_something() {
            return Ok(Claim { owner, list: Acl::default() });
        }
        let list = self.said_acl(said, bucket, owner).await?;
        let own = actor.owns(bucket) || owner.is_some();
        let to_bucket = hex::encode(self.account_of(bucket).await?.uuid);
        // As for a list by itself: who writes for an account does not say who else may, and who
        // writes what will be another's does only if the policy says so.
        let may = match actor.besides(bucket, "PutObjectAcl") {
            Verdict::Denied => false,
            Verdict::Allowed => true,
            Verdict::Silent => (own && actor.governs()) || list.is_only_for(&to_bucket),
        };
        if !may {
            return Err(denied());
        }
        Ok(Claim { owner, list })
    }

    /// The list of rights that a request says of a bucket, or of something in it that belongs to
    /// `writer`; without a word, an empty one.
    pub(super) async fn said_acl(
        &self,
        said: &Said<'_>,
        bucket: &Container,
        writer: Option<AccountId>,
    ) -> S3Result<Acl> {
        let (of_bucket, accounts) = self.accounts(bucket.account).await?;
        let by_id = |id| accounts.iter().find(|account| account.id == id);
        let owner: &Account = writer.and_then(by_id).unwrap_or(&of_bucket);
        let find =
            |uuid: &str| accounts.iter().find(|account| hex::encode(account.uuid) == uuid).cloned();
        let list = acl::said(said, (owner, &of_bucket), &find)?.unwrap_or_default();
        if rule(bucket) == Rule::Enforced && !(said.may_give_all() && list.is_private()) {
            return Err(S3Error::new(S3ErrorCode::AccessControlListNotSupported));
        }
        if list.is_public() && settings::blocks_public(bucket) {
            return Err(denied());
        }
        Ok(list)
    }

    /// The accounts of a page of objects.
    pub(super) async fn owners_of(
        &self,
        bucket: &Container,
        objects: &[Object],
    ) -> S3Result<Owners> {
        self.owners(bucket, objects.iter().filter_map(|object| bucket.writer_of(object))).await
    }

    /// The accounts of a page of uploads, and of those who began them.
    pub(super) async fn owners_of_uploads(
        &self,
        bucket: &Container,
        uploads: &[Upload],
    ) -> S3Result<Owners> {
        let writers = uploads.iter().filter_map(|upload| bucket.writer_of_upload(upload));
        self.owners(bucket, writers.chain(uploads.iter().filter_map(initiator))).await
    }

    /// Whose a bucket is, and those of these things in it that are others'.
    async fn owners(
        &self,
        bucket: &Container,
        writers: impl Iterator<Item = AccountId>,
    ) -> S3Result<Owners> {
        let writers: Vec<AccountId> = writers.collect();
        if writers.is_empty() {
            return Ok(Owners { own: self.owner_of(bucket).await?, others: BTreeMap::new() });
        }
        let (own, accounts) = self.accounts(bucket.account).await?;
        let others = accounts.iter().filter(|account| writers.contains(&account.id));
        let others = others.map(|account| (account.id, owner(account))).collect();
        Ok(Owners { own: owner(&own), others })
    }

    /// The account that an object belongs to, as S3 shows it.
    pub(super) async fn owner_of_object(
        &self,
        bucket: &Container,
        object: &Object,
    ) -> S3Result<Owner> {
        let writer = bucket.writer_of(object);
        Ok(self.owners(bucket, writer.into_iter()).await?.of(writer))
    }
}

/// `GetBucketOwnershipControls`.
pub(super) async fn get(
    door: &Door,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let word = bucket.ownership();
    let word = word.ok_or_else(|| S3Error::new(S3ErrorCode::OwnershipControlsNotFoundError))?;
    let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from(word) };
    let controls = OwnershipControls { rules: vec![rule] };
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls: Some(controls) }))
}

/// `PutBucketOwnershipControls`.
pub(super) async fn put(
    door: &Door,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    let [rule] = &request.input.ownership_controls.rules[..] else {
        return Err(S3Error::new(S3ErrorCode::MalformedXML));
    };
    let word = known(&rule.object_ownership)?;
    let text = written(&word)?;
    door.change(bucket.id, move |container| {
        // A list that would not count any more must not look as if it did.
        if word == OWNER_ENFORCED && !acl::of_bucket(container).is_private() {
            return Err(S3Error::new(S3ErrorCode::InvalidBucketAclWithObjectOwnership));
        }
        container.settings.insert(OWNERSHIP.to_owned(), text.clone());
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

/// `DeleteBucketOwnershipControls`.
pub(super) async fn delete(
    door: &Door,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let bucket = door.of_owner(&request, &request.input.bucket).await?;
    door.drop_setting(bucket.id, OWNERSHIP).await?;
    Ok(no_content(DeleteBucketOwnershipControlsOutput::default()))
}
